"""Vision transformers of torchvision: a token is a patch of 16×16 or 32×32 pixels.

The patch embedding reads blocks instead of pixels: a patch of 16×16 pixels is 2×2 blocks, so (B, C, 28, 28)
from photos at 224, as in "RGB No More: Minimally-Decoded JPEG Vision Transformers" (Park and Johnson, CVPR
2023). With all 192 channels nothing is lost, and the fold of an RGB network's embedding is exact.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from freqvision.models.architecture import Architecture
from freqvision.models.registry import register
from freqvision.models.surgery import Stem


def _count_in_blocks(network: nn.Module, pixels: int) -> None:
    sides: Any = network
    sides.image_size //= pixels
    sides.patch_size //= pixels


def _vit(name: str, patch: int) -> Architecture:
    def build(num_classes: int, rgb_size: int) -> nn.Module:
        from torchvision.models import get_model

        network: nn.Module = get_model(name, weights=None, num_classes=num_classes, image_size=rgb_size)
        return network

    stem = Stem(conv="conv_proj", rest=(), stride=patch, pixels=8, on_blocks=_count_in_blocks)
    return Architecture(build, stem)


for _name, _patch in {"vit_b_16": 16, "vit_b_32": 32, "vit_l_16": 16, "vit_l_32": 32}.items():
    register(_name, _vit(_name, _patch))
