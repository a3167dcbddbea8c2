"""TensorFlow's SAME padding, for weights that were trained with it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.models.surgery import replace_layer


class Conv2dSame(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does.

    It gives ⌈size / stride⌉ outputs along an axis; where the padding is odd, there is more of it at the end.

    Example:
        >>> Conv2dSame(3, 8, kernel_size=3, stride=2)(torch.zeros(1, 3, 224, 223)).shape
        torch.Size([1, 8, 112, 112])
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) → (B, S, ⌈H / stride⌉, ⌈W / stride⌉)."""
        pads: list[int] = []
        for axis in (1, 0):  # F.pad takes the last axis first
            kernel, stride = self.kernel_size[axis], self.stride[axis]
            excess = inputs.shape[2 + axis] % stride or stride  # of the last output's pixels, those inside
            total = max(kernel - excess, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(
            F.pad(inputs, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


def use_same_padding(network: nn.Module) -> nn.Module:
    """Replace every strided convolution by one with SAME padding, in place; names and weights stay.

    Returns:
        The network.
    """
    for name, layer in list(network.named_modules()):
        if type(layer) is nn.Conv2d and layer.stride != (1, 1) and layer.padding != (0, 0):
            same = Conv2dSame(
                layer.in_channels,
                layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                groups=layer.groups,
                bias=layer.bias is not None,
            )
            same.weight, same.bias = layer.weight, layer.bias
            replace_layer(network, name, same)
    return network
