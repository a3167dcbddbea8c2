"""Photos by number, wherever they are: in files, in tar shards or in tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freqvision.data.check import PhotoCheck, absolute
from freqvision.inputs.decoder import lasting_name
from freqvision.jpeg.read import Source

UNLABELLED = -1
MAX_LABEL = 2**20  # more than the number of photos: each class has a name


class Photo(np.ndarray):
    """The bytes of a photo that is no file of its own, and its name for messages."""

    name: str


def named(contents: Any, name: str) -> Photo:
    """A buffer as a source of a `Decoder` that messages name.

    Example:
        >>> photo = named(b"bytes", "a.tar, photo at byte 512")
        >>> bytes(photo), photo.name
        (b'bytes', 'a.tar, photo at byte 512')
    """
    photo = np.asarray(memoryview(contents)).view(Photo)
    photo.name = name
    return photo


class Sources(Sequence[Source]):
    """Photos by number, each as a `Decoder` takes it, and their classes; subclasses know where they are.

    A slice is a list of photos that are fetched together.

    Args:
        labels: (N,) int64, -1 for photos without a label.
        classes: Names by label, empty without labels.
    """

    root: str | Path = "the data set"  # in reports
    ahead = 0  # photos that a loader has fetched before it needs them; 0 where `fetch` does nothing

    def __init__(self, labels: Tensor, classes: Sequence[str] = ()) -> None:
        self.labels = labels.share_memory_()  # with worker processes
        self.classes = list(classes)

    def take(self, indices: Sequence[int]) -> list[Source]:
        """Some photos, fetched together."""
        raise NotImplementedError

    def name(self, index: int) -> str:
        """A photo's name, for messages."""
        raise NotImplementedError

    def fetch(self, indices: Sequence[int]) -> None:
        """Begin to fetch photos that `take` will be asked for, if they are far away; returns at once."""

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, slice):
            return self.take(range(*item.indices(len(self))))
        return self.take([range(len(self))[item]])[0]

    def chosen(self, places: Sequence[int] | np.ndarray) -> Sources:
        """The photos at some places, read when they are asked for."""
        return _Chosen(self, np.asarray(places, dtype=np.int64))

    def spread(self, count: int) -> Sources:
        """At most `count` photos, evenly spread, and so over classes; 0 for all."""
        if not 0 < count < len(self):
            return self
        return self.chosen(np.arange(count) * len(self) // count)

    def without(self, exclude: str | Path | PhotoCheck | None) -> Sources:
        """The photos that are not on a list of damaged ones: a `PhotoCheck`, or the file that it saved."""
        if exclude is None:
            return self
        check = exclude if isinstance(exclude, PhotoCheck) else PhotoCheck.load(exclude)
        damaged = {absolute(name) for name in check.damaged}
        return self.chosen([i for i in range(len(self)) if absolute(self.name(i)) not in damaged])


class Files(Sources):
    """Photos by their paths, or by whatever else a `Decoder` takes.

    Example:
        >>> photos = Files(["a.jpg", "b.jpg", "c.jpg"])
        >>> photos[1:], photos.name(0), len(photos.spread(2))
        (['b.jpg', 'c.jpg'], 'a.jpg', 2)
    """

    def __init__(
        self, paths: Sequence[Source], labels: Sequence[int] | None = None, classes: Sequence[str] = ()
    ) -> None:
        labels = [UNLABELLED] * len(paths) if labels is None else labels
        super().__init__(torch.tensor(labels, dtype=torch.int64, device="cpu"), classes)
        self.paths = list(paths)

    def take(self, indices: Sequence[int]) -> list[Source]:
        """The paths."""
        return [self.paths[index] for index in indices]

    def name(self, index: int) -> str:
        """The path."""
        return lasting_name(self.paths[index]) or f"photo {index}"


class _Chosen(Sources):
    def __init__(self, photos: Sources, places: np.ndarray) -> None:
        super().__init__(photos.labels[torch.from_numpy(places)], photos.classes)
        self.root, self.ahead = photos.root, photos.ahead
        self.photos = photos
        self.places = torch.from_numpy(places).share_memory_()

    def take(self, indices: Sequence[int]) -> list[Source]:
        return self.photos.take(self.places[list(indices)].tolist())

    def name(self, index: int) -> str:
        return self.photos.name(int(self.places[index]))

    def fetch(self, indices: Sequence[int]) -> None:
        self.photos.fetch(self.places[list(indices)].tolist())


def relabelled(
    labels: Tensor, names: Sequence[str], classes: Sequence[str] | None
) -> tuple[Tensor, list[str]]:
    """Labels and names of classes, as a data set has them, in the order of `classes`; None keeps its own.

    Example:
        >>> relabelled(torch.tensor([0, 1, -1]), ["cat", "dog"], ["dog", "cat", "owl"])
        (tensor([ 1,  0, -1]), ['dog', 'cat', 'owl'])
    """
    if classes is not None and names and list(classes) != list(names):
        place = {name: label for label, name in enumerate(classes)}
        missing = sorted(set(names) - set(place))
        if missing:
            raise ValueError(
                f"the photos have classes that are not among the {len(classes)} given classes: "
                + ", ".join(missing[:10])
            )
        labels = torch.tensor([place[name] for name in names] + [UNLABELLED])[labels]
    if not len(labels):
        raise ValueError("there are no photos")
    known = list(names if classes is None else classes)
    least, largest = map(int, labels.aminmax())
    if least < UNLABELLED or largest > MAX_LABEL + len(labels):
        raise ValueError(
            f"labels are numbers of classes from 0, or {UNLABELLED} for none; got {least} to {largest}"
        )
    known = known or [str(label) for label in range(largest + 1)]
    if largest >= len(known):
        raise ValueError(f"label {largest} is beyond the {len(known)} classes {', '.join(known[:5])}, …")
    return labels, known
