"""MobileNetV2 and V3 of torchvision: the grid behind the stem is half of the RGB image's side.

The stem (a 3×3 convolution of stride 2, normalisation, activation) goes, and the first block's depthwise
convolution filters the channels: (B, C, 112, 112) from photos at 896.
"""

from __future__ import annotations

from torch import nn

from freqvision.models.architecture import Architecture
from freqvision.models.registry import register
from freqvision.models.same_padding import use_same_padding
from freqvision.models.surgery import Stem
from freqvision.models.torchvision_models import build_torchvision

_STEM_LAYERS = {"conv": "features.0.0", "rest": ("features.0.1", "features.0.2")}


def _build_same(num_classes: int, rgb_size: int) -> nn.Module:
    return use_same_padding(build_torchvision("mobilenet_v2")(num_classes, rgb_size))


def _without_shortcut(network: nn.Module, channels: int) -> None:
    """V3's first block may add its input to its output, which C channels do not fit."""
    network.get_submodule("features.1").use_res_connect = False  # type: ignore[assignment]


_V2 = Stem(
    **_STEM_LAYERS,  # type: ignore[arg-type]
    entry=("features.1.conv.0.0", "features.1.conv.0.1", "features.1.conv.1"),
    stride=2,
    pixels=2,
)
_V3_LARGE = Stem(
    **_STEM_LAYERS,  # type: ignore[arg-type]
    entry=("features.1.block.0.0", "features.1.block.0.1", "features.1.block.1.0"),
    stride=2,
    pixels=2,
    prepare=_without_shortcut,
)
_V3_SMALL = Stem(
    **_STEM_LAYERS,  # type: ignore[arg-type]
    entry=("features.1.block.0.0", "features.1.block.0.1", "features.1.block.1.fc1", "features.1.block.2.0"),
    entry_outputs=("features.1.block.1.fc2",),  # squeeze-and-excitation weighs the C channels
    stride=2,
    pixels=2,
    prepare=_without_shortcut,
)

register("mobilenet_v2", Architecture(build_torchvision("mobilenet_v2"), _V2))
register(
    "mobilenet_v2_tfsame", Architecture(_build_same, _V2)
)  # for weights trained with TensorFlow's padding
register("mobilenet_v3_large", Architecture(build_torchvision("mobilenet_v3_large"), _V3_LARGE))
register("mobilenet_v3_small", Architecture(build_torchvision("mobilenet_v3_small"), _V3_SMALL))
