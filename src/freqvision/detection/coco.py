"""Annotations in COCO's format: read, checked entry by entry, and turned into torchvision's targets."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, TypeGuard

import numpy as np
import torch

from freqvision.jpeg.read import MAX_PIXELS

log = logging.getLogger(__name__)

MAX_MASKS = 2**31  # bytes of one photo's masks, which a small file with many objects could ask for

# Polygons, each x1, y1, x2, y2, …; or run lengths as COCO writes them; None where there is none.
Segmentation = list[np.ndarray] | dict[str, Any] | None


@dataclass(frozen=True)
class CocoObject:
    """An annotation.

    Args:
        id: COCO's number of the annotation.
        label: From 1 up, see `CocoAnnotations.class_names`.
        box: x1, y1, x2, y2 in pixels of the photo, within it.
        crowd: Whether it is a region of many objects.
        area: In pixels of the photo.
        segmentation: The outline.
    """

    id: int
    label: int
    box: tuple[float, float, float, float]
    crowd: bool
    area: float
    segmentation: Segmentation = field(repr=False)


@dataclass(frozen=True)
class CocoImage:
    """A photo and its annotations.

    Args:
        id: COCO's number of the photo.
        path: Where the photo is.
        size: (height, width) in pixels, as the annotations state it.
        objects: The annotations, crowds included.
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

    def target(self, index: int, masks: bool = True) -> dict[str, Any]:
        """The objects of a photo as torchvision's detectors take them, without crowds.

        Crowds are neither examples nor background; they count in evaluation only.

        Args:
            index: Position of the photo in `images`.
            masks: Whether to draw masks.

        Returns:
            "image_id", "boxes" (N, 4) float32, "labels" (N,) int64, and "masks" (N, H, W) uint8 of the
            photo's size.

        Raises:
            ValueError: Masks are wanted, and an object has no outline or a broken one, or the masks would
                take more than 2 GiB.
            ImportError: Masks need the package faster-coco-eval.
        """
        image = self.images[index]
        objects = [found for found in image.objects if not found.crowd]
        target: dict[str, Any] = {
            "image_id": image.id,
            "boxes": torch.tensor([found.box for found in objects]).reshape(-1, 4),
            "labels": torch.tensor([found.label for found in objects], dtype=torch.int64),
        }
        if masks:
            if len(objects) * math.prod(image.size) > MAX_MASKS:
                raise ValueError(
                    f"{self.path}: image {image.id} has {len(objects):,} objects in {image.size[1]}×"
                    f"{image.size[0]} pixels, whose masks would take more than {MAX_MASKS >> 30} GiB: resize "
                    "the photo and its annotations, or train a model of boxes"
                )
            target["masks"] = torch.zeros(len(objects), *image.size, dtype=torch.uint8)
            for mask, found in zip(target["masks"], objects, strict=True):
                mask.copy_(self._mask(image, found))
        return target

    def require_outlines(self, crowds: bool) -> None:
        """Check that every object has an outline, as models of masks need it.

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
        except ValueError as error:
            raise ValueError(f"{self.path}: annotation {found.id} of image {image.id}: {error}") from error


def draw_mask(segmentation: Sequence[np.ndarray] | dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W), uint8, of polygons or run lengths, by COCO's own rules.

    Raises:
        ImportError: The package faster-coco-eval is missing.
        ValueError: The run lengths are broken.
    """
    try:
        from faster_coco_eval.core import mask as coco_mask
    except ImportError as error:
        raise ImportError("masks in COCO's format need: pip install 'freqvision[detection]'") from error
    encoded: Any = segmentation
    try:
        if not isinstance(segmentation, dict):
            polygons = [polygon.tolist() for polygon in segmentation]
            encoded = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
        elif isinstance(segmentation["counts"], list):
            encoded = coco_mask.frPyObjects(segmentation, *size)
        return np.ascontiguousarray(coco_mask.decode(encoded)).astype(np.uint8)
    except Exception as error:  # RuntimeError and others, as the native code sees fit
        raise ValueError(f"its segmentation cannot be drawn: {error}") from error


def read_coco(annotations: str | Path, images: str | Path, *, paths_outside: bool = False) -> CocoAnnotations:
    """Read and check a data set in COCO's format.

    Left out, and counted in a warning, are objects without area, of which COCO itself has a few, and polygons
    of fewer than three points.

    Args:
        annotations: JSON file with "images", "annotations" and "categories".
        images: Folder of the photos.
        paths_outside: Whether a photo's file name may lead out of the folder: an absolute path, or one with
            "..". Annotations from elsewhere could otherwise have any file read.

    Raises:
        FileNotFoundError: The file, the folder or a photo is missing.
        ValueError: The file is broken; the message names the entry, what it has and what is valid.
    """
    return _Reader(annotations, images, paths_outside).read()


class _Reader:
    def __init__(self, annotations: str | Path, images: str | Path, paths_outside: bool) -> None:
        self.path = str(annotations)
        self.folder = Path(images)
        self.paths_outside = paths_outside

    def read(self) -> CocoAnnotations:
        values = self._load()
        names = self._categories(values)
        labels = {id_: label for label, id_ in enumerate(names, 1)}
        images = self._images(values)
        objects: dict[int, list[CocoObject]] = {id_: [] for id_ in images}
        seen: set[int] = set()
        self.without_area: list[int] = []
        self.degenerate: list[int] = []
        for place, entry in self._entries(values, "annotations"):
            image_id = entry.get("image_id")
            if not _is_whole(image_id) or image_id not in images:
                raise self._fault(place, entry, f"image_id {image_id!r:.80} is not among the images")
            id_ = entry.get("id", place)
            if not _is_whole(id_):
                raise self._fault(
                    place, entry, f"an annotation's id is a whole number, or left out; got {id_!r:.80}"
                )
            found = self._object(place, entry, id_, labels, images[image_id][1])
            if found is not None:
                if "id" in entry:
                    if id_ in seen:
                        raise self._fault(place, entry, f"the id {id_} occurs twice")
                    seen.add(id_)
                objects[image_id].append(found)
        self._warn(self.without_area, "annotations have no area and are left out")
        self._warn(
            self.degenerate,
            "annotations have polygons of fewer than three points, or outside the photo, which are left out, "
            "with the object if it has no other",
        )
        return CocoAnnotations(
            self.path,
            tuple(CocoImage(id_, path, size, tuple(objects[id_])) for id_, (path, size) in images.items()),
            ("background", *names.values()),
            (0, *names),
        )

    def _warn(self, ids: list[int], what: str) -> None:
        if ids:
            shown = ", ".join(map(str, ids[:10])) + (", …" if len(ids) > 10 else "")
            log.warning("%s: %d %s: %s", self.path, len(ids), what, shown)

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
                "(files of results are not annotations; an example is COCO's instances_val2017.json)"
            )
        return values

    def _categories(self, values: dict[str, Any]) -> dict[int, str]:
        """Names by category id, in the order of ids."""
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
        return dict(sorted(names.items()))

    def _images(self, values: dict[str, Any]) -> dict[int, tuple[str, tuple[int, int]]]:
        """Path and (height, width) by image id."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder of photos at {self.folder}")
        present = {entry.name for entry in os.scandir(self.folder) if entry.is_file()}
        images: dict[int, tuple[str, tuple[int, int]]] = {}
        missing: list[str] = []
        for place, entry in self._entries(values, "images"):
            id_, name = entry.get("id"), entry.get("file_name")
            height, width = entry.get("height"), entry.get("width")
            if not _is_whole(id_) or not isinstance(name, str):
                raise self._fault(place, entry, 'an image has a whole number "id" and a "file_name"')
            if not (_is_whole(height) and _is_whole(width) and height > 0 and width > 0):
                raise self._fault(
                    place,
                    entry,
                    f"height and width are whole numbers above 0, got {height!r:.80} and {width!r:.80}",
                )
            if height * width > MAX_PIXELS:
                raise self._fault(
                    place, entry, f"{width}×{height} pixels are more than the {MAX_PIXELS:,} of any photo"
                )
            if id_ in images:
                raise self._fault(place, entry, f"the id {id_} occurs twice")
            way = PureWindowsPath(name)  # which knows both separators
            if not self.paths_outside and (way.anchor or ".." in way.parts):
                raise self._fault(
                    place,
                    entry,
                    f"the file name leads out of the folder of photos, {self.folder}: make it relative to "
                    "that folder, or allow it by paths_outside=True if you trust these annotations",
                )
            path = os.path.join(self.folder, name)
            if name not in present and not os.path.isfile(path):
                missing.append(f"{path} (image {id_})")
            images[id_] = path, (height, width)
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
        self, place: int, entry: dict[str, Any], id_: int, labels: dict[int, int], size: tuple[int, int]
    ) -> CocoObject | None:
        """An annotation; None if nothing of it lies within the photo."""
        box, category = entry.get("bbox"), entry.get("category_id")
        if not _is_whole(category) or category not in labels:
            raise self._fault(place, entry, f"category_id {category!r:.80} is not among the categories")
        if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
            raise self._fault(place, entry, f"bbox is [x, y, width, height] in pixels, got {box!r:.80}")
        x, y, width, height = map(float, box)
        if width < 0 or height < 0:
            raise self._fault(place, entry, f"bbox has a width or height below 0: {box}")
        crowd, area = entry.get("iscrowd", 0), entry.get("area", width * height)
        if crowd not in (0, 1):
            raise self._fault(place, entry, f"iscrowd is 0 or 1, got {crowd!r:.80}")
        if not _is_finite(area) or area < 0:
            raise self._fault(place, entry, f"area is a number of pixels, got {area!r:.80}")
        limits = [size[1], size[0]] * 2
        # As float32, which is what models get.
        x1, y1, x2, y2 = np.clip([x, y, x + width, y + height], 0, limits).astype(np.float32).tolist()
        if not (x1 < x2 and y1 < y2):
            self.without_area.append(id_)
            return None
        try:
            outline, complete = read_segmentation(entry.get("segmentation"), size)
        except ValueError as error:
            raise self._fault(place, entry, str(error)) from error
        if not complete:
            self.degenerate.append(id_)
            if not outline:
                return None
        return CocoObject(id_, labels[category], (x1, y1, x2, y2), bool(crowd), float(area), outline)

    def _entries(self, values: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        self.key = key
        for place, entry in enumerate(values[key]):
            if not isinstance(entry, dict):
                raise ValueError(f"{self.path}: {key}[{place}] is {entry!r:.80}, where an object is expected")
            yield place, entry

    def _fault(self, place: int, entry: dict[str, Any], what: str) -> ValueError:
        known = ", ".join(
            f"{key} {entry[key]!s:.80}" for key in ("id", "image_id", "file_name") if key in entry
        )
        return ValueError(f"{self.path}: {self.key}[{place}] ({known or 'without id'}): {what}")


def read_segmentation(values: Any, size: tuple[int, int]) -> tuple[Segmentation, bool]:
    """An annotation's "segmentation", checked, with polygons cut down to the photo and its surroundings.

    Args:
        values: From JSON.
        size: (height, width) of the photo.

    Returns:
        The outline, and whether all of its polygons are there: those of fewer than three points, or outside
        the photo, are left out.

    Raises:
        ValueError: It is neither polygons nor run lengths, or longer than the outline of any object.

    Example:
        >>> read_segmentation([[0, 0, 9, 0, 9, 9], [1, 2, 3, 4]], (10, 10))
        ([array([0., 0., 9., 0., 9., 9.])], False)
    """
    if values is None or values == []:
        return None, True
    if isinstance(values, dict):
        counts, stated = values.get("counts"), values.get("size")
        if not isinstance(counts, (list, str)) or stated != list(size):
            raise ValueError(
                f"run lengths have counts and the photo's size, {list(size)}; got the size {stated!r:.80}"
            )
        if isinstance(counts, list) and not (
            all(_is_whole(count) and count >= 0 for count in counts) and sum(counts) == math.prod(size)
        ):
            raise ValueError(f"run lengths are whole numbers whose sum is {math.prod(size)} pixels")
        return {"size": list(size), "counts": counts}, True
    if not isinstance(values, list) or not all(
        isinstance(polygon, list)
        and (len(polygon) < 6 or not len(polygon) % 2)
        and all(_is_finite(value) for value in polygon)
        for polygon in values
    ):
        raise ValueError(
            "segmentation is a list of polygons, each [x1, y1, x2, …] of three points or more, or run "
            'lengths {"size": …, "counts": …}'
        )
    # As arrays, which take an eighth of a list's memory.
    polygons = [_cut(np.array(polygon, dtype=np.float64), size) for polygon in values if len(polygon) >= 6]
    polygons = [polygon for polygon in polygons if len(polygon)]
    # COCO's rules take memory by the length of an outline.
    length = sum(
        np.abs(np.diff(points, axis=0, append=points[:1])).max(1).sum()
        for points in (polygon.reshape(-1, 2) for polygon in polygons)
    )
    if length > 100 * sum(size):
        raise ValueError(
            f"its outline of {length:,.0f} pixels is longer than any in a photo of {size[1]}×{size[0]} pixels"
        )
    return polygons, len(polygons) == len(values)


def _cut(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of a polygon (2N,) in the photo and around it, by Sutherland's and Hodgman's algorithm.

    The margins, as wide as the photo, keep the rounding of cut edges away from what is seen: polygons that
    reach beyond the photo by less, as in COCO, stay as they are.
    """
    points = polygon.reshape(-1, 2)  # (N, 2) as x, y
    for axis, side in ((0, size[1]), (1, size[0])):
        for sign, limit in ((1.0, 2.0 * side), (-1.0, float(side))):
            inside = sign * points[:, axis] <= limit
            if inside.all():
                continue
            after = np.roll(points, -1, 0)
            crosses = inside != np.roll(inside, -1)
            # Halved, since the difference of two of the largest numbers is infinite.
            start, way = points[crosses] / 2, after[crosses] / 2 - points[crosses] / 2
            share = (sign * limit / 2 - start[:, axis]) / way[:, axis]
            corners = np.zeros((len(points), 2, 2))  # each point, and the one where its edge is cut
            corners[:, 0] = points
            corners[crosses, 1] = 2 * (start + share[:, None] * way)
            corners[crosses, 1, axis] = sign * limit
            points = corners[np.stack([inside, crosses], 1)]
    return points.ravel()


def read_json(path: str | Path) -> Any:
    """What a JSON file holds, with or without the byte order mark with which Windows begins UTF-8."""
    return json.loads(Path(path).read_text(encoding="utf-8-sig"))


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_finite(value: Any) -> bool:
    # By comparison, since whole numbers in JSON may be too large for math.isfinite.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
