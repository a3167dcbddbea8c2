"""Between planes of coefficients and DCT cubes, in which every frequency is a channel."""

import torch
from torch.nn import functional as F

from freqvision.spectrum.channels import BLOCK, FREQUENCIES, NUM_CHANNELS, ChannelSet


def gather(planes: torch.Tensor) -> torch.Tensor:
    """Coefficient planes to a DCT cube: frequency (u, v) of component k becomes channel ``64·k + 8·u + v``.

    Args:
        planes: (..., K, H, W): K components, H and W multiples of 8, coefficient (u, v) of block (y, x) at
            ``[8·y + u, 8·x + v]``.

    Returns:
        (..., 64·K, H/8, W/8).

    Raises:
        ValueError: A side is no multiple of 8.

    Example:
        >>> gather(torch.zeros(2, 3, 448, 448)).shape
        torch.Size([2, 192, 56, 56])
    """
    if planes.ndim < 3 or planes.shape[-1] % BLOCK or planes.shape[-2] % BLOCK:
        raise ValueError(
            f"planes are (..., components, H, W) with H and W multiples of {BLOCK}; got {tuple(planes.shape)}"
        )
    return F.pixel_unshuffle(planes, BLOCK)


def scatter(cube: torch.Tensor) -> torch.Tensor:
    """The inverse of `gather`: (..., 64·K, h, w) to (..., K, 8·h, 8·w).

    Raises:
        ValueError: The number of channels is no multiple of 64.
    """
    if cube.ndim < 3 or cube.shape[-3] % FREQUENCIES or not cube.shape[-3]:
        raise ValueError(
            f"a whole DCT cube is (..., 64·components, h, w); got {tuple(cube.shape)}: "
            "for selected channels call expand first"
        )
    return F.pixel_shuffle(cube, BLOCK)


def select(cube: torch.Tensor, channels: ChannelSet) -> torch.Tensor:
    """The channels of a set out of a whole cube: (..., 192, h, w) to (..., C, h, w).

    Raises:
        ValueError: The cube does not have 192 channels.
    """
    if cube.ndim < 3 or cube.shape[-3] != NUM_CHANNELS:
        raise ValueError(f"a whole DCT cube is (..., {NUM_CHANNELS}, h, w); got {tuple(cube.shape)}")
    if len(channels) == NUM_CHANNELS:
        return cube
    return cube.index_select(-3, torch.tensor(channels.indices, device=cube.device))


def expand(selected: torch.Tensor, channels: ChannelSet) -> torch.Tensor:
    """The inverse of `select`, with zero where a channel is missing: (..., C, h, w) to (..., 192, h, w).

    Raises:
        ValueError: The number of channels is not that of the set.

    Example:
        >>> expand(torch.ones(24, 56, 56), ChannelSet.preset(24)).shape
        torch.Size([192, 56, 56])
    """
    if selected.ndim < 3 or selected.shape[-3] != len(channels):
        raise ValueError(
            f"selected channels are (..., {len(channels)}, h, w) for the set {channels}; "
            f"got {tuple(selected.shape)}"
        )
    shape = (*selected.shape[:-3], NUM_CHANNELS, *selected.shape[-2:])
    places = torch.tensor(channels.indices, device=selected.device)
    return selected.new_zeros(shape).index_copy(-3, places, selected)
