"""torchvision's classifiers: where each family's stem is, and what reads DCT channels in its place.

The grid is that of DCT-24 at the photo size in front of it.

| family | stem | grid | in its place |
| --- | --- | --- | --- |
| ResNet, ResNeXt, Wide ResNet | 7×7, stride 2; max-pool | 448: 56×56 | the first block reads the channels |
| MobileNetV2, V3 | 3×3, stride 2 | 896: 112×112 | so does the first depthwise convolution |
| RegNet | 3×3, stride 2 | 896: 112×112 | so do the first block's projection and 1×1 |
| ConvNeXt | patches of 4×4 | 448: 56×56 | it stays (residuals start from it) and reads blocks |
| EfficientNet | 3×3, stride 2 | 896: 112×112 | it stays (the first block builds on its width) |
| ViT | patches of 16×16, 32×32 | 224: 28×28 | it stays: 16×16 pixels are 2×2 blocks, exactly |

ResNet and MobileNetV2 follow "Learning in the Frequency Domain" (Xu et al., CVPR 2020), ViT "RGB No More:
Minimally-Decoded JPEG Vision Transformers" (Park and Johnson, CVPR 2023).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from freqvision.models.architecture import Architecture
from freqvision.models.published import torchvision_weights
from freqvision.models.registry import register
from freqvision.models.surgery import Stem, replace_layer


def _add_shortcut(network: nn.Module, channels: int) -> None:
    """The first basic block adds its input to its output: C channels need a projection, like later stages."""
    block = network.get_submodule("layer1.0")
    planes = block.get_submodule("conv2").out_channels
    assert isinstance(planes, int)
    projection = nn.Conv2d(channels, planes, kernel_size=1, bias=False)
    nn.init.kaiming_normal_(projection.weight, mode="fan_out", nonlinearity="relu")
    block.downsample = nn.Sequential(projection, nn.BatchNorm2d(planes))


def _without_shortcut(network: nn.Module, channels: int) -> None:
    """MobileNetV3's first block may add its input to its output, which C channels do not fit."""
    network.get_submodule("features.1").use_res_connect = False  # type: ignore[assignment]


def _count_in_blocks(network: nn.Module, pixels: int) -> None:
    sides: Any = network
    sides.image_size //= pixels
    sides.patch_size //= pixels


def _set_strides(network: nn.Module, strides: dict[str, int]) -> None:
    for name, stride in strides.items():
        network.get_submodule(name).stride = (stride, stride)  # type: ignore[assignment]


def _stride_in_first_convolution(network: nn.Module) -> None:
    """Let each stage stride in its 1×1 convolution, as first published, not in its 3×3 one."""
    for stage in ("layer2", "layer3", "layer4"):
        _set_strides(network, {f"{stage}.0.conv1": 2, f"{stage}.0.conv2": 1})


def _layer2_without_stride(network: nn.Module) -> None:
    """The released code of the paper: layer2 keeps the grid, for 3.4 times the standard's multiplications."""
    _set_strides(network, {f"layer2.0.{name}": 1 for name in ("conv1", "conv2", "downsample.0")})


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
    """The network, in place, with SAME padding in every strided convolution; names and weights stay."""
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


_RESNET: dict[str, Any] = {
    "conv": "conv1",
    "rest": ("bn1", "relu", "maxpool"),
    "entry": ("layer1.0.conv1", "layer1.0.downsample.0"),
    "stride": 4,
    "pixels": 4,
}
_STRIDES = {"released": _layer2_without_stride}
_FEATURES: dict[str, Any] = {
    "conv": "features.0.0",
    "rest": ("features.0.1", "features.0.2"),
    "stride": 2,
    "pixels": 2,
}
_SQUEEZE = "features.1.block.1"  # squeeze-and-excitation of MobileNetV3 small, which weighs the C channels
_V2 = Stem(**_FEATURES, entry=("features.1.conv.0.0", "features.1.conv.0.1", "features.1.conv.1"))
_V3_LARGE = ("features.1.block.0.0", "features.1.block.0.1", "features.1.block.1.0")
_V3_SMALL = ("features.1.block.0.0", "features.1.block.0.1", f"{_SQUEEZE}.fc1", "features.1.block.2.0")
_REGNET_BLOCK = "trunk_output.block1.block1-0"
_REGNET = Stem(
    conv="stem.0",
    rest=("stem.1", "stem.2"),
    entry=(f"{_REGNET_BLOCK}.proj.0", f"{_REGNET_BLOCK}.f.a.0"),
    stride=2,
    pixels=2,
)
_CONVNEXT = Stem(conv="features.0.0", rest=("features.0.1",), stride=4, pixels=4)


def _vit(patch: int) -> Stem:
    return Stem(conv="conv_proj", rest=(), stride=patch, pixels=8, on_blocks=_count_in_blocks)


# Names, their stem, and what else their `Architecture` says.
_FAMILIES: tuple[tuple[str, Stem, dict[str, Any]], ...] = (
    ("resnet18 resnet34", Stem(**_RESNET, prepare=_add_shortcut), {"strides": _STRIDES}),
    (
        "resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d "
        "wide_resnet50_2 wide_resnet101_2",
        Stem(**_RESNET),
        {"strides": {"v1": _stride_in_first_convolution, **_STRIDES}},
    ),
    ("mobilenet_v2", _V2, {}),
    ("mobilenet_v3_large", Stem(**_FEATURES, entry=_V3_LARGE, prepare=_without_shortcut), {}),
    (
        "mobilenet_v3_small",
        Stem(**_FEATURES, entry=_V3_SMALL, entry_outputs=(f"{_SQUEEZE}.fc2",), prepare=_without_shortcut),
        {},
    ),
    (
        "regnet_x_400mf regnet_x_800mf regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf "
        "regnet_x_32gf regnet_y_400mf regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf "
        "regnet_y_16gf regnet_y_32gf regnet_y_128gf",
        _REGNET,
        {},
    ),
    ("convnext_tiny convnext_small convnext_base convnext_large", _CONVNEXT, {}),
    # Sizes at which torchvision evaluates its weights.
    ("efficientnet_b0", Stem(**_FEATURES), {}),
    ("efficientnet_b1", Stem(**_FEATURES), {"rgb_size": 240}),
    ("efficientnet_b2", Stem(**_FEATURES), {"rgb_size": 288}),
    ("efficientnet_b3", Stem(**_FEATURES), {"rgb_size": 300}),
    ("efficientnet_b4", Stem(**_FEATURES), {"rgb_size": 380}),
    ("efficientnet_b5", Stem(**_FEATURES), {"rgb_size": 456}),
    ("efficientnet_b6", Stem(**_FEATURES), {"rgb_size": 528}),
    ("efficientnet_b7", Stem(**_FEATURES), {"rgb_size": 600}),
    ("efficientnet_v2_s", Stem(**_FEATURES), {"rgb_size": 384}),
    ("efficientnet_v2_m", Stem(**_FEATURES), {"rgb_size": 480}),
    ("efficientnet_v2_l", Stem(**_FEATURES), {"rgb_size": 480, "mean": (0.5,) * 3, "std": (0.5,) * 3}),
    ("vit_b_16 vit_l_16", _vit(16), {}),
    ("vit_b_32 vit_l_32", _vit(32), {}),
)


def _architecture(name: str, stem: Stem, **options: Any) -> Architecture:
    def build(num_classes: int, rgb_size: int) -> nn.Module:
        from torchvision.models import get_model

        sizes = {"image_size": rgb_size} if stem.on_blocks else {}
        network: nn.Module = get_model(name, weights=None, num_classes=num_classes, **sizes)
        return network

    return Architecture(build, stem, published=lambda weights: torchvision_weights(name, weights), **options)


for _names, _stem, _options in _FAMILIES:
    for _name in _names.split():
        register(_name, _architecture(_name, _stem, **_options))


def _build_same(num_classes: int, rgb_size: int) -> nn.Module:
    from torchvision.models import mobilenet_v2

    return use_same_padding(mobilenet_v2(num_classes=num_classes))


# For weights trained with TensorFlow's padding.
register("mobilenet_v2_tfsame", Architecture(_build_same, _V2))
