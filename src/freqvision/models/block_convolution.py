"""A convolution over blocks in the place of one over pixels, and how to fold the one into the other."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.models.reconstruction import coefficients_of_colour, pixel_operator
from freqvision.pipeline.spec import InputSpec

_INSTEAD = "use start='new', or fv.Transport, which feeds the untouched RGB model"


class BlockConvolution(nn.Module):
    """What a strided convolution over pixels becomes when a block comes in the place of its pixels.

    Where a block stands for more pixels than the stride, it gives several outputs, which are put side by side
    (`torch.nn.PixelShuffle`); where it stands for fewer, the convolution strides over blocks.

    Args:
        channels: Number of DCT channels C.
        outputs: Number of output channels S.
        kernel: Side in blocks.
        stride: In blocks.
        upscale: Outputs along each axis for a block.
        padding: Blocks put (before, after) each axis.
        bias: Whether there is one.

    Attributes:
        origin: (C, 1, 1), subtracted from the input before padding with 0: the input that is zero to the RGB
            network, so that its padding means the same.
        convolution: The weights.
    """

    origin: torch.Tensor

    def __init__(
        self,
        channels: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        upscale: int = 1,
        padding: tuple[int, int] = (0, 0),
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.upscale = upscale
        self.register_buffer("origin", torch.zeros(channels, 1, 1))
        self.convolution = nn.Conv2d(channels, outputs * upscale**2, kernel, stride, bias=bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) → (B, S, h · upscale / stride, w · upscale / stride)."""
        before, after = self.padding
        centred = inputs - self.origin
        if before or after:  # F.pad copies even where there is nothing to add
            centred = F.pad(centred, (before, after, before, after))
        outputs = self.convolution(centred)  # (B, S · upscale², h / stride, w / stride)
        return F.pixel_shuffle(outputs, self.upscale) if self.upscale > 1 else outputs


def new_convolution(spec: InputSpec, outputs: int, stride: int, pixels: int, bias: bool) -> BlockConvolution:
    """A convolution with random weights that gives one output for ``stride`` pixels, of no more blocks.

    Raises:
        ValueError: Neither of stride and pixels divides the other.
    """
    upscale, step = outputs_and_step(stride, pixels)
    return BlockConvolution(len(spec.channels), outputs, step, stride=step, upscale=upscale, bias=bias)


def fold_convolution(
    convolution: nn.Conv2d,
    spec: InputSpec,
    pixels: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> BlockConvolution:
    """Fold inverse DCT, colour conversion, normalisation and a convolution into one convolution over blocks.

    The result gives what the convolution gives on the pixels that the channels make, borders included, but
    for clamping to [0, 1]. A channel beyond the low n×n frequencies has no part in those pixels and enters
    with zero weights. A DC that is not in the spec counts as that of the mean colour.

    Args:
        convolution: The RGB network's first: dense, on three colours.
        spec: The channels, normalised as they will come in.
        pixels: Side n in pixels of the RGB image for which a block stands.
        mean: The RGB network's, on [0, 1].
        std: The RGB network's, on [0, 1].

    Raises:
        ValueError: The convolution changes the size by more than its stride, or neither of its stride and
            `pixels` divides the other.

    Example:
        >>> stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        >>> imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        >>> fold_convolution(stem, InputSpec(), 4, *imagenet)(torch.zeros(1, 24, 56, 56)).shape
        torch.Size([1, 64, 112, 112])
    """
    kernel, stride, lead = _geometry(convolution)
    upscale, step = outputs_and_step(stride, pixels)
    # Along one axis, output a of a block sums the pixels a·stride − lead … + kernel − 1, counted from the
    # block's first.
    first = -lead // pixels  # block of the first pixel; Python's // rounds down
    last = ((upscale - 1) * stride - lead + kernel - 1) // pixels
    blocks = last - first + 1
    outputs = convolution.out_channels
    kernels = convolution.weight.detach().double()
    # Constants need values, also where the default is the meta device because a network is only counted.
    with torch.device("cpu"):
        weight, _ = pixel_operator(spec, pixels)  # (3, n, n, C)
        weight /= torch.tensor(std, dtype=torch.float64)[:, None, None, None]
        spec_mean, spec_std = spec.normalisation()
        origin = coefficients_of_colour(torch.tensor(mean))[list(spec.channels)]
        origin = ((origin - spec_mean) / spec_std)[:, None, None]  # (C, 1, 1)
    canvas = kernels.new_zeros(outputs, upscale, upscale, 3, blocks * pixels, blocks * pixels)
    for a in range(upscale):
        for b in range(upscale):
            top, left = (i * stride - lead - first * pixels for i in (a, b))
            canvas[:, a, b, :, top : top + kernel, left : left + kernel] = kernels
    canvas = canvas.unflatten(5, (blocks, pixels)).unflatten(4, (blocks, pixels))  # (S, a, b, 3, K, n, K, n)
    folded = torch.einsum("sabrkylx,ryxc->sabckl", canvas, weight.to(canvas.device))  # (S, a, b, C, K, K)

    result = BlockConvolution(
        len(spec.channels),
        outputs,
        blocks,
        stride=step,
        upscale=upscale,
        padding=(-first, max(last - (step - 1), 0)),
        bias=convolution.bias is not None,
    )
    with torch.no_grad():
        result.convolution.weight.copy_(folded.flatten(0, 2))  # (S·a·b, C, K, K), as pixel_shuffle expects
        result.origin.copy_(origin)
        if convolution.bias is not None and result.convolution.bias is not None:
            result.convolution.bias.copy_(convolution.bias.repeat_interleave(upscale**2))
    return result


def outputs_and_step(stride: int, pixels: int) -> tuple[int, int]:
    """How many outputs a block has along an axis, and how many blocks an output covers; one of them is 1.

    Example:
        >>> outputs_and_step(stride=2, pixels=4), outputs_and_step(stride=16, pixels=8)
        ((2, 1), (1, 2))
    """
    if stride % pixels and pixels % stride:
        raise ValueError(
            f"a stem of stride {stride} cannot read blocks that stand for {pixels} pixels a side: one must "
            "divide the other. Choose the spec's crop so that 8 · rgb_size / crop is a divisor or a multiple"
        )
    return max(pixels // stride, 1), max(stride // pixels, 1)


def _geometry(convolution: nn.Conv2d) -> tuple[int, int, int]:
    """Kernel, stride and leading padding of a convolution, the same along both axes."""
    # TensorFlow's padding, by the input's size; timm has a class of that name as well.
    same = type(convolution).__name__ == "Conv2dSame"
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    lead = max(kernel - stride, 0) // 2 if same else convolution.padding[0]
    if not same and type(convolution) is not nn.Conv2d:
        raise ValueError(
            f"{type(convolution).__name__} computes something else than its weights say, so it cannot be "
            f"folded: {_INSTEAD}"
        )
    sides = (convolution.kernel_size, convolution.stride, convolution.dilation)
    square = all(len(set(side)) == 1 for side in sides)
    if not square or convolution.groups != 1 or convolution.dilation[0] != 1 or convolution.in_channels != 3:
        raise ValueError(
            f"only a dense square convolution on three colours can be folded, got {convolution}: {_INSTEAD}"
        )
    if not isinstance(lead, int) or not (same or -stride <= 2 * lead - kernel < 0):
        raise ValueError(
            "the first convolution changes the size by more than its stride, so it cannot be folded, got "
            f"{convolution}: {_INSTEAD}"
        )
    return kernel, stride, lead
