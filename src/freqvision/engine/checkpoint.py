"""What a checkpoint holds besides weights, so that a model can be used without the data it was trained on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from freqvision.models import FrequencyModel, create_model
from freqvision.pipeline.spec import InputSpec, PixelSpec, spec_from_dict

CHECKPOINT_KEY = "freqvision"


@dataclass(frozen=True)
class Description:
    """The part of a checkpoint that is ours.

    Args:
        spec: The model's input.
        class_names: Names of the logits.
        options: Arguments of `create_model` that build the same architecture.
        validation: Folder of the photos that the run was validated on; None where it is not known.
        detection: Of a detector, the "annotations" that it was validated on, which "photos" of them (from and
            to, or None for all), and the "category_ids" by label; None of a classifier.
    """

    spec: InputSpec | PixelSpec
    class_names: list[str]
    options: dict[str, Any]
    validation: str | None = None
    detection: dict[str, Any] | None = None


def describe(model: FrequencyModel, class_names: list[str]) -> dict[str, Any]:
    """Plain values for a checkpoint, which loads with ``weights_only=True``."""
    return {"settings": dict(model.settings), "spec": model.spec.to_dict(), "classes": list(class_names)}


def description(checkpoint: dict[str, Any]) -> Description:
    """Read what `describe` wrote.

    Raises:
        ValueError: The checkpoint is not one of freqvision's.
    """
    stored = checkpoint.get(CHECKPOINT_KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(stored, dict):
        raise ValueError(
            "this checkpoint was not written by freqvision: it does not say what its model's input is"
        )
    options = {key: value for key, value in stored["settings"].items() if key != "num_classes"}
    spec = spec_from_dict(stored["spec"])
    if isinstance(spec, PixelSpec):
        options.pop("start")  # models of pixels have no such choice
    return Description(spec, stored["classes"], options, stored.get("validation"), stored.get("detection"))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All that a checkpoint holds.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a checkpoint of freqvision.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}: training writes RUN/checkpoints/best.ckpt and last.ckpt"
        )
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint: it cannot be read ({type(error).__name__})") from error
    description(checkpoint)
    return checkpoint


def load_checkpoint(path: str | Path) -> tuple[FrequencyModel, list[str]]:
    """A trained model in evaluation mode and the names of its classes, without Lightning.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a checkpoint of freqvision.
    """
    checkpoint = read_checkpoint(path)
    return build_model(checkpoint).eval(), description(checkpoint).class_names


def build_model(checkpoint: dict[str, Any]) -> FrequencyModel:
    """The model of a checkpoint that `read_checkpoint` gave."""
    stored = description(checkpoint)
    return create_model(
        spec=stored.spec, num_classes=len(stored.class_names), weights=checkpoint, **stored.options
    )
