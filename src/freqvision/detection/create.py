"""From a name and an input specification to a detector, from random or from RGB weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from freqvision.detection.model import DetectionModel
from freqvision.detection.options import DetectorOptions, detector_options
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.models.architecture import Architecture, channel_set, check_arguments
from freqvision.models.create import create_model
from freqvision.models.registry import architecture, list_models
from freqvision.models.surgery import replace_layer
from freqvision.models.weights import StateDict, load_weights, open_weights
from freqvision.spectrum.channels import BLOCK, ChannelSet

log = logging.getLogger(__name__)

_BODY = "backbone.body."  # where torchvision's detectors keep the classifier's stages


@dataclass(frozen=True, kw_only=True)
class Detector(Architecture):
    """A detector and how it is created around a classifier, which the fields of `Architecture` describe.

    Args:
        assemble: ``assemble(classifier, num_classes, DetectorOptions)`` gives a detector of torchvision.
        heads: Layers whose shape follows the number of classes.
        image_size: Shorter side in pixels of the images that the RGB detector is made for, and the most that
            the longer one may have.
    """

    assemble: Callable[[nn.Module, int, DetectorOptions], nn.Module]
    heads: tuple[str, ...]
    image_size: tuple[int, int]

    task: ClassVar[str] = "object-detection"

    @classmethod
    def around(cls, backbone: str, **options: Any) -> Detector:
        """The detector around the classifier of that name; options are the fields that it adds."""
        found = architecture(backbone)
        classifier = {item.name: getattr(found, item.name) for item in fields(Architecture)}
        return cls(**{**classifier, "backbone": backbone, **options})

    def default_spec(self, channels: ChannelSet | int = 24) -> FrequencySpec:
        """Whole photos, at twice the size that the RGB detector sees."""
        scale = BLOCK // self.stem.pixels
        short, long = (scale * side for side in self.image_size)
        return FrequencySpec(resize=short, crop=None, channels=channel_set(channels), max_size=long)

    def rgb_spec(self) -> PixelSpec:
        """Whole photos, at the size that the RGB detector is made for."""
        short, long = self.image_size
        return PixelSpec(short, None, mean=self.mean, std=self.std, dtype="uint8", max_size=long)

    def create(  # type: ignore[override]
        self,
        spec: InputSpec | None = None,
        num_classes: int = 91,
        *,
        weights: str | Path | StateDict | None = None,
        weights_backbone: str | Path | StateDict | None = None,
        start: str | None = None,
        strides: str = "standard",
        photos: Iterable[str | Path] | None = None,
        detector: DetectorOptions | Mapping[str, Any] | None = None,
    ) -> DetectionModel:
        """The detector; see `create_detector`, which finds it by its name."""
        spec = self.default_spec() if spec is None else spec
        check_arguments(spec, num_classes, photos)
        options = detector_options(detector)
        given = None if weights is None else open_weights(weights)
        state = None if given is None else given.state
        if state is not None and weights_backbone is not None:
            raise ValueError("weights= of a detector hold its backbone: leave weights_backbone out")
        of_frequencies = given is not None and given.of_frequencies
        if start is None and given is not None and of_frequencies and spec.channels is not None:
            start = self.stored_start(given.state, f"network.{_BODY}")
        if given is not None:
            given.check_channels(spec)
        if state is not None and not of_frequencies:
            # An RGB detector: its backbone goes through the same surgery as any classifier.
            weights_backbone = {k.removeprefix(_BODY): v for k, v in state.items() if k.startswith(_BODY)}
            if not weights_backbone:
                raise ValueError(
                    f"weights= of {self.name} are those of a whole detector, with names such as "
                    f"{_BODY}conv1.weight; for those of a classifier use weights_backbone="
                )

        # Its own classes do not matter: the classifier behind the stages is left out. Without a crop, a block
        # stands for as many pixels as a cell of the grid behind the stem.
        whole = spec.replace(crop=None)
        classifier = create_model(
            self.backbone, whole, weights=weights_backbone, start=start, strides=strides, photos=photos
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
        network = self.assemble(classifier.network, num_classes, options)

        settings = {
            **{key: classifier.settings[key] for key in ("start", "strides")},
            "name": self.name,
            "num_classes": num_classes,
            "detector": options.to_dict(),
        }
        model = DetectionModel(network, spec, settings)
        heads = tuple(f"network.{layer}" for layer in self.heads)
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
        _log(self.name, model.new_layers, options)
        return model


def create_detector(
    name: str,
    spec: InputSpec | None = None,
    num_classes: int = 91,
    weights: str | Path | StateDict | None = None,
    weights_backbone: str | Path | StateDict | None = None,
    start: str | None = None,
    strides: str = "standard",
    photos: Iterable[str | Path] | None = None,
    options: DetectorOptions | Mapping[str, Any] | None = None,
) -> DetectionModel:
    """A detector that reads DCT channels, built from one that read pixels.

    Args:
        name: One of `list_models`, such as ``maskrcnn_resnet50_fpn``.
        spec: What turns a photo into the input; the model keeps it. None takes `default_spec`.
        num_classes: Number of classes, the background included, as torchvision counts them.
        weights: State dict of the whole RGB detector, or of a `DetectionModel`.
        weights_backbone: State dict of the classifier that is the backbone, of RGB or of DCT channels.
        start: As `create_model` takes it.
        strides: Likewise.
        photos: Likewise.
        options: `DetectorOptions`, or a mapping of its fields.

    Raises:
        ValueError: The name is not a detector's, an argument is illegal or contradicts another, or the
            weights do not fit; the message says which.
        TypeError: The spec is none, or photos is a single path.
    """
    found = architecture(name)
    if found.task != Detector.task:
        raise ValueError(f"{name} is no detector; detectors: {', '.join(list_models('*_fpn'))}")
    return found.create(  # type: ignore[return-value]
        spec,
        num_classes,
        weights=weights,
        weights_backbone=weights_backbone,  # type: ignore[call-arg]
        start=start,
        strides=strides,
        photos=photos,
        detector=options,
    )


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
