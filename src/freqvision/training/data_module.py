"""What the data modules of all tasks share: statistics, and loaders that share photos out to processes."""

import math
import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, Trainer

from freqvision.data.check import PhotoCheck
from freqvision.data.folder import PACKED, Damaged
from freqvision.data.loader import EpochBatches, PhotoLoader
from freqvision.data.sources import Sources
from freqvision.inputs.measure import collect_statistics
from freqvision.inputs.spec import InputSpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.runtime import available_cores


class PhotoData(LightningDataModule):
    """Photos to train on and to validate on, for `freqvision fit`; subclasses say which they are.

    In `statistics_photos_of`, `setup` and `train_dataloader`, as ``examples/csv_photos.py`` shows.

    Args:
        spec: What the photos become; statistics and type are still to come.
        class_names: Of the model's outputs.
        dtype: Type of a batch on its way to the device: float32, float16, bfloat16 or int8 (pixels: uint8).
        statistics: JSON file of `freqvision stats` with mean and deviation of each channel. None measures the
            training photos once, before the first epoch, and saves the result in the run's folder. A file
            that does not exist yet is measured and written, for other runs to share.
        statistics_photos: Measure at most this many photos, evenly spread; 0 for all.
        batch_size: Photos in a batch on each device.
        num_threads: Threads that decode a batch; 0 for all cores, which processes on a machine divide.
        num_workers: Worker processes; 0 decodes in the training process, which is best for DCT channels.
        seed: Of the order of the photos and of their random views; None takes that of Lightning's
            seed_everything, or 0.
        damaged: "error", "skip" or "decode" photos that are damaged: stop, leave them out, or show what is
            left of them. The last two list them at the end.
        exclude: List of damaged photos to leave out, of `freqvision check`.
    """

    train_set: Any
    validation_set: Any
    prepare_data_per_node = False  # the statistics that the first process has are sent to the others
    shuffle_block = 0
    shuffle_window = 0

    def __init__(
        self,
        spec: InputSpec,
        class_names: list[str],
        dtype: str = "float32",
        statistics: str | None = None,
        statistics_photos: int = 0,
        batch_size: int = 32,
        num_threads: int = 0,
        num_workers: int = 0,
        seed: int | None = None,
        damaged: Damaged = "error",
        exclude: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is 1 or more photos, got {batch_size}")
        self.spec = spec
        self.class_names = class_names
        self.statistics_file: Path | None = Path(statistics) if statistics else None
        self.statistics_photos = statistics_photos
        self.batch_size = batch_size
        self.num_threads = num_threads
        self.num_workers = num_workers
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.damaged = damaged
        self.exclude = exclude
        self._dtype = dtype
        self._place: dict[str, Any] | None = None  # of a resumed run in its epoch
        if dtype != "int8":  # which has its scale from the statistics, so it waits for them
            self.spec = self.spec.with_dtype(dtype)

    @property
    def how(self) -> dict[str, Any]:
        """Arguments that data sets of training and of validation have in common."""
        return {"damaged": self.damaged, "seed": self.seed, "num_threads": self.num_threads}

    def statistics_photos_of(self) -> Sources:
        """The photos whose statistics are those of training."""
        raise NotImplementedError

    def plan(self) -> dict[str, str]:
        """What a run prints about its data before it starts."""
        spec = self.spec
        return {
            "photos": f"{len(self.train_set):,} to train on, {len(self.validation_set):,} to validate, "
            f"{len(self.class_names)} classes",
            "input": f"{spec.describe()}, {spec.shape} as {spec.dtype}, {spec.bytes_per_image:,} bytes each",
        }

    def notes(self) -> list[str]:
        """What should be known of the photos before they are trained on."""
        sets = (self.train_set.photos, self.validation_set.photos)
        paths = [str(path) for photos in sets for path in getattr(photos, "paths", ())]
        check = PhotoCheck.load(self.exclude) if self.exclude else None
        unchecked = sum(not check.covers(path) for path in paths) if check else len(paths)
        slow = sum(not path.lower().endswith((".jpg", ".jpeg", PACKED)) for path in paths)
        notes = []
        if unchecked:
            notes.append(f"{unchecked:,} were not checked for damage: see freqvision check")
        if slow:
            notes.append(f"{slow:,} are no JPEGs: Pillow decodes them, several times as slowly")
        return notes

    def prepare_data(self) -> None:
        """Measure the training photos' statistics, in one process, where no file holds them."""
        if self.spec.channels and not self._statistics_file().exists():
            photos = self.statistics_photos_of().spread(self.statistics_photos)
            statistics = collect_statistics(
                photos, self.spec, num_threads=self.num_threads, damaged=self.damaged
            )
            statistics.save(self._statistics_file())

    def setup(self, stage: str) -> None:
        """Complete the spec with the statistics."""
        spec: Any = self.spec
        if self.trainer is not None and self.trainer.world_size > 1 and not self.num_threads:
            self.num_threads = max(1, available_cores() // self.trainer.num_devices)
        if spec.channels:
            trainer = self._trainer()
            first = trainer.is_global_zero
            statistics = ChannelStatistics.load(self._statistics_file()) if first else None
            statistics = trainer.strategy.broadcast(statistics)
            self.spec = spec.with_statistics(statistics).with_dtype(self._dtype)

    def train_loader(self, groups: Sequence[Hashable] | None = None) -> PhotoLoader:
        """Batches shuffled by (seed, epoch), of each process its share, which resume anywhere in an epoch.

        Batches are of one group of photos, such as those of a shape, where possible.
        """
        trainer = self._trainer()
        batches = EpochBatches(
            len(self.train_set),
            self.batch_size,
            seed=self.seed,
            groups=groups,
            shuffle_block=self.shuffle_block,
            shuffle_window=self.shuffle_window,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        loader = self._loader(self.train_set, batches)
        if self._place is not None:
            loader.load_state_dict(self._place)
        return loader

    def val_dataloader(self) -> PhotoLoader:
        """Every photo once over all processes, in equally many batches each."""
        trainer = self._trainer()
        count = len(self.validation_set)
        rounds = math.ceil(count / (trainer.world_size * self.batch_size))
        batches = np.array_split(np.arange(count), rounds * trainer.world_size)
        ours = batches[trainer.global_rank :: trainer.world_size]
        return self._loader(self.validation_set, [batch.tolist() for batch in ours])

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint: the place in the epoch."""
        return {"loader": self._trainer().train_dataloader.state_dict()}  # type: ignore[union-attr]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """From the checkpoint; those of version 0.1 are of the end of an epoch only."""
        self._place = state_dict.get("loader")

    def _loader(self, photos: Any, batches: Any) -> PhotoLoader:
        device = self._trainer().strategy.root_device
        return PhotoLoader(
            photos,
            batch_sampler=batches,
            num_workers=self.num_workers,
            device=device if device.type == "cuda" else None,
        )

    def _statistics_file(self) -> Path:
        return self.statistics_file or Path(self._trainer().default_root_dir) / "statistics.json"

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError(
                f"{type(self).__name__} works inside a Trainer; without Lightning use the data sets of "
                "freqvision.data"
            )
        return self.trainer
