"""The checkpoints released with "Learning in the Frequency Domain" (Xu et al., CVPR 2020).

ResNet-50 and MobileNetV2 on ImageNet with static channel sets. Their networks are torchvision's with the stem
removed and layers named otherwise, ResNet-50 with stride 1 in layer2, and their inputs are normalised by
statistics of their own (for most channels the deviation of the photos' means, far below that of
coefficients): they come along here, and nowhere else.
"""

import json
import re
from importlib.resources import files
from pathlib import Path

from freqvision.inputs.spec import FrequencySpec
from freqvision.models.create import create_model
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.weights import StateDict, read_weights
from freqvision.spectrum.channels import ChannelSet


def load_released(weights: str | Path | StateDict) -> FrequencyModel:
    """A released checkpoint as a model with its input specification.

    The released code resizes without antialiasing, encodes the photo as JPEG of quality 100, and enlarges it
    once more for chroma; here the resampling is antialiased and nothing is rounded, so expect small
    differences.

    Args:
        weights: A file such as ``resnet50dct_upscaled_static_24/model_best.pth.tar``, or its state dict.

    Returns:
        The model, in evaluation mode; its classes are ImageNet's 1000 in their usual order.

    Raises:
        ValueError: The names and shapes are not those of a released ResNet-50 or MobileNetV2 with a static
            channel set.
    """
    state = read_weights(weights)
    if "model.0.0.conv1.weight" in state:
        name, strides, crop = "resnet50", "released", 448
        channels = state["model.0.0.conv1.weight"].shape[1]
        rename = _resnet_name
    elif "features.0.conv.0.weight" in state:
        name, strides, crop = "mobilenet_v2", "standard", 896
        channels = state["features.0.conv.0.weight"].shape[0]  # a depthwise convolution
        rename = _mobilenet_name
    else:
        raise ValueError(
            "these weights are no released checkpoint: there is neither model.0.0.conv1.weight (ResNet-50) "
            "nor features.0.conv.0.weight (MobileNetV2); they begin with "
            f"{', '.join(list(state)[:3])}. For weights of RGB networks use fv.create_model(weights=…)"
        )
    gated = [key for key in state if key.startswith("inp_GM")]
    if gated:
        raise ValueError(
            f"this checkpoint has the released code's input gates ({gated[0]}, …): only static sets load"
        )
    spec = released_spec(channels, crop)
    renamed = {f"network.{rename(key)}": value for key, value in state.items()}
    classes = next(value.shape[0] for key, value in renamed.items() if key in _CLASSIFIERS)
    return create_model(name, spec, classes, weights=renamed, start="slice", strides=strides).eval()


def released_spec(channels: int, crop: int) -> FrequencySpec:
    """The input of the released networks: a preset of the paper, with the released normalisation.

    Example:
        >>> released_spec(24, 448).std[:2]
        (259.96, 2.7776)
    """
    chosen = ChannelSet.preset(channels)
    statistics = json.loads(
        files("freqvision.models").joinpath("released_statistics.json").read_text("utf-8")
    )
    mean, std = ([statistics[key][i] for i in chosen] for key in ("mean", "std"))
    return FrequencySpec.for_crop(crop, channels=chosen, mean=tuple(mean), std=tuple(std))


_CLASSIFIERS = ("network.fc.weight", "network.classifier.1.weight")


def _resnet_name(key: str) -> str:
    """``model.0`` … ``model.3`` are layer1 … layer4."""
    return re.sub(r"^model\.(\d)\.", lambda match: f"layer{int(match[1]) + 1}.", key)


def _mobilenet_name(key: str) -> str:
    """Blocks count from the one after the stem, and their layers are one sequence, activations included."""
    parts = key.split(".")
    if parts[0] == "classifier":
        return f"classifier.1.{parts[1]}"
    if parts[0] == "conv":  # the last convolution, normalisation and activation
        return f"features.18.{'.'.join(parts[1:])}"
    block, layer = int(parts[1]), int(parts[3])
    # Each convolution with normalisation and activation is a triple; the last convolution and normalisation
    # stand alone.
    last = 3 if block == 0 else 6
    place = f"{layer // 3}.{layer % 3}" if layer < last else f"{last // 3 + layer - last}"
    return f"features.{block + 1}.conv.{place}.{parts[4]}"
