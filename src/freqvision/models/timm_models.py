"""timm's networks, with the extra ``timm``: their stems are found by inspection."""

import functools
from types import ModuleType
from typing import Any

import torch
from torch import nn

from freqvision.models.architecture import Architecture
from freqvision.models.published import timm_weights
from freqvision.models.registry import register_library
from freqvision.models.surgery import Stem
from freqvision.runtime import naming_extras
from freqvision.spectrum.channels import BLOCK

_POOLS = (nn.MaxPool2d, nn.AvgPool2d)


def list_timm_models(pattern: str) -> list[str]:
    """Names of timm's networks, with the prefix ``timm/``, for shell-style wildcards with that prefix."""
    return [f"timm/{name}" for name in timm_library().list_models(pattern.removeprefix("timm/"))]


@functools.lru_cache(maxsize=64)
def find_timm_architecture(name: str) -> Architecture:
    """Look at one of timm's networks, without memory for its weights, and say where its stem is."""
    timm = timm_library()
    if not timm.is_model(name):
        similar = timm.list_models(f"*{name.partition('.')[0]}*")[:5]
        hint = f"similar: {', '.join(similar)}" if similar else "fv.list_models('timm/*') lists them"
        raise ValueError(f"timm {timm.__version__} has no model {name!r}; {hint}")
    with torch.device("meta"):
        network = timm.create_model(name)
    config = network.pretrained_cfg
    first = config.get("first_conv")
    layer = network.get_submodule(first) if isinstance(first, str) and first else None
    if not isinstance(layer, nn.Conv2d) or layer.in_channels != 3:
        found = f"{first} on {layer.in_channels} channels" if isinstance(layer, nn.Conv2d) else repr(first)
        raise ValueError(
            f"timm/{name} does not begin with a single convolution on the three colours, so its stem cannot "
            f"be replaced (it is {found}); fv.Transport feeds the untouched RGB model"
        )
    rest, stride = _rest_of_stem(network, first)
    stride *= layer.stride[0]
    if stride == 1:
        raise ValueError(
            f"the stem of timm/{name} has no stride, so that no grid of blocks fits it; fv.Transport feeds "
            "the untouched RGB model"
        )
    patches = layer.kernel_size == layer.stride
    owner = _owner(network, first)
    embeds = all(getattr(owner, name, None) is not None for name in ("img_size", "patch_size"))
    stem = Stem(
        conv=first,
        rest=rest,
        stride=stride,
        pixels=max(n for n in range(1, BLOCK + 1) if stride % n == 0) if patches else stride,
        on_blocks=functools.partial(_count_in_blocks, first) if embeds else None,
    )

    def build(num_classes: int, rgb_size: int) -> nn.Module:
        options = {"img_size": rgb_size} if embeds else {}
        built: nn.Module = timm.create_model(name, num_classes=num_classes, **options)
        return built

    return Architecture(
        build,
        stem,
        rgb_size=config["input_size"][-1],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        name=f"timm/{name}",
        published=lambda weights: timm_weights(name, weights, timm.create_model),
    )


def _rest_of_stem(network: nn.Module, first: str) -> tuple[tuple[str, ...], int]:
    """The layers of the stem after its first convolution, and the stride of the pooling that ends it, or 1.

    ``feature_info`` names the module that gives the first feature map. Containers that begin before it belong
    to the stem as a whole; next to it, normalisations, activations and a pooling do, up to the first
    convolution.
    """
    information: Any = network.feature_info  # a list of dicts, or a FeatureInfo, whose items are such
    end = str(next(iter(information))["module"])
    rest: list[str] = []
    path = first
    while path:
        parent, _, child = path.rpartition(".")
        siblings = list(dict(network.get_submodule(parent).named_children()))
        whole = bool(parent) and not end.startswith(f"{parent}.")
        for name in siblings[siblings.index(child) + 1 :]:
            full = f"{parent}.{name}" if parent else name
            layer = network.get_submodule(full)
            if not whole and any(isinstance(part, (nn.Conv2d, nn.Linear)) for part in layer.modules()):
                return tuple(rest), 1
            rest.append(full)
            if isinstance(layer, _POOLS):
                stride = layer.stride
                return tuple(rest), stride if isinstance(stride, int) else stride[0]
        path = parent
    return tuple(rest), 1


def _count_in_blocks(first: str, network: nn.Module, pixels: int) -> None:
    """A patch embedding checks the size of what it gets, which now is blocks."""
    embedding = _owner(network, first)
    for name in ("img_size", "patch_size"):
        sides = getattr(embedding, name)
        setattr(embedding, name, tuple(side // pixels for side in sides))


def _owner(network: nn.Module, name: str) -> nn.Module:
    """The module that a layer belongs to."""
    return network.get_submodule(name.rpartition(".")[0])


def timm_library() -> ModuleType:
    """The package, or an error that says how to install it."""
    with naming_extras():
        import timm
    return timm


register_library("timm", find_timm_architecture, list_timm_models)
