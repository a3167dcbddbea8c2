"""RGB networks of any library as they are, and without their classifiers: a photo as one vector."""

from pathlib import Path
from typing import Any

from torch import nn

from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.models.export import Exportable
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.published import is_published_name, timm_weights, torchvision_weights
from freqvision.models.registry import architecture, list_models
from freqvision.models.saved import load
from freqvision.models.surgery import replace_layer
from freqvision.models.timm_models import timm_library
from freqvision.models.transport import Transport
from freqvision.models.weights import StateDict, classifier_name, load_weights, read_weights
from freqvision.spectrum.channels import ChannelSet


def rgb_network(name: str, weights: str | Path | StateDict, strides: str = "standard") -> FrequencyModel:
    """A network of torchvision or timm on uint8 pixels, prepared as its library prepares them.

    Args:
        name: Any of torchvision's, or any of timm's as ``timm/NAME``; not only those whose stem
            `create_model` can change.
        weights: A file or a state dict, or "DEFAULT" or another name of weights that the library publishes.
        strides: As for `create_model`.

    Example:
        >>> import torchvision
        >>> state = torchvision.models.squeezenet1_1().state_dict()
        >>> rgb_network("squeezenet1_1", state).spec.shape
        (3, 224, 224)
    """
    import torchvision

    published = str(weights) if is_published_name(weights) else None
    state: StateDict = {} if published else read_weights(weights)
    if name.startswith("timm/"):
        timm = timm_library()
        short = name.removeprefix("timm/")
        if not timm.is_model(short):
            architecture(name)  # whose error names similar ones
        network = timm.create_model(short)
        spec = PixelSpec.like(network)
        if published:
            state, _ = timm_weights(short, published, timm.create_model)
    else:
        of_torchvision = name in torchvision.models.list_models(torchvision.models)
        found = architecture(name) if name in list_models() or not of_torchvision else None
        spec = PixelSpec() if found is None else found.rgb_spec()
        if published:
            state, _ = torchvision_weights(name, published)
            entry = torchvision.models.get_model_weights(name)[published]
            spec = PixelSpec.like(entry.transforms())
        if found is None:
            network = torchvision.models.get_model(name, weights=None)
        else:
            network = found.build(1000, spec.grid[0] if spec.grid else found.rgb_size)
            found.apply_strides(network, strides)
    load_weights(network, state)
    settings = {"name": name, "weights": str(weights) if isinstance(weights, (str, Path)) else "given"}
    return FrequencyModel(network.eval(), spec.with_dtype("uint8"), settings)


def without_classifier(network: nn.Module) -> nn.Module:
    """The network, in place, giving what its classifier was given: pooled features (B, D).

    Example:
        >>> import torch, torchvision
        >>> without_classifier(torchvision.models.mobilenet_v2())(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1280])
    """
    reset: Any = getattr(network, "reset_classifier", None)  # timm's
    if reset is not None:
        reset(0)
    elif not isinstance(network.get_submodule(classifier_name(network)), nn.Linear):
        raise ValueError(
            f"{type(network).__name__} ends in a convolution: it has no features before its classes"
        )
    else:
        replace_layer(network, classifier_name(network), nn.Identity())
    return network


def feature_model(
    name: str | None = None,
    weights: str | Path | StateDict | None = None,
    *,
    strides: str = "standard",
    checkpoint: str | Path | None = None,
    transport: ChannelSet | None = None,
) -> Exportable:
    """A model that gives features for what its ``.spec`` describes.

    Args:
        name: As for `rgb_network`; or a `checkpoint`.
        weights: Likewise.
        strides: Likewise.
        checkpoint: Instead: a classifier's file of ``freqvision fit`` or folder of `freqvision.save`.
        transport: Send these DCT channels in int8 instead of an RGB model's pixels, see `Transport`.

    Raises:
        ValueError: Both or neither of name and checkpoint are given, or a name without weights; a detector.
    """
    if (name is None) == (checkpoint is None):
        raise ValueError("name a model or a checkpoint, one of them")
    if checkpoint is not None:
        model = load(checkpoint)
        if model.task != FrequencyModel.task:
            raise ValueError(f"{checkpoint} holds a detector: features are those of classifiers")
    elif weights is None:
        raise ValueError(
            f"{name} needs weights, a file or DEFAULT for published ones: without them features are random"
        )
    else:
        model = rgb_network(str(name), weights, strides)
    without_classifier(model.network)
    if transport is None:
        return model.eval()
    return Transport(model, FrequencySpec.like(model.spec, channels=transport, dtype="int8")).eval()
