"""JPEG's colours: full-range YCbCr with the luma weights of BT.601, as JFIF (ITU-T T.871) defines them."""

import torch

from freqvision.spectrum.autocast import without_autocast

RED, BLUE = 0.299, 0.114  # share of red and blue in luma; green has the rest
GRAY = 128.0  # chroma of a gray pixel


def rgb_to_ycbcr_matrix(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """M of shape (3, 3) with ``ycbcr = M @ rgb + (0, 128, 128)``."""
    luma = torch.tensor([RED, 1 - RED - BLUE, BLUE], dtype=torch.float64)
    red, _, blue = torch.eye(3, dtype=torch.float64)
    cb = (blue - luma) / (2 * (1 - BLUE))
    cr = (red - luma) / (2 * (1 - RED))
    return torch.stack([luma, cb, cr]).to(dtype)


def ycbcr_to_rgb_matrix(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The inverse of `rgb_to_ycbcr_matrix`: ``rgb = M @ (ycbcr − (0, 128, 128))``."""
    return torch.linalg.inv(rgb_to_ycbcr_matrix(torch.float64)).to(dtype)


def rgb_to_ycbcr(rgb: torch.Tensor) -> torch.Tensor:
    """From RGB to YCbCr, both (..., 3, H, W), floating point, 0 to 255; nothing is rounded or clipped.

    Raises:
        ValueError: There are not three components, or the type is not floating point.

    Example:
        >>> rgb_to_ycbcr(torch.tensor([255.0, 0, 0]).reshape(3, 1, 1)).flatten()
        tensor([ 76.2450,  84.9724, 255.5000])
    """
    _check(rgb)
    return apply_matrix(rgb_to_ycbcr_matrix(rgb.dtype), rgb) + _offset(rgb)


def ycbcr_to_rgb(ycbcr: torch.Tensor) -> torch.Tensor:
    """From YCbCr to RGB, both (..., 3, H, W), floating point, 0 to 255; nothing is rounded or clipped.

    Raises:
        ValueError: There are not three components, or the type is not floating point.
    """
    _check(ycbcr)
    return apply_matrix(ycbcr_to_rgb_matrix(ycbcr.dtype), ycbcr - _offset(ycbcr))


def apply_matrix(matrix: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """A matrix (3, 3) on the components of an image (..., 3, H, W)."""
    # A product of (3, 3) and (..., 3, H·W) is several times faster than an einsum over (..., 3, H, W).
    with without_autocast(image):
        return (matrix.to(image.device) @ image.flatten(-2)).unflatten(-1, image.shape[-2:])  # (..., 3, H, W)


def _offset(image: torch.Tensor) -> torch.Tensor:
    return image.new_tensor([0.0, GRAY, GRAY]).reshape(3, 1, 1)  # (3, 1, 1)


def _check(image: torch.Tensor) -> None:
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(f"an image in colour is (..., 3, H, W); got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise ValueError(
            f"an image here is floating point from 0 to 255; got {image.dtype}: convert it by .float()"
        )
