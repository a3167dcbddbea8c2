"""A trained network for fewer channels: its input layers are sliced, ready for fine-tuning."""

import torch

from freqvision.inputs.spec import FrequencySpec
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.registry import architecture
from freqvision.spectrum.channels import ChannelSet


def shrink(model: FrequencyModel, channels: ChannelSet) -> FrequencyModel:
    """The same network for a subset of its channels, without gates.

    It is built anew for the subset, and every tensor with a channel axis keeps the slices of the remaining
    channels. The result equals the model with its gates open for the subset and closed for the rest, if a
    channel at 0 adds nothing after the input layers. Otherwise (MobileNet's depthwise first convolution, a
    folded stem) recalibrate BatchNorm or fine-tune.

    Args:
        model: A model of DCT channels.
        channels: Some of its channels.

    Raises:
        ValueError: The model reads pixels, or one of the channels is missing.

    Example:
        >>> spec = FrequencySpec(resize=72, crop=64, channels=ChannelSet.preset(192))
        >>> from freqvision.models import create_model
        >>> model = create_model("resnet18", spec=spec, num_classes=10, gates={})
        >>> small = shrink(model, ChannelSet.preset(24))
        >>> small.spec.shape, small.gates
        ((24, 8, 8), None)
    """
    if not isinstance(model.spec, FrequencySpec):
        raise ValueError("a model of pixels has no DCT channels to select from")
    places = torch.tensor(model.spec.channels.positions(channels))
    spec = model.spec.with_channels(channels)
    settings = {key: value for key, value in model.settings.items() if key not in ("name", "gates")}
    small = architecture(model.settings["name"]).create(spec, **settings)
    old = model.state_dict()
    count = len(model.spec.channels)
    small.load_state_dict(
        {name: _slice(old[name], value.shape, count, places) for name, value in small.state_dict().items()}
    )
    small.class_names = model.class_names
    small.new_layers = ()
    small.to(next(model.parameters()).device)
    return small.train(model.training)


def _slice(tensor: torch.Tensor, shape: torch.Size, channels: int, places: torch.Tensor) -> torch.Tensor:
    """Keep the places of every axis that is as long as there are channels, and has to be shorter."""
    for axis, (before, after) in enumerate(zip(tensor.shape, shape, strict=True)):
        if before == after:
            continue
        if before != channels or after != len(places):
            raise ValueError(
                f"a tensor of shape {tuple(tensor.shape)} has to become {tuple(shape)}, which is no choice "
                f"of {len(places)} out of {channels} channels: this network cannot be shrunk"
            )
        tensor = tensor.index_select(axis, places.to(tensor.device))
    return tensor
