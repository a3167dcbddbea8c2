"""Files in COCO's format, which may come from anywhere: read, and checked entry by entry."""

import logging
import math
import os
import sys
from collections.abc import Container, Iterator, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, TypeGuard

import numpy as np

from freqvision.data.folder import holds
from freqvision.detection.coco import CocoAnnotations, CocoImage, CocoObject, Segmentation
from freqvision.jpeg.read import MAX_PIXELS
from freqvision.runtime import parse_json, read_text

log = logging.getLogger(__name__)

MAX_BYTES = 2**32  # of annotations: eight times COCO's


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
    return CocoReader(annotations, images, paths_outside).read()


class CocoReader:
    """Reads one data set; the entry at hand is kept for the messages of faults."""

    def __init__(self, annotations: str | Path, images: str | Path, paths_outside: bool) -> None:
        self.path = str(annotations)
        self.folder = Path(images)
        self.paths_outside = paths_outside
        self.without_area: list[int] = []
        self.degenerate: list[int] = []

    def read(self) -> CocoAnnotations:
        """The annotations, checked."""
        values = self._load()
        names = dict(sorted(self._categories(values).items()))
        labels = {id_: label for label, id_ in enumerate(names, 1)}
        images = self._images(values)
        objects: dict[int, list[CocoObject]] = {id_: [] for id_ in images}
        seen: set[int] = set()
        for place, entry in self._entries(values, "annotations"):
            image_id, id_ = entry.get("image_id"), entry.get("id", place)
            if not _is_whole(image_id) or image_id not in images:
                raise self._fault(f"image_id {image_id!r:.80} is not among the images")
            if not _is_whole(id_):
                raise self._fault(f"an annotation's id is a whole number, or left out; got {id_!r:.80}")
            found = self._object(entry, id_, labels, images[image_id][1])
            if found is None:
                continue
            if "id" in entry:
                self._check_new(id_, seen)
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

    def _load(self) -> dict[str, Any]:
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"no file of annotations at {self.path}")
        try:
            values = parse_json(read_text(self.path, MAX_BYTES))
        except ValueError as error:
            raise ValueError(f"{self.path} is no JSON, or cut off: {error}") from error
        given = values if isinstance(values, dict) else {}
        keys = ("images", "annotations", "categories")
        missing = [key for key in keys if not isinstance(given.get(key), list)]
        if missing:
            raise ValueError(
                f"{self.path} is not in COCO's format: it has no list of {', '.join(missing)} "
                "(files of results are not annotations; an example is COCO's instances_val2017.json)"
            )
        for key in ("images", "categories"):
            if not values[key]:
                raise ValueError(f"{self.path} has no {key}")
        return given

    def _categories(self, values: dict[str, Any]) -> dict[int, str]:
        """Names by category id."""
        names: dict[int, str] = {}
        for _, entry in self._entries(values, "categories"):
            id_, name = entry.get("id"), entry.get("name")
            if not _is_whole(id_) or not isinstance(name, str):
                raise self._fault('a category has a whole number "id" and a "name"')
            self._check_new(id_, names)
            names[id_] = name
        return names

    def _images(self, values: dict[str, Any]) -> dict[int, tuple[str, tuple[int, int]]]:
        """Path and (height, width) by image id."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"no folder of photos at {self.folder}")
        present = {entry.name for entry in os.scandir(self.folder) if holds(entry.is_file)}
        images: dict[int, tuple[str, tuple[int, int]]] = {}
        missing: list[str] = []
        for _, entry in self._entries(values, "images"):
            id_, name = entry.get("id"), entry.get("file_name")
            if not _is_whole(id_) or not isinstance(name, str):
                raise self._fault('an image has a whole number "id" and a "file_name"')
            size = self._size(entry)
            self._check_new(id_, images)
            way = PureWindowsPath(name)  # which knows both separators
            if not self.paths_outside and (way.anchor or ".." in way.parts):
                raise self._fault(
                    f"the file name leads out of the folder of photos, {self.folder}: make it relative to "
                    "that folder, or allow it by paths_outside=True if you trust these annotations"
                )
            path = os.path.join(self.folder, name)
            if name not in present and not os.path.isfile(path):
                missing.append(f"{path} (image {id_})")
            images[id_] = path, size
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of the {len(images)} photos of {self.path} are missing: {_first(missing, 3)}"
            )
        return images

    def _size(self, entry: dict[str, Any]) -> tuple[int, int]:
        """(height, width) of an image."""
        height, width = entry.get("height"), entry.get("width")
        if not (_is_whole(height) and _is_whole(width) and height > 0 and width > 0):
            got = f"{height!r:.80} and {width!r:.80}"
            raise self._fault(f"height and width are whole numbers above 0, got {got}")
        if height * width > MAX_PIXELS:
            raise self._fault(f"{width}×{height} pixels are more than the {MAX_PIXELS:,} of any photo")
        return height, width

    def _object(
        self, entry: dict[str, Any], id_: int, labels: dict[int, int], size: tuple[int, int]
    ) -> CocoObject | None:
        """An annotation; None if nothing of it lies within the photo."""
        box, category = entry.get("bbox"), entry.get("category_id")
        if not _is_whole(category) or category not in labels:
            raise self._fault(f"category_id {category!r:.80} is not among the categories")
        if not (isinstance(box, list) and len(box) == 4 and all(_is_finite(value) for value in box)):
            raise self._fault(f"bbox is [x, y, width, height] in pixels, got {box!r:.80}")
        x, y, width, height = map(float, box)
        if width < 0 or height < 0:
            raise self._fault(f"bbox has a width or height below 0: {box}")
        crowd, area = entry.get("iscrowd", 0), entry.get("area", width * height)
        if crowd not in (0, 1):
            raise self._fault(f"iscrowd is 0 or 1, got {crowd!r:.80}")
        if not _is_finite(area) or area < 0:
            raise self._fault(f"area is a number of pixels, got {area!r:.80}")
        x1, x2 = (min(max(value, 0.0), float(size[1])) for value in (x, x + width))
        y1, y2 = (min(max(value, 0.0), float(size[0])) for value in (y, y + height))
        # As float32, which is what models get.
        if not (np.float32(x1) < np.float32(x2) and np.float32(y1) < np.float32(y2)):
            self.without_area.append(id_)
            return None
        try:
            outline, complete = read_segmentation(entry.get("segmentation"), size)
        except ValueError as error:
            raise self._fault(str(error)) from error
        if not complete:
            self.degenerate.append(id_)
            if not outline:
                return None
        return CocoObject(id_, labels[category], (x1, y1, x2, y2), bool(crowd), float(area), outline)

    def _entries(self, values: dict[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for place, entry in enumerate(values[key]):
            if not isinstance(entry, dict):
                raise ValueError(f"{self.path}: {key}[{place}] is {entry!r:.80}, where an object is expected")
            self.at = key, place, entry
            yield place, entry

    def _check_new(self, id_: int, known: Container[int]) -> None:
        if id_ in known:
            raise self._fault(f"the id {id_} occurs twice")

    def _fault(self, what: str) -> ValueError:
        key, place, entry = self.at
        keys = ("id", "image_id", "file_name")
        known = ", ".join(f"{key} {entry[key]!s:.80}" for key in keys if key in entry)
        return ValueError(f"{self.path}: {key}[{place}] ({known or 'without id'}): {what}")

    def _warn(self, ids: list[int], what: str) -> None:
        if ids:
            log.warning("%s: %d %s: %s", self.path, len(ids), what, _first(ids, 10))


def _first(values: Sequence[Any], count: int) -> str:
    return ", ".join(map(str, values[:count])) + (", …" if len(values) > count else "")


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
    # COCO's rules take memory by the length of an outline. An edge is no longer than three times the photo.
    limit = 100 * sum(size)
    if sum(map(len, polygons)) // 2 * 3 * max(size) <= limit:
        return polygons, len(polygons) == len(values)
    length = sum(
        np.abs(np.diff(points, axis=0, append=points[:1])).max(1).sum()
        for points in (polygon.reshape(-1, 2) for polygon in polygons)
    )
    if length > limit:
        raise ValueError(
            f"its outline of {length:,.0f} pixels is longer than any in a photo of {size[1]}×{size[0]} pixels"
        )
    return polygons, len(polygons) == len(values)


def _cut(polygon: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of a polygon (2N,) in the photo and around it, by Sutherland's and Hodgman's algorithm.

    The margins, as wide as the photo, keep the rounding of cut edges away from what is seen: polygons that
    reach beyond the photo by less, as in COCO, stay as they are.
    """
    if polygon.min() >= -min(size) and polygon.max() <= 2 * min(size):
        return polygon
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


def _is_whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_finite(value: Any) -> bool:
    # By comparison, since whole numbers in JSON may be too large for math.isfinite.
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max
