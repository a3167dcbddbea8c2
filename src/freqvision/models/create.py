"""`create_model`: from a name and an input specification to a classifier, from random or from RGB weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.models.architecture import Architecture
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.gates import GateOptions
from freqvision.models.registry import architecture
from freqvision.models.weights import StateDict
from freqvision.spectrum.channels import ChannelSet


def create_model(
    name: str,
    spec: InputSpec | None = None,
    num_classes: int = 1000,
    weights: str | Path | StateDict | None = None,
    start: str | None = None,
    strides: str = "standard",
    photos: Iterable[str | Path] | None = None,
    rgb_size: int | None = None,
    gates: GateOptions | Mapping[str, Any] | None = None,
    **unknown: Any,
) -> FrequencyModel:
    """A classifier that reads DCT channels, built from one that read pixels.

    What was loaded, adapted and is new goes to the log (``logging``, level INFO).

    Args:
        name: One of `list_models`.
        spec: What turns a photo into the input; the model keeps it. None takes `default_spec`. A `PixelSpec`
            gives the RGB network itself, wrapped alike, for comparison.
        num_classes: Number of logits.
        weights: Weights of the RGB network or of a `FrequencyModel`: a file (``.safetensors``, or from
            `torch.save`), a state dict, or the name of weights that torchvision publishes, such as
            "IMAGENET1K_V2"; "DEFAULT" takes the best, for ``timm/NAME`` timm's own. A classifier of another
            size starts anew. None starts from random weights.
        start: What becomes of the stem:
            "fold": it stays, after the inverse DCT, the conversion to RGB and the normalisation, which are
            folded into one 1×1 convolution over the blocks, so that the network starts as the RGB network
            itself;
            "fit": a 1×1 convolution and a ReLU replace it, fitted by least squares on `photos`;
            "slice": it is removed, and the layers after it keep the weights of the first channels;
            "new": it is removed where it can be, and the layers that read the channels start anew.
            None is "fold" with RGB weights, "new" without, and what they have with those of a
            `FrequencyModel`.
        strides: "standard", or a variant of ResNet: "v1" (stages stride in their 1×1 convolution) or
            "released" (the paper's released code: layer2 keeps the grid).
        photos: Paths of a few hundred photos for "fit"; no labels are needed.
        rgb_size: Side in pixels of the images that the RGB network saw, for "fold" and for networks that cut
            the image into patches; a block stands for ``8 · rgb_size / crop`` pixels of it. None is what the
            network is known for, mostly 224.
        gates: Put gates in front of the network, which choose among the channels photo by photo: their
            `freqvision.models.gates.GateOptions`, or a mapping of its fields, {} for the defaults. None for
            none. Gates that the weights do not have start anew.
        **unknown: Refused, with a hint.

    Raises:
        ValueError: The name is of a detector, an argument is illegal or contradicts another, or the weights
            do not fit; the message says which.
        TypeError: The spec is none, photos is a single path, or an argument is unknown.

    Example:
        >>> import torch
        >>> spec = FrequencySpec(resize=72, crop=64, channels=ChannelSet.preset(24))
        >>> model = create_model("resnet18", spec=spec, num_classes=10)
        >>> model(torch.zeros(2, *spec.shape)).shape
        torch.Size([2, 10])
    """
    if unknown:
        hint = '; weights="DEFAULT" loads pretrained weights' if "pretrained" in unknown else ""
        raise TypeError(f"create_model has no argument {', '.join(unknown)}{hint}")
    found = architecture(name)
    if found.task != Architecture.task:
        raise ValueError(
            f"{name} is a detector, which fv.create_detector creates; fv.create_model classifiers"
        )
    return found.create(
        spec,
        num_classes,
        weights=weights,
        start=start,
        strides=strides,
        photos=photos,
        rgb_size=rgb_size,
        gates=gates,
    )


def default_spec(name: str, channels: ChannelSet | int = 24) -> FrequencySpec:
    """The specification that gives a network the grid it is made for, without statistics.

    The shorter side is resized to 8/7 of the crop, as for RGB networks (256 to 224). Detectors see whole
    photos, at twice the size that they see of pixels: the shorter side at 1600, the longer at 2666 at most.

    Args:
        name: One of `list_models`.
        channels: A set, or the size of a preset.

    Example:
        >>> default_spec("resnet50").shape
        (24, 56, 56)
    """
    return architecture(name).default_spec(channels)


def rgb_spec(name: str) -> PixelSpec:
    """The input of the RGB original, at the size that it is known for."""
    return architecture(name).rgb_spec()
