"""From channels to small pixels: one linear map, a matrix for each block.

A block whose low n×n frequencies are kept and multiplied by n/8 is, under the inverse DCT of size n, the
block at n/8 of its size ("scaled inverse DCT"). That, the conversion to RGB and the spec's normalisation are
linear, so each pixel of the small image is a weighted sum of its block's channels. `Transport` and the fold
of a stem are both made of it.
"""

from __future__ import annotations

import torch

from freqvision.pipeline.spec import InputSpec
from freqvision.spectrum.colour import GRAY, ycbcr_to_rgb_matrix
from freqvision.spectrum.dct import scaled_idct_basis


def pixel_operator(spec: InputSpec, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """RGB pixels of a block as a linear function of its normalised channels: ``rgb = weight · x + offset``.

    Args:
        spec: Which channels, normalised how.
        pixels: Side n in pixels for which a block stands, 1 to 8; 4 gives the photo at half its size.

    Returns:
        weight: float64 of shape (3, n, n, C): colour, row, column, channel; RGB on [0, 1].
        offset: float64 of shape (3, n, n): the pixels where all channels are 0.

    Raises:
        ValueError: `pixels` is not in 1 to 8.

    Example:
        >>> weight, offset = pixel_operator(InputSpec(), 4)
        >>> weight.shape, offset.shape
        (torch.Size([3, 4, 4, 24]), torch.Size([3, 4, 4]))
    """
    basis = scaled_idct_basis(pixels, torch.float64)  # (n·n, 64)
    colour = ycbcr_to_rgb_matrix(torch.float64) / 255
    full = torch.einsum("rc,pf->rpcf", colour, basis).flatten(2)  # (3, n·n, 3, 64) → (3, n·n, 192)
    weight = full[..., list(spec.channels)].unflatten(1, (pixels, pixels))  # (3, n, n, C)
    mean, std = (values.double() for values in spec.normalisation())
    return weight * std, weight @ mean + GRAY / 255
