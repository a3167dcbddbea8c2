"""Photos in tar files, as WebDataset lays them out, with an index that finds any of them at once."""

from __future__ import annotations

import glob
import io
import json
import mmap
import os
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freqvision.data.folder import EXTENSIONS, Damaged, PhotoDataset, RandomView
from freqvision.inputs.spec import InputSpec
from freqvision.runtime import progress_bar, replacing

INDEX = "index.npy"
ABOUT = "index.json"
RECORD = np.dtype([("shard", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("label", "<i4")])
UNLABELLED = -1


class PhotoShards(PhotoDataset):
    """Photos in tar files, as batches; for the loaders and samplers that a `FrequencyFolder` works with.

    A sample of a shard is a photo (JPEG, packed or another image) and, in a file of the same name, its label:
    ``.cls`` holds a class's number or name, ``.json`` may have it as "label" or "class". Shards are those of
    ``freqvision pack``, WebDataset or img2dataset. The files are mapped into memory, so that any photo
    is read at random, and worker processes share them.

    The first use writes an index next to the shards, if it can.

    Args:
        shards: A folder of ``.tar`` files, a pattern such as ``"photos/train-*.tar"``, or paths.
        spec: What the photos become.
        augment: Random resized crops and flips for training; None for the spec's own resize and centre crop.
        classes: Names of the classes in the order of their labels; None takes those of the shards.
        damaged: As for `FrequencyFolder`.
        seed: Seed of the random views.
        num_threads: As for `FrequencyFolder`.

    Raises:
        FileNotFoundError: There are no shards.
        ValueError: A shard is no tar file, or no shard holds a photo; labels are not among the classes.

    Example:
        >>> import tempfile, freqvision as fv
        >>> from freqvision.data.folder import find_photos
        >>> with tempfile.TemporaryDirectory() as root:
        ...     fv.data.write_synthetic_photos(f"{root}/photos", photos_per_class=1, size=64)
        ...     files = find_photos(f"{root}/photos")
        ...     samples = [(f"{place}", ".fqpk", fv.pack([file])[0], 0) for place, file in enumerate(files)]
        ...     _ = write_shard(f"{root}/a.tar", samples)
        ...     images, labels = PhotoShards(root, fv.FrequencySpec(resize=64, crop=64)).__getitems__([0, 3])
        >>> images.shape, labels.tolist()
        (torch.Size([2, 24, 8, 8]), [0, 0])
    """

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        spec: InputSpec,
        augment: RandomView | None = None,
        *,
        classes: Sequence[str] | None = None,
        damaged: Damaged = "error",
        seed: int = 0,
        num_threads: int = 0,
    ) -> None:
        self.shards = find_shards(shards)
        self.index, names = open_index(self.shards)
        labels = torch.from_numpy(np.ascontiguousarray(self.index["label"]).astype(np.int64))
        if classes is not None and names and list(classes) != names:
            place = {name: label for label, name in enumerate(classes)}
            missing = sorted(set(names) - set(place))
            if missing:
                raise ValueError(
                    f"the shards have classes that are not among the {len(classes)} given classes: "
                    + ", ".join(missing)
                )
            labels = torch.tensor([place[name] for name in names] + [UNLABELLED])[labels]
        known = names if classes is None else list(classes)
        largest = int(labels.max())
        if not known:
            known = [str(label) for label in range(largest + 1)]
        if largest >= len(known):
            raise ValueError(f"label {largest} is beyond the {len(known)} classes {', '.join(known[:5])}, …")
        super().__init__(spec, labels, known, augment, damaged, seed, num_threads)
        self._maps: dict[int, mmap.mmap] = {}

    def source(self, index: int) -> memoryview:
        """The bytes of a photo, in the memory that its shard is mapped to."""
        shard, offset, length, _ = self.index[index].item()
        if shard not in self._maps:
            with open(self.shards[shard], "rb") as file:
                self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        photo = memoryview(self._maps[shard])[offset : offset + length]
        if len(photo) < length:
            raise ValueError(f"{self.shards[shard]} ends before its last photos: copy it again")
        return photo

    def name(self, index: int) -> str:
        """The shard of a photo and its place there."""
        shard, offset, _, _ = self.index[index].item()
        return f"{self.shards[shard]}, photo at byte {offset}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def _load(self, indices: list[int]) -> tuple[torch.Tensor, dict[int, Exception]]:
        images, errors = super()._load(indices)
        for place, error in errors.items():  # whose names are those of places in the batch
            error.args = (f"{self.name(indices[place])}: {error}", *error.args[1:])
        return images, errors

    def _shown_in_part(self, place: int, indices: list[int]) -> bool:
        return self._decoder.damage.pop(f"source {place} (memoryview)", None) is not None


def find_shards(shards: str | Path | Sequence[str | Path]) -> list[str]:
    """Paths of tar files, sorted, from a folder, a pattern or the paths themselves.

    Raises:
        FileNotFoundError: There are none.
    """
    if not isinstance(shards, (str, Path)):
        found = [str(path) for path in shards]
    elif os.path.isdir(shards):
        found = glob.glob(os.path.join(glob.escape(str(shards)), "*.tar"))
    else:
        found = glob.glob(str(shards))
    missing = [path for path in found if not os.path.isfile(path)]
    if missing or not found:
        raise FileNotFoundError(
            f"no shards at {', '.join(missing) or shards}: pass a folder of .tar files, a pattern such as "
            "photos/train-*.tar, or paths"
        )
    return sorted(found)


def open_index(shards: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Where each photo lies, mapped into memory, and the names of the classes.

    Args:
        shards: Tar files.

    Returns:
        Records of "shard" (place among `shards`), "offset" and "length" in bytes, and "label", -1 for none;
        and names by label, empty if labels are numbers.

    Raises:
        ValueError: A shard is no tar file, or no shard holds a photo.
    """
    folder = Path(shards[0]).parent
    known = [[os.path.relpath(path, folder), *_version(path)] for path in shards]
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if about["shards"] == known:
            index = np.load(folder / INDEX, mmap_mode="r", allow_pickle=False)
            if index.dtype == RECORD and len(index) == about["photos"]:
                return index, about["classes"]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, of other shards, or damaged: it is made again
    index, classes = _make_index(shards)
    about = {"shards": known, "photos": len(index), "classes": classes}
    try:
        with replacing(folder / INDEX) as draft, open(draft, "wb") as file:
            np.save(file, index)
        with replacing(folder / ABOUT) as draft:
            draft.write_text(json.dumps(about, ensure_ascii=False) + "\n", encoding="utf-8")
        index = np.load(folder / INDEX, mmap_mode="r", allow_pickle=False)
    except OSError:
        pass  # a folder that cannot be written to
    return index, classes


def _version(path: str) -> tuple[int, int]:
    """What tells whether a file is the one that was indexed."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _make_index(shards: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    records: list[tuple[int, int, int]] = []
    labels: list[str | int] = []
    for number, path in enumerate(progress_bar(shards, desc="index", unit="shard")):
        try:
            for offset, length, label in _read_shard(path):
                records.append((number, offset, length))
                labels.append(label)
        except (tarfile.TarError, EOFError) as error:
            raise ValueError(f"{path} is no tar file, or damaged: {error}") from error
    if not records:
        raise ValueError(f"no photos in {len(shards)} shards such as {shards[0]}")
    classes: list[str] = []
    if any(isinstance(label, str) for label in labels):
        classes = sorted({str(label) for label in labels if label != UNLABELLED})
        place = {name: label for label, name in enumerate(classes)}
        labels = [place.get(str(label), UNLABELLED) for label in labels]
    index = np.zeros(len(records), RECORD)
    for column, name in enumerate(("shard", "offset", "length")):
        index[name] = [record[column] for record in records]
    index["label"] = labels
    return index, classes


def _read_shard(path: str) -> Iterator[tuple[int, int, str | int]]:
    """Offset, length and label of each photo of a tar file, whose samples' files follow each other."""
    photo: tuple[int, int] | None = None
    key = ""
    label: str | int = UNLABELLED
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if not member.isfile():
                continue
            folder, _, name = member.name.rpartition("/")
            stem, _, ending = name.partition(".")
            ending = f".{ending.lower()}"
            if f"{folder}/{stem}" != key:
                if photo is not None:
                    yield *photo, label
                key, photo, label = f"{folder}/{stem}", None, UNLABELLED
            if ending in EXTENSIONS:
                photo = member.offset_data, member.size
            elif ending in (".cls", ".json") and member.size < 2**20:
                text = tar.extractfile(member)
                label = _label(text.read() if text else b"", ending, label)
    if photo is not None:
        yield *photo, label


def _label(text: bytes, ending: str, otherwise: str | int) -> str | int:
    """A class's number or name from the text of a sample's file."""
    value: Any = text.decode("utf-8", "replace").strip()
    if ending == ".json":
        try:
            values = json.loads(value)
        except ValueError:
            return otherwise
        value = values.get("label", values.get("class")) if isinstance(values, dict) else None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    valid = isinstance(value, str) or (type(value) is int and 0 <= value < 2**31)
    return value if valid and value != "" else otherwise


def write_shard(path: str | Path, samples: Iterable[tuple[str, str, bytes, str | int | None]]) -> Path:
    """Write a tar file in WebDataset's layout, whole or not at all.

    Args:
        path: Where to, ``.tar``.
        samples: Of each photo its key (a name without dots), its ending (``.jpg`` or ``.fqpk``), its bytes,
            and its class's number or name, or None.

    Returns:
        The path.
    """
    with replacing(path) as draft, tarfile.open(draft, "w") as tar:
        for key, ending, photo, label in samples:
            files = {ending: photo} if label is None else {ending: photo, ".cls": str(label).encode()}
            for suffix, contents in files.items():
                member = tarfile.TarInfo(f"{key}{suffix}")  # of no owner and no time: equal runs, equal files
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
    return Path(path)
