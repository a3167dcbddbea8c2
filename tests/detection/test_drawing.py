"""Objects drawn on photos: labels that can be read."""

import numpy as np
import pytest
import torch
from PIL import Image

from freqvision.detection.drawing import _free_place, _overlap, class_colour, draw_objects


def test_labels_stay_within_the_picture_and_clear_of_each_other():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        taken = []
        for corner in torch.rand(4, 2, generator=generator).tolist():
            x, y = 200 * corner[0], 100 * corner[1]
            area = _free_place((x, y, x + 40, y + 30), (30, 12), (200, 100), taken)
            assert 0 <= area[0] < area[2] <= 200
            assert 0 <= area[1] < area[3] <= 100
            if any(_overlap(area, other) for other in taken):  # then no other place was free
                for top in (y - 12, y + 30, y):
                    place = (area[0], top, area[2], top + 12)
                    inside = 0 <= top <= 100 - 12
                    assert not inside or any(_overlap(place, other) for other in taken)
            taken.append(area)


@pytest.mark.parametrize("size", [(30, 20), (300, 200), (20, 500)])
def test_labels_of_like_boxes_are_both_there(size):
    """The second stands elsewhere, not behind the first; in a photo smaller than a label one is seen."""
    width, height = size
    boxes = torch.tensor([[2.0, 0.4 * height, width - 2, 0.6 * height]] * 2)
    found = {"boxes": boxes, "labels": torch.tensor([1, 2]), "scores": torch.tensor([0.9, 0.8])}
    drawn = draw_objects(Image.new("RGB", size), found, ["", "a", "b"])
    assert drawn.size == size
    colours = {colour: count for count, colour in drawn.getcolors(size[0] * size[1])}
    assert colours[class_colour(1)] > 20
    if height > 100:
        assert colours[class_colour(2)] > 60


def test_photos_of_16_bits_keep_their_gray():
    gray = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 32
    found = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0), "scores": torch.zeros(0)}
    drawn = draw_objects(Image.fromarray(gray), found, [])
    assert np.abs(np.asarray(drawn)[..., 0] - gray / 257).max() < 1
