"""Computer vision in the frequency domain: JPEG coefficients straight into CNNs."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freqvision.detection import create_detector
    from freqvision.inputs import (
        ChannelStatistics,
        Decoder,
        FrequencySpec,
        InputSpec,
        PixelSpec,
        PixelTransform,
        View,
        pack,
        unpack,
    )
    from freqvision.jpeg import Coefficients, Header, JpegError, read_coefficients, read_header
    from freqvision.models import Transport, create_model, list_models, load, save
    from freqvision.spectrum import ChannelSet
    from freqvision.training.run import fit

__version__ = "0.1.0"

__all__ = [
    "ChannelSet",
    "ChannelStatistics",
    "Coefficients",
    "Decoder",
    "FrequencySpec",
    "Header",
    "InputSpec",
    "JpegError",
    "PixelSpec",
    "PixelTransform",
    "Transport",
    "View",
    "create_detector",
    "create_model",
    "fit",
    "list_models",
    "load",
    "pack",
    "read_coefficients",
    "read_header",
    "save",
    "unpack",
]

# Where the names live, each package after those that it needs; loaded on first use, so that the import and
# the command line's help stay lean.
_HOMES = ("jpeg", "spectrum", "inputs", "models", "detection", "training.run")

_PACKAGES = ("analysis", "data", "detection", "inputs", "jpeg", "models", "spectrum", "training")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    homes = (importlib.import_module(f"{__name__}.{home}") for home in _HOMES)
    value = globals()[name] = next(getattr(home, name) for home in homes if name in home.__all__)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
