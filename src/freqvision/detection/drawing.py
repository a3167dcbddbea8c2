"""Photos with the objects that a detector found drawn on them."""

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from freqvision.inputs.transform import eight_bits

_GOLDEN = 0.618034  # of the colour circle between neighbouring classes, which makes similar colours rare
_VEIL = 0.45  # opacity of masks

Area = tuple[float, float, float, float]  # x1, y1, x2, y2


def class_colour(label: int) -> tuple[int, int, int]:
    """The colour of a class, bright enough for dark text on it.

    Example:
        >>> class_colour(1) != class_colour(2)
        True
    """
    red, green, blue = colorsys.hsv_to_rgb(label * _GOLDEN % 1, 0.65, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_objects(
    photo: Image.Image, found: Mapping[str, torch.Tensor], class_names: Sequence[str]
) -> Image.Image:
    """Draw boxes, masks, labels and scores on a copy of a photo.

    Labels never cover each other: in a crowded picture the surest objects have one, the others their box and
    colour.

    Args:
        photo: Of any mode and size.
        found: "boxes" (N, 4) as x1, y1, x2, y2 in pixels of the photo, "labels" (N,), "scores" (N,), and
            perhaps "masks" (N, H, W) of bool.
        class_names: By label.

    Example:
        >>> found = {"boxes": torch.tensor([[20.0, 30, 60, 70]]), "labels": torch.tensor([1])}
        >>> found |= {"scores": torch.tensor([0.9])}
        >>> draw_objects(Image.new("L", (100, 80)), found, ["background", "cat"]).size
        (100, 80)
    """
    picture = eight_bits(photo).convert("RGB")
    order = found["scores"].argsort().tolist()  # the surest objects on top
    labels = found["labels"].tolist()
    if "masks" in found:
        canvas = np.asarray(picture).astype(np.float32)
        for place in order:
            mask = found["masks"][place].numpy()
            veil = np.array(class_colour(labels[place]), dtype=np.float32)
            canvas[mask] = (1 - _VEIL) * canvas[mask] + _VEIL * veil
            canvas[_edge(mask)] = veil
        picture = Image.fromarray(canvas.round().astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    scale = min(picture.size)
    width, font = max(1, scale // 200), ImageFont.load_default(max(10, scale // 28))
    for place in order:
        x1, y1, x2, y2 = found["boxes"][place].tolist()
        right, bottom = max(x1, min(x2, picture.width - 1)), max(y1, min(y2, picture.height - 1))
        draw.rectangle((x1, y1, right, bottom), outline=class_colour(labels[place]), width=width)
    taken: list[Area] = []
    for place in reversed(order):  # the surest objects choose first
        text = f"{class_names[labels[place]]} {found['scores'][place]:.0%}"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        size = right - left + 4, bottom - top + 4
        area = _free_place(found["boxes"][place].tolist(), size, picture.size, taken)
        if area is not None:
            taken.append(area)
            draw.rectangle(area, fill=class_colour(labels[place]))
            draw.text((area[0] + 2 - left, area[1] + 2 - top), text, fill="black", font=font)
    return picture


def _free_place(
    box: Sequence[float], size: tuple[float, float], picture: tuple[int, int], taken: Sequence[Area]
) -> Area | None:
    """A place for a label of a size (width, height) that covers no other; None if there is none.

    Above the box, below it, or inside at its top or bottom; flush with its left edge, its right, or centred.
    """
    (width, height), (x1, y1, x2, y2) = size, box
    tops = [y for y in (y1 - height, y2, y1, y2 - height) if 0 <= y <= picture[1] - height]
    for y in tops or [0.0]:  # of a picture lower than the label, what fits
        for x in (x1, x2 - width, (x1 + x2 - width) / 2):
            x = max(0.0, min(x, picture[0] - width))
            area = (x, y, x + width, y + height)
            if not any(_overlap(area, other) for other in taken):
                return area
    return None


def _overlap(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask (H, W) that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
