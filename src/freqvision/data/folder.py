"""Folders of photos, one sub-folder a class, as data sets that hand out whole batches."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.view import View, random_resized_view
from freqvision.spectrum.channels import ChannelSet

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
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
        for name in ("scale", "ratio"):
            pair = getattr(self, name)
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"{name} is (smallest, largest), not {pair!r}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be 0 < smallest <= largest <= 1, not {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be 0 < smallest <= largest, not {self.ratio}")
        if not 0 <= self.hflip <= 1:
            raise ValueError(f"hflip is a probability from 0 to 1, not {self.hflip}")


def list_classes(root: str | Path) -> list[str]:
    """Names of the sub-folders of `root`, sorted: the classes.

    Raises:
        FileNotFoundError: `root` is no folder.
        ValueError: it has no sub-folders, or one without a photo, which torchvision's `ImageFolder` refuses
            too: a class that is never seen is a mistake.
    """
    root = Path(root)
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
    return sorted(
        entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")
    )


def find_photos(folder: str | Path) -> list[str]:
    """Paths of all photos in a folder and its sub-folders, in the same order everywhere."""
    return list(_photos(folder))


def _photos(folder: str | Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders.sort()
        yield from (os.path.join(parent, file) for file in sorted(files) if file.lower().endswith(EXTENSIONS))


def list_photos(root: str | Path, classes: Sequence[str]) -> tuple[list[str], list[int]]:
    """Paths of all photos below `root`/class, sorted, and the index of each one's class.

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
    found = [find_photos(root / name) for name in classes]
    paths = [path for of_class in found for path in of_class]
    labels = [label for label, of_class in enumerate(found) for _ in of_class]
    if not paths:
        raise ValueError(
            f"no photos in the class folders of {root}: looked for files that end in {', '.join(EXTENSIONS)}"
        )
    return paths, labels


class PhotoDataset(Dataset):
    """What `FrequencyFolder` and `PixelFolder` share: files, classes, random views and unreadable files.

    An item's random view depends on (seed, epoch, index) alone, so that the number of workers, threads and
    processes never changes what is trained on.
    """

    spec_class: type[FrequencySpec] | type[PixelSpec]

    def __init__(
        self,
        root: str | Path,
        spec: Any,
        augment: RandomView | None = None,
        *,
        classes: Sequence[str] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        seed: int = 0,
        num_threads: int = 0,
    ) -> None:
        if not isinstance(spec, self.spec_class):
            raise TypeError(f"{type(self).__name__} takes an {self.spec_class.__name__}, not {spec!r}")
        if on_error not in ("raise", "skip"):
            raise ValueError(f'on_error must be "raise" or "skip", not {on_error!r}')
        if augment is not None and spec.crop is None:
            raise ValueError("random resized crops need a size: set crop in the spec, or pass augment=None")
        found = list_classes(root)
        self.classes = list(classes) if classes is not None else found
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.root = Path(root)
        self.spec = spec
        self.augment = augment
        self.on_error = on_error
        self.seed = seed
        self.num_threads = num_threads
        self._decoder = Decoder(spec, num_threads)
        self.paths, labels = list_photos(root, self.classes)
        self.labels = torch.tensor(labels, device="cpu")
        # In shared memory, so that worker processes that outlive an epoch see the new one and can report what
        # they skipped.
        self._epoch = torch.zeros((), dtype=torch.int64, device="cpu").share_memory_()
        self._unreadable = torch.zeros(len(self.paths), dtype=torch.bool, device="cpu").share_memory_()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        images, labels = self.__getitems__([index])
        return images[0], int(labels[0])

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Load a batch: images `(B, C, h, w)` and labels `(B,)`."""
        if not len(indices):  # of the last batch, where there are fewer photos left than processes
            return torch.empty(0), self.labels[:0]
        indices = [int(index) for index in indices]
        images, errors = self._load(indices)
        if not errors:
            return images, self.labels[indices]
        if self.on_error == "raise" or len(errors) == len(indices):
            raise errors[min(errors)]
        self._unreadable[[indices[place] for place in errors]] = True
        good = [place for place in range(len(indices)) if place not in errors]
        return images[good], self.labels[indices][good]

    def set_epoch(self, epoch: int) -> None:
        """Choose the random views of an epoch; call it before each one, as for `DistributedSampler`."""
        self._epoch.fill_(epoch)

    def skipped(self) -> list[str]:
        """Files that could not be read so far (`on_error="skip"`), each with its cause."""
        causes = [self._load([int(index)])[1] for index in self._unreadable.nonzero()]
        return [str(error) for errors in causes for error in errors.values()]

    @staticmethod
    def collate(batch: Any) -> Any:
        """Pass a batch through: pass this as `collate_fn` to `DataLoader`."""
        return batch

    def _load(self, indices: list[int]) -> tuple[Tensor, dict[int, Exception]]:
        """Images (B, C, h, w), and by its place in the batch the error of each photo that cannot be read."""

        def choose(sizes: list[tuple[int, int]]) -> list[View]:
            return [self._random_view(index, size) for index, size in zip(indices, sizes, strict=True)]

        paths = [self.paths[index] for index in indices]
        return self._decoder.try_decode(paths, None if self.augment is None else choose)

    def _random_view(self, index: int, size: tuple[int, int]) -> View:
        """The part of photo `index`, of (height, width) `size`, that is seen in this epoch."""
        assert self.augment is not None
        assert self.spec.crop is not None
        how = self.augment
        entropy = np.random.SeedSequence([self.seed, int(self._epoch), index])
        generator = torch.Generator().manual_seed(int(entropy.generate_state(1)[0]))
        return random_resized_view(size, self.spec.crop, how.scale, how.ratio, how.hflip, generator)


class FrequencyFolder(PhotoDataset):
    """A folder of photos, one sub-folder a class, as batches of selected DCT channels.

    Batches are decoded at once by `Decoder`, on threads. Use it with torch's own loader:
    `DataLoader(folder, batch_size=64, shuffle=True, collate_fn=folder.collate)`.

    Args:
        root: Folder with one sub-folder of photos for each class (torchvision's `ImageFolder`).
        spec: What the photos become.
        augment: Random resized crops and flips for training; None for the spec's own resize and centre crop.
        classes: Names of the classes in the order of their labels; the sorted sub-folders if None.
        on_error: "raise" stops at an unreadable file and names it; "skip" leaves it out of its batch and
            lists it in `skipped()`. A batch of which nothing is left is an error all the same.
        seed: Of the random views.
        num_threads: Threads that decode a batch; 0 for all cores.

    Raises:
        FileNotFoundError: `root` does not exist.
        ValueError: no class folders, one without photos, unknown classes; later, an unreadable file, with its
            path and cause.

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


class PixelFolder(PhotoDataset):
    """The same folder as RGB or YCbCr pixels `(B, 3, H, W)`, for models of pixels to compare with.

    Sees exactly the random views that a `FrequencyFolder` of the same seed sees; resizes with torchvision on
    PIL images. See `FrequencyFolder` for the arguments and errors.
    """

    spec_class = PixelSpec


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most so many of the items, evenly spread over the list: of photos that are sorted, over classes.

    Example:
        >>> evenly(["a/0", "a/1", "a/2", "b/0", "b/1"], 2)
        ['a/0', 'a/2']
    """
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def readable(paths: Sequence[str], num_threads: int = 0) -> list[str]:
    """Those of the photos that can be decoded."""
    decoder = Decoder(FrequencySpec(resize=(8, 8), crop=8, channels=ChannelSet((0,))), num_threads)
    good: list[str] = []
    for start in range(0, len(paths), 256):
        batch = paths[start : start + 256]
        errors = decoder.try_decode(batch)[1]
        good += [path for place, path in enumerate(batch) if place not in errors]
    return good


def open_folder(root: str | Path, spec: InputSpec, *arguments: Any, **options: Any) -> PhotoDataset:
    """`FrequencyFolder` or `PixelFolder`, whichever the spec asks for."""
    return (FrequencyFolder if isinstance(spec, FrequencySpec) else PixelFolder)(
        root, spec, *arguments, **options
    )
