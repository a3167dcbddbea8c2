"""Which models exist: names, and the architectures that create them."""

import difflib
import fnmatch
import importlib
from collections.abc import Callable
from dataclasses import replace

from freqvision.models.architecture import Architecture

# Modules that register their models when they are imported. Families import the registry, not the reverse.
FAMILIES = (
    "freqvision.models.torchvision_families",
    "freqvision.models.timm_models",
    "freqvision.detection.architectures",
)

Find = Callable[[str], Architecture]
ListNames = Callable[[str], list[str]]

_ARCHITECTURES: dict[str, Architecture] = {}
_LIBRARIES: dict[str, tuple[Find, ListNames]] = {}  # by the prefix of their models' names


def register(name: str, architecture: Architecture) -> None:
    """Make an architecture known to `create_model`.

    Raises:
        ValueError: The name is taken.
    """
    if name in _ARCHITECTURES:
        raise ValueError(f"a model named {name!r} is registered already")
    _ARCHITECTURES[name] = replace(architecture, name=name)


def register_library(prefix: str, find: Find, list_names: ListNames) -> None:
    """Make another library's networks known under the names ``prefix/NAME``.

    ``find(NAME)`` gives an architecture, ``list_names(PATTERN)`` names that match; all have the prefix.
    """
    _LIBRARIES[prefix] = find, list_names


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        ValueError: There is none; the message lists those with similar names, or all.
    """
    _import_families()
    prefix, slash, rest = name.partition("/")
    if slash and prefix in _LIBRARIES:
        return _LIBRARIES[prefix][0](rest)
    if name.startswith(("hf-hub:", "hf_hub:")):
        raise ValueError(
            f'{name} names files on a hub: name the architecture, as timm/NAME, with weights="DEFAULT" for '
            "its published weights or weights=FILE for your own"
        )
    if name not in _ARCHITECTURES:
        similar = difflib.get_close_matches(name, _ARCHITECTURES, n=3)
        hint = f"did you mean {' or '.join(similar)}?" if similar else f"known: {', '.join(list_models())}"
        raise ValueError(f"there is no model {name!r}; {hint} (fv.list_models(), or 'timm/NAME' for timm's)")
    return _ARCHITECTURES[name]


def list_models(pattern: str = "*") -> list[str]:
    """Names that `create_model` and `create_detector` take, sorted.

    With the extra ``timm``, ``timm/NAME`` names any of its networks as well; they are listed for patterns
    that begin with ``timm/``.

    Args:
        pattern: Shell-style wildcards, such as ``"resnet*"``.

    Example:
        >>> list_models("resnet?0")
        ['resnet50']
    """
    _import_families()
    prefix, slash, _ = pattern.partition("/")
    if slash and prefix in _LIBRARIES:
        return _LIBRARIES[prefix][1](pattern)
    return sorted(fnmatch.filter(_ARCHITECTURES, pattern))


def _import_families() -> None:
    for module in FAMILIES:
        importlib.import_module(module)
