"""From a name and an input specification to a detector, from random or from RGB weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from freqvision.detection.model import DetectionModel
from freqvision.detection.options import DetectorOptions, detector_options
from freqvision.inputs.spec import InputSpec
from freqvision.models.create import check_channels, create_model
from freqvision.models.registry import architecture
from freqvision.models.surgery import replace_layer
from freqvision.models.weights import StateDict, load_weights, read_weights

log = logging.getLogger(__name__)

_BODY = "backbone.body."  # where torchvision's detectors keep the classifier's stages


def create_detector(
    name: str,
    spec: InputSpec,
    num_classes: int,
    weights: str | Path | StateDict | None = None,
    weights_backbone: str | Path | StateDict | None = None,
    start: str | None = None,
    strides: str = "standard",
    photos: Iterable[str | Path] | None = None,
    options: DetectorOptions | Mapping[str, Any] | None = None,
) -> DetectionModel:
    """What `create_model` gives for the name of a detector; see there."""
    found = architecture(name).detector
    assert found is not None
    options = detector_options(options)
    state = None if weights is None else read_weights(weights)
    if state is not None and weights_backbone is not None:
        raise ValueError("weights= of a detector hold its backbone: leave weights_backbone out")
    of_frequencies = state is not None and all(key.startswith(("network.", "input.")) for key in state)
    if weights is not None and of_frequencies:
        check_channels(weights, spec)
    if state is not None and not of_frequencies:
        # An RGB detector: its backbone goes through the same surgery as any classifier.
        weights_backbone = {k.removeprefix(_BODY): v for k, v in state.items() if k.startswith(_BODY)}
        if not weights_backbone:
            raise ValueError(
                f"weights= of {name} are those of a whole detector, with names such as {_BODY}conv1.weight; "
                "for those of a classifier use weights_backbone="
            )

    # Its own classes do not matter: the classifier behind the stages is left out. Without a crop, a block
    # stands for as many pixels as a cell of the grid behind the stem.
    whole = spec.replace(crop=None)
    classifier = create_model(
        found.backbone, whole, weights=weights_backbone, start=start, strides=strides, photos=photos
    )
    stages = [layer for layer in classifier.new_layers if not layer.startswith("network.fc")]
    if options.norm is None:
        if of_frequencies:
            assert state is not None
            trained = any(_BODY in key and key.endswith("num_batches_tracked") for key in state)
            options = replace(options, norm="batch" if trained else "frozen")
        else:
            # What a fold adds is zero at first: the normalisation behind it fits as it is.
            fits = all(layer.endswith(".detail.convolution") for layer in stages)
            complete = weights_backbone is not None and fits
            options = replace(options, norm="frozen" if complete else "batch")
    if options.norm == "frozen":
        freeze_batchnorm(classifier.network)
    network = found.assemble(classifier.network, num_classes, options)

    settings = {
        **{key: classifier.settings[key] for key in ("start", "strides")},
        "name": name,
        "num_classes": num_classes,
        "detector": options.to_dict(),
    }
    model = DetectionModel(network, spec, settings)
    heads = tuple(f"network.{layer}" for layer in found.heads)
    if state is None:
        new = [layer for layer in _layers_with_weights(model) if not layer.startswith(f"network.{_BODY}")]
    else:
        own = {key: value for key, value in model.state_dict().items() if f".{_BODY}" in key}
        if not of_frequencies:  # of the backbone, what surgery made of it
            rest = {f"network.{key}": value for key, value in state.items() if not key.startswith(_BODY)}
            state = {**rest, **own}
        report = load_weights(model, state, heads)
        new = list(report.new)
    if not of_frequencies:
        body = stages if weights_backbone is not None else _layers_with_weights(classifier)
        new += [
            layer.replace("network.", f"network.{_BODY}", 1)
            for layer in body
            if not layer.startswith("network.fc")
        ]
    model.new_layers = tuple(sorted(new))
    _log(name, model.new_layers, options)
    return model


def freeze_batchnorm(network: nn.Module) -> None:
    """Let every BatchNorm keep its statistics and gains for good, in place."""
    from torchvision.ops import FrozenBatchNorm2d

    for name, layer in list(network.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(layer.num_features, layer.eps)
            frozen.load_state_dict(layer.state_dict())
            replace_layer(network, name, frozen)


def _layers_with_weights(module: nn.Module) -> list[str]:
    return sorted({name.rpartition(".")[0] for name, _ in module.named_parameters()})


def _log(name: str, new: tuple[str, ...], options: DetectorOptions) -> None:
    shown = ", ".join(new) if len(new) <= 8 else f"{len(new)} layers, {', '.join(new[:2])}, … {new[-1]}"
    log.info("%s: new: %s; normalisation of the backbone: %s", name, shown or "none", options.norm)
