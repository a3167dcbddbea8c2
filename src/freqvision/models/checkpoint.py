"""Trained models with all that is needed to use them: checkpoints of training, and folders of `fv.save`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from freqvision.inputs.spec import InputSpec, PixelSpec
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.registry import architecture
from freqvision.models.saved import CONFIG, load

CHECKPOINT_KEY = "freqvision"


@dataclass(frozen=True)
class Description:
    """The part of a checkpoint that is ours.

    Args:
        spec: The model's input.
        class_names: Names of the logits; None if a folder of `fv.save` has none.
        options: Arguments of `create_model` that build the same architecture.
        validation: Folder of the photos that the run was validated on; None where it is not known.
        detection: None of a classifier. Of a detector that was trained here, the "annotations" that it was
            validated on, which "photos" of them (from and to, or None for all), and the "category_ids" by
            label; of one in a folder of `fv.save`, which keeps none of this, an empty dictionary.
    """

    spec: InputSpec
    class_names: list[str] | None
    options: dict[str, Any]
    validation: str | None = None
    detection: dict[str, Any] | None = None

    def names(self) -> list[str]:
        """The names of the classes, where nothing can be done without them.

        Raises:
            ValueError: There are none.
        """
        if self.class_names is None:
            raise ValueError(
                "the model has no names of its classes: fv.save(model, folder, classes) adds them"
            )
        return self.class_names


def describe(model: FrequencyModel, class_names: list[str] | None) -> dict[str, Any]:
    """Plain values for a checkpoint, which loads with ``weights_only=True``."""
    names = None if class_names is None else list(class_names)
    return {"settings": dict(model.settings), "spec": model.spec.to_dict(), "classes": names}


def description(checkpoint: dict[str, Any]) -> Description:
    """Read what `describe` wrote.

    Raises:
        ValueError: The checkpoint is not one of freqvision's.
    """
    stored = checkpoint.get(CHECKPOINT_KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(stored, dict):
        raise ValueError(
            "it was not written by freqvision fit: it does not say what its model's input is. Weights alone "
            "go to freqvision fit --model.weights, or to fv.create_model(weights=...)"
        )
    options = {key: value for key, value in stored["settings"].items() if key != "num_classes"}
    spec = InputSpec.from_dict(stored["spec"])
    if isinstance(spec, PixelSpec):
        options.pop("start")  # models of pixels have no such choice
    return Description(spec, stored["classes"], options, stored.get("validation"), stored.get("detection"))


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """All that a checkpoint holds; a folder of `fv.save` gives what a checkpoint of its model would.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is not a checkpoint of freqvision, or a damaged folder.
    """
    if (Path(path) / "checkpoints").is_dir():
        raise FileNotFoundError(f"{path} is the folder of a run: name its checkpoints/best.ckpt or last.ckpt")
    if Path(path).is_dir():
        return _read_folder(path)
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"no checkpoint at {path}: training writes RUN/checkpoints/best.ckpt and last.ckpt"
        )
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"{path} is no checkpoint: it cannot be read ({type(error).__name__})") from error
    try:
        description(checkpoint)
    except ValueError as error:
        raise ValueError(f"{path} is no checkpoint: {error}") from error
    return checkpoint


def _read_folder(folder: str | Path) -> dict[str, Any]:
    model = load(folder)
    stored = describe(model, model.class_names)
    stored["detection"] = {} if model.task == "object-detection" else None
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    return {CHECKPOINT_KEY: stored, "state_dict": weights, "hyper_parameters": {}}


def load_checkpoint(path: str | Path) -> tuple[FrequencyModel, list[str] | None]:
    """A trained model in evaluation mode and the names of its classes, without Lightning.

    Args:
        path: File that `fit` wrote, or folder that `fv.save` wrote, where the names may be missing (None).

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is not a checkpoint of freqvision, or a damaged folder.
    """
    if (Path(path) / CONFIG).is_file():  # which is built only once in this way
        model = load(path)
        return model, model.class_names
    checkpoint = read_checkpoint(path)
    return build_model(checkpoint).eval(), description(checkpoint).class_names


def build_model(checkpoint: dict[str, Any]) -> FrequencyModel:
    """The model of a checkpoint that `read_checkpoint` gave."""
    stored = description(checkpoint)
    num_classes = checkpoint[CHECKPOINT_KEY]["settings"]["num_classes"]
    options = dict(stored.options)
    create = architecture(options.pop("name")).create
    return create(stored.spec, num_classes, weights=checkpoint, **options)
