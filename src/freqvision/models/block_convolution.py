"""What reads blocks in the place of a network's first, strided convolution over pixels: folded, or new."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.inputs.spec import FrequencySpec
from freqvision.models.reconstruction import SmallPixels, unseen_channels

_INSTEAD = "use start='new', or fv.Transport, which feeds the untouched RGB model"


class BlockConvolution(nn.Module):
    """Blocks in, and an output for each stride of the pixels for which they stand.

    Where a block stands for more pixels than the stride, it gives several outputs, which are put side by side
    (`torch.nn.PixelShuffle`); where it stands for fewer, the convolution strides over blocks.

    Args:
        channels: Number of DCT channels C.
        outputs: Number of output channels S.
        stride: Of the strided convolution, in pixels.
        pixels: Side in pixels for which a block stands.
        bias: Whether there is one.

    Raises:
        ValueError: Neither of stride and pixels divides the other.

    Example:
        >>> BlockConvolution(24, 64, stride=2, pixels=4, bias=False)(torch.zeros(1, 24, 56, 56)).shape
        torch.Size([1, 64, 112, 112])
    """

    def __init__(self, channels: int, outputs: int, stride: int, pixels: int, bias: bool) -> None:
        super().__init__()
        if stride % pixels and pixels % stride:
            raise ValueError(
                f"a stem of stride {stride} cannot read blocks that stand for {pixels} pixels a side: one "
                "must divide the other. Choose the spec's crop so that 8 · rgb_size / crop is a divisor or a "
                "multiple"
            )
        self.upscale = max(pixels // stride, 1)  # outputs along each axis for a block
        step = max(stride // pixels, 1)  # blocks along each axis for an output
        self.convolution = nn.Conv2d(channels, outputs * self.upscale**2, step, step, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → (B, S, h · pixels / stride, w · pixels / stride)."""
        outputs = self.convolution(inputs)  # (B, S · upscale², …)
        return F.pixel_shuffle(outputs, self.upscale) if self.upscale > 1 else outputs


class FoldedConvolution(nn.Module):
    """A convolution over pixels, folded with the inverse DCT, the conversion to RGB and the normalisation.

    These are linear, so that together they are a fixed 1×1 convolution over the blocks; the RGB network's own
    convolution follows, with its weights. The result is what it gives on the pixels that the channels make,
    borders included, but for clamping to [0, 1], and it learns as it would learn there. Channels beyond the
    low n×n frequencies have no part in those pixels: they enter through a convolution of their own, whose
    weights are zero at first. A DC that is not in the spec counts as that of gray.

    Args:
        convolution: The RGB network's first one, on three colours; becomes a part of this.
        spec: The channels, normalised as they will come in.
        pixels: Side n in pixels of the RGB image for which a block stands.
        mean: The RGB network's, on [0, 1].
        std: The RGB network's, on [0, 1].

    Raises:
        ValueError: The convolution takes other than three colours. Or there are channels that the pixels do
            not show, and it changes the size by more than its stride, or neither of stride and pixels divides
            the other.

    Attributes:
        convolution: As given.
        detail: What reads the channels that the pixels do not show; None where they show all.

    Example:
        >>> stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        >>> imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        >>> FoldedConvolution(stem, FrequencySpec(), 4, *imagenet)(torch.zeros(1, 24, 56, 56)).shape
        torch.Size([1, 64, 112, 112])
    """

    unseen: torch.Tensor
    detail: BlockConvolution | None

    def __init__(
        self,
        convolution: nn.Conv2d,
        spec: FrequencySpec,
        pixels: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        super().__init__()
        if convolution.in_channels != 3:
            raise ValueError(
                f"only a convolution on three colours can be folded, got {convolution}: {_INSTEAD}"
            )
        self.convolution = convolution
        device = convolution.weight.device
        # Constants need values, also where the default is the meta device because a network is only counted.
        with torch.device("cpu"):
            self.pixels = SmallPixels(spec, pixels, mean, std).to(device)
            unseen = unseen_channels(spec, pixels)
        mask = unseen[:, None, None].float().to(device)  # (C, 1, 1)
        self.register_buffer("unseen", mask, persistent=False)  # which follows from the spec, too
        self.detail = None
        if unseen.any():
            stride = convolution.stride[0]
            _check_size(convolution)
            self.detail = BlockConvolution(
                len(spec.channels), convolution.out_channels, stride, pixels, bias=False
            ).to(convolution.weight)
            nn.init.zeros_(self.detail.convolution.weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → (B, S, h · n / stride, w · n / stride)."""
        outputs: torch.Tensor = self.convolution(self.pixels(inputs))
        return outputs if self.detail is None else outputs + self.detail(inputs * self.unseen)


def _check_size(convolution: nn.Conv2d) -> None:
    """Refuse a convolution whose outputs are not one for each stride: detail could not be added to them."""
    stride = convolution.stride[0]
    side = 4 * stride * max(convolution.kernel_size)
    with torch.no_grad():
        got = convolution(torch.zeros(1, 3, side, side).to(convolution.weight)).shape[-2:]
    if got != (side // stride, side // stride):
        raise ValueError(
            f"the first convolution changes the size by more than its stride, got {convolution}: choose "
            f"channels that its pixels show, which can be folded all the same; or {_INSTEAD}"
        )
