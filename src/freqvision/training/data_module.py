"""What the data modules of all tasks share: statistics, loaders that divide the photos, exact resume."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from freqvision.data.folder import Damaged, evenly
from freqvision.inputs.measure import collect_statistics
from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.inputs.statistics import ChannelStatistics


class PhotoData(LightningDataModule):
    """Photos to train on and to validate on; subclasses say which, in `statistics_paths` and `setup`.

    Args:
        spec: What the photos become; statistics and type are still to come.
        class_names: Of the model's outputs.
        dtype: The type in which a batch travels to the device.
        statistics: JSON file of `freqvision stats`; None measures the training photos and keeps the result
            beside the run.
        statistics_photos: Measure at most so many photos, evenly spread; 0 for all.
        batch_size: Photos in a batch on each device.
        num_threads: Threads that decode a batch; 0 for all cores.
        num_workers: Worker processes; 0 decodes in the training process.
        seed: Of all that is random; None takes that of Lightning's seed_everything, or 0.
    """

    train_set: Any
    validation_set: Any
    damaged: Damaged = "error"

    def __init__(
        self,
        spec: InputSpec,
        class_names: list[str],
        dtype: str,
        statistics: str | None,
        statistics_photos: int,
        batch_size: int,
        num_threads: int,
        num_workers: int,
        seed: int | None,
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
        self._dtype = dtype
        self._first_epoch = 0
        if dtype != "int8":  # which has its scale from the statistics, so it waits for them
            self.spec = self.spec.with_dtype(dtype)

    def statistics_paths(self) -> list[str]:
        """The photos whose statistics are those of training."""
        raise NotImplementedError

    def prepare_data(self) -> None:
        """Measure the training photos' statistics, in one process, where no file holds them."""
        if isinstance(self.spec, FrequencySpec) and not self._statistics_file().exists():
            paths = self.statistics_paths()
            if self.statistics_photos > 0:
                paths = evenly(paths, self.statistics_photos)
            statistics = collect_statistics(
                paths, self.spec, num_threads=self.num_threads, damaged=self.damaged
            )
            statistics.save(self._statistics_file())

    def setup(self, stage: str) -> None:
        """Complete the spec with the statistics."""
        if isinstance(self.spec, FrequencySpec):
            statistics = ChannelStatistics.load(self._statistics_file())
            self.spec = self.spec.with_statistics(statistics).with_dtype(self._dtype)

    def train_sampler(self) -> DistributedSampler:
        """Indices of training photos, shuffled by (seed, epoch), each process its share."""
        trainer = self._trainer()
        sampler: DistributedSampler = DistributedSampler(
            self.train_set, trainer.world_size, trainer.global_rank, shuffle=True, seed=self.seed
        )
        # Lightning tells the sampler, and the module the data set, of every new epoch; but worker processes
        # are given their first batches now, before Lightning knows at which epoch a resumed run begins.
        sampler.set_epoch(self._first_epoch)
        self.train_set.set_epoch(self._first_epoch)
        return sampler

    def val_dataloader(self) -> DataLoader:
        """Every photo once over all processes, in equally many batches each."""
        trainer = self._trainer()
        count = len(self.validation_set)
        rounds = math.ceil(count / (trainer.world_size * self.batch_size))
        batches = np.array_split(np.arange(count), rounds * trainer.world_size)[
            trainer.global_rank :: trainer.world_size
        ]
        return self._loader(self.validation_set, batch_sampler=[batch.tolist() for batch in batches])

    def state_dict(self) -> dict[str, int]:
        """For the checkpoint: the epoch with which a resumed run begins."""
        return {"next_epoch": self._trainer().fit_loop.epoch_progress.current.processed}  # type: ignore[attr-defined]

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """From the checkpoint."""
        self._first_epoch = state_dict["next_epoch"]

    def _loader(self, photos: Any, **options: Any) -> DataLoader:
        return DataLoader(
            photos,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=photos.collate,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
            **options,
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
