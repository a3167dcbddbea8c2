"""Training with Lightning: modules, data modules, training commands. Nothing else imports Lightning."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqvision.training.augmentation import Augmentation
    from freqvision.training.classifier import Classifier
    from freqvision.training.coco import CocoPhotos
    from freqvision.training.detector import Detector
    from freqvision.training.optimisation import Optimisation
    from freqvision.training.photos import PhotoFolder

__all__ = [
    "Augmentation",
    "Classifier",
    "CocoPhotos",
    "Detector",
    "Optimisation",
    "PhotoFolder",
]

_FILES = {
    "Augmentation": "augmentation",
    "Classifier": "classifier",
    "CocoPhotos": "coco",
    "Detector": "detector",
    "Optimisation": "optimisation",
    "PhotoFolder": "photos",
}


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"freqvision.training.{_FILES[name]}"), name)
