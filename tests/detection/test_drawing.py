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
            if area is None:  # then no place was free
                for top in (y - 12, y + 30, y):
                    place = (x, top, x + 30, top + 12)
                    inside = 0 <= top <= 100 - 12 and x <= 200 - 30
                    assert not inside or any(_overlap(place, other) for other in taken)
                continue
            assert 0 <= area[0] < area[2] <= 200
            assert 0 <= area[1] < area[3] <= 100
            assert not any(_overlap(area, other) for other in taken)
            taken.append(area)


def test_labels_of_a_crowd_do_not_cover_each_other():
    """Each label that is there is whole: as many pixels of its colour as it has alone."""
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(60, 2, generator=generator) * torch.tensor([540.0, 420])
    found = {
        "boxes": torch.cat([corners, corners + 60], 1),
        "labels": torch.arange(60),
        "scores": torch.linspace(0.9, 0.5, 60),
    }
    names = [f"class {label}" for label in range(60)]
    drawn = draw_objects(Image.new("RGB", (640, 480)), found, names)
    colours = {colour: count for count, colour in drawn.getcolors(640 * 480)}
    whole = 0
    for label in range(60):
        single = {key: value[label : label + 1] for key, value in found.items()}
        alone = draw_objects(Image.new("RGB", (640, 480)), single, names).getcolors(640 * 480)
        box = 4 * 2 * 60  # of its outline, which others may cover
        (expected,) = (count for count, colour in alone if colour == class_colour(label))
        count = colours.get(class_colour(label), 0)
        assert count <= box or count >= expected - box
        whole += count >= expected - box
    assert 30 <= whole <= 60
    assert colours[class_colour(0)] >= 1000  # the surest


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
