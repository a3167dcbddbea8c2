"""The Lightning data modules of classification: photos in folders, tar shards or tables."""

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from freqvision.data import shards, table
from freqvision.data.folder import EXTENSIONS, PhotoDataset, RandomView, list_classes
from freqvision.data.loader import PhotoLoader
from freqvision.data.opening import open_sources
from freqvision.data.remote import CACHE_BYTES, Storage, is_remote
from freqvision.data.sources import Sources
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.spectrum.channels import ChannelSet
from freqvision.training.data_module import PhotoData

NOT_READ = {".avif", ".gif", ".heic", ".heif", ".jp2", ".jxl"} - set(EXTENSIONS)  # but photos


class PhotoFolder(PhotoData):
    """Photos in `root`/train/CLASS and `root`/validation/CLASS.

    Args:
        root: Folder of train/CLASS and validation/CLASS.
        train: Folder of the training photos, relative to `root` unless absolute.
        validation: Folder of the validation photos, relative to `root` unless absolute.
        input: "frequency", "rgb" or "ycbcr": DCT channels or pixels.
        resize: Pixels of the shorter side of validation photos; None for 512 (frequency) or 256 (pixels).
        crop: Pixels of the side of the square that is seen; None for 448 (frequency) or 224 (pixels).
        channels: 6, 12, 24, 32, 48, 64 or 192 DCT channels (the paper's), a JSON file of a ChannelSet, or an
            expression such as "Y0-15+Cb0+Cr0".
        interpolation: "bilinear" or "bicubic", antialiased.
        scale: Smallest and largest share of a training photo's area in a random crop.
        ratio: Smallest and largest width / height of a random crop.
        hflip: Probability of a horizontal flip of a training photo.
        shuffle_block: Shuffle blocks of this many neighbours and then within a window, which reads shards in
            large parts; 0 shuffles all photos.
        shuffle_window: Photos of such a window; photos sorted by class need many blocks in it.
        on_error: Of configs of version 0.1: "raise" and "skip" are `damaged` "error" and "skip" now.
        settings: Of `PhotoData`.
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
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        hflip: float = 0.5,
        shuffle_block: int = 0,
        shuffle_window: int = 0,
        on_error: Literal["raise", "skip"] | None = None,
        **settings: Any,
    ) -> None:
        spec: InputSpec
        if input == "frequency":
            chosen = ChannelSet.parse(str(channels))
            spec = FrequencySpec(resize or 512, crop or 448, chosen, interpolation=interpolation)
        else:
            spec = PixelSpec(resize or 256, crop or 224, input, interpolation=interpolation)
        classes = self._open(root, train, validation)
        if len(classes) == 1:
            raise ValueError(
                f"{train} has one class, {classes[0]!r}: a classifier needs two or more, and a folder of "
                "photos a sub-folder for each"
            )
        super().__init__(spec, classes, **settings)
        self.save_hyperparameters()
        self.augment = RandomView((scale[0], scale[1]), (ratio[0], ratio[1]), hflip)
        if on_error is not None:
            self.damaged = "skip" if on_error == "skip" else "error"
        self.shuffle_block = shuffle_block
        self.shuffle_window = shuffle_window

    def _open(self, root: str, train: str, validation: str) -> list[str]:
        """Look at where the photos are; returns the names of the classes."""
        self.train_root = Path(root) / train
        self.validation_root: str | Path = Path(root) / validation
        class_names = list_classes(self.train_root)
        if not self.validation_root.is_dir():
            named = [name for name in ("val", "valid", "validation", "test") if (Path(root) / name).is_dir()]
            if named:
                raise FileNotFoundError(
                    f"no folder of validation photos at {self.validation_root}: there is {root}/{named[0]}, "
                    f"which --data.validation {named[0]} takes"
                )
        self.missing = sorted(set(class_names) - set(list_classes(self.validation_root)))
        return class_names

    def _sources(self, of: Literal["train", "validation"]) -> Sources:
        """The photos to train on or to validate on."""
        root = self.train_root if of == "train" else self.validation_root
        return open_sources(root, self.class_names, exclude=self.exclude)

    def statistics_photos_of(self) -> Sources:
        """The training photos."""
        return self._sources("train")

    def setup(self, stage: str) -> None:
        """Complete the spec with the statistics, and open the data sets."""
        super().setup(stage)
        self.train_set = PhotoDataset(self._sources("train"), self.spec, self.augment, **self.how)
        self.validation_set = PhotoDataset(self._sources("validation"), self.spec, **self.how)

    def train_dataloader(self) -> PhotoLoader:
        """All training photos, each in a random view."""
        return self.train_loader()

    def notes(self) -> list[str]:
        """What should be known of the photos before they are trained on."""
        notes = super().notes()
        if self.missing:
            names = ", ".join(self.missing[:10]) + (", …" if len(self.missing) > 10 else "")
            notes.insert(0, f"no photos to validate {len(self.missing)} of the classes: {names}")
        left_out = Counter(self._not_read())
        if left_out:
            counts = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(left_out.items()))
            notes.append(f"left out, since only {' '.join(EXTENSIONS)} are read: {counts}")
        return notes

    def _not_read(self) -> list[str]:
        """Photos in the folders that are of formats that nothing here reads."""
        return [
            suffix
            for root in (self.train_root, self.validation_root)
            for _, _, files in os.walk(root)
            for suffix in (os.path.splitext(file)[1].lower() for file in files)
            if suffix in NOT_READ
        ]


class PhotoShards(PhotoFolder):
    """Photos in tar shards, of WebDataset, img2dataset or `freqvision pack`, here or in object storage.

    Args:
        train: Folder of the training photos' .tar files, an address such as s3://bucket/train, or a pattern.
        validation: The same of the validation photos.
        root: Folder or address that these two are relative to, unless they are absolute or addresses.
        storage_options: How object storage is reached, as obstore takes it; the environment counts, too.
        cache: Folder that keeps what was read from object storage; None is in the user's folder of caches.
        cache_bytes: Size of that cache.
        settings: Of `PhotoFolder`.
    """

    def __init__(
        self,
        train: str,
        validation: str,
        root: str = "",
        storage_options: dict[str, Any] | None = None,
        cache: str | None = None,
        cache_bytes: int = CACHE_BYTES,
        **settings: Any,
    ) -> None:
        self._opener: Callable[..., Sources]
        self._opener = partial(shards.Shards, storage=Storage(storage_options, cache, cache_bytes))
        super().__init__(root=root, train=train, validation=validation, **settings)

    def _open(self, root: str, train: str, validation: str) -> list[str]:
        if root:
            train, validation = (
                one if is_remote(one) or os.path.isabs(one) else f"{root.rstrip('/')}/{one}"
                for one in (train, validation)
            )
        self.validation_root = validation
        found = self._opener(train)
        seen = self._opener(validation, found.classes)
        self._found = {"train": found, "validation": seen}
        self.missing = sorted(set(found.classes) - {found.classes[i] for i in seen.labels.unique()})
        return found.classes

    def _sources(self, of: Literal["train", "validation"]) -> Sources:
        photos = self._found[of].without(self.exclude)
        unlabelled = int((photos.labels < 0).sum())
        if unlabelled:
            raise ValueError(f"{unlabelled:,} of the {len(photos):,} photos of {photos.root} have no label")
        return photos

    def _not_read(self) -> list[str]:
        return []


class PhotoTable(PhotoShards):
    """Photos in Hugging Face Datasets.

    Args:
        train: A folder of save_to_disk, files of Parquet or Arrow, or the name of a data set of the hub.
        validation: The same; None is another split of `train`.
        train_split: Part of `train` to train on, where it has several.
        validation_split: Part of `validation`.
        image: Column of the photos; None finds it.
        label: Column of the labels; None finds it.
        settings: Of `PhotoFolder`, but for `root`.
    """

    def __init__(
        self,
        train: str,
        validation: str | None = None,
        train_split: str = "train",
        validation_split: str = "validation",
        image: str | None = None,
        label: str | None = None,
        **settings: Any,
    ) -> None:

        def opener(where: str, classes: Any = None) -> table.Table:
            split = train_split if classes is None else validation_split
            return table.Table(where, classes, split=split, image=image, label=label)

        self._opener = opener
        PhotoFolder.__init__(self, root="", train=train, validation=validation or train, **settings)
