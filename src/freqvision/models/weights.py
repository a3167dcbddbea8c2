"""State dicts: read from files, loaded into networks, every layer accounted for."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.spectrum.channels import ChannelSet

StateDict = Mapping[str, torch.Tensor]
GATES = "input.gates."  # names of a FrequencyModel's gates begin so
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, a training module's attribute


@dataclass(frozen=True)
class WeightReport:
    """What became of a state dict: names of the layers that were loaded, and of those that start anew."""

    loaded: tuple[str, ...]
    new: tuple[str, ...]


def read_weights(source: str | Path | StateDict) -> dict[str, torch.Tensor]:
    """A state dict from a ``.safetensors`` file, a file of `torch.save`, or a mapping.

    Files of `torch.save` are read with ``weights_only=True``: they can hold tensors and plain values, no
    code. A state dict inside a checkpoint (under "state_dict" or "model") is found, and prefixes that all
    keys share because the network was wrapped are cut off.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or holds no state dict.
    """
    if isinstance(source, Mapping):
        values: Mapping[str, object] = source
    elif not isinstance(source, (str, Path)):
        raise TypeError(
            f"weights are a file's path or a state dict, got {type(source).__name__}: of a module pass "
            ".state_dict(), of torchvision's weights .get_state_dict()"
        )
    else:
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(f"no file of weights at {path}")
        if path.suffix == ".safetensors":
            from safetensors import SafetensorError
            from safetensors.torch import load_file

            try:
                values = load_file(path)
            except SafetensorError as error:
                raise ValueError(f"{path} is damaged or incomplete ({error}): copy it again") from error
        else:
            try:
                values = torch.load(path, map_location="cpu", weights_only=True)
            except (pickle.UnpicklingError, RuntimeError, EOFError) as error:  # the latter two of cut files
                raise ValueError(
                    f"{path} cannot be read as weights: it is damaged, or holds other than tensors and plain "
                    "values. If you trust it, pass the mapping torch.load(path, weights_only=False) gives"
                ) from error
    for key in ("state_dict", "model"):
        inner = values.get(key) if isinstance(values, Mapping) else None
        if isinstance(inner, Mapping):
            values = inner
    tensors = (
        {key: value for key, value in values.items() if isinstance(value, torch.Tensor)}
        if isinstance(values, Mapping)
        else {}
    )
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


def stored_channels(source: str | Path | StateDict) -> str | None:
    """The channels that a model of frequencies was trained on, where what holds its weights says so.

    A checkpoint of training says so itself, a file of `freqvision.save` in the configuration beside it.
    """
    spec: Any = None
    if not isinstance(source, Mapping):
        path = Path(source)
        config = path.with_name("config.json")
        if path.suffix != ".safetensors":
            # Mapped, so that only what is looked at is read; files of torch before 1.6 cannot be.
            mapped = zipfile.is_zipfile(path)
            checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            spec = checkpoint.get("freqvision", {}).get("spec") if isinstance(checkpoint, dict) else None
        elif config.is_file():
            values = json.loads(config.read_text(encoding="utf-8"))
            spec = values.get("input") if values.get("library") == "freqvision" else None
    return spec.get("channels") if isinstance(spec, dict) else None


def check_channels(weights: str | Path | StateDict, spec: InputSpec) -> None:
    """Refuse weights for other channels: where there are as many, nothing else would tell."""
    stored = stored_channels(weights)
    if stored is not None and isinstance(spec, FrequencySpec) and ChannelSet.parse(stored) != spec.channels:
        raise ValueError(
            f"the weights are of a model of the channels {stored}, and the spec has {spec.channels}: use the "
            "same, or freqvision.models.shrink.shrink for some of them"
        )


def is_frequency_state(state: StateDict) -> bool:
    """Whether a state dict is that of a `FrequencyModel`, not of an RGB network."""
    return all(key.startswith(("network.", "input.")) for key in state)


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
    """Load every layer whose shape fits, in place; only the classifier may differ or lack, and gates lack.

    Args:
        network: Where to.
        state: A state dict with the network's names.
        heads: Layers whose shape follows the number of classes; none are given for a classifier, where the
            last layer is taken.

    Raises:
        ValueError: Layers other than the classifier lack, are unknown or have other shapes; the message lists
            them.
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
    faults = [
        *(
            f"{key}: shape {tuple(state[key].shape)}, the network has {tuple(own[key].shape)}"
            for key in mismatched - new
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


def _layer(key: str) -> str:
    return key.rpartition(".")[0]


def _layers(keys: Mapping[str, torch.Tensor] | set[str]) -> tuple[str, ...]:
    return tuple(sorted({_layer(key) for key in keys}))
