"""The compressed path written to be read: one matrix for each axis of a component, in float64.

`Decoder` computes the same natively and is tested against this.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import torch

from freqvision.inputs.encoding import encode, store
from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.inputs.view import View
from freqvision.jpeg.coefficients import Coefficients
from freqvision.spectrum.channels import COMPONENTS
from freqvision.spectrum.colour import GRAY
from freqvision.spectrum.cube import gather
from freqvision.spectrum.dct import dct_matrix
from freqvision.spectrum.resampling import Resampling


def transform_coefficients(coefficients: Coefficients, view: View, spec: FrequencySpec) -> torch.Tensor:
    """Model input from a JPEG's coefficients: dequantise, resample, gather, select, normalise, cast.

    Every component goes straight to the output grid, chroma too, whatever its sampling. A gray photo has zero
    chroma.

    Args:
        coefficients: What `freqvision.read_coefficients` gave, of a gray or YCbCr file.
        view: Which part of the photo to show, in luma pixels.
        spec: Channels, statistics, type and interpolation; its resize and crop are the view's business.

    Returns:
        (C, h, w) of the spec's type.

    Raises:
        ValueError: The photo is not stored as gray or YCbCr, or the view's box reaches beyond it.
    """
    if coefficients.colour_model not in ("gray", "YCbCr"):
        raise ValueError(
            f"the photo is stored as {coefficients.colour_model}, not as gray or YCbCr: "
            "decode it to pixels (PIL.Image.open) and use PixelTransform, as Decoder does by itself"
        )
    planes = torch.zeros(len(COMPONENTS), view.crop[2], view.crop[3], dtype=torch.float64)
    for component in range(len(coefficients.planes)):
        if spec.channels.component(component):
            vertical, horizontal = component_resampling(coefficients, component, view, spec.interpolation)
            stored = dequantised_plane(coefficients, component)
            planes[component] = vertical.coefficient_matrix() @ stored @ horizontal.coefficient_matrix().T
    return encode(gather(planes), spec)


def transform_pixels(coefficients: Coefficients, view: View, spec: PixelSpec) -> torch.Tensor:
    """Pixels from a JPEG's coefficients, nothing rounded on the way: the definition of `Decoder`'s pixels.

    Inverse DCT, chroma upsampled as libjpeg does it, antialiased resizing, colour, clamping, normalising. The
    result is (C, height, width) of the spec's type; what lies outside the photo has the mean colour.
    """
    height, width = coefficients.size
    of_axes = _resampling(coefficients, view, spec.interpolation, (1, 1))
    vertical, horizontal = (resampling.pixel_matrix() for resampling in of_axes)
    planes = torch.zeros(len(COMPONENTS), view.crop[2], view.crop[3], dtype=torch.float64)
    for component in range(len(coefficients.planes)):
        stored = dequantised_plane(coefficients, component).unflatten(0, (-1, 8)).unflatten(2, (-1, 8))
        dct = dct_matrix(8, torch.float64)
        samples = torch.einsum("ui,aubv,vj->aibj", dct, stored, dct).flatten(2, 3).flatten(0, 1)
        high, wide = _upsampling(coefficients, component)
        luma = (high @ samples[: high.shape[1]][:, : wide.shape[1]] @ wide.T)[:height, :width]
        planes[component] = vertical[:, :height] @ luma @ horizontal[:, :width].T
    matrix = spec.colour_matrix()
    pixels = (torch.einsum("ki,ihw->khw", matrix, planes) + GRAY).clamp(0, 255)  # (C, height, width)
    shown = (vertical.sum(1)[:, None] * horizontal.sum(1)) > 0.5  # (height, width)
    pixels = torch.where(shown, pixels, 255 * pixels.new_tensor(spec.blank)[:, None, None])
    if spec.dtype == "uint8":
        return (pixels + 0.5).floor().byte()
    return store(pixels / 255, spec)


def _upsampling(coefficients: Coefficients, component: int) -> tuple[torch.Tensor, torch.Tensor]:
    """U of both axes, (luma pixels, samples): libjpeg's triangle for ratios of 2, else samples repeated."""
    factors = coefficients.sampling_factors
    ratios = [max(factor[axis] for factor in factors) // factors[component][axis] for axis in (0, 1)]
    counts = [-(-side // ratio) for side, ratio in zip(coefficients.size, ratios, strict=True)]
    smooth = (ratios[1] == 2 and ratios[0] <= 2 and counts[1] > 2) or ratios == [2, 1]
    matrices = []
    for ratio, count in zip(ratios, counts, strict=True):
        matrix = torch.eye(count, dtype=torch.float64).repeat_interleave(ratio, 0)
        if ratio == 2 and smooth:
            pixels = torch.arange(2 * count)
            other = (pixels // 2 + 2 * (pixels % 2) - 1).clamp(0, count - 1)
            matrix *= 0.75
            matrix[pixels, other] += 0.25
        matrices.append(matrix)
    return matrices[0], matrices[1]


def dequantised_plane(coefficients: Coefficients, component: int) -> torch.Tensor:
    """Coefficients of a component as a plane (8·blocks_high, 8·blocks_wide), float64, block next to block."""
    quantised = coefficients.planes[component].astype(np.float64)  # (blocks_high, blocks_wide, 8, 8)
    blocks = torch.from_numpy(quantised * coefficients.quant_tables[component])
    return blocks.permute(0, 2, 1, 3).flatten(2, 3).flatten(0, 1)  # (8·blocks_high, 8·blocks_wide)


def component_resampling(
    coefficients: Coefficients, component: int, view: View, interpolation: str
) -> tuple[Resampling, Resampling]:
    """How a view resamples a component: along the vertical axis, and along the horizontal one."""
    sampling = coefficients.sampling_factors  # (vertical, horizontal) of each component
    largest = map(max, zip(*sampling, strict=True))
    ratios = [Fraction(*factors) for factors in zip(sampling[component], largest, strict=True)]
    return _resampling(coefficients, view, interpolation, ratios)


def _resampling(
    coefficients: Coefficients, view: View, interpolation: str, ratios: Sequence[float | Fraction]
) -> tuple[Resampling, Resampling]:
    """The same with samples per luma pixel along each axis."""
    vertical, horizontal = (
        Resampling(
            photo=coefficients.size[axis],
            box_start=view.box[axis],
            box_length=view.box[2 + axis],
            size=view.size[axis],
            crop_start=view.crop[axis],
            crop_length=view.crop[2 + axis],
            samples_per_pixel=Fraction(ratios[axis]),
            flip=view.flip and axis == 1,
            interpolation=interpolation,
        )
        for axis in (0, 1)
    )
    return vertical, horizontal
