"""Boxes and masks as a `View` shows them, and back: what is true of a photo's pixels stays true of its view.

Boxes (N, 4) as x1, y1, x2, y2 and masks (N, H, W) of a photo are in its pixels; those of the detector's image
in pixels of that, which has one for every `pixels` of the view, see `view_pixels`.
"""

from collections.abc import Mapping
from typing import Any

import torch

from freqvision.inputs.spec import InputSpec
from freqvision.inputs.view import View

STRIDE = 32  # of the backbone's last stage, in pixels of the image: batches are padded to a multiple of it
MIN_SIDE = 1.0  # in pixels of the image; an object cut off to less cannot be seen
_OF_PHOTO = ("image_id", "size", "orig_size")  # entries of a target that have no element for each object


def view_pixels(spec: InputSpec) -> int:
    """Pixels of a view, along an axis, for one pixel of the detector's image: 2 for blocks, 1 for pixels.

    An RGB detector sees the view itself. In the frequency domain photos come at twice the side, so that
    blocks of 8 replace the grid after an RGB network's stem, which is a quarter of its image.
    """
    return min(spec.cell, 2)


def cell_pixels(spec: InputSpec) -> int:
    """Side of a cell of the input in pixels of the detector's image: 4 for blocks, 1 for pixels."""
    return spec.cell // view_pixels(spec)


def image_size(image: torch.Tensor, spec: InputSpec) -> tuple[int, int]:
    """(height, width) in pixels of the image for which an input (C, h, w) stands."""
    pixels = cell_pixels(spec)
    return pixels * image.shape[-2], pixels * image.shape[-1]


def boxes_in_view(boxes: torch.Tensor, view: View, pixels: int = 1) -> torch.Tensor:
    """Boxes of a photo in the image that a view gives, not clipped to it.

    Example:
        >>> view = View(box=(0, 0, 100, 200), size=(50, 100), crop=(0, 4, 48, 96), flip=True)
        >>> boxes_in_view(torch.tensor([[8.0, 0.0, 18.0, 100.0]]), view)
        tensor([[91.,  0., 96., 50.]])
    """
    scale, offset = _affine(boxes, view, pixels)
    moved = boxes * scale + offset
    return moved[:, [2, 1, 0, 3]] if view.flip else moved


def boxes_in_photo(boxes: torch.Tensor, view: View, pixels: int = 1) -> torch.Tensor:
    """The reverse of `boxes_in_view`."""
    scale, offset = _affine(boxes, view, pixels)
    moved = (boxes[:, [2, 1, 0, 3]] if view.flip else boxes) - offset
    return moved / scale


def masks_in_view(masks: torch.Tensor, view: View, pixels: int = 1) -> torch.Tensor:
    """Masks of a photo in the image that a view gives: at each pixel's centre, what the photo has there.

    They are on the CPU, and 0 outside the view's box.
    """
    rows, columns = (_sources(view, axis, pixels).numpy() for axis in (0, 1))
    # numpy takes an eighth of torch's time here, and masks are most of a target's: first the columns, while
    # there are few rows.
    seen = masks.numpy().take(columns.clip(min=0), 2).take(rows.clip(min=0), 1)  # (N, height, width)
    seen[:, rows < 0] = 0
    seen[:, :, columns < 0] = 0
    return torch.from_numpy(seen)


def turned(target: Mapping[str, Any], orientation: int, size: tuple[int, int]) -> dict[str, Any]:
    """Boxes and masks of a photo of a (height, width) as its EXIF orientation shows them; the rest stays.

    Of the orientations 1 to 8, 6 and 8 undo each other, the others themselves.

    Example:
        >>> turned({"boxes": torch.tensor([[0.0, 0, 3, 2]])}, 6, (10, 20))["boxes"]  # a quarter clockwise
        tensor([[ 8.,  0., 10.,  3.]])
    """
    height, width = size
    x1, y1, x2, y2 = target["boxes"].unbind(1)
    masks = target.get("masks")
    if orientation in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
        masks = None if masks is None else masks.flip(-2)
    if orientation in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
        masks = None if masks is None else masks.flip(-1)
    if orientation > 4:
        x1, y1, x2, y2 = y1, x1, y2, x2
        masks = None if masks is None else masks.mT.contiguous()
    boxes = torch.stack([x1, y1, x2, y2], 1)
    return {**target, "boxes": boxes} | ({} if masks is None else {"masks": masks})


def in_truth(found: Mapping[str, Any], target: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Detections in a photo as shown, of a (height, width), in the orientation in which its truth was drawn.

    How the truth was turned is in "turned" of a target of `DetectionPhotos`.
    """
    orientation = target.get("turned", 1)
    return turned(found, {6: 8, 8: 6}.get(orientation, orientation), size)


def objects_of(target: Mapping[str, Any], keep: torch.Tensor) -> dict[str, Any]:
    """A target with those of its N objects that `keep` (N,) says.

    Tensors of N elements hold one per object, except "image_id", "size" and "orig_size"; all other entries
    belong to the photo and stay.

    Example:
        >>> target = {"boxes": torch.zeros(3, 4), "labels": torch.tensor([5, 6, 7]), "camera": "left"}
        >>> kept = objects_of(target, torch.tensor([True, False, True]))
        >>> kept["labels"], kept["camera"]
        (tensor([5, 7]), 'left')
    """
    result = dict(target)
    for key, value in target.items():
        per_object = isinstance(value, torch.Tensor) and value.ndim > 0 and len(value) == len(keep)
        if per_object and key not in _OF_PHOTO:
            result[key] = value[keep]
    return result


def target_in_view(target: Mapping[str, Any], view: View, pixels: int = 1) -> dict[str, Any]:
    """A target as torchvision's detectors take it, transformed as the photo is.

    Boxes are clipped to the image. Objects that its edge cuts off to less than `MIN_SIDE` in height or width
    are removed.
    """
    whole = boxes_in_view(target["boxes"], view, pixels)
    height, width = view.crop[2] // pixels, view.crop[3] // pixels
    boxes = whole.clamp(min=0).minimum(whole.new_tensor([width, height, width, height]))
    sides = boxes[:, 2:] - boxes[:, :2]  # (N, 2)
    uncut = (boxes - whole).abs().amax(1) < 1e-3  # objects that are small, but whole
    keep = (sides > 0).all(1) & (uncut | (sides >= MIN_SIDE).all(1))
    result = objects_of({**target, "boxes": boxes}, keep)
    if "masks" in result:
        result["masks"] = masks_in_view(result["masks"], view, pixels)
    return result


def _affine(boxes: torch.Tensor, view: View, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and offset of x, y, x, y from the photo to the image."""
    top, left, height, width = view.box
    scale_y, scale_x = view.size[0] / height / pixels, view.size[1] / width / pixels
    shift_y = -top * scale_y - view.crop[0] / pixels
    shift_x = -left * scale_x - view.crop[1] / pixels
    if view.flip:
        scale_x, shift_x = -scale_x, view.crop[3] / pixels - shift_x
    values = [[scale_x, scale_y, scale_x, scale_y], [shift_x, shift_y, shift_x, shift_y]]
    # Boxes of whole numbers would round the scale to whole numbers too.
    dtype = torch.promote_types(boxes.dtype, torch.float32)
    scale, offset = torch.tensor(values, dtype=dtype, device=boxes.device)
    return scale, offset


def _sources(view: View, axis: int, pixels: int) -> torch.Tensor:
    """For each pixel of the image along an axis, the photo's pixel at its centre; −1 where there is none."""
    start, length, size = view.box[axis], view.box[2 + axis], view.size[axis]
    count = view.crop[2 + axis] // pixels
    # Whole numbers: the centre is (2i + 1) · pixels / 2 of the crop, and position · length / size of the box.
    centres = (2 * torch.arange(count) + 1) * pixels + 2 * view.crop[axis]  # doubled
    places = torch.div(centres * length, 2 * size, rounding_mode="floor")
    places = torch.where((places >= 0) & (places < length), places + start, -1)
    return places.flip(0) if view.flip and axis == 1 else places


def with_area(detections: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
    """Detections without those whose boxes (N, 4), cut off at the image's edge, have no area.

    R-CNNs leave them out themselves, by the same measure; RetinaNet and FCOS do not.
    """
    from torchvision.ops import remove_small_boxes

    kept = []
    for found in detections:
        keep = remove_small_boxes(found["boxes"], min_size=1e-2)
        kept.append({name: value[keep] for name, value in found.items()})
    return kept
