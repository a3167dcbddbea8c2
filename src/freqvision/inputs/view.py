"""Which part of a photo a model sees: torchvision's geometry, to the pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from freqvision.spectrum.channels import BLOCK

_TRIES = 10  # of torchvision's RandomResizedCrop before it falls back to a centre crop


@dataclass(frozen=True)
class View:
    """A part of a photo, resized, cropped and perhaps mirrored; all in luma pixels, in this order.

    Args:
        box: (top, left, height, width) cut out of the photo; nothing outside it is read.
        size: (height, width) that the box is resized to.
        crop: (top, left, height, width) cut out of the resized box. For frequencies, height and width are
            multiples of 8. Rows and columns outside the resized box are gray (coefficient 0), or of pixels
            the mean colour, so top and left may be negative.
        flip: Mirror the crop horizontally.

    Raises:
        ValueError: A side is not positive, or box or crop lies outside the photo.

    Example:
        >>> view = resize_crop_view((375, 500), resize=256, crop=224)
        >>> view
        View(box=(0, 0, 375, 500), size=(256, 341), crop=(16, 58, 224, 224), flip=False)
        >>> view.grid
        (28, 28)
    """

    box: tuple[int, int, int, int]
    size: tuple[int, int]
    crop: tuple[int, int, int, int]
    flip: bool = False

    def __post_init__(self) -> None:
        # Runs for every photo of a training run, hence without loops and slices.
        top, left, height, width = self.box
        if top < 0 or left < 0 or height <= 0 or width <= 0:
            raise ValueError(f"box is (top ≥ 0, left ≥ 0, height > 0, width > 0) in pixels; got {self.box}")
        rows, columns = self.size
        if rows <= 0 or columns <= 0:
            raise ValueError(f"size is (height > 0, width > 0) in pixels; got {self.size}")
        top, left, height, width = self.crop
        if height <= 0 or width <= 0:
            raise ValueError(f"a crop's height and width are positive; got ({height}, {width})")
        if not (-height < top < rows and -width < left < columns):
            raise ValueError(f"the crop {self.crop} shows nothing of the photo resized to {self.size}")

    def cells(self, cell: int = BLOCK) -> tuple[int, int]:
        """(height, width) of the output in cells of `cell`×`cell` pixels.

        Raises:
            ValueError: The crop is not made of whole cells.
        """
        height, width = self.crop[2:]
        if height % cell or width % cell:
            raise ValueError(
                f"a crop of frequencies has a height and width that are multiples of {cell}, whole blocks; "
                f"got ({height}, {width}), try {whole_blocks(height), whole_blocks(width)}"
            )
        return height // cell, width // cell

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the output in blocks.

        Raises:
            ValueError: The crop is not made of whole blocks, as only pixels may be cropped.
        """
        return self.cells()

    def flipped(self) -> View:
        """The same view, mirrored."""
        return replace(self, flip=not self.flip)


def whole_blocks(side: int) -> int:
    """The next multiple of 8 that is no smaller."""
    return -(-side // BLOCK) * BLOCK


def resize_crop_view(
    image_size: tuple[int, int],
    resize: int | tuple[int, int] | None = None,
    crop: int | tuple[int, int] | None = None,
    max_size: int | None = None,
    cell: int = BLOCK,
    centring: str = "round",
) -> View:
    """The view that torchvision's ``Resize(resize, max_size=max_size)`` and ``CenterCrop(crop)`` show.

    Args:
        image_size: (height, width) of the photo in pixels.
        resize: Length of the shorter side (the longer one is cut to whole pixels), exact (height, width), or
            None for the stored size.
        crop: Side of a square, or (height, width), multiples of `cell`; None for the whole resized photo,
            padded with gray to whole cells at the bottom and on the right. A crop larger than the resized
            photo has gray margins where torchvision's are black.
        max_size: Where `resize` is one number, the longer side that it may lead to; above it, the photo is
            resized to that instead.
        cell: Side in pixels of what the output consists of: 8 for frequencies, 1 for pixels.
        centring: "round" begins a crop that leaves an odd number of pixels where torchvision does, half to
            even, "floor" where transformers does.

    Raises:
        ValueError: A side is not positive or a crop's is no multiple of `cell`.
    """
    height, width = _pair(image_size, "image_size")
    if isinstance(resize, int):
        if resize <= 0:
            raise ValueError(f"resize is a positive number of pixels, got {resize}")
        size = _resized(height, width, resize, max_size)
    else:
        size = (height, width) if resize is None else _pair(resize, "resize")
    if crop is None:
        window = (0, 0, -(-size[0] // cell) * cell, -(-size[1] // cell) * cell)
    else:
        crop_height, crop_width = (crop, crop) if isinstance(crop, int) else _pair(crop, "crop")
        if crop_height % cell or crop_width % cell:
            raise ValueError(f"crop is a multiple of {cell} pixels, whole blocks; got {crop}")
        top, left = (_centre(*sides, centring) for sides in zip(size, (crop_height, crop_width), strict=True))
        window = (top, left, crop_height, crop_width)
    return View(box=(0, 0, height, width), size=size, crop=window)


def random_resized_view(
    image_size: tuple[int, int],
    crop: int | tuple[int, int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    hflip: float = 0.5,
    generator: torch.Generator | None = None,
) -> View:
    """A random view as torchvision's ``RandomResizedCrop`` and ``RandomHorizontalFlip`` choose it.

    Args:
        image_size: (height, width) of the photo in pixels.
        crop: Side of the square, or (height, width), that the random box is resized to: for frequencies
            multiples of 8.
        scale: Smallest and largest share of the photo's area that the box may have.
        ratio: Smallest and largest width / height of the box.
        hflip: Probability of a mirrored view.
        generator: Source of randomness; None is torch's default generator.

    Raises:
        ValueError: A range is empty or not positive, a side is illegal, or `hflip` is no probability.

    Example:
        >>> view = random_resized_view((375, 500), 448, generator=torch.Generator().manual_seed(0))
        >>> view.size, view.grid
        ((448, 448), (56, 56))
    """
    return random_resized_views([image_size], crop, scale, ratio, hflip, generator)[0]


def random_resized_views(
    image_sizes: Sequence[tuple[int, int]],
    crop: int | tuple[int, int],
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    hflip: float = 0.5,
    generator: torch.Generator | None = None,
) -> list[View]:
    """`random_resized_view` for each photo of a batch, with one call to the random generator.

    A list of photos gets the same views however it is divided into batches.
    """
    size = (crop, crop) if isinstance(crop, int) else _pair(crop, "crop")
    check_random(scale, ratio, hflip)
    shape = (len(image_sizes), 2 * _TRIES + 3)
    draws = torch.rand(shape, dtype=torch.float64, device="cpu", generator=generator).tolist()
    views, window = [], (0, 0, *size)
    for image_size, uniforms in zip(image_sizes, draws, strict=True):
        box = _random_box(_pair(image_size, "image_size"), scale, ratio, uniforms)
        views.append(View(box, size, window, uniforms[-1] < hflip))
    return views


def check_random(scale: tuple[float, float], ratio: tuple[float, float], hflip: float) -> None:
    """Refuse ranges that are empty or not positive, and what is no probability."""
    pairs = all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in (scale, ratio))
    if not (pairs and 0 < scale[0] <= scale[1] and 0 < ratio[0] <= ratio[1]):
        raise ValueError(
            f"scale and ratio are (min, max) with 0 < min ≤ max; got scale={scale}, ratio={ratio}"
        )
    if not 0 <= hflip <= 1:
        raise ValueError(f"hflip is a probability from 0 to 1, got {hflip}")


def _random_box(
    image_size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    uniforms: Sequence[float],
) -> tuple[int, int, int, int]:
    """Box of torchvision's RandomResizedCrop from numbers in [0, 1): (area, ratio) of each try, top, left."""
    height, width = image_size
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for attempt in range(0, 2 * _TRIES, 2):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * uniforms[attempt])
        aspect = math.exp(low + (high - low) * uniforms[attempt + 1])
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(uniforms[2 * _TRIES] * (height - box_height + 1))
            left = int(uniforms[2 * _TRIES + 1] * (width - box_width + 1))
            return top, left, box_height, box_width
    box_height, box_width = height, width
    if width / height < ratio[0]:
        box_height = max(1, round(width / ratio[0]))
    elif width / height > ratio[1]:
        box_width = max(1, round(height * ratio[1]))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def _resized(height: int, width: int, resize: int, max_size: int | None) -> tuple[int, int]:
    """Size by torchvision's Resize, whose rounding is followed to the pixel."""
    short, long = sorted((height, width))
    # A photo of 1×1000 resized to 1 would have more pixels than sense, but is legal in torchvision, so here
    # too.
    new_short, new_long = resize, int(resize * long / short)
    if max_size is not None and new_long > max_size:
        # A panorama so long that nothing would be left of its shorter side keeps a pixel of it.
        new_short, new_long = max(1, int(max_size * new_short / new_long)), max_size
    return (new_short, new_long) if height <= width else (new_long, new_short)


def _centre(side: int, crop: int, centring: str) -> int:
    """Where a centre crop begins; negative where it pads."""
    if crop > side:
        return -((crop - side) // 2)
    return round((side - crop) / 2) if centring == "round" else (side - crop) // 2


def _pair(value: tuple[int, int], name: str) -> tuple[int, int]:
    height, width = value
    if height <= 0 or width <= 0:
        raise ValueError(f"{name} is (height, width), both positive pixels; got {tuple(value)}")
    return height, width
