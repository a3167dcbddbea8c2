"""Photos in Hugging Face Datasets: Arrow tables mapped into memory, of which any row is read at random."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from freqvision.data.check import PhotoCheck
from freqvision.data.folder import Damaged, PhotoDataset, RandomView
from freqvision.data.sources import UNLABELLED, Sources, named, relabelled
from freqvision.inputs.spec import InputSpec
from freqvision.jpeg.read import Source
from freqvision.runtime import naming_extras, parse_json, read_text

IMAGES = ("image", "img", "jpg", "jpeg", "photo", "pixel_values", "bytes")  # usual names of columns
CONTENTS = ("binary", "string", "fixed_size_binary", "binary_view", "null")  # types of photos' bytes
LABELS = ("label", "labels", "fine_label", "class", "cls", "target", "category")


class PhotoTable(PhotoDataset):
    """Photos of a Hugging Face data set, as batches; otherwise like a `FrequencyFolder`.

    The photos stay as they are stored: JPEGs are decoded by the native pass. The table is mapped into memory,
    so that worker processes share it.

    Args:
        table: A folder of ``save_to_disk``, a file of Parquet or Arrow, a folder or a list of them, the name
            of a data set of the hub, or a ``datasets.Dataset``.
        spec: What the photos become.
        augment: Random resized crops and flips for training; None for the spec's own resize and centre crop.
        split: Which part, where there are several, such as "train".
        image: Column of the photos; None finds it by its type, or by its usual names.
        label: Column of the labels, whole numbers or text; likewise. A table may have none.
        classes: Names of the classes in the order of their labels; None takes those of the table.
        damaged, exclude, seed, num_threads: As for `FrequencyFolder`.

    Raises:
        ImportError: ``datasets`` is not installed.
        FileNotFoundError: There is no such table.
        ValueError: It has no such column or split, or classes that are not among those given.

    Example:
        >>> import io, datasets, freqvision as fv
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (80, 60), "teal").save(file, "JPEG")
        >>> rows = {"image": [{"bytes": file.getvalue()}] * 3, "label": ["cat", "dog", "cat"]}
        >>> photos = PhotoTable(datasets.Dataset.from_dict(rows), fv.FrequencySpec(resize=64, crop=64))
        >>> images, labels = photos.__getitems__([0, 1])
        >>> images.shape, labels.tolist(), photos.classes
        (torch.Size([2, 24, 8, 8]), [0, 1], ['cat', 'dog'])
    """

    def __init__(
        self,
        table: Any,
        spec: InputSpec,
        augment: RandomView | None = None,
        *,
        split: str | None = None,
        image: str | None = None,
        label: str | None = None,
        classes: Sequence[str] | None = None,
        damaged: Damaged = "error",
        exclude: str | Path | PhotoCheck | None = None,
        seed: int = 0,
        num_threads: int = 0,
    ) -> None:
        photos = Table(table, classes, split=split, image=image, label=label).without(exclude)
        super().__init__(photos, spec, augment, damaged=damaged, seed=seed, num_threads=num_threads)


class Table(Sources):
    """The photos of a table, without what they become: see `PhotoTable` for arguments and errors."""

    def __init__(
        self,
        table: Any,
        classes: Sequence[str] | None = None,
        *,
        split: str | None = None,
        image: str | None = None,
        label: str | None = None,
    ) -> None:
        self.rows = open_table(table, split)
        self.root = str(table) if isinstance(table, (str, Path)) else "the table"
        self.folders = _folders(table)
        features = self.rows.features
        self.image = _column(features, image, IMAGES, _is_image)
        if self.image is None:
            raise ValueError(f"{self.root} has no column of photos: name one of {', '.join(features)}")
        self._photos = self.rows.select_columns([self.image]).with_format("arrow")
        kind = self._photos.data.schema.field(self.image).type
        fields = [kind.field(place) for place in range(kind.num_fields)]
        self._parts = {field.name: _short(field.type) for field in fields}
        parts = self._parts or {"bytes": _short(kind)}
        if parts.get("bytes") not in CONTENTS or parts.get("path", "null") not in ("string", "null"):
            raise ValueError(f"the column {self.image!r} holds {kind}: photos are bytes, or paths with bytes")
        label = _column(features, label, LABELS, lambda feature: hasattr(feature, "names"))
        none: tuple[Tensor, list[str]] = torch.full((len(self.rows),), UNLABELLED), []
        labels, names = none if label is None else _labels(self.rows, label)
        super().__init__(*relabelled(labels, names, classes))

    def take(self, indices: Sequence[int]) -> list[Source]:
        """The bytes of photos where the table has them, or the paths that it has."""
        column = self._photos[list(indices)].column(0).combine_chunks()
        contents = column.field("bytes") if "bytes" in self._parts else column
        paths = column.field("path") if "path" in self._parts else None
        photos: list[Source] = []
        for place, index in enumerate(indices):
            if contents[place].is_valid:
                photos.append(named(contents[place].as_buffer(), self.name(index)))
            elif paths is not None and paths[place].is_valid:
                photos.append(self._path(paths[place].as_py(), index))
            else:
                raise ValueError(f"{self.name(index)} is empty: leave it out by Dataset.filter")
        return photos

    def _path(self, path: str, index: int) -> str:
        """A path that a row has, if it may have it."""
        if self.folders is None or os.path.abspath(path).startswith(self.folders):
            return path
        raise ValueError(
            f"{self.name(index)} is the path of a file outside the table, {path!r}; tables from elsewhere "
            "could have any file read: pass a datasets.Dataset if you trust this one"
        )

    def annotations(self) -> list[dict[str, Any]]:
        """The objects of each photo, and its height and width if there are such columns, for detection."""
        columns = [name for name in ("objects", "height", "width") if name in self.rows.features]
        return list(self.rows.select_columns(columns)) if columns else [{}] * len(self)

    def categories(self) -> list[str] | None:
        """Names of the objects' classes, if the table has them."""
        objects: Any = self.rows.features.get("objects")
        objects = getattr(objects, "feature", objects)
        category = objects.get("category", objects.get("category_id")) if isinstance(objects, dict) else None
        return getattr(getattr(category, "feature", category), "names", None)

    def name(self, index: int) -> str:
        """The table and the row."""
        return f"{self.root}, row {index}"


def _folders(table: Any) -> tuple[str, ...] | None:
    """Where the files may be that rows of a table name; None for anywhere, in tables that the caller made."""
    import datasets

    if not isinstance(table, (str, os.PathLike, list, tuple)):
        return None
    places = [table] if isinstance(table, (str, os.PathLike)) else list(table)
    found = (os.path.abspath(place) for place in places if os.path.exists(place))
    folders = [place if os.path.isdir(place) else os.path.dirname(place) for place in found]
    return tuple(os.path.join(place, "") for place in [*folders, str(datasets.config.HF_CACHE_HOME)])


def open_table(table: Any, split: str | None = None) -> Any:
    """A ``datasets.Dataset``, mapped into memory; see `PhotoTable`."""
    with naming_extras():
        import datasets
    try:
        found = _open(table, split)
    except (ImportError, OSError):
        raise
    except Exception as error:  # of any of the libraries that read it
        raise ValueError(f"{table} cannot be read as a table: {error.__cause__ or error}") from error
    if isinstance(found, datasets.DatasetDict):
        if split not in found and len(found) > 1:
            raise ValueError(f"{table} has the splits {', '.join(found)}: name one of them, got {split!r}")
        found = found[split if split in found else next(iter(found))]
    if not isinstance(found, datasets.Dataset):
        raise ValueError(f"a table is a datasets.Dataset or where one is, not {type(found).__name__}")
    try:
        found.data.validate(full=True)  # files can lie about where values are, and Arrow believes them
    except ValueError as error:
        raise ValueError(f"{table} is damaged: {error}") from error
    for name, feature in found.features.items():
        if isinstance(feature, datasets.Image):
            found = found.cast_column(name, datasets.Image(decode=False))
    return found


def _open(table: Any, split: str | None) -> Any:
    import datasets

    found = table
    if isinstance(table, (str, os.PathLike)):
        path = os.fspath(table)
        if _is_saved(path):
            _check_saved(path)
            found = datasets.load_from_disk(path)
        elif files := _files(path):
            found = datasets.load_dataset(_format(files[0]), data_files=files, split="train")
        elif os.path.exists(path):
            raise FileNotFoundError(f"no table at {path}: pass a folder of save_to_disk, or Parquet files")
        else:  # of the hub
            found = datasets.load_dataset(path, split=split)
    elif isinstance(table, (list, tuple)):
        files = [os.fspath(file) for file in table]
        found = datasets.load_dataset(_format(files[0]), data_files=files, split="train")
    return found


def _check_saved(folder: str) -> None:
    """Refuse a folder of ``save_to_disk`` whose files are none, or that leads out of itself."""
    for root, _, names in os.walk(folder):
        for path in (os.path.join(root, name) for name in names):
            if not os.path.isfile(path):
                raise ValueError(f"{path} is no regular file, as save_to_disk writes them")
        listed: list[Any] = []
        if "state.json" in names:
            state = parse_json(read_text(os.path.join(root, "state.json")))
            listed = [file["filename"] for file in state["_data_files"]]
        elif "dataset_dict.json" in names:
            listed = parse_json(read_text(os.path.join(root, "dataset_dict.json")))["splits"]
        for entry in listed:
            if os.path.basename(entry) != entry or entry in ("", os.curdir, os.pardir):
                raise ValueError(f"{root} names {entry!r} as one of its files, which leads out of it")


def is_table(path: str | Path) -> bool:
    """Whether there is a table at a path: a folder of ``save_to_disk``, Parquet or Arrow."""
    return _is_saved(path) or bool(_files(os.fspath(path)))


def _is_saved(path: str | Path) -> bool:
    return any(os.path.isfile(os.path.join(path, name)) for name in ("state.json", "dataset_dict.json"))


def _files(path: str) -> list[str]:
    """Files of Parquet or Arrow at a path, or in the folder there."""
    if not os.path.isdir(path):
        return [path] if path.endswith((".parquet", ".arrow")) and os.path.isfile(path) else []
    return sorted(map(str, Path(path).glob("*.parquet"))) or sorted(map(str, Path(path).glob("*.arrow")))


def _format(path: str) -> str:
    return "arrow" if path.endswith(".arrow") else "parquet"


def _short(kind: Any) -> str:
    """An Arrow type's name without its size."""
    return str(kind).removeprefix("large_").partition("[")[0]


def _is_image(feature: Any) -> bool:
    return type(feature).__name__ == "Image" or getattr(feature, "dtype", "") in ("binary", "large_binary")


def _column(features: Any, given: str | None, usual: Sequence[str], fits: Any) -> str | None:
    """The column that was named, or else the one of the type or of a usual name."""
    if given is not None:
        if given not in features:
            raise ValueError(f"there is no column {given!r}: there are {', '.join(features)}")
        return given
    fitting = [name for name, feature in features.items() if fits(feature)]
    known = [name for name in usual if name in features]
    return next((name for name in [*(n for n in known if n in fitting), *fitting, *known]), None)


def _labels(rows: Any, label: str) -> tuple[Tensor, list[str]]:
    """Labels and the names of classes."""
    column = rows.select_columns([label]).with_format("arrow")[:].column(0).combine_chunks()
    names = list(map(str, getattr(rows.features[label], "names", None) or ()))
    if str(column.type) in ("string", "large_string"):
        encoded = column.dictionary_encode()
        found = encoded.dictionary.to_pylist()
        names = sorted(found)
        places = np.array([names.index(name) for name in found], dtype=np.int64)
        labels = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        labels = np.where(labels < 0, UNLABELLED, places[labels] if len(places) else UNLABELLED)
    elif str(column.type).startswith(("int", "uint")):
        labels = column.cast("int64").fill_null(UNLABELLED).to_numpy(zero_copy_only=False)
    else:
        raise ValueError(f"the column {label!r} holds {column.type}: labels are whole numbers or text")
    return torch.from_numpy(labels.astype(np.int64)), names
