"""From a name and an input specification to a detector, from random or from RGB weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from freqvision.detection.model import DetectionModel
from freqvision.detection.options import DetectorOptions
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.models.architecture import Architecture, channel_set, check_arguments
from freqvision.models.create import create_model
from freqvision.models.gates import options_of
from freqvision.models.published import is_published_name, torchvision_weights
from freqvision.models.registry import architecture, list_models
from freqvision.models.surgery import replace_layer
from freqvision.models.weights import StateDict, load_weights, open_weights
from freqvision.spectrum.channels import BLOCK, ChannelSet

log = logging.getLogger(__name__)

EPSILON = 1e-5  # of batch normalisation
_BODY = "backbone.body."  # where torchvision's detectors keep the classifier's stages


@dataclass(frozen=True, kw_only=True)
class Detector(Architecture):
    """A detector and how it is created around a classifier, which the fields of `Architecture` describe.

    Args:
        assemble: ``assemble(classifier, num_classes, DetectorOptions)`` gives a detector of torchvision.
        heads: Layers whose shape follows the number of classes.
        image_size: Shorter side in pixels of the images that the RGB detector is made for, and the most that
            the longer one may have.
        published_epsilon: Of the batch normalisation with which torchvision trained the weights that it
            publishes for this detector; None if there are none.
    """

    assemble: Callable[[nn.Module, int, DetectorOptions], nn.Module]
    heads: tuple[str, ...]
    image_size: tuple[int, int]
    published_epsilon: float | None = None

    task: ClassVar[str] = "object-detection"

    @property
    def has_masks(self) -> bool:
        """Whether it finds masks, and so is trained with them."""
        return any("mask" in layer for layer in self.heads)

    @classmethod
    def around(cls, backbone: str, **options: Any) -> Detector:
        """The detector around the classifier of that name; options are the fields that it adds."""
        return cls(**{**vars(architecture(backbone)), "backbone": backbone, **options})

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
        options = options_of(DetectorOptions, detector or {})
        if weights is not None and weights_backbone is not None:
            raise ValueError("weights= of a detector hold its backbone: leave weights_backbone out")
        published = weights if is_published_name(weights) else None
        given = None
        if weights is not None:
            given = open_weights(self.published_weights(str(weights))[0] if published else weights)
        own = given is not None and given.of_frequencies  # the weights of a `DetectionModel`
        if given is not None and own:
            given.check_channels(spec)
            if start is None and spec.channels is not None:
                start = self.stored_start(given.state, f"network.{_BODY}")
        elif given is not None:
            # An RGB detector: its backbone gets the same surgery as any classifier.
            body = {key: value for key, value in given.state.items() if key.startswith(_BODY)}
            weights_backbone = {key.removeprefix(_BODY): value for key, value in body.items()}
            if not body:
                raise ValueError(
                    f"weights= of {self.name} are those of a whole detector, with names such as "
                    f"{_BODY}conv1.weight; for those of a classifier use weights_backbone="
                )

        # The classifier after the stages is left out, so that its classes do not matter. Without a crop, a
        # block stands for as many pixels as a cell of the grid after the stem.
        classifier = create_model(
            self.backbone,
            spec.replace(crop=None),
            weights=weights_backbone,
            start=start,
            strides=strides,
            photos=photos,
        )
        anew = classifier.new_layers if weights_backbone is not None else _layers_with_weights(classifier)
        anew = [layer.removeprefix("network.") for layer in anew]
        stages = {f"network.{_BODY}{layer}" for layer in anew if not layer.startswith("fc")}
        if options.norm is None:
            if given is not None and own:
                trained = any(_BODY in key and key.endswith("num_batches_tracked") for key in given.state)
            else:  # what a fold adds is zero at first, so that the normalisation after it fits as it is
                trained = not all(layer.endswith(".detail.convolution") for layer in stages)
            options = replace(options, norm="batch" if trained else "frozen")
        if options.norm == "frozen":
            freeze_batchnorm(classifier.network)

        settings = {
            **{key: classifier.settings[key] for key in ("start", "strides")},
            "name": self.name,
            "num_classes": num_classes,
            "detector": options.to_dict(),
        }
        model = DetectionModel(self.assemble(classifier.network, num_classes, options), spec, settings)
        if given is None:
            others = _layers_with_weights(model)
            new = stages | {layer for layer in others if not layer.startswith(f"network.{_BODY}")}
        else:
            state = given.state
            if not own:  # with what surgery made of the backbone
                adapted = {k: v for k, v in model.state_dict().items() if k.startswith(f"network.{_BODY}")}
                state = {f"network.{k}": v for k, v in state.items() if k not in body} | adapted
            report = load_weights(model, state, tuple(f"network.{layer}" for layer in self.heads))
            new = set(report.new) | (set() if own else stages)
        if published and num_classes == len(names := self.published_classes(str(published))):
            model.class_names = names
        model.new_layers = tuple(sorted(new))
        _log(self.name, model.new_layers, options)
        return model

    def published_weights(self, name: str) -> tuple[StateDict, int]:
        """Weights of torchvision's detector on COCO, and the shorter side of the images it is made for."""
        if self.published_epsilon is None:
            raise ValueError(
                f"torchvision publishes no weights for {self.name}: use a resnet50, a file as weights=, or "
                'weights_backbone="DEFAULT"'
            )
        state, _ = torchvision_weights(self.name, name)
        # Normalisation divides by √(variance + epsilon).
        change = self.published_epsilon - EPSILON
        state = {key: value + change if "running_var" in key else value for key, value in state.items()}
        return state, self.image_size[0]

    def published_classes(self, name: str) -> list[str]:
        """Names of the classes of published weights, the background first."""
        from torchvision.models import get_model_weights

        return ["background", *get_model_weights(self.name)[name].meta["categories"][1:]]


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

    What was loaded, adapted and is new goes to the log (``logging``, level INFO).

    Args:
        name: One of `list_models`, such as ``maskrcnn_resnet50_fpn``.
        spec: What turns a photo into the input; the model keeps it. It has no crop. None takes
            `default_spec`: photos at twice the size that the RGB detector sees. A `PixelSpec` gives the RGB
            detector itself.
        num_classes: Number of classes with the background, as torchvision counts them: 91 for torchvision's
            weights on COCO, 81 for a data set of 80 classes.
        weights: Of a whole detector, RGB (torchvision's names) or of DCT channels: a file, a state dict, or
            "DEFAULT" for torchvision's on COCO. If `num_classes` differs, the layers that depend on it start
            anew.
        weights_backbone: Of a classifier, for the backbone: a file, a state dict, or a name such as "DEFAULT"
            or "IMAGENET1K_V2" for torchvision's.
        start: What becomes of the stem: "new", "slice", "fit" or "fold", see `create_model`.
        strides: A variant of the backbone, see `create_model`.
        photos: Paths of a few hundred photos for "fit".
        options: Normalisation and thresholds: `DetectorOptions`, or a mapping of its fields.

    Raises:
        ValueError: The name is not a detector's, an argument is illegal or contradicts another, or the
            weights do not fit; the message says which.
        OSError: Published weights are not in torchvision's cache and cannot be downloaded.
        TypeError: The spec is none, or photos is a single path.

    Example:
        >>> import torch
        >>> model = create_detector("fcos_resnet18_fpn", num_classes=3).eval()
        >>> with torch.no_grad():
        ...     (found,) = model([torch.zeros(24, 16, 20)])  # stands for an image of 64×80 pixels
        >>> sorted(found)
        ['boxes', 'labels', 'scores']
    """
    return find_detector(name).create(
        spec,
        num_classes,
        weights=weights,
        weights_backbone=weights_backbone,
        start=start,
        strides=strides,
        photos=photos,
        detector=options,
    )


def find_detector(name: str) -> Detector:
    """The detector of that name.

    Raises:
        ValueError: There is none.
    """
    found = architecture(name)
    if not isinstance(found, Detector):
        raise ValueError(f"{name} is no detector; detectors: {', '.join(list_models('*_fpn'))}")
    return found


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
