"""Weights that torchvision and timm publish, by their own interfaces, progress bars and caches."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqvision.models.weights import StateDict

# From the name of weights to their state dict, and the side in pixels of the images they are evaluated on.
Publisher = Callable[[str], tuple[StateDict, int]]


def is_published_name(weights: object) -> bool:
    """Whether weights are meant that a library publishes, such as "DEFAULT" or "IMAGENET1K_V2", not a file.

    Example:
        >>> is_published_name("DEFAULT"), is_published_name("resnet50.pth")
        (True, False)
    """
    return isinstance(weights, str) and re.fullmatch(r"[A-Z][A-Z0-9_]*", weights) is not None


def torchvision_weights(name: str, weights: str) -> tuple[StateDict, int]:
    """A `Publisher` for a network of torchvision: "DEFAULT", or a name such as "IMAGENET1K_V2".

    Raises:
        ValueError: There are no weights of that name; the message lists those that there are.
        OSError: They are not in the cache and cannot be downloaded; the message says where to put which file.
    """
    from torchvision.models import get_model_weights

    known = get_model_weights(name)
    if weights not in known.__members__:
        names = ", ".join(repr(other) for other in known.__members__)
        raise ValueError(f"torchvision has no weights {weights!r} for {name}; it has {names}")
    entry = known[weights]
    path = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rpartition("/")[2]
    try:
        state = entry.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:
        if path.is_file():
            raise ValueError(f"{path} is damaged ({error}): delete it") from error
        raise _unavailable(f"{weights} of {name}", path, entry.url, "TORCH_HOME", error) from error
    crop = getattr(entry.transforms(), "crop_size", [0])
    return state, crop[0]


def timm_weights(name: str, weights: str, create: Callable[..., nn.Module]) -> tuple[StateDict, int]:
    """A `Publisher` for a network of timm, given ``timm.create_model``: only "DEFAULT".

    Raises:
        ValueError: Other weights are named, or timm publishes none.
        OSError: They are not in the cache and cannot be downloaded; the message says where to put which file.
    """
    if weights != "DEFAULT":
        raise ValueError(
            f'weights={weights!r} is not how timm names weights: use weights="DEFAULT" and name the model '
            "with its tag, such as timm/resnet50.a1_in1k"
        )
    with torch.device("meta"):
        config: dict[str, Any] = create(name).pretrained_cfg  # type: ignore[assignment]
    if not any(config.get(key) for key in ("hf_hub_id", "url", "file", "state_dict")):
        raise ValueError(f"timm publishes no weights for timm/{name}; fv.list_models('timm/*') lists others")
    try:
        return create(name, pretrained=True).state_dict(), config["input_size"][-1]
    except Exception as error:
        if config.get("hf_hub_id"):
            from huggingface_hub.constants import HF_HUB_CACHE

            source = f"{config['hf_hub_id']} on the Hugging Face hub"
            file = Path(HF_HUB_CACHE) / f"models--{str(config['hf_hub_id']).replace('/', '--')}"
            raise _unavailable(f"timm/{name}", file, source, "HF_HOME", error) from error
        url = str(config.get("url"))
        path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        raise _unavailable(f"timm/{name}", path, url, "TORCH_HOME", error) from error


def _unavailable(what: str, path: Path, source: str, variable: str, error: Exception) -> OSError:
    cause = " ".join(str(error).split())[:200] or type(error).__name__
    return OSError(
        f"the weights {what} are not at {path}, and could not be downloaded ({cause}). Where there is a "
        f"network, get them from {source} and copy them to that place; {variable} names another cache. Or "
        "pass a file as weights="
    )
