"""The Lightning data module of classification: two folders of photos, as frequencies or as pixels."""

import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from freqvision.data.folder import PhotoDataset, RandomView, list_classes, list_photos, open_folder, readable
from freqvision.pipeline.spec import InputSpec, PixelSpec
from freqvision.pipeline.statistics import ChannelStatistics, collect_statistics
from freqvision.spectrum.channels import ChannelSet


class PhotoFolder(LightningDataModule):
    """Photos in `root`/train/CLASS and `root`/validation/CLASS.

    Args:
        root: Folder that holds the two folders.
        train: Folder of the training photos, relative to `root` unless absolute.
        validation: Folder of the validation photos, likewise.
        input: What the model sees: "frequency" (DCT channels), "rgb" or "ycbcr" (pixels).
        resize: Shorter side in pixels to which validation photos are resized; None for 512 (frequency) or 256
            (pixels).
        crop: Side in pixels of the square that the model sees; None for 448 (frequency) or 224 (pixels).
        channels: Which DCT channels: 6, 12, 24, 32, 48, 64 or 192 (the paper's), a JSON file of a ChannelSet,
            or an expression such as "y0-15,cb0,cr0".
        interpolation: "bilinear" or "bicubic", antialiased.
        dtype: Type in which a batch travels to the device: float32, float16, bfloat16 or int8 (pixels:
            uint8).
        statistics: JSON file of `freqvision stats` with mean and deviation of each channel; None measures the
            training photos once, before the first epoch, and keeps the result beside the run.
        statistics_photos: Measure at most so many photos, evenly spread; 0 for all.
        batch_size: Photos in a batch on each device.
        scale: Smallest and largest share of its area that a random crop takes of a training photo.
        ratio: Smallest and largest width / height of a random crop.
        hflip: Probability of a horizontal flip of a training photo.
        num_threads: Threads that decode a batch; 0 for all cores.
        num_workers: Worker processes; 0 decodes in the training process, which is best for DCT channels.
        on_error: "raise" stops at an unreadable photo; "skip" leaves it out and lists it at the end.
        seed: Of the order of the photos and of their random crops; None takes that of Lightning's
            seed_everything, or 0.
    """

    def __init__(
        self,
        root: str,
        train: str = "train",
        validation: str = "validation",
        input: Literal["frequency", "rgb", "ycbcr"] = "frequency",  # noqa: A002  what a config should call it
        resize: int | None = None,
        crop: int | None = None,
        channels: int | str = 24,
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        dtype: str = "float32",
        statistics: str | None = None,
        statistics_photos: int = 0,
        batch_size: int = 32,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        hflip: float = 0.5,
        num_threads: int = 0,
        num_workers: int = 0,
        on_error: Literal["raise", "skip"] = "raise",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.train_root = Path(root) / train
        self.validation_root = Path(root) / validation
        self.class_names = list_classes(self.train_root)
        self.augment = RandomView((scale[0], scale[1]), (ratio[0], ratio[1]), hflip)
        self.statistics_file: Path | None = Path(statistics) if statistics else None
        self.statistics_photos = statistics_photos
        self.batch_size = batch_size
        self.num_threads = num_threads
        self.num_workers = num_workers
        self.on_error = on_error
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.spec: InputSpec | PixelSpec
        frequency = input == "frequency"
        if frequency:
            chosen = ChannelSet.parse(str(channels))
            self.spec = InputSpec(resize or 512, crop or 448, chosen, interpolation=interpolation)
        else:
            self.spec = PixelSpec(resize or 256, crop or 224, input, interpolation=interpolation)
        self._dtype = dtype
        self._first_epoch = 0
        if dtype != "int8":  # which has its scale from the statistics, so it waits for them
            self.spec = self.spec.with_dtype(dtype)

    def prepare_data(self) -> None:
        """Measure the training photos' statistics, in one process, where no file holds them."""
        if isinstance(self.spec, InputSpec) and not self._statistics_file().exists():
            paths, _ = list_photos(self.train_root, self.class_names)
            if 0 < self.statistics_photos < len(paths):
                paths = paths[:: len(paths) // self.statistics_photos][: self.statistics_photos]
            if self.on_error == "skip":
                paths = readable(paths, self.num_threads)
            statistics = collect_statistics(paths, self.spec, num_threads=self.num_threads)
            self._statistics_file().parent.mkdir(parents=True, exist_ok=True)
            statistics.save(self._statistics_file())

    def setup(self, stage: str) -> None:
        """List the photos, and complete the spec with the statistics."""
        if isinstance(self.spec, InputSpec):
            statistics = ChannelStatistics.load(self._statistics_file())
            self.spec = self.spec.with_statistics(statistics).with_dtype(self._dtype)
        self.train_set = self._photos(self.train_root, self.augment)
        self.validation_set = self._photos(self.validation_root, None)

    def train_dataloader(self) -> DataLoader:
        """Shuffled by (seed, epoch), each process its share: a resumed run sees what an unbroken one sees."""
        trainer = self._trainer()
        sampler: DistributedSampler = DistributedSampler(
            self.train_set, trainer.world_size, trainer.global_rank, shuffle=True, seed=self.seed
        )
        # Lightning tells the sampler, and `Classifier` the data set, of every new epoch; but worker processes
        # are given their first batches now, before Lightning knows at which epoch a resumed run begins.
        sampler.set_epoch(self._first_epoch)
        self.train_set.set_epoch(self._first_epoch)
        # A last batch of one or two photos would only disturb batch normalisation.
        drop_last = len(sampler) > self.batch_size
        return self._loader(self.train_set, sampler=sampler, batch_size=self.batch_size, drop_last=drop_last)

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

    def _loader(self, photos: PhotoDataset, **options: Any) -> DataLoader:
        return DataLoader(
            photos,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            collate_fn=photos.collate,
            pin_memory=self._trainer().strategy.root_device.type == "cuda",
            **options,
        )

    def _photos(self, root: Path, augment: RandomView | None) -> PhotoDataset:
        return open_folder(
            root,
            self.spec,
            augment,
            classes=self.class_names,
            on_error=self.on_error,
            seed=self.seed,
            num_threads=self.num_threads,
        )

    def _statistics_file(self) -> Path:
        return self.statistics_file or Path(self._trainer().default_root_dir) / "statistics.json"

    def _trainer(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError(
                "PhotoFolder works inside a Trainer; use FrequencyFolder or PixelFolder without Lightning"
            )
        return self.trainer
