"""Training with Lightning: modules, data modules, training commands. Nothing else imports Lightning."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqvision.engine.augmentation import Augmentation
    from freqvision.engine.checkpoint import load_checkpoint
    from freqvision.engine.classifier import Classifier
    from freqvision.engine.coco import CocoPhotos
    from freqvision.engine.detector import Detector
    from freqvision.engine.optimisation import Optimisation
    from freqvision.engine.photos import PhotoFolder

__all__ = [
    "Augmentation",
    "Classifier",
    "CocoPhotos",
    "Detector",
    "Optimisation",
    "PhotoFolder",
    "load_checkpoint",
]

# Loaded when asked for, so that using a checkpoint needs no Lightning.
_FILES = {
    "Augmentation": "augmentation",
    "Classifier": "classifier",
    "CocoPhotos": "coco",
    "Detector": "detector",
    "Optimisation": "optimisation",
    "PhotoFolder": "photos",
    "load_checkpoint": "checkpoint",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"freqvision.engine.{_FILES[name]}"), name)
