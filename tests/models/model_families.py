"""One tiny network of each family: torchvision's classes with few blocks, behind the real family's stem."""

from functools import partial

from torchvision.models import (
    ConvNeXt,
    EfficientNet,
    MobileNetV2,
    MobileNetV3,
    RegNet,
    ResNet,
    VisionTransformer,
)
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.regnet import BlockParams
from torchvision.models.resnet import BasicBlock, Bottleneck

from freqvision.inputs.spec import FrequencySpec
from freqvision.models import Architecture, architecture, create_model, register
from freqvision.spectrum.channels import ChannelSet

CLASSES = 5
RGB_SIZE = 32  # of the image that the RGB network would see


def _resnet(block, classes, **options):
    return ResNet(block, [1, 1, 1, 1], num_classes=classes, **options)


def _mobilenet_v2(classes):
    return MobileNetV2(classes, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 1, 2]])


def _mobilenet_v3(large, classes):
    block = partial(InvertedResidualConfig, dilation=1, width_mult=1.0)
    first = block(16, 3, 16, 16, not large, "RE", 1 if large else 2)
    return MobileNetV3([first, block(16, 3, 32, 24, True, "HS", 2)], last_channel=48, num_classes=classes)


def _regnet(classes):
    return RegNet(BlockParams([1, 1], [16, 32], [8, 8], [1.0, 1.0], [2, 2], 0.25), num_classes=classes)


def _convnext(classes):
    return ConvNeXt([CNBlockConfig(24, 48, 1), CNBlockConfig(48, None, 1)], num_classes=classes)


def _efficientnet(classes):
    blocks = [MBConvConfig(1, 3, 1, 32, 16, 1, 1.0, 1.0), MBConvConfig(6, 3, 2, 16, 24, 2, 1.0, 1.0)]
    return EfficientNet(blocks, dropout=0.2, num_classes=classes)


def _vit(classes, size):
    return VisionTransformer(
        size, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=classes
    )


# Name of the tiny network: the real one whose stem it has, and how it is built.
_TINY = {
    "tiny_resnet18": ("resnet18", partial(_resnet, BasicBlock)),
    "tiny_resnet50": ("resnet50", partial(_resnet, Bottleneck)),
    "tiny_resnext": ("resnext50_32x4d", partial(_resnet, Bottleneck, groups=32, width_per_group=4)),
    "tiny_wide_resnet": ("wide_resnet50_2", partial(_resnet, Bottleneck, width_per_group=128)),
    "tiny_mobilenet_v2": ("mobilenet_v2", _mobilenet_v2),
    "tiny_mobilenet_v3_large": ("mobilenet_v3_large", partial(_mobilenet_v3, True)),
    "tiny_mobilenet_v3_small": ("mobilenet_v3_small", partial(_mobilenet_v3, False)),
    "tiny_regnet": ("regnet_y_400mf", _regnet),
    "tiny_convnext": ("convnext_tiny", _convnext),
    "tiny_efficientnet": ("efficientnet_b0", _efficientnet),
    "tiny_vit": ("vit_b_16", _vit),
}
for _name, (_real, _build) in _TINY.items():
    _found = architecture(_real)
    _build = _build if _real == "vit_b_16" else (lambda classes, size, build=_build: build(classes))
    register(_name, Architecture(_build, _found.stem, strides=_found.strides))

FAMILIES = (*_TINY, "timm/resnet10t", "timm/convnext_atto")


def small_spec(name, channels=24, **options):
    """A spec of 24 channels, normalised, for images of RGB_SIZE."""
    crop = RGB_SIZE * 8 // architecture(name).stem.pixels
    chosen = ChannelSet.preset(channels)
    numbers = {
        "mean": tuple(float(i % 5) for i in range(len(chosen))),
        "std": tuple(20.0 + i for i in range(len(chosen))),
        **options,
    }
    return FrequencySpec(resize=crop, crop=crop, channels=chosen, **numbers)


def small_model(name, spec=None, **options):
    return create_model(name, spec or small_spec(name), CLASSES, rgb_size=RGB_SIZE, **options)
