"""`--data` of commands that read photos: where they are, or of which kind and where."""

from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentParser

KINDS = "a folder, tar shards (also s3://…), or a table"
HELP = f"photos: {KINDS}; or PhotoShards or PhotoTable, with --data.train and what --data.help lists"


class Photos:
    """Photos of a kind."""


@dataclass
class PhotoShards(Photos):
    """Tar shards of WebDataset, img2dataset or `freqvision pack`, here or in object storage.

    Args:
        train: Where they are: a folder, an address such as s3://bucket/photos, or a pattern.
        storage_options: How object storage is reached, as obstore takes it; the environment counts, too.
        cache: Folder that keeps what was read from object storage.
    """

    train: str
    storage_options: dict[str, Any] | None = None
    cache: str | None = None


@dataclass
class PhotoTable(Photos):
    """Photos in Hugging Face Datasets.

    Args:
        train: A folder of save_to_disk, files of Parquet or Arrow, or the name of a data set of the hub.
        split: Which part, where there are several.
        image: Column of the photos; None finds it.
        label: Column of the labels; None finds it.
    """

    train: str
    split: str | None = None
    image: str | None = None
    label: str | None = None


def add_data(parser: ArgumentParser, text: str = HELP, **options: Any) -> None:
    """Add `--data` to a command."""
    parser.add_argument("--data", type=Photos | str | None, help=text, **options)


def data_of(given: Any) -> Any:
    """What `open_sources` takes: the text itself, or the photos of the kind that was named."""
    if given is None or isinstance(given, str):
        return given
    options = given.init_args.as_dict()
    train = options.pop("train")
    if given.class_path.endswith("PhotoShards"):
        from freqvision.data.remote import Storage
        from freqvision.data.shards import Shards

        return Shards(train, storage=Storage(options["storage_options"], options["cache"]))
    from freqvision.data.table import Table

    return Table(train, **options)
