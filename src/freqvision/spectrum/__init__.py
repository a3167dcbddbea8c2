"""Pure mathematics of the frequency domain: block DCT, colour, resampling operators, channel sets."""

from freqvision.spectrum.channels import ChannelSet
from freqvision.spectrum.colour import rgb_to_ycbcr, ycbcr_to_rgb
from freqvision.spectrum.cube import expand, gather, scatter, select
from freqvision.spectrum.dct import block_dct, block_idct, dct_matrix, scaled_block_idct, scaled_idct_basis

__all__ = [
    "ChannelSet",
    "block_dct",
    "block_idct",
    "dct_matrix",
    "expand",
    "gather",
    "rgb_to_ycbcr",
    "scaled_block_idct",
    "scaled_idct_basis",
    "scatter",
    "select",
    "ycbcr_to_rgb",
]
