"""Annotations in COCO's format: read, checked entry by entry, and turned into torchvision's targets."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch

log = logging.getLogger(__name__)

# A polygon or several, each x1, y1, x2, y2, …; or run lengths as COCO writes them; None where there is none.
Segmentation = list[np.ndarray] | dict[str, Any] | None


@dataclass(frozen=True)
class CocoObject:
    """An annotation.

    Args:
        id: COCO's number of it.
        label: From 1 up, see `CocoAnnotations.class_names`.
        box: x1, y1, x2, y2 in pixels of the photo, within it.
        crowd: Whether it is a region of many objects.
        area: In pixels of the photo.
        segmentation: Its outline.
    """

    id: int
    label: int
    box: tuple[float, float, float, float]
    crowd: bool
    area: float
    segmentation: Segmentation = field(repr=False)


@dataclass(frozen=True)
class CocoImage:
    """A photo and what is in it.

    Args:
        id: COCO's number of it.
        path: Where the photo is.
        size: (height, width) in pixels.
        objects: Its annotations, crowds included.
    """

    id: int
    path: str
    size: tuple[int, int]
    objects: tuple[CocoObject, ...]


@dataclass(frozen=True)
class CocoAnnotations:
    """A data set in COCO's format.

    Args:
        path: The JSON file.
        images: Its photos, in the order of the file.
        class_names: By label: "background" for 0, then the categories in the order of their ids.
        category_ids: COCO's category id by label, 0 for the background.
    """

    path: str
    images: tuple[CocoImage, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]

    def target(self, index: int, masks: bool = True) -> dict[str, torch.Tensor]:
        """The objects of a photo as torchvision's detectors take them, crowds left out.

        A crowd is no example of an object, neither is it background; it only counts in evaluation.

        Args:
            index: Of the photo in `images`.
            masks: Whether masks are wanted.

        Returns:
            "boxes" (N, 4) float32, "labels" (N,) int64, and "masks" (N, H, W) uint8, all of the photo's size.

        Raises:
            ValueError: Masks are wanted, and an object has no outline, or one that is broken.
            ImportError: Masks need the package faster-coco-eval.
        """
        image = self.images[index]
        objects = [found for found in image.objects if not found.crowd]
        target = {
            "boxes": torch.tensor([found.box for found in objects]).reshape(-1, 4),
            "labels": torch.tensor([found.label for found in objects], dtype=torch.int64),
        }
        if masks:
            drawn = [self._mask(image, found) for found in objects]
            target["masks"] = torch.stack(drawn) if drawn else torch.zeros(0, *image.size, dtype=torch.uint8)
        return target

    def require_outlines(self, crowds: bool) -> None:
        """Make sure that every object has an outline, as models of masks need it.

        Args:
            crowds: Whether crowds need one too: evaluation looks at theirs, training does not.

        Raises:
            ValueError: One has none.
        """
        for image in self.images:
            for found in image.objects:
                if found.segmentation is None and (crowds or not found.crowd):
                    raise self._no_outline(image, found)

    def _no_outline(self, image: CocoImage, found: CocoObject) -> ValueError:
        return ValueError(
            f"{self.path}: annotation {found.id} of image {image.id} has no segmentation, which a model "
            "of masks needs: train a model of boxes (fasterrcnn, retinanet, fcos) on these annotations"
        )

    def _mask(self, image: CocoImage, found: CocoObject) -> torch.Tensor:
        if found.segmentation is None:
            raise self._no_outline(image, found)
        try:
            return torch.from_numpy(draw_mask(found.segmentation, image.size))
        except ImportError:
            raise
        except Exception as error:  # whatever the native code says of run lengths that are broken
            raise ValueError(
                f"{self.path}: annotation {found.id} of image {image.id}: its segmentation cannot be drawn: "
                f"{error}"
            ) from error


def draw_mask(segmentation: list[np.ndarray] | dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W), uint8, of polygons or run lengths, by COCO's own rules.

    Raises:
        ImportError: The package faster-coco-eval is missing.
    """
    try:
        from faster_coco_eval.core import mask as coco_mask
    except ImportError as error:
        raise ImportError("masks in COCO's format need: pip install 'freqvision[detection]'") from error
    height, width = size
    if isinstance(segmentation, list):
        polygons = [polygon.tolist() for polygon in segmentation]
        encoded = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    elif isinstance(segmentation["counts"], list):
        encoded = coco_mask.frPyObjects(segmentation, height, width)
    else:
        encoded = segmentation
    return np.ascontiguousarray(coco_mask.decode(encoded)).astype(np.uint8)


def read_coco(annotations: str | Path, images: str | Path) -> CocoAnnotations:
    """Read and check a data set in COCO's format.

    Objects without area, of which COCO itself has a few, are left out and named in the log.

    Args:
        annotations: JSON file with "images", "annotations" and "categories".
        images: Folder of the photos.

    Raises:
        FileNotFoundError: The file, the folder or a photo is missing.
        ValueError: The file is broken; the message names the entry, what it has and what is valid.
    """
    return _Reader(annotations, images).read()


class _Reader:
    def __init__(self, annotations: str | Path, images: str | Path) -> None:
        self.path = str(annotations)
        self.folder = Path(images)

    def read(self) -> CocoAnnotations:
        values = self._load()
        names, labels = self._categories(values)
        entries = self._images(values)
        objects: dict[int, list[CocoObject]] = {id_: [] for id_ in entries}
        empty: list[int] = []
        seen: set[int] = set()
        for place, entry in self._entries(values, "annotations"):
            image_id = entry.get("image_id")
            if not _is_whole(image_id) or image_id not in entries:
                raise self._fault(place, entry, f"image_id {image_id!r} is not among the images")
            found = self._object(place, entry, labels, entries[image_id][1])
            if found is None:
                empty.append(entry.get("id", place))
                continue
            if "id" in entry:
                if found.id in seen:
                    raise self._fault(place, entry, f"the id {found.id} occurs twice")
                seen.add(found.id)
            objects[image_id].append(found)
        if empty:
            shown = ", ".join(map(str, empty[:10])) + (", …" if len(empty) > 10 else "")
            log.warning("%s: %d annotations have no area and are left out: %s", self.path, len(empty), shown)
        images = tuple(
            CocoImage(id_, path, size, tuple(objects[id_])) for id_, (path, size) in entries.items()
        )
        return CocoAnnotations(self.path, images, ("background", *names), (0, *labels))

    def _load(self) -> dict[str, Any]:
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"no file of annotations at {self.path}")
        try:
            values = read_json(self.path)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.path} is no JSON, or cut off: {error}") from error
        missing = [
            key
            for key in ("images", "annotations", "categories")
            if not isinstance(values, dict) or not isinstance(values.get(key), list)
        ]
        if missing:
            raise ValueError(
                f"{self.path} is not in COCO's format: it has no list of {', '.join(missing)} "
                "(results alone are of no use here; an example is COCO's own instances_val2017.json)"
            )
        return values

    def _categories(self, values: dict[str, Any]) -> tuple[list[str], dict[int, int]]:
        """Names, and label by category id, both in the order of ids."""
        names: dict[int, str] = {}
        for place, entry in self._entries(values, "categories"):
            id_, name = entry.get("id"), entry.get("name")
            if not _is_whole(id_) or not isinstance(name, str):
                raise self._fault(place, entry, 'a category has a whole number "id" and a "name"')
            if id_ in names:
                raise self._fault(place, entry, f"the id {id_} occurs twice")
            names[id_] = name
        if not names:
            raise ValueError(f"{self.path} has no categories")
        return [names[id_] for id_ in sorted(names)], {id_: 1 + i for i, id_ in enumerate(sorted(names))}

    def _images(self, values: dict[str, Any]) -> dict[int, tuple[str, tuple[int, int]]]:
        """Path and (height, width) by image id."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder of photos at {self.folder}")
        present = set(os.listdir(self.folder))
        images: dict[int, tuple[str, tuple[int, int]]] = {}
        missing: list[str] = []
        for place, entry in self._entries(values, "images"):
            id_, name = entry.get("id"), entry.get("file_name")
            height, width = entry.get("height"), entry.get("width")
            if not _is_whole(id_) or not isinstance(name, str):
                raise self._fault(place, entry, 'an image has a whole number "id" and a "file_name"')
            if not (_is_whole(height) and _is_whole(width) and height > 0 and width > 0):
                raise self._fault(
                    place, entry, f"height and width are whole numbers above 0, got {height!r} and {width!r}"
                )
            if id_ in images:
                raise self._fault(place, entry, f"the id {id_} occurs twice")
            path = self.folder / name
            if name not in present and not path.is_file():
                missing.append(f"{path} (image {id_})")
            images[id_] = str(path), (height, width)
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of the {len(images)} photos of {self.path} are not there: "
                + ", ".join(missing[:3])
                + (", …" if len(missing) > 3 else "")
            )
        if not images:
            raise ValueError(f"{self.path} has no images")
        return images

    def _object(
        self, place: int, entry: dict[str, Any], labels: dict[int, int], size: tuple[int, int]
    ) -> CocoObject | None:
        """An annotation, None if it has no area within the photo."""
        box, category = entry.get("bbox"), entry.get("category_id")
        if not _is_whole(category) or category not in labels:
            raise self._fault(place, entry, f"category_id {category!r} is not among the categories")
        if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
            raise self._fault(place, entry, f"bbox is [x, y, width, height] in pixels, got {box!r}")
        x, y, width, height = map(float, box)
        if width < 0 or height < 0:
            raise self._fault(place, entry, f"bbox has a width or height below 0: {box}")
        crowd = entry.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise self._fault(place, entry, f"iscrowd is 0 or 1, got {crowd!r}")
        x1, y1 = max(x, 0.0), max(y, 0.0)
        x2, y2 = min(x + width, float(size[1])), min(y + height, float(size[0]))
        # As float32, which is what models get.
        if not (np.float32(x1) < np.float32(x2) and np.float32(y1) < np.float32(y2)):
            return None
        segmentation = self._segmentation(place, entry, size)
        area = entry.get("area", width * height)
        if not _is_finite(area) or area < 0:
            raise self._fault(place, entry, f"area is a number of pixels, got {area!r}")
        id_ = entry.get("id", place)
        if not _is_whole(id_):
            raise self._fault(place, entry, f"an annotation's id is a whole number, or left out; got {id_!r}")
        return CocoObject(id_, labels[category], (x1, y1, x2, y2), bool(crowd), float(area), segmentation)

    def _segmentation(self, place: int, entry: dict[str, Any], size: tuple[int, int]) -> Segmentation:
        values = entry.get("segmentation")
        if values is None or values == []:
            return None
        if isinstance(values, dict):
            counts, stated = values.get("counts"), values.get("size")
            if not isinstance(counts, (list, str)) or stated != list(size):
                raise self._fault(
                    place,
                    entry,
                    f"run lengths have counts and the photo's size, {list(size)}; got the size {stated}",
                )
            if isinstance(counts, list) and not (
                all(_is_whole(count) and count >= 0 for count in counts) and sum(counts) == math.prod(size)
            ):
                raise self._fault(
                    place, entry, f"run lengths are whole numbers whose sum is {math.prod(size)} pixels"
                )
            return {"size": list(size), "counts": counts}
        valid = isinstance(values, list) and all(
            isinstance(polygon, list)
            and len(polygon) >= 6
            and not len(polygon) % 2
            and all(_is_finite(value) for value in polygon)
            for polygon in values
        )
        if not valid:
            raise self._fault(
                place,
                entry,
                "segmentation is a list of polygons, each [x1, y1, x2, …] of three points or more, or run "
                'lengths {"size": …, "counts": …}',
            )
        return [np.array(polygon, dtype=np.float64) for polygon in values]  # an eighth of a list's memory

    def _entries(self, values: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        self.key = key
        for place, entry in enumerate(values[key]):
            if not isinstance(entry, dict):
                raise ValueError(f"{self.path}: {key}[{place}] is {entry!r}, where an object is expected")
            yield place, entry

    def _fault(self, place: int, entry: dict[str, Any], what: str) -> ValueError:
        known = ", ".join(f"{key} {entry[key]}" for key in ("id", "image_id", "file_name") if key in entry)
        return ValueError(f"{self.path}: {self.key}[{place}] ({known or 'without id'}): {what}")


def read_json(path: str | Path) -> Any:
    """What a JSON file holds; the mark with which Windows begins files of UTF-8 is passed over."""
    return json.loads(Path(path).read_text(encoding="utf-8-sig"))


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_finite(value: Any) -> bool:
    # By comparison, since whole numbers in JSON may be too large for math.isfinite.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
