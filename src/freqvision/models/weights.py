"""State dicts: read from files, loaded into networks, every layer accounted for."""

import argparse
import logging
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from freqvision.inputs.spec import InputSpec
from freqvision.runtime import parse_json, read_text
from freqvision.spectrum.channels import ChannelSet

log = logging.getLogger(__name__)

StateDict = Mapping[str, torch.Tensor]
GATES = "input.gates."  # names of a FrequencyModel's gates begin so
CHECKPOINT_KEY = "freqvision"  # in checkpoints: what is needed to build the model
_AVERAGES = ("state_dict_ema", "model_ema")  # timm's and torchvision's moving averages of the weights
_NESTED = (*_AVERAGES, "state_dict", "model")  # where checkpoints keep their state dict, the best first
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, a training module's attribute


@dataclass(frozen=True)
class Weights:
    """A state dict, and the channels of the `FrequencyModel` that it is from, where its file says so."""

    state: dict[str, torch.Tensor]
    channels: str | None = None

    @property
    def of_frequencies(self) -> bool:
        """Whether they are from a `FrequencyModel`, not from an RGB network."""
        return all(key.startswith(("network.", "input.")) for key in self.state)

    def check_channels(self, spec: InputSpec) -> None:
        """Refuse weights for other channels: where there are equally many, nothing else would show it."""
        if not self.of_frequencies or self.channels is None or spec.channels is None:
            return
        if ChannelSet.parse(self.channels, files=False) != spec.channels:
            raise ValueError(
                f"the weights are from a model of the channels {self.channels}, and the spec has "
                f"{spec.channels}: use the same, or freqvision.models.shrink.shrink for some of them"
            )


@dataclass(frozen=True)
class WeightReport:
    """Names of the layers that were loaded, and of those that start anew."""

    loaded: tuple[str, ...] = ()
    new: tuple[str, ...] = ()


def open_weights(source: str | Path | StateDict) -> Weights:
    """As `read_weights`, with the channels that a checkpoint names itself, a saved folder its config.json."""
    if isinstance(source, Mapping):
        return Weights(find_state(source))
    if not isinstance(source, (str, Path)):
        raise TypeError(
            f"weights are a file's path or a state dict, got {type(source).__name__}: pass a module's "
            '.state_dict(), or the name of published weights such as "DEFAULT"'
        )
    path = Path(source)
    values = read_file(path)
    described: Any = values.get(CHECKPOINT_KEY)
    spec = described.get("spec") if isinstance(described, Mapping) else None
    config = path.with_name("config.json")
    if path.suffix == ".safetensors" and config.is_file():
        try:
            described = parse_json(read_text(config))
        except ValueError as error:
            raise ValueError(f"{config}, which describes {path.name}, is damaged: {error}") from error
        ours = isinstance(described, Mapping) and described.get("library") == "freqvision"
        spec = described.get("input") if ours else None
    channels = spec.get("channels") if isinstance(spec, Mapping) else None
    return Weights(find_state(values), channels if isinstance(channels, str) else None)


def read_weights(source: str | Path | StateDict) -> dict[str, torch.Tensor]:
    """A state dict from a ``.safetensors`` file, a file of `torch.save`, or a mapping.

    Files of `torch.save` are read with ``weights_only=True``: besides tensors and plain values they may hold
    an `argparse.Namespace` (as timm's ``CheckpointSaver`` writes) and NumPy numbers, no code. A state dict
    inside a checkpoint is found (under "state_dict_ema", "model_ema", "state_dict" or "model", in this
    order), and prefixes that all keys share because the network was wrapped are cut off.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or holds no state dict.
    """
    return open_weights(source).state


def read_file(path: Path) -> Mapping[str, Any]:
    """All that a file of weights or a checkpoint holds, read once; large tensors only when they are used."""
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights at {path}")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is damaged or incomplete ({error}): copy it again") from error
    try:
        with torch.serialization.safe_globals(_SAFE):
            # Mapped into memory, so that only what is used is read; torch before 1.6 wrote no archives.
            values = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # whatever the unpickler stumbles over in a file that is none
        raise ValueError(
            f"{path} cannot be read as weights: it is damaged, or holds more than tensors, numbers and text"
            f"{_unsafe(error)}. If you trust it, pass the mapping that torch.load(path, weights_only=False) "
            "gives, or save its state_dict alone: torch.save(that['state_dict'], NEW_FILE)"
        ) from error
    if not isinstance(values, Mapping):
        raise ValueError(f"{path} holds a {type(values).__name__}, no state dict: save network.state_dict()")
    return values


def find_state(values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The state dict in what a file holds, without the prefixes of wrappers."""
    nested = [key for key in _NESTED if isinstance(values.get(key), Mapping) and values[key]]
    if nested:
        values = values[nested[0]]
        if nested[0] in _AVERAGES and len(nested) > 1:
            log.info("%s is loaded, the moving average, not %s", nested[0], nested[1])
    tensors = {key: value for key, value in values.items() if isinstance(value, torch.Tensor)}
    tensors.pop("n_averaged", None)  # the counter of torch's AveragedModel
    if not tensors:
        raise ValueError(
            "the weights hold no state dict; valid: a .safetensors file, a file that torch.save wrote from "
            'network.state_dict(), a checkpoint with a "state_dict", or the mapping itself'
        )
    while True:
        wrapper = next((w for w in _WRAPPERS if all(key.startswith(w) for key in tensors)), None)
        if wrapper is None:
            return tensors
        tensors = {key.removeprefix(wrapper): value for key, value in tensors.items()}


class _NumberType:
    """Stands for `numpy.dtype` when files are read: number types only, and nothing else of NumPy's is run."""

    def __init__(self, name: str, *_: Any) -> None:
        if not re.fullmatch(r"[biuf][1248]", name):
            raise pickle.UnpicklingError(f"a NumPy value of type {name!r}, which is no number")
        self.name = name

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1] if state[1] in ("<", ">") else ""
        self.name = order + self.name


def _number(kind: _NumberType, data: bytes) -> Any:
    """Stands for NumPy's constructor of scalars: the same number, as Python's."""
    return np.frombuffer(data, np.dtype(kind.name), count=1)[0].item()


# What files may hold besides tensors and plain values.
_SAFE: list[Any] = [
    argparse.Namespace,
    _NumberType,
    (_NumberType, "numpy.dtype"),
    (_number, "numpy._core.multiarray.scalar"),
    (_number, "numpy.core.multiarray.scalar"),  # NumPy before 2
]


def _unsafe(error: BaseException) -> str:
    """Which type was refused, as torch's long message says in its middle."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f" ({named[1]})" if named else ""


def classifier_name(network: nn.Module) -> str:
    """Name of the layer that gives the logits: the last linear one, or the last convolution if there is none.

    Example:
        >>> classifier_name(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)))
        '2'
    """
    for kind in (nn.Linear, nn.Conv2d):
        names = [
            name
            for name, layer in network.named_modules()
            if isinstance(layer, kind) and not name.startswith(GATES)
        ]
        if names:
            return names[-1]
    raise ValueError(f"{type(network).__name__} has no linear layer that could be its classifier")


def load_weights(network: nn.Module, state: StateDict, heads: tuple[str, ...] = ()) -> WeightReport:
    """Load every layer, in place; only the classifier may differ or be missing; gates may be missing.

    `heads` are the layers whose shape depends on the number of classes, by default the last one.

    Raises:
        ValueError: Other layers are missing, unknown or have other shapes; the message lists them.
    """
    if heads:
        absent = tuple(f"{name}." for name in heads)
    else:
        classifier = classifier_name(network)
        wrapper = "network." if classifier.startswith("network.") else ""  # a FrequencyModel
        # torchvision: fc, classifier, heads; timm: head, fc, classifier
        absent = (wrapper + classifier.removeprefix(wrapper).partition(".")[0] + ".",)
        heads = (classifier,)
    own = network.state_dict()
    mismatched = {key for key in own.keys() & state.keys() if own[key].shape != state[key].shape}
    missing = {key for key in own.keys() - state.keys() if not key.endswith("num_batches_tracked")}
    unknown = {key for key in state.keys() - own.keys() if not key.endswith("num_batches_tracked")}

    new = {key for key in mismatched if _layer(key) in heads}
    new |= {key for key in missing if key.startswith(absent)}
    if not any(key.startswith(GATES) for key in state):
        new |= {key for key in missing if key.startswith(GATES)}
    strange = {key for key in own.keys() & state.keys() - new if not _is_plain(state[key], own[key])}
    faults = [
        *(
            f"{key}: {state[key].dtype} ({str(state[key].layout).removeprefix('torch.')}, "
            f"{state[key].device.type}), not plain numbers of {own[key].dtype}"
            for key in strange
        ),
        *(
            f"{key}: shape {tuple(state[key].shape)}, the network has {tuple(own[key].shape)}"
            for key in mismatched - new - strange
        ),
        *(f"{key}: not in the weights" for key in missing - new),
        *(f"{key}: not in the network" for key in unknown),
    ]
    if faults:
        raise ValueError(
            f"the weights do not fit {type(network).__name__} in {len(faults)} tensors; only the classifier "
            f"({', '.join(heads)}) may differ. Another model name or other strides may be meant.\n  "
            + "\n  ".join(sorted(faults)[:20])
            + (f"\n  … and {len(faults) - 20} more" if len(faults) > 20 else "")
        )
    fitting = {key: value for key, value in state.items() if key in own and key not in new}
    network.load_state_dict(fitting, strict=False)
    return WeightReport(loaded=_layers(fitting), new=_layers(new))


def _is_plain(value: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether copying a tensor means something: not quantised or complex numbers, of which a part is lost."""
    stored = value.layout is torch.strided and not value.is_meta and not value.is_quantized
    return stored and value.is_floating_point() >= own.is_floating_point()


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _layers(keys: Mapping[str, torch.Tensor] | set[str]) -> tuple[str, ...]:
    return tuple(sorted({_layer(key) for key in keys}))
