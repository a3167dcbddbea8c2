"""Folders of photos, one sub-folder a class, as data sets that return whole batches."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from freqvision.data.check import PhotoCheck, find_faults, without
from freqvision.data.sources import Files, Sources
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.view import View, check_random, random_resized_view
from freqvision.runtime import address

PACKED = ".fqpk"  # photos of freqvision.pack
_OTHERS = (".gif", ".jp2", *([".avif"] if find_spec("PIL._avif") else []))  # AVIF since Pillow 11.3
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff", *_OTHERS, PACKED)
Damaged = Literal["error", "skip", "decode"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class RandomView:
    """Random resized crop and flip, the augmentation of a training photo.

    Args:
        scale: Smallest and largest share of the photo's area that is cut out.
        ratio: Smallest and largest width / height of the cut-out.
        hflip: Probability of a horizontal flip.
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    hflip: float = 0.5

    def __post_init__(self) -> None:
        check_random(self.scale, self.ratio, self.hflip)
        if self.scale[1] > 1:
            raise ValueError(f"scale is a share of the photo's area, at most 1; got {self.scale}")


def list_classes(root: str | Path) -> list[str]:
    """Names of the sub-folders of `root`, sorted: the classes.

    Raises:
        FileNotFoundError: `root` is no folder.
        ValueError: it has no sub-folders, or one without a photo, which torchvision's `ImageFolder` refuses
            too: a class that is never seen is a mistake.
    """
    root = Path(root)
    if address(root):
        raise FileNotFoundError(
            f"{address(root)} is no folder of this machine: put photos into tar shards, which PhotoShards "
            "(--data PhotoShards) reads from object storage"
        )
    if not root.is_dir():
        raise FileNotFoundError(
            f"no folder of photos at {root}: pass a folder with one sub-folder of photos for each class"
        )
    classes = _sub_folders(root)
    if not classes:
        raise ValueError(
            f"{root} has no sub-folders: photos must lie in one for each class, such as {root}/cat/1.jpg"
        )
    empty = [name for name in classes if next(_photos(root / name), None) is None]
    if empty:
        raise ValueError(
            f"no photos in {len(empty)} of the {len(classes)} class folders of {root}: {', '.join(empty)}; "
            f"looked for files that end in {', '.join(EXTENSIONS)}. Remove a folder that holds none"
        )
    return classes


def _sub_folders(root: Path) -> list[str]:
    return sorted(entry.name for entry in entries(root) if holds(entry.is_dir))


def entries(folder: str | Path) -> list[os.DirEntry[str]]:
    """What a folder holds but hidden names, sorted: macOS writes ._name.jpg, Jupyter .ipynb_checkpoints."""
    return sorted((entry for entry in os.scandir(folder) if entry.name[0] != "."), key=lambda e: e.name)


def holds(test: Callable[[], bool]) -> bool:
    """Whether an entry is what `test` asks, its is_file or is_dir; a link to itself is nothing."""
    try:
        return test()
    except OSError:
        return False


def find_photos(folder: str | Path) -> list[str]:
    """Paths of all photos in a folder and its sub-folders, in the same order on every machine.

    Photos are regular files whose names end in one of `EXTENSIONS`. Hidden files and folders are left out,
    and a folder that links lead to again is listed once.
    """
    return list(_photos(folder))


def _photos(folder: str | Path) -> Iterator[str]:
    visited: set[tuple[int, int]] = set()
    folders = [os.fspath(folder)]
    while folders:
        folder = folders.pop()
        if not os.path.isdir(folder):
            continue
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            continue
        visited.add((status.st_dev, status.st_ino))
        found = entries(folder)
        yield from (
            entry.path for entry in found if entry.name.lower().endswith(EXTENSIONS) and holds(entry.is_file)
        )
        folders += [entry.path for entry in reversed(found) if holds(entry.is_dir)]


def list_photos(
    root: str | Path, classes: Sequence[str], exclude: str | Path | PhotoCheck | None = None
) -> tuple[list[str], list[int]]:
    """Paths of all photos below `root`/class, sorted, and the index of each one's class.

    Args:
        root: The folder.
        classes: Names of its sub-folders.
        exclude: List of damaged photos to leave out.

    Raises:
        ValueError: there is no photo at all, or there are some in a sub-folder that is none of the classes.
    """
    root = Path(root)
    others = sorted(set(_sub_folders(root)) - set(classes))
    unknown = [name for name in others if any(_photos(root / name))]
    if unknown:
        raise ValueError(
            f"{root} has class folders that are not among the {len(classes)} given classes: "
            + ", ".join(unknown)
        )
    labels = {path: label for label, name in enumerate(classes) for path in _photos(root / name)}
    paths = without(list(labels), exclude)
    if not paths:
        raise ValueError(
            f"no photos in the class folders of {root}: looked for files that end in {', '.join(EXTENSIONS)}"
        )
    return paths, [labels[path] for path in paths]


def open_folder(
    root: str | Path, classes: Sequence[str] | None, exclude: str | Path | PhotoCheck | None = None
) -> Files:
    """The photos below `root`/class; of all its sub-folders if `classes` is None."""
    classes = list_classes(root) if classes is None else classes
    photos = Files(*list_photos(root, classes, exclude), classes)
    photos.root = root
    return photos


class DecodedPhotos(Dataset):
    """What data sets of classes and of objects share: the decoder, random views, damaged photos.

    An item's random view depends on (seed, epoch, index) only, so the number of workers, threads and
    processes never changes what is trained on.
    """

    def __init__(
        self, photos: Sources, spec: InputSpec, augment: Any, damaged: Damaged, seed: int, num_threads: int
    ) -> None:
        self.photos = photos
        self.root, self.ahead = photos.root, photos.ahead
        self.spec = spec
        self.augment = augment
        self.damaged = damaged
        self.seed = seed
        self.num_threads = num_threads
        self._decoder = Decoder(spec, num_threads, damaged="error" if damaged == "skip" else damaged)
        # In shared memory, so that worker processes that outlive an epoch see the new one and can report what
        # they skipped.
        self._epoch = torch.zeros((), dtype=torch.int64, device="cpu").share_memory_()
        self._faulty = torch.zeros(len(photos), dtype=torch.bool, device="cpu").share_memory_()

    def __len__(self) -> int:
        return len(self.photos)

    def name(self, index: int) -> str:
        """A photo's name, for messages."""
        return self.photos.name(index)

    def fetch(self, indices: Sequence[int]) -> None:
        """Begin to fetch photos of a later batch, if they are far away; returns at once."""
        self.photos.fetch(indices)

    def set_epoch(self, epoch: int) -> None:
        """Choose the random views of an epoch; call it before each one, as for `DistributedSampler`."""
        self._epoch.fill_(epoch)

    def skipped(self) -> list[str]:
        """Photos left out so far, or with ``damaged="decode"`` shown in part, each with its cause."""
        faulty = self.photos.chosen(self._faulty.nonzero()[:, 0].tolist())
        causes = find_faults(faulty, self.num_threads)
        return [f"{faulty.name(place)}: {cause}" for place, cause in causes.items()]

    def _generator(self, index: int) -> torch.Generator:
        """The source of randomness of a photo in this epoch."""
        entropy = np.random.SeedSequence([self.seed, int(self._epoch), index])
        return torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))


class PhotoDataset(DecodedPhotos):
    """Photos with labels as batches, wherever the photos are.

    Args:
        photos: The photos and their classes.
        spec: What they become.
        augment: Random resized crops and flips for training; None for the spec's own resize and centre crop.
        damaged: As for `FrequencyFolder`.
        seed: Seed of the random views.
        num_threads: Threads that decode a batch, see `freqvision.runtime.threads_here`.
    """

    def __init__(
        self,
        photos: Sources,
        spec: InputSpec,
        augment: RandomView | None = None,
        *,
        damaged: Damaged = "error",
        seed: int = 0,
        num_threads: int = 0,
    ) -> None:
        super().__init__(photos, spec, augment, damaged, seed, num_threads)
        if augment is not None and spec.crop is None:
            raise ValueError("random resized crops need a size: set crop in the spec, or pass augment=None")
        self.labels = photos.labels
        self.classes = photos.classes
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self):,} photos, {len(self.classes):,} classes, {self.spec})"

    def __getitem__(self, index: Any) -> tuple[Tensor, Any]:
        """A photo and its label, or those of a list of indices, as batch samplers give them."""
        if isinstance(index, (list, tuple)):
            return self.__getitems__(index)
        images, labels = self.__getitems__([index])
        return images[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Load a batch: images `(B, C, h, w)` and labels `(B,)`."""
        return _Batch(self._batch(indices))

    def _batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        if not len(indices):  # of the last batch, where there are fewer photos left than processes
            return torch.empty(0), self.labels[:0]
        indices = [int(index) for index in indices]
        images, errors = self._load(indices)
        for place, index in enumerate(indices) if errors or self._decoder.damage else ():
            self._faulty[index] |= place in errors or self.photos.name(index) in self._decoder.damage
        if not errors:
            return images, self.labels[indices]
        if self.damaged != "skip" or len(errors) == len(indices):
            raise errors[min(errors)]
        good = [place for place in range(len(indices)) if place not in errors]
        return images[good], self.labels[indices][good]

    @staticmethod
    def collate(batch: Any) -> Any:
        """Pass a batch through: pass this as `collate_fn` to `DataLoader`."""
        return tuple(batch) if isinstance(batch, _Batch) else default_collate(batch)

    def _load(self, indices: list[int]) -> tuple[Tensor, dict[int, Exception]]:
        """Images (B, C, h, w), and by its place in the batch the error of each photo that cannot be read."""

        def choose(sizes: list[tuple[int, int]]) -> list[View]:
            return [self._random_view(index, size) for index, size in zip(indices, sizes, strict=True)]

        return self._decoder.try_decode(self.photos.take(indices), None if self.augment is None else choose)

    def _random_view(self, index: int, size: tuple[int, int]) -> View:
        """The part of photo `index`, of (height, width) `size`, that is seen in this epoch."""
        assert self.augment is not None
        assert self.spec.crop is not None
        how = self.augment
        generator = self._generator(index)
        return random_resized_view(size, self.spec.crop, how.scale, how.ratio, how.hflip, generator)


class _Batch(tuple):
    """Images and labels, which torch's default collate_fn would take for two photos and stack."""

    def __getitem__(self, place: Any) -> Any:
        if sys._getframe(1).f_globals.get("__name__") == default_collate.__module__:
            raise TypeError(
                "this data set loads whole batches: pass collate_fn=dataset.collate to DataLoader, or use "
                "freqvision.data.PhotoLoader"
            )
        return super().__getitem__(place)


class _Folder(PhotoDataset):
    """What `FrequencyFolder` and `PixelFolder` share."""

    spec_class: ClassVar[type[InputSpec]]

    def __init__(
        self,
        root: str | Path,
        spec: Any,
        augment: RandomView | None = None,
        *,
        classes: Sequence[str] | None = None,
        damaged: Damaged = "error",
        exclude: str | Path | PhotoCheck | None = None,
        seed: int = 0,
        num_threads: int = 0,
    ) -> None:
        if not isinstance(spec, self.spec_class):
            raise TypeError(f"{type(self).__name__} takes a {self.spec_class.__name__}, not {spec!r}")
        found = list_classes(root)
        photos = open_folder(Path(root), found if classes is None else classes, exclude)
        self.paths = photos.paths
        super().__init__(photos, spec, augment, damaged=damaged, seed=seed, num_threads=num_threads)


class FrequencyFolder(_Folder):
    """A folder of photos, one sub-folder a class, as batches of selected DCT channels.

    Batches are decoded at once by `Decoder`, on threads. Use it with torch's own loader:
    `DataLoader(folder, batch_size=64, shuffle=True, collate_fn=folder.collate)`.

    Args:
        root: Folder with one sub-folder of photos for each class (torchvision's `ImageFolder`).
        spec: The input that photos become.
        augment: Random resized crops and flips for training; None for the spec's own resize and centre crop.
        classes: Names of the classes in the order of their labels; the sorted sub-folders if None.
        damaged: "error" stops at a photo that cannot be decoded and names it; "skip" leaves it out of its
            batch (a batch with nothing left is an error); both judge the whole file, whatever part is seen.
            "decode" shows what is there. `skipped()` lists what was left out or shown in part.
        exclude: List of damaged photos to leave out, see ``freqvision check``: the file or a `PhotoCheck`.
        seed: Seed of the random views.
        num_threads: Threads that decode a batch, see `freqvision.runtime.threads_here`.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: no class folders, one without photos, unknown classes; later, a photo that cannot be
            decoded, with its path and cause.

    Example:
        >>> import tempfile, freqvision as fv
        >>> from freqvision.data import FrequencyFolder, write_synthetic_photos
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write_synthetic_photos(root, photos_per_class=2, size=64)
        ...     folder = FrequencyFolder(root, fv.FrequencySpec(resize=64, crop=64))
        ...     images, labels = folder.__getitems__([0, 1, 2])
        >>> images.shape, labels.tolist()
        (torch.Size([3, 24, 8, 8]), [0, 0, 1])
    """

    spec_class = FrequencySpec


class PixelFolder(_Folder):
    """The same folder as batches of pixels, for models of pixels and comparisons with them.

    Sees exactly the random views that a `FrequencyFolder` of the same seed sees. See `FrequencyFolder` for
    the arguments and errors.
    """

    spec_class = PixelSpec


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most `count` items, spread evenly over the list: over all classes, where photos are sorted by class.

    Example:
        >>> evenly(["a/0", "a/1", "a/2", "b/0", "b/1"], 2)
        ['a/0', 'a/2']
    """
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]
