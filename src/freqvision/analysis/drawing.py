"""Photos with the objects that a detector found drawn on them."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

_GOLDEN = 0.618034  # of the colour circle between neighbouring classes, so that few look alike
_VEIL = 0.45  # opacity of masks


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

    Args:
        photo: Of any mode and size.
        found: "boxes" (N, 4) as x1, y1, x2, y2 in pixels of the photo, "labels" (N,), "scores" (N,), and
            perhaps "masks" (N, H, W) of bool.
        class_names: By label.

    Returns:
        An RGB image of the same size.

    Example:
        >>> found = {"boxes": torch.tensor([[20.0, 30, 60, 70]]), "labels": torch.tensor([1])}
        >>> found |= {"scores": torch.tensor([0.9])}
        >>> draw_objects(Image.new("L", (100, 80)), found, ["background", "cat"]).size
        (100, 80)
    """
    picture = photo.convert("RGB")
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
        colour = class_colour(labels[place])
        right, bottom = max(x1, min(x2, picture.width - 1)), max(y1, min(y2, picture.height - 1))
        draw.rectangle((x1, y1, right, bottom), outline=colour, width=width)
        text = f"{class_names[labels[place]]} {found['scores'][place]:.0%}"
        _write(draw, text, (x1, y1), colour, font, picture.size)
    return picture


def _write(
    draw: ImageDraw.ImageDraw,
    text: str,
    corner: tuple[float, float],
    colour: tuple[int, int, int],
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    size: tuple[int, int],
) -> None:
    """A label above the upper left corner of a box; inside, where there is no room above."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right - left + 4, bottom - top + 4
    x = max(0, min(corner[0], size[0] - width))
    y = corner[1] - height if corner[1] >= height else corner[1]
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    draw.text((x + 2 - left, y + 2 - top), text, fill="black", font=font)


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask (H, W) that have a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
