"""Layers that replace the first strided convolution and read DCT blocks: folded from it, or new."""

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.inputs.spec import FrequencySpec
from freqvision.models.reconstruction import SmallPixels, unseen_channels

_INSTEAD = "use start='new', or fv.Transport, which feeds the untouched RGB model"


class BlockConvolution(nn.Module):
    """A new convolution over blocks with the output grid of a strided convolution over pixels.

    A block that stands for more pixels than the stride gives several outputs, arranged by
    `torch.nn.PixelShuffle`; if it stands for fewer, the convolution strides over blocks.

    Args:
        channels: Number of DCT channels C.
        outputs: Number of output channels S.
        stride: Stride in pixels of the convolution that is replaced.
        pixels: Side in pixels of the RGB image that a block stands for.
        bias: Whether to have one.

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
        self.upscale = max(pixels // stride, 1)  # outputs per block, along each axis
        step = max(stride // pixels, 1)  # blocks per output, along each axis
        self.convolution = nn.Conv2d(channels, outputs * self.upscale**2, step, step, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → (B, S, h · pixels / stride, w · pixels / stride)."""
        outputs = self.convolution(inputs)  # (B, S · upscale², …)
        return F.pixel_shuffle(outputs, self.upscale) if self.upscale > 1 else outputs


class FoldedConvolution(nn.Module):
    """A convolution over pixels, folded with the inverse DCT, the conversion to RGB and the normalisation.

    All of these are linear, so together they are a fixed 1×1 convolution over the blocks; the RGB network's
    own convolution follows, with its weights. The result equals its output on the pixels that the channels
    make, borders included, except for clamping to [0, 1], and it learns as it would there. Channels beyond
    the low n×n frequencies are not in those pixels: they enter through a convolution of their own that starts
    at zero. A DC that is not in the spec counts as gray.

    Args:
        convolution: The RGB network's first convolution, on three colours; becomes part of this layer.
        spec: The channels and how they are normalised.
        pixels: Side n in pixels of the RGB image that a block stands for.
        mean: The RGB network's, on [0, 1].
        std: The RGB network's, on [0, 1].

    Example:
        >>> stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        >>> imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        >>> FoldedConvolution(stem, FrequencySpec(), 4, *imagenet)(torch.zeros(1, 24, 56, 56)).shape
        torch.Size([1, 64, 112, 112])
    """

    unseen: torch.Tensor
    detail: BlockConvolution | None  # reads the channels that are not in the pixels, if there are any

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
    """Refuse a convolution that does not give one output per stride: detail could not be added."""
    stride = convolution.stride[0]
    side = 4 * stride * max(convolution.kernel_size)
    with torch.no_grad():
        got = convolution(torch.zeros(1, 3, side, side).to(convolution.weight)).shape[-2:]
    if got != (side // stride, side // stride):
        raise ValueError(
            f"the first convolution changes the size by more than its stride, got {convolution}: choose "
            f"channels that its pixels show, which can still be folded; or {_INSTEAD}"
        )
