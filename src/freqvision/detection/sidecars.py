"""Annotations that lie with their photos, in a table's column or a shard's JSON files, as COCO's."""

from pathlib import Path
from typing import Any

from freqvision.data.opening import open_sources
from freqvision.data.shards import Shards
from freqvision.data.sources import Sources
from freqvision.data.table import Table
from freqvision.detection.coco import CocoAnnotations
from freqvision.detection.coco_file import CocoReader, read_coco
from freqvision.jpeg.read import read_header


def read_annotations(
    annotations: str | Path | None, photos: str | Path | Sources, paths_outside: bool = False
) -> tuple[CocoAnnotations, Sources | None]:
    """Annotations in a file of COCO's format, or those that lie with the photos, and then the photos."""
    if annotations is not None and not isinstance(photos, Sources):
        return read_coco(annotations, photos, paths_outside=paths_outside), None
    sources = open_sources(photos)
    return read_annotated(sources), sources


def read_annotated(photos: Sources) -> CocoAnnotations:
    """The annotations of the photos of a table or of shards, checked as `read_coco` checks them.

    Each photo has "objects": a dictionary of the lists "bbox", as x, y, width and height in pixels, and
    "category" (or "category_id"), numbers or names, and perhaps "iscrowd", "area" and "segmentation"; or a
    list of dictionaries of the same. That is a table's column, as in most data sets of the hub, or a key of a
    shard's .json file. With "height" and "width" there the photos themselves need not be looked at.

    Args:
        photos: A `Table` or `Shards`.

    Raises:
        ValueError: There are no annotations, or they are broken; the message names the photo.
    """
    return _Reader(photos).read()


class _Reader(CocoReader):
    def __init__(self, photos: Sources) -> None:
        super().__init__(str(photos.root), "", True)
        self.photos = photos

    def _load(self) -> dict[str, Any]:
        photos = self.photos
        names: Any = None
        if isinstance(photos, Table):
            rows = photos.annotations()
            names = photos.categories()
        elif isinstance(photos, Shards):
            rows = photos.sidecars()
        else:
            raise ValueError(
                f"{self.path} holds no annotations, as tables and shards do: name both the folder of photos "
                "and the file of their annotations"
            )
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for place, row in enumerate(rows):
            height, width = row.get("height"), row.get("width")
            if height is None or width is None:
                height, width = read_header(photos[place]).size
            images.append({"id": place, "file_name": photos.name(place), "height": height, "width": width})
            try:
                objects = _objects(row.get("objects"))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{photos.name(place)}: its objects are {row['objects']!r:.80}") from error
            for found in objects:
                category = found.pop("category", found.get("category_id"))
                if isinstance(category, bool) or not isinstance(category, (int, str)):
                    raise ValueError(f"{photos.name(place)}: an object's category is {category!r:.80}")
                annotations.append({**found, "image_id": place, "category_id": category})
        for number, entry in enumerate(annotations):
            entry["id"] = number
        if not annotations:
            raise ValueError(f"{self.path}: no photo has objects: they are in a column, or a key, objects")
        known = sorted({entry["category_id"] for entry in annotations}, key=str)
        if names is None and any(isinstance(value, str) for value in known):
            names = list(map(str, known))
            place_of = {name: place for place, name in enumerate(names)}
            for entry in annotations:
                entry["category_id"] = place_of[str(entry["category_id"])]
        if names is None:
            names = {value: str(value) for value in sorted(known)}
        categories = [
            {"id": id_, "name": name}
            for id_, name in (names.items() if isinstance(names, dict) else enumerate(names))
        ]
        return {"images": images, "annotations": annotations, "categories": categories}

    def _images(self, values: dict[str, Any]) -> dict[int, tuple[str, tuple[int, int]]]:
        return {
            entry["id"]: (entry["file_name"], self._size(entry))
            for _, entry in self._entries(values, "images")
        }


def _objects(objects: Any) -> list[dict[str, Any]]:
    """An entry for each object, of lists or of dictionaries."""
    if isinstance(objects, dict):
        lists = {key: value for key, value in objects.items() if isinstance(value, list) and key != "id"}
        return [dict(zip(lists, values, strict=False)) for values in zip(*lists.values(), strict=True)]
    return [{key: value for key, value in dict(found).items() if key != "id"} for found in objects or ()]
