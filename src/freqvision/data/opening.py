"""Photos by a single text: a folder, tar shards or a table, here or in object storage."""

import os
from collections.abc import Sequence
from pathlib import Path

from freqvision.data.check import PhotoCheck, without
from freqvision.data.folder import EXTENSIONS, entries, find_photos, holds, open_folder
from freqvision.data.remote import Storage, is_remote
from freqvision.data.shards import Shards
from freqvision.data.sources import Files, Sources
from freqvision.data.table import Table, is_table


def open_sources(
    where: str | Path | Sources,
    classes: Sequence[str] | None = None,
    *,
    labelled: bool = False,
    exclude: str | Path | PhotoCheck | None = None,
    storage: Storage | None = None,
) -> Sources:
    """Photos, wherever they are.

    Args:
        where: A folder of photos, or of tar shards; a shard, or a pattern such as ``photos/train-*.tar``; the
            same in object storage; a table, see `PhotoTable`; or `Sources`, which are returned.
        classes: Names of the classes in the order of their labels; None takes those that are there.
        labelled: Whether a folder's photos lie in one sub-folder for each class; it is searched with all its
            sub-folders otherwise, and its photos have no labels.
        exclude: List of damaged photos to leave out, see ``freqvision check``: the file or a `PhotoCheck`.
        storage: How object storage is read; None takes credentials from the environment.

    Raises:
        FileNotFoundError: There is nothing.
        ValueError: There are no photos, or their classes are not those given.

    Example:
        >>> import tempfile
        >>> from freqvision.data import write_synthetic_photos
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write_synthetic_photos(root, photos_per_class=2, size=64)
        ...     photos = open_sources(root, labelled=True)
        ...     files = photos[4:6]  # what a Decoder takes
        >>> len(photos), len(photos.classes), photos.labels[4:6].tolist()
        (12, 6, [2, 2])
    """
    if isinstance(where, Sources):
        return where.without(exclude)
    if is_remote(where):
        return Shards(where, classes, storage).without(exclude)
    where = os.fspath(where)
    if is_table(where):
        return Table(where, classes).without(exclude)
    if where.endswith(".tar") or (os.path.isdir(where) and any(Path(where).glob("*.tar"))):
        return Shards(where, classes).without(exclude)
    if not os.path.isdir(where):
        raise FileNotFoundError(f"no folder of photos, no shards and no table at {where}")
    if labelled or classes is not None:
        return open_folder(where, classes, exclude)
    paths = without(find_photos(where), exclude)
    if not paths:
        raise ValueError(
            f"no photos in {where} or its sub-folders: looked for files that end in {', '.join(EXTENSIONS)}"
        )
    return Files(paths)


def has_classes(where: str | Path) -> bool:
    """Whether it is a folder with a sub-folder for each class."""
    if not os.path.isdir(where) or any(Path(where).glob("*.tar")):
        return False
    return any(holds(entry.is_dir) for entry in entries(where))
