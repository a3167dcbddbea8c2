"""The orthonormal 8×8 block DCT, its inverse, and the inverse at a smaller scale.

A plane of coefficients keeps each block where its pixels were: coefficient (u, v) of block (y, x) stands at
``[8·y + u, 8·x + v]``, with u the vertical and v the horizontal frequency.
"""

import math

import torch

from freqvision.spectrum.autocast import without_autocast
from freqvision.spectrum.channels import BLOCK, FREQUENCIES


def dct_matrix(
    size: int = BLOCK, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
) -> torch.Tensor:
    """The orthonormal DCT-II matrix D (size, size): ``D @ samples`` are coefficients, ``D.T`` inverts it.

    Example:
        >>> D = dct_matrix(8, torch.float64)
        >>> torch.allclose(D @ D.T, torch.eye(8, dtype=torch.float64))
        True
    """
    k = torch.arange(size, dtype=torch.float64)[:, None]
    i = torch.arange(size, dtype=torch.float64)[None, :]
    matrix = math.sqrt(2 / size) * torch.cos(math.pi * (2 * i + 1) * k / (2 * size))
    matrix[0] /= math.sqrt(2)
    return matrix.to(device=device, dtype=dtype)


def block_dct(samples: torch.Tensor) -> torch.Tensor:
    """DCT-II of each 8×8 block of a plane, as JPEG defines it (ITU-T T.81, A.3.3).

    Args:
        samples: (..., H, W), float32 or float64, H and W multiples of 8. JPEG subtracts 128 from 8-bit
            samples first.

    Returns:
        Coefficients (..., H, W). Of samples in [−128, 127], DC lies in [−1024, 1016] and is 8 × the block's
        mean.

    Raises:
        ValueError: A side is no multiple of 8, or the type is not float32 or float64.

    Example:
        >>> block_dct(torch.full((16, 8), 5.0))[::8, ::8]
        tensor([[40.],
                [40.]])
    """
    _check_plane(samples, "samples")
    return _transform_blocks(samples, dct_matrix(BLOCK, samples.dtype, samples.device))


def block_idct(coefficients: torch.Tensor) -> torch.Tensor:
    """The inverse of `block_dct`: coefficients (..., H, W) to samples (..., H, W).

    Raises:
        ValueError: A side is no multiple of 8, or the type is not float32 or float64.
    """
    _check_plane(coefficients, "coefficients")
    return _transform_blocks(coefficients, dct_matrix(BLOCK, coefficients.dtype, coefficients.device).T)


def scaled_block_idct(coefficients: torch.Tensor, size: int) -> torch.Tensor:
    """Small pixels from the low frequencies: each 8×8 block becomes size×size samples.

    The size×size lowest frequencies go through an inverse DCT of that length, scaled by size / 8 so that
    means stay as they are. Size 8 is `block_idct`, size 4 is half resolution, size 1 is the mean of each
    block.

    Args:
        coefficients: (..., H, W), float32 or float64, H and W multiples of 8.
        size: Side of an output block, 1 to 8.

    Returns:
        Samples (..., H·size/8, W·size/8).

    Raises:
        ValueError: A side is no multiple of 8, the type is not float32 or float64, or `size` is not in 1 to
            8.

    Example:
        >>> small = scaled_block_idct(block_dct(torch.full((16, 24), 7.0)), 4)
        >>> small.shape, round(small.mean().item(), 4)
        (torch.Size([8, 12]), 7.0)
    """
    _check_plane(coefficients, "coefficients")
    _check_size(size)
    return _transform_blocks(coefficients, _scaled_synthesis(size, coefficients.dtype, coefficients.device))


def scaled_idct_basis(size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`scaled_block_idct` of one block as a matrix of shape (size², 64).

    Row ``size·i + j`` is sample (i, j), column ``8·u + v`` is frequency (u, v); frequencies of size and above
    have no weight. With a DCT cube x of one component, (B, 64, h, w), the pixels are
    ``F.pixel_shuffle(F.conv2d(x, basis[:, :, None, None]), size)``.

    Raises:
        ValueError: `size` is not in 1 to 8.

    Example:
        >>> scaled_idct_basis(4).shape
        torch.Size([16, 64])
    """
    _check_size(size)
    one_axis = _scaled_synthesis(size, torch.float64, torch.device("cpu"))
    return torch.kron(one_axis, one_axis).reshape(size * size, FREQUENCIES).to(dtype)  # (size², 64)


def _scaled_synthesis(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Inverse DCT along one axis from the lowest `size` of 8 frequencies: (size, 8)."""
    matrix = torch.zeros(size, BLOCK, dtype=dtype, device=device)
    matrix[:, :size] = dct_matrix(size, dtype, device).T * math.sqrt(size / BLOCK)
    return matrix


def _transform_blocks(plane: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """``matrix @ block @ matrix.T`` of each block: (..., H, W) to (..., H·n/8, W·n/8) if matrix is (n, 8)."""
    height, width = plane.shape[-2:]
    with without_autocast(plane):
        rows = matrix @ plane.unflatten(-2, (height // BLOCK, BLOCK))  # (..., h, n, W)
        rows = rows.flatten(-3, -2)  # (..., h·n, W)
        blocks = rows.unflatten(-1, (width // BLOCK, BLOCK)) @ matrix.T  # (..., h·n, w, n)
    return blocks.flatten(-2)  # (..., h·n, w·n)


def _check_plane(plane: torch.Tensor, name: str) -> None:
    if plane.ndim < 2 or plane.shape[-1] % BLOCK or plane.shape[-2] % BLOCK:
        raise ValueError(
            f"{name} are (..., H, W) with H and W multiples of {BLOCK}; got {tuple(plane.shape)}: "
            "crop them, or pad them with torch.nn.functional.pad"
        )
    if plane.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} are float32 or float64; got {plane.dtype}: convert them by .float()")


def _check_size(size: int) -> None:
    if size not in range(1, BLOCK + 1):
        raise ValueError(f"a block becomes 1 to {BLOCK} samples a side; got size={size!r}")
