"""Annotations in COCO's format as torchvision's targets, and as the truth that COCO's evaluation takes."""

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from freqvision.runtime import naming_extras

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
            ModuleNotFoundError: Masks need the package faster-coco-eval.
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
            drawn = np.empty((len(objects), *image.size), dtype=np.uint8)
            for place, found in enumerate(objects):
                drawn[place] = self._mask(image, found)
            target["masks"] = torch.from_numpy(drawn)
        return target

    def truth(self, image_ids: Collection[int], masks: bool = True) -> dict[str, Any]:
        """A part of the annotations as COCO's evaluation takes them, with all that it relies on.

        Annotations are numbered anew, from 1 on: to the evaluation a match with number 0 is none.

        Args:
            image_ids: The photos whose annotations are wanted.
            masks: Whether masks are measured.

        Raises:
            ValueError: Masks are measured, and an object has no outline or a broken one.
        """
        entries: list[dict[str, Any]] = []
        for image in self.images:
            for found in image.objects if image.id in image_ids else ():
                x1, y1, x2, y2 = found.box
                entry: dict[str, Any] = {
                    "id": len(entries) + 1,
                    "image_id": image.id,
                    "category_id": self.category_ids[found.label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": found.area,
                    "iscrowd": int(found.crowd),
                }
                outline = found.segmentation
                if masks and isinstance(outline, list):
                    entry["segmentation"] = [polygon.tolist() for polygon in outline]
                elif masks:
                    self._mask(image, found)  # fails if it is broken: the evaluation does not check it
                    entry["segmentation"] = outline
                entries.append(entry)
        images = [{"id": i.id, "height": i.size[0], "width": i.size[1]} for i in self.images]
        categories = [
            {"id": id_, "name": name} for id_, name in zip(self.category_ids, self.class_names, strict=True)
        ]
        return {"images": images, "annotations": entries, "categories": categories[1:]}

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
            "of masks needs: use a model of boxes (fasterrcnn, retinanet, fcos) with these annotations"
        )

    def _mask(self, image: CocoImage, found: CocoObject) -> np.ndarray:
        if found.segmentation is None:
            raise self._no_outline(image, found)
        try:
            return draw_mask(found.segmentation, image.size)
        except ValueError as error:
            raise ValueError(f"{self.path}: annotation {found.id} of image {image.id}: {error}") from error


def draw_mask(segmentation: Sequence[np.ndarray] | dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """The mask (H, W), uint8, of polygons or run lengths, by COCO's own rules."""
    with naming_extras():
        from faster_coco_eval.core import mask as coco_mask
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
