"""Training with Lightning, which nothing else imports: modules, data modules, and commands that train."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqvision.inputs.augment import Augmentation
    from freqvision.models.optimisation import Optimisation
    from freqvision.training.classifier import Classifier
    from freqvision.training.coco import CocoPhotos
    from freqvision.training.data_module import PhotoData
    from freqvision.training.detector import Detector
    from freqvision.training.photos import PhotoFolder, PhotoShards, PhotoTable

__all__ = [
    "Augmentation",
    "Classifier",
    "CocoPhotos",
    "Detector",
    "Optimisation",
    "PhotoData",
    "PhotoFolder",
    "PhotoShards",
    "PhotoTable",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("freqvision.training.fit"), name)
