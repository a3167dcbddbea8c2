"""Photos in tar files, as WebDataset lays them out, with an index that finds any of them at once."""

import glob
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freqvision.data.check import PhotoCheck
from freqvision.data.folder import EXTENSIONS, Damaged, PhotoDataset, RandomView
from freqvision.data.remote import CHUNK, REQUESTS, Part, Remote, Storage, is_remote, mapped
from freqvision.data.sources import UNLABELLED, Sources, named, relabelled
from freqvision.inputs.spec import InputSpec
from freqvision.jpeg.read import Source
from freqvision.runtime import address, parse_json, progress_bar, read_text, replacing, write_text

AHEAD = 1024  # photos
INDEX = "index.npy"
ABOUT = "index.json"
MAX_MEMBER = 2**40
MAX_SHARD = 2**62
MAX_PHOTO = 2**31
MAX_HEADER = 2**20  # bytes of a tar file's headers, and of a label or a .json file
Sample = tuple[int, int, "str | int", bytes]
RECORD = np.dtype([("shard", "<i4"), ("offset", "<i8"), ("length", "<i8"), ("label", "<i4")])


class PhotoShards(PhotoDataset):
    """Photos in tar files, as batches; for the loaders and samplers that a `FrequencyFolder` works with.

    A sample of a shard is a photo (JPEG, packed or another image) and, in a file of the same name, its label:
    ``.cls`` holds a class's number or name, ``.json`` may have it as "label" or "class", where text is
    always a name. Shards are those of
    ``freqvision pack``, WebDataset or img2dataset. The files are mapped into memory, so that any photo
    is read at random, and worker processes share them.

    Shards may be in object storage: ``s3://``, ``gs://``, ``az://`` or ``https://``. Chunks of 4 MiB are read
    by byte ranges, many at once, and kept in a bounded cache; a `PhotoLoader` has them fetched some batches
    ahead.

    The first use writes an index next to the shards if it can, for object storage into the cache.

    Args:
        shards: A folder of ``.tar`` files or an address below which they are, a pattern such as
            ``"photos/train-*.tar"``, or paths or addresses.
        spec: What the photos become.
        augment: Random resized crops and flips for training; None for the spec's own resize and centre crop.
        classes: Names of the classes in the order of their labels; None takes those of the shards.
        damaged, exclude, seed, num_threads: As for `FrequencyFolder`.
        storage: How object storage is read and cached; None takes credentials from the environment.

    Raises:
        FileNotFoundError: There are no shards.
        OSError: Object storage does not answer, or refuses.
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
        exclude: str | Path | PhotoCheck | None = None,
        seed: int = 0,
        num_threads: int = 0,
        storage: Storage | None = None,
    ) -> None:
        photos = Shards(shards, classes, storage).without(exclude)
        super().__init__(photos, spec, augment, damaged=damaged, seed=seed, num_threads=num_threads)


class Shards(Sources):
    """The photos of tar files, without what they become: see `PhotoShards` for arguments and errors."""

    def __init__(
        self,
        shards: str | Path | Sequence[str | Path],
        classes: Sequence[str] | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.storage = (storage or Storage()) if is_remote(shards) else None
        if self.storage is None:
            self._files: list[Remote] = []
            self.shards = find_shards(shards)
            self.records, names = open_index(self.shards)
        else:
            where: Any = address(shards) or shards
            self._files, self.records, names, self._key = open_remote_index(self.storage, where)
            self.shards = [file.url for file in self._files]
        self.root = os.path.dirname(self.shards[0])
        labels = torch.from_numpy(np.ascontiguousarray(self.records["label"]).astype(np.int64))
        super().__init__(*relabelled(labels, names, classes))
        if self.storage is not None:  # a window of shuffled blocks, if the cache holds that much
            self.ahead = min(AHEAD, self.storage.cache_bytes // (4 * CHUNK))
        self._maps: dict[int, memoryview] = {}

    def take(self, indices: Sequence[int]) -> list[Source]:
        """The bytes of photos, in the memory that their shards are mapped to if they are local."""
        rows = [self.records[index].item() for index in indices]
        contents: Iterable[Any] = map(self._mapped, rows)
        if self.storage is not None:
            contents = self.storage.read(list(map(self._part, rows)))
        photos: list[Source] = []
        for index, row, photo in zip(indices, rows, contents, strict=True):
            if len(photo) < row[2]:
                raise ValueError(f"{self.shards[row[0]]} ends before its last photos: copy it again")
            photos.append(named(photo, self.name(index)))
        return photos

    def fetch(self, indices: Sequence[int]) -> None:
        """Begin to fetch photos from object storage."""
        if self.storage is not None:
            self.storage.fetch(self._part(self.records[index].item()) for index in indices)

    def sidecars(self) -> list[dict[str, Any]]:
        """What the .json file of each photo holds, such as its objects, for detection."""
        files = self._files or self.shards
        with ThreadPoolExecutor(REQUESTS if self.storage else 1) as pool:
            samples = pool.map(partial(list_shard, storage=self.storage), files)
            return [_object(text) for *_, text in chain.from_iterable(samples)]

    def name(self, index: int) -> str:
        """The shard of a photo and its place there."""
        shard, offset, _, _ = self.records[index].item()
        return f"{self.shards[shard]}, photo at byte {offset}"

    def _mapped(self, row: tuple[int, int, int, int]) -> memoryview:
        shard, offset, length, _ = row
        if shard not in self._maps:
            self._maps[shard] = mapped(self.shards[shard])
        contents: Any = self._maps[shard]
        size = contents.obj.size() if contents else 0  # of the file as it is now: its last pages may be gone
        return contents[offset : offset + length] if offset + length <= size else memoryview(b"")

    def _part(self, row: tuple[int, int, int, int]) -> Part:
        shard, offset, length, _ = row
        return Part(self.shards[shard], f"{self._key}/{shard}", offset, length)

    def __getstate__(self) -> dict[str, Any]:
        # A mapped index is found again by its path.
        path = self.records.filename if isinstance(self.records, np.memmap) else None
        return {**self.__dict__, "_maps": {}, "records": path or self.records}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.records, (str, Path)):
            self.records = _mapped_index(self.records)


def find_shards(shards: str | Path | Sequence[str | Path]) -> list[str]:
    """Paths of tar files, sorted, from a folder, a pattern or the paths themselves."""
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

    That is records of "shard" (place among `shards`), "offset" and "length" in bytes, and "label", -1 for
    none; and names by label, empty if labels are numbers.
    """
    folder = Path(shards[0]).parent
    versions = ((path, os.stat(path)) for path in shards)
    known = [[os.path.relpath(path, folder), now.st_size, now.st_mtime_ns] for path, now in versions]
    return _kept_index(folder, known, len(shards), lambda: _make_index(shards))


def open_remote_index(
    storage: Storage, where: str | Sequence[str]
) -> tuple[list[Remote], np.ndarray, list[str], str]:
    """The same for shards in object storage; returns the shards before, and the cache's folder after it.

    The index that lies with the shards is copied if it is of the very same names and sizes. Otherwise one is
    made from the headers of the tar files, a few kilobytes for each photo, and kept in the cache.
    """
    root = where.rstrip("/") if isinstance(where, str) and not where.endswith(".tar") else ""
    about: Any = None
    if root:
        with suppress(FileNotFoundError):
            about = _about(bytes(storage.get(f"{root}/{ABOUT}", 0, 2**28)), f"{root}/{ABOUT}")
    try:
        files = storage.files(where)
    except OSError:  # storage that does not list what it holds, such as most servers of https
        if about is None:
            raise
        files = [Remote(f"{root}/{name}", size, "") for name, size, *_ in about["shards"]]
    known = [list(file) for file in files]
    if about and [[f"{root}/{name}", size] for name, size, *_ in about["shards"]] == [k[:2] for k in known]:
        known.append(about)
    key = hashlib.sha256(json.dumps(known).encode()).hexdigest()[:24]

    def copy_or_make() -> tuple[np.ndarray, list[str]]:
        if len(known) == len(files):
            return _make_index(files, storage)
        storage.download(f"{root}/{INDEX}", storage.cache / key / INDEX)
        index = _mapped_index(storage.cache / key / INDEX)
        if not _fits(index, about, [file.size for file in files]):
            raise ValueError(f"{root}/{INDEX} does not fit {ABOUT}: copy both again")
        return index, about["classes"]

    return files, *_kept_index(storage.cache / key, known, len(files), copy_or_make), key


def _kept_index(
    folder: Path, known: list[Any], shards: int, make: Callable[[], tuple[np.ndarray, list[str]]]
) -> tuple[np.ndarray, list[str]]:
    """The index in a folder if it is of the known shards, or a new one, which is written there."""
    try:
        about = _about(read_text(folder / ABOUT), ABOUT)
        if about["shards"] == known and (folder / INDEX).is_file():
            index = _mapped_index(folder / INDEX)
            if _fits(index, about, [size for _, size, *_ in known[:shards]]):
                return index, about["classes"]
    except (OSError, ValueError):
        pass  # not there, of other shards, or damaged: it is made again
    index, classes = make()
    about = {"shards": known, "photos": len(index), "classes": classes}
    try:
        with replacing(folder / INDEX) as draft, open(draft, "wb") as file:
            np.save(file, index)
        write_text(folder / ABOUT, json.dumps(about, ensure_ascii=False) + "\n")
        index = _mapped_index(folder / INDEX)
    except OSError:
        pass  # a folder that cannot be written to
    return index, classes


def _about(text: str | bytes, name: str) -> dict[str, Any]:
    """What is in `index.json`, which may come from anywhere."""
    about = parse_json(text)
    if not (
        isinstance(about, dict)
        and isinstance(about.get("photos"), int)
        and all(isinstance(about.get(key), list) for key in ("shards", "classes"))
        and all(isinstance(of_class, str) for of_class in about["classes"])
        and all(isinstance(s, list) and list(map(type, s[:2])) == [str, int] for s in about["shards"])
    ):
        raise ValueError(f"{name} is no index of shards")
    return about


def _mapped_index(path: str | Path) -> np.ndarray:
    """The index in a file, which may come from anywhere."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # of tokens, archives and numbers, as NumPy happens to meet them
        raise ValueError(f"{path} is no index of shards: {error}") from error


def _fits(index: np.ndarray, about: dict[str, Any], sizes: Sequence[int]) -> bool:
    """Whether an index has photos, all of them within shards of these sizes."""
    if index.dtype != RECORD or index.shape != (about["photos"],) or not len(index):
        return False
    shard, offset, length = (index[name] for name in ("shard", "offset", "length"))
    if min(column.min() for column in (shard, offset, length)) < 0 or shard.max() >= len(sizes):
        return False
    ends = np.array([min(size, MAX_SHARD) for size in sizes])[shard]
    return bool((length <= np.minimum(ends - offset, MAX_PHOTO)).all())


def _make_index(
    shards: Sequence[str] | Sequence[Remote], storage: Storage | None = None
) -> tuple[np.ndarray, list[str]]:
    columns: list[list[int]] = [[], [], []]
    labels: list[str | int] = []
    with (
        progress_bar(total=len(shards), desc="index", unit="shard") as bar,
        ThreadPoolExecutor(1 if storage is None else REQUESTS) as pool,
    ):
        for number, samples in enumerate(pool.map(partial(list_shard, storage=storage), shards)):
            for offset, length, label, _ in samples:
                for column, value in zip(columns, (number, offset, length), strict=True):
                    column.append(value)
                labels.append(label)
            bar.update()
    if not labels:
        raise ValueError(f"no photos in {len(shards)} shards such as {shards[0]}")
    classes: list[str] = []
    if any(isinstance(label, str) for label in labels):
        classes = sorted({str(label) for label in labels if label != UNLABELLED})
        place = {name: label for label, name in enumerate(classes)}
        labels = [place.get(str(label), UNLABELLED) for label in labels]
    index = np.zeros(len(labels), RECORD)
    for name, column in zip(("shard", "offset", "length"), columns, strict=True):
        index[name] = column
    index["label"] = labels
    return index, classes


def list_shard(shard: str | Remote, storage: Storage | None) -> list[Sample]:
    """Offset, length, label and .json of each photo of a tar file."""
    name = shard if isinstance(shard, str) else shard.url
    try:
        file = storage.open(shard) if storage and isinstance(shard, Remote) else open(name, "rb")  # noqa: SIM115
        with file, tarfile.open(fileobj=_Headers(file), mode="r:") as tar:  # type: ignore[call-overload]
            return list(_read_shard(tar))
    except OSError:
        raise
    except Exception as error:  # tarfile raises what its many formats happen to meet
        raise ValueError(f"{name} is no tar file, or damaged: {error}") from error


class _Headers:
    """A tar file for `tarfile`, which believes headers that claim to go on for gigabytes."""

    def __init__(self, file: Any) -> None:
        self.seek, self.tell, self.file = file.seek, file.tell, file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise ValueError(f"a header of {size} bytes")
        return bytes(self.file.read(size))


def _read_shard(tar: tarfile.TarFile) -> Iterator[Sample]:
    """Offset, length, label and .json of each photo of a tar file, whose samples' files follow each other."""
    photo: tuple[int, int] | None = None
    key, text = "", b""
    label: str | int = UNLABELLED
    for member in tar:
        if not 0 <= member.size <= MAX_MEMBER:  # below 0, it would lead round in a circle for ever
            raise ValueError(f"a file of {member.size} bytes")
        hidden = any(part[0] == "." and part.strip(".") for part in member.name.split("/") if part)
        if not member.isfile() or hidden:
            continue
        folder, _, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        ending = f".{ending.lower()}"
        if f"{folder}/{stem}" != key:
            if photo is not None:
                yield *photo, label, text
            key, photo, label, text = f"{folder}/{stem}", None, UNLABELLED, b""
        if ending in EXTENSIONS and photo is None:  # others are its mask, or the like
            if member.issparse():
                raise ValueError(f"{member.name} is sparse: pack it again without --sparse")
            photo = member.offset_data, member.size
        elif ending in (".cls", ".json") and member.size < MAX_HEADER:
            file = tar.extractfile(member)
            contents = file.read() if file else b""
            label = _label(contents, ending, label)
            text = contents if ending == ".json" else text
    if photo is not None:
        yield *photo, label, text
    headers: Any = tar.fileobj
    headers.seek(tar.offset)
    if headers.read(tarfile.BLOCKSIZE).strip(b"\0"):  # half a header, or a damaged one
        raise ValueError(f"at byte {tar.offset}")


def _label(text: bytes, ending: str, otherwise: str | int) -> str | int:
    """A class's number or name from the text of a sample's file."""
    value: Any = text.decode("utf-8", "replace").strip()
    if ending == ".json":
        values = _object(text)
        value = values.get("label", values.get("class"))
    elif value.isdecimal():
        value = int(value)
    valid = isinstance(value, str) or (type(value) is int and 0 <= value < 2**31)
    return value if valid and value != "" else otherwise


def _object(text: bytes) -> dict[str, Any]:
    """JSON's object; an empty one if the text is something else."""
    try:
        values = parse_json(text.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


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
            files = {ending: photo}
            if label is not None:
                text = str(label).encode("utf-8", "replace")
                if _label(text, ".cls", UNLABELLED) == label:
                    files[".cls"] = text
                else:  # a name that would be read as a number, or without its spaces
                    files[".json"] = json.dumps({"class": label}).encode()
            for suffix, contents in files.items():
                member = tarfile.TarInfo(f"{key}{suffix}")  # of no owner and no time: equal runs, equal files
                member.size = len(contents)
                tar.addfile(member, io.BytesIO(contents))
    return Path(path)
