r"""Resizing, cropping and flipping along one axis as a matrix on DCT coefficients.

This is the definition that the native pipeline mirrors; everything here is float64 and written to be read.

One axis of a photo has ``photo`` luma pixels. A `Resampling` cuts the box ``[box_start, box_start +
box_length)`` out of it, resizes that to ``size`` pixels, and shows the window ``[crop_start, crop_start +
crop_length)`` of the result, perhaps mirrored. A component is stored with ``samples_per_pixel`` r = h / h_max
samples a luma pixel: 1, or 1/2 for the chroma of 4:2:0. Its real size is ``ceil(photo · r)`` samples; what
its last block holds beyond them an encoder made up, and it has no weight.

Lengths are continuous: luma pixel p covers [p, p + 1) and has its centre at p + ½, and sample j of the
component covers the luma interval [j / r, (j + 1) / r). (Chroma is centred between luma pixels, as JFIF has
it; the ratio is r exactly, never a ratio of sizes, which differs from it when a side is odd.) Then

- pixel i of the resized box has its centre at ``c = (box_start + (i + ½) · box_length / size) · r`` samples;
- one pixel steps over ``s = r · box_length / size`` samples;
- sample j gets the weight ``filter((j + ½ − c) / max(s, 1))``; "bilinear" is the triangle
  ``max(0, 1 − |x|)``, "bicubic" is Keys' cubic with a = −½;
- only samples that belong to the box have weight:
  ``floor(box_start · r) ≤ j < ceil((box_start + box_length) · r)``;
- the weights of a pixel are divided by their sum.

That is the pixel matrix R of shape (crop_length, samples), its rows outside the resized box zero (gray). For
luma it equals torch's ``interpolate(..., antialias=True)`` of the box. In coefficients the same map is

    A = D_out · R · D_inᵀ

with D block-diagonal of 8×8 DCT matrices. A plane C of coefficients becomes ``A_v @ C @ A_h.T``.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import torch

from freqvision.spectrum.channels import BLOCK
from freqvision.spectrum.dct import dct_matrix


@dataclass(frozen=True)
class Resampling:
    """What happens to one component along one axis; the module's text defines each term.

    Args:
        photo: Luma pixels of the photo.
        box_start: First pixel of the box.
        box_length: Pixels of the box.
        size: Pixels that the box is resized to.
        crop_start: First pixel of the window in the resized box; may be negative.
        crop_length: Pixels of the window; for coefficients a multiple of 8.
        samples_per_pixel: Sampling factor of the component over the largest one.
        flip: Mirror the window.
        interpolation: "bilinear" or "bicubic".

    Raises:
        ValueError: The box is empty or reaches beyond the photo, the window is empty, or the interpolation is
            unknown.

    Example:
        >>> half = Resampling(photo=16, box_start=0, box_length=16, size=8, crop_start=0, crop_length=8)
        >>> half.coefficient_matrix().shape
        torch.Size([8, 16])
    """

    photo: int
    box_start: int
    box_length: int
    size: int
    crop_start: int
    crop_length: int
    samples_per_pixel: Fraction = Fraction(1)
    flip: bool = False
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if self.box_start < 0 or self.box_length <= 0 or self.box_start + self.box_length > self.photo:
            raise ValueError(
                f"the box of {self.box_length} pixels from {self.box_start} "
                f"is not inside the photo's {self.photo}"
            )
        if self.size <= 0 or self.crop_length <= 0:
            raise ValueError(f"size and crop_length are positive; got {self.size} and {self.crop_length}")
        if self.interpolation not in _FILTERS:
            raise ValueError(f"interpolation is {' or '.join(_FILTERS)}; got {self.interpolation!r}")

    @property
    def samples(self) -> int:
        """Real samples of the component along this axis."""
        return math.ceil(self.photo * self.samples_per_pixel)

    @property
    def blocks(self) -> int:
        """Stored blocks of the component along this axis; the last may hold padding."""
        return -(-self.samples // BLOCK)

    def pixel_matrix(self) -> torch.Tensor:
        """R (crop_length, 8·blocks), float64: from stored samples, with padding, to the window's pixels."""
        ratio = self.samples_per_pixel
        pixels = self.crop_start + torch.arange(self.crop_length, dtype=torch.float64)  # (crop_length,)
        centres = (self.box_start + (pixels + 0.5) * self.box_length / self.size) * float(ratio)
        width = max(float(ratio) * self.box_length / self.size, 1.0)
        first = math.floor(self.box_start * ratio)
        end = math.ceil((self.box_start + self.box_length) * ratio)
        samples = torch.arange(BLOCK * self.blocks, dtype=torch.float64)  # (8·blocks,)
        weights = _FILTERS[self.interpolation]((samples + 0.5 - centres[:, None]) / width)
        weights = weights * ((samples >= first) & (samples < end))
        inside = (pixels >= 0) & (pixels < self.size)
        total = weights.sum(dim=1, keepdim=True)
        matrix = torch.where(inside[:, None], weights / total, 0.0)  # (crop_length, 8·blocks)
        return matrix.flip(0) if self.flip else matrix

    def coefficient_matrix(self) -> torch.Tensor:
        """A = D_out · R · D_inᵀ (crop_length, 8·blocks), float64: from stored to shown coefficients."""
        if self.crop_length % BLOCK:
            raise ValueError(f"crop_length is in multiples of {BLOCK} here, got {self.crop_length}")
        dct = dct_matrix(BLOCK, torch.float64)
        matrix = self.pixel_matrix().unflatten(0, (-1, BLOCK))  # (output blocks, 8, 8·blocks)
        matrix = (dct @ matrix).flatten(0, 1).unflatten(1, (-1, BLOCK))  # (crop_length, blocks, 8)
        return (matrix @ dct.T).flatten(1)  # (crop_length, 8·blocks)

    def band(self) -> list[tuple[int, int]]:
        """Half-open range of input blocks that each output block depends on; empty for a gray one."""
        blocks = self.pixel_matrix().unflatten(0, (-1, BLOCK)).unflatten(2, (-1, BLOCK))  # (out, 8, in, 8)
        touched = blocks.ne(0).any(dim=3).any(dim=1)  # (out, in)
        ranges = []
        for row in touched:
            columns = row.nonzero().flatten().tolist()
            ranges.append((columns[0], columns[-1] + 1) if columns else (0, 0))
        return ranges


def _triangle(x: torch.Tensor) -> torch.Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: torch.Tensor) -> torch.Tensor:
    """Keys' cubic convolution with a = −½, which torch and Pillow use for antialiased bicubic."""
    a = -0.5
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


_FILTERS = {"bilinear": _triangle, "bicubic": _cubic}
