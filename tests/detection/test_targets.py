"""Boxes and masks in a view, against torchvision's own transforms of them."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from freqvision import View
from freqvision.detection.targets import boxes_in_photo, boxes_in_view, masks_in_view, target_in_view

SIDES = st.integers(8, 90)


@st.composite
def views(draw, pixels: int = 1):
    """A photo's size and a view of it; all sizes of the view are multiples of `pixels`."""
    photo = draw(SIDES), draw(SIDES)
    height, width = (draw(st.integers(1, side)) for side in photo)
    box = draw(st.integers(0, photo[0] - height)), draw(st.integers(0, photo[1] - width)), height, width
    size = tuple(pixels * draw(st.integers(1, 60)) for _ in range(2))
    crop_size = tuple(8 * draw(st.integers(1, 6)) for _ in range(2))
    places = (
        draw(st.integers(-((c - 1) // pixels), (s - 1) // pixels))
        for s, c in zip(size, crop_size, strict=True)
    )
    crop = (*(pixels * place for place in places), *crop_size)
    return photo, View(box, size, crop, draw(st.booleans()))


def shown_by_torchvision(item, view: View, pixels: int = 1, **resize):
    item = F.crop(item, *view.box)
    item = F.resize(item, [side // pixels for side in view.size], **resize)
    top, left, height, width = (side // pixels for side in view.crop)
    item = F.crop(item, top, left, height, width)
    return F.horizontal_flip(item) if view.flip else item


@settings(deadline=None, max_examples=60)
@given(views())
def test_boxes_are_torchvisions(case):
    photo, view = case
    corners = torch.rand(6, 2, 2) * torch.tensor([photo[1], photo[0]])
    boxes = torch.cat([corners.amin(1), corners.amax(1)], 1)
    options = {"format": "XYXY", "canvas_size": photo, "clamping_mode": None}
    expected = shown_by_torchvision(tv_tensors.BoundingBoxes(boxes, **options), view)
    moved = boxes_in_view(boxes, view)
    scale = max(view.size[0] / view.box[2], view.size[1] / view.box[3], 1)
    torch.testing.assert_close(
        moved, expected.as_subclass(torch.Tensor), atol=1e-4 * scale * max(photo), rtol=0
    )
    halves = boxes_in_view(boxes, view, pixels=2)
    torch.testing.assert_close(2 * halves, moved)
    torch.testing.assert_close(boxes_in_photo(halves, view, pixels=2), boxes, atol=1e-2, rtol=0)


@pytest.mark.parametrize("pixels", [1, 2])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_masks_are_torchvisions(pixels, data):
    photo, view = data.draw(views(pixels))
    for length, size in zip(view.box[2:], view.size, strict=True):
        # Where a centre falls between two pixels, torch's floating point decides.
        assume(all((2 * place + 1) * length * pixels % (2 * size) for place in range(size // pixels)))
    masks = torch.rand(3, *photo) < 0.5
    # As an image, since torchvision resizes masks by the older rule "nearest", which is off by half a pixel.
    expected = shown_by_torchvision(
        tv_tensors.Image(masks.to(torch.uint8)),
        view,
        pixels,
        interpolation=v2.InterpolationMode.NEAREST_EXACT,
    )
    assert torch.equal(masks_in_view(masks, view, pixels), expected.as_subclass(torch.Tensor).bool())


def test_objects_that_leave_the_view_are_left_out_everywhere():
    view = View((0, 0, 40, 40), (80, 80), (40, 40, 40, 40))  # the lower right quarter, at twice the size
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [10, 10, 30, 30], [20, 20, 20.1, 20.1], [15, 15, 20.2, 40], [5, 25, 40, 35]]
    )
    target = {
        "boxes": boxes,
        "labels": torch.arange(5),
        "masks": torch.ones(5, 40, 40, dtype=torch.uint8),
        "iscrowd": torch.zeros(5, dtype=torch.int64),
        "image_id": torch.tensor([7]),
    }
    shown = target_in_view(target, view)
    # The third is small but whole; of the fourth, less than a pixel is left.
    assert shown["labels"].tolist() == [1, 2, 4]
    expected = [
        [0, 0, 20, 20],
        [0, 0, 0.2, 0.2],
        [0, 10, 40, 30],
    ]
    torch.testing.assert_close(shown["boxes"], torch.tensor(expected), atol=1e-5, rtol=0)
    assert shown["masks"].shape == (3, 40, 40)
    assert len(shown["iscrowd"]) == 3
    assert shown["image_id"].tolist() == [7]
    assert target["boxes"] is boxes
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "masks": torch.zeros(0, 40, 40)}
    assert target_in_view(empty, view)["masks"].shape == (0, 40, 40)


def test_boxes_of_whole_numbers_are_scaled_all_the_same():
    view = View((0, 0, 100, 100), (160, 160), (0, 0, 160, 160))
    boxes = torch.tensor([[10, 10, 50, 50]])
    shown = target_in_view({"boxes": boxes, "labels": torch.tensor([1])}, view, pixels=2)
    torch.testing.assert_close(shown["boxes"], torch.tensor([[8.0, 8, 40, 40]]))


def test_entries_go_with_their_objects_or_stay_with_the_photo():
    """Of two objects one is out of sight; of the photo's own entries one happens to have two elements."""
    target = {
        "boxes": torch.tensor([[0.0, 0.0, 8.0, 8.0], [40.0, 40.0, 48.0, 48.0]]),
        "labels": torch.tensor([3, 4]),
        "orig_size": torch.tensor([64, 64]),
        "image_id": 7,
        "camera": "left",
        "exposure": torch.tensor(0.1),
        "colour": torch.tensor([0.1, 0.2, 0.3]),
    }
    seen = target_in_view(target, View(box=(0, 0, 64, 64), size=(64, 64), crop=(0, 0, 16, 16), flip=False))
    assert seen["labels"].tolist() == [3]
    assert len(seen["boxes"]) == 1
    for key in ("orig_size", "image_id", "camera", "exposure", "colour"):
        assert seen[key] is target[key]
