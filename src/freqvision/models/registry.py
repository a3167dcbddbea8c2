"""Which networks exist: a name, how to build the RGB network, and what its stem looks like."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from freqvision.inputs.spec import IMAGENET_MEAN, IMAGENET_STD
from freqvision.models.surgery import Stem


@dataclass(frozen=True)
class Detector:
    """What is built around a classifier to find objects.

    Args:
        backbone: Name of the classifier.
        assemble: ``assemble(classifier, num_classes, DetectorOptions)`` gives a detector of torchvision.
        heads: Layers whose shape follows the number of classes.
        rgb_size: Shorter side in pixels of the images for which the RGB network is made, and the most that
            the longer one may have.
    """

    backbone: str
    assemble: Callable[[nn.Module, int, Any], nn.Module]
    heads: tuple[str, ...]
    rgb_size: tuple[int, int]


@dataclass(frozen=True)
class Architecture:
    """An RGB network and what surgery needs to know of it.

    Args:
        build: ``build(num_classes, rgb_size)`` gives the RGB network with random weights.
        stem: Where the network's input layers are.
        rgb_size: Side in pixels of the images for which the RGB network is made.
        mean: By which the RGB network's input is normalised, of values on [0, 1].
        std: Likewise.
        strides: Variants of the network's strides besides "standard": name → what changes the RGB network in
            place.
        detector: Where the model is a detector, what it is; all else then describes its backbone.
    """

    build: Callable[[int, int], nn.Module]
    stem: Stem
    rgb_size: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    strides: Mapping[str, Callable[[nn.Module], None]] = field(default_factory=dict)
    detector: Detector | None = None

    def apply_strides(self, network: nn.Module, name: str) -> None:
        """Change the network to a variant of its strides.

        Raises:
            ValueError: This architecture has no such variant.
        """
        if name == "standard":
            return
        if name not in self.strides:
            valid = ", ".join(repr(variant) for variant in ("standard", *self.strides))
            raise ValueError(f"strides={name!r} does not exist for this model; valid: {valid}")
        self.strides[name](network)


_ARCHITECTURES: dict[str, Architecture] = {}
_FAMILIES: dict[str, Callable[[str], Architecture]] = {}  # by the prefix of their models' names


def register(name: str, architecture: Architecture) -> None:
    """Make an architecture known to `create_model`.

    Raises:
        ValueError: The name is taken.
    """
    if name in _ARCHITECTURES:
        raise ValueError(f"a model named {name!r} is registered already")
    _ARCHITECTURES[name] = architecture


def register_family(prefix: str, find: Callable[[str], Architecture]) -> None:
    """Make a library of networks known: ``find(NAME)`` is asked for every name ``prefix/NAME``."""
    _FAMILIES[prefix] = find


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ValueError: There is none; the message lists those with similar names, or all.
    """
    prefix, slash, rest = name.partition("/")
    if slash and prefix in _FAMILIES:
        return _FAMILIES[prefix](rest)
    _import_detectors()
    if name not in _ARCHITECTURES:
        similar = difflib.get_close_matches(name, _ARCHITECTURES, n=3)
        hint = f"did you mean {' or '.join(similar)}?" if similar else f"known: {', '.join(list_models())}"
        raise ValueError(f"there is no model {name!r}; {hint} (fv.list_models(), or 'timm/NAME' for timm's)")
    return _ARCHITECTURES[name]


def list_models(pattern: str = "*") -> list[str]:
    """Names that `create_model` takes, sorted.

    With the extra ``timm``, ``timm/NAME`` names any of its networks as well; they are listed for patterns
    that begin with ``timm/``.

    Args:
        pattern: Shell-style wildcards, such as ``"resnet*"``.

    Example:
        >>> list_models("resnet?0")
        ['resnet50']
    """
    if pattern.startswith("timm/"):
        from freqvision.models.timm_models import list_timm_models

        return list_timm_models(pattern)
    _import_detectors()
    return sorted(fnmatch.filter(_ARCHITECTURES, pattern))


def _import_detectors() -> None:
    importlib.import_module("freqvision.detection.architectures")
