"""ResNet, ResNeXt and Wide ResNet of torchvision: behind the stem, the grid is a quarter of the image's side.

The stem (a 7×7 convolution of stride 2, normalisation, ReLU, max-pool of stride 2) goes, and the first block
reads the
channels: (B, C, 56, 56) from photos at 448, as in "Learning in the Frequency Domain" (Xu et al., CVPR 2020).
"""

from __future__ import annotations

from torch import nn

from freqvision.models.architecture import Architecture
from freqvision.models.registry import register
from freqvision.models.surgery import Stem
from freqvision.models.torchvision_models import build_torchvision

BASIC = ("resnet18", "resnet34")
BOTTLENECK = (
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
)


def _add_shortcut(network: nn.Module, channels: int) -> None:
    """The first basic block adds its input to its output: C channels need a projection, like later stages."""
    block = network.get_submodule("layer1.0")
    planes = block.get_submodule("conv2").out_channels
    assert isinstance(planes, int)
    projection = nn.Conv2d(channels, planes, kernel_size=1, bias=False)
    nn.init.kaiming_normal_(projection.weight, mode="fan_out", nonlinearity="relu")
    block.downsample = nn.Sequential(projection, nn.BatchNorm2d(planes))


def _stride_in_first_convolution(network: nn.Module) -> None:
    """Let each stage stride in its 1×1 convolution, as first published, not in its 3×3 one."""
    for stage in ("layer2", "layer3", "layer4"):
        network.get_submodule(f"{stage}.0.conv1").stride = (2, 2)  # type: ignore[assignment]
        network.get_submodule(f"{stage}.0.conv2").stride = (1, 1)  # type: ignore[assignment]


def _layer2_without_stride(network: nn.Module) -> None:
    """The released code of the paper: layer2 keeps the grid, for 3.4 times the standard's multiplications."""
    first = network.get_submodule("layer2.0")
    for name in ("conv1", "conv2", "downsample.0"):
        first.get_submodule(name).stride = (1, 1)  # type: ignore[assignment]


def _resnet(name: str, bottleneck: bool) -> Architecture:
    return Architecture(
        build=build_torchvision(name),
        stem=Stem(
            conv="conv1",
            rest=("bn1", "relu", "maxpool"),
            entry=("layer1.0.conv1", "layer1.0.downsample.0"),
            stride=4,
            pixels=4,
            prepare=None if bottleneck else _add_shortcut,
        ),
        strides={
            **({"v1": _stride_in_first_convolution} if bottleneck else {}),
            "released": _layer2_without_stride,
        },
    )


for _name in BASIC:
    register(_name, _resnet(_name, bottleneck=False))
for _name in BOTTLENECK:
    register(_name, _resnet(_name, bottleneck=True))
