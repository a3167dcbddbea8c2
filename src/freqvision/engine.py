"""The name of `freqvision.training` in configs and checkpoints of version 0.1."""

from typing import Any

from freqvision import training


def __getattr__(name: str) -> Any:
    return getattr(training, name)
