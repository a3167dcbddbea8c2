"""From channels to small pixels: one linear map, a matrix for each block.

The inverse DCT of size n of a block's low n×n frequencies, multiplied by n/8, is the block at n/8 of its size
("scaled inverse DCT"). It is linear, as are the conversion to RGB and the spec's normalisation, so each pixel
of the small image is a weighted sum of its block's channels. `Transport`, "fold" and "fit" use it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.inputs.spec import FrequencySpec
from freqvision.spectrum.channels import BLOCK, FREQUENCIES
from freqvision.spectrum.colour import GRAY, ycbcr_to_rgb_matrix
from freqvision.spectrum.dct import scaled_idct_basis


def pixel_operator(spec: FrequencySpec, pixels: int) -> tuple[torch.Tensor, torch.Tensor]:
    """RGB pixels of a block as a linear function of its normalised channels: ``rgb = weight · x + offset``.

    Args:
        spec: The channels and how they are normalised.
        pixels: Side n in pixels that a block stands for, 1 to 8; 4 gives the photo at half its size.

    Returns:
        weight: float64 of shape (3, n, n, C): colour, row, column, channel; RGB on [0, 1].
        offset: float64 of shape (3, n, n): the pixels if all channels are 0.

    Example:
        >>> weight, offset = pixel_operator(FrequencySpec(), 4)
        >>> weight.shape, offset.shape
        (torch.Size([3, 4, 4, 24]), torch.Size([3, 4, 4]))
    """
    basis = scaled_idct_basis(pixels, torch.float64)  # (n·n, 64)
    colour = ycbcr_to_rgb_matrix(torch.float64) / 255
    full = torch.einsum("rc,pf->rpcf", colour, basis).flatten(2)  # (3, n·n, 3, 64) → (3, n·n, 192)
    weight = full[..., list(spec.channels)].unflatten(1, (pixels, pixels))  # (3, n, n, C)
    mean, std = (values.double() for values in spec.normalisation())
    return weight * std, weight @ mean + GRAY / 255


def unseen_channels(spec: FrequencySpec, pixels: int) -> torch.Tensor:
    """Which channels are beyond the low n×n frequencies, so not in the small pixels: bool (C,).

    Example:
        >>> unseen_channels(FrequencySpec(), 4).any(), int(unseen_channels(FrequencySpec(), 2).sum())
        (tensor(False), 12)
    """
    return torch.tensor([i % FREQUENCIES // BLOCK >= pixels or i % BLOCK >= pixels for i in spec.channels])


class SmallPixels(nn.Module):
    """The RGB image that channels make, see `pixel_operator`: one fixed 1×1 convolution.

    RGB on [0, 1] is normalised by mean and std, if they are given.

    Example:
        >>> SmallPixels(FrequencySpec(), 4)(torch.zeros(1, 24, 56, 56)).shape
        torch.Size([1, 3, 224, 224])
    """

    weight: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self,
        spec: FrequencySpec,
        pixels: int,
        mean: tuple[float, ...] = (0.0,) * 3,
        std: tuple[float, ...] = (1.0,) * 3,
    ) -> None:
        super().__init__()
        self.pixels = pixels
        weight, offset = pixel_operator(spec, pixels)  # (3, n, n, C) and (3, n, n)
        mean_, std_ = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (mean, std))
        weight, offset = weight / std_[..., None], (offset - mean_) / std_
        # In the order of pixel_shuffle: colour, row, column. Not persistent: both follow from the spec, which
        # is saved with the model, and a state dict stays the RGB network's.
        weight = weight.flatten(0, 2)[:, :, None, None].float()  # (3·n·n, C, 1, 1)
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("offset", offset.flatten().float(), persistent=False)  # (3·n·n,)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → (B, 3, h · n, w · n)."""
        return F.pixel_shuffle(F.conv2d(inputs, self.weight, self.offset), self.pixels)
