"""torchvision's networks, built without weights; torchvision is imported when the first one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def build_torchvision(name: str, **options: Any) -> Callable[[int, int], nn.Module]:
    """A builder ``(num_classes, rgb_size) → RGB network`` with random weights, for `Architecture.build`."""

    def build(num_classes: int, rgb_size: int) -> nn.Module:
        from torchvision.models import get_model

        network: nn.Module = get_model(name, weights=None, num_classes=num_classes, **options)
        return network

    return build
