"""A model as a folder: weights, configuration and model card, as model hubs keep them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freqvision.inputs.spec import InputSpec
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.registry import architecture

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
CARD = "README.md"


def save(model: FrequencyModel, folder: str | Path, classes: Sequence[str] | None = None) -> Path:
    """Write a model, with all that is needed to use it, to a folder that `load` opens.

    The folder holds ``model.safetensors``, ``config.json`` (arguments of `create_model`, the specification of
    the input, names of the classes) and a model card, and can be uploaded to a model hub as it is.

    Args:
        model: What `create_model` or `load` gave; it may be trained since.
        folder: Where to; made if it does not exist.
        classes: Names of the classes in the order of the logits; None takes the model's own, if it has any.

    Returns:
        The folder.

    Raises:
        TypeError: It is another kind of module.
        ValueError: The number of names is not that of the logits.
    """
    if not isinstance(model, FrequencyModel):
        raise TypeError(
            f"fv.save takes a model of fv.create_model, which knows its input; got {type(model).__name__}"
        )
    from safetensors.torch import save_file

    names = model.class_names if classes is None else list(classes)
    if names is not None and len(names) != model.settings["num_classes"]:
        raise ValueError(
            f"there are {len(names)} names of classes for {model.settings['num_classes']} logits"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    config = {
        "library": "freqvision",
        "model": model.settings,
        "input": model.spec.to_dict(),
        "classes": names,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(_card(model, names), encoding="utf-8")
    return folder


def load(folder: str | Path) -> FrequencyModel:
    """Open a folder that `save` wrote.

    Returns:
        The model in evaluation mode on the CPU; ``.spec`` is its input, ``.class_names`` are the names of its
        classes, None if none were saved.

    Raises:
        FileNotFoundError: A file of the folder is missing.
        ValueError: The configuration is damaged or not one of freqvision's, or the weights are damaged or do
            not fit it to the last layer.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is no folder that fv.save wrote: there is no {name} in it")
    settings, spec, names = _read_config(folder / CONFIG)
    create = architecture(settings.pop("name")).create
    model = create(spec, weights=folder / WEIGHTS, **settings)
    if model.new_layers:  # create_model starts them anew, as for other classes
        raise ValueError(
            f"{folder / WEIGHTS} does not fit {CONFIG} beside it: it lacks {', '.join(model.new_layers)}, "
            "or has another shape there. Copy both from the folder that fv.save wrote"
        )
    model.class_names = names
    return model.eval()


def _read_config(path: Path) -> tuple[dict[str, Any], InputSpec, list[str] | None]:
    """Arguments of `create_model`, the input's specification, and the names of the classes."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no UTF-8, or no JSON
        raise ValueError(f"{path} is damaged, it is no JSON ({error}): copy it again") from error
    if not isinstance(config, dict) or config.get("library") != "freqvision":
        raise ValueError(f"{path} was not written by fv.save: it does not name the library freqvision")
    kinds: dict[str, tuple[type, ...]] = {"model": (dict,), "input": (dict,), "classes": (list, type(None))}
    for key, allowed in kinds.items():
        if key not in config or not isinstance(config[key], allowed):
            raise ValueError(f"{path} is incomplete: there is no {key!r} as fv.save writes it")
    settings, names = config["model"], config["classes"]
    known: Any = {"name": None}
    if isinstance(settings.get("name"), str):
        known |= inspect.signature(architecture(settings["name"]).create).parameters
    unknown = sorted(settings.keys() - known.keys())
    if unknown or not {"name", "num_classes"} <= settings.keys():
        raise ValueError(
            f"{path} is of another version of freqvision, or incomplete: its 'model' has "
            f"{', '.join(settings)}; valid: {', '.join(known)}"
        )
    if names is not None and len(names) != settings["num_classes"]:
        raise ValueError(f"{path} names {len(names)} classes for {settings['num_classes']} logits")
    return settings, InputSpec.from_dict(config["input"]), names


def _card(model: FrequencyModel, classes: Sequence[str] | None) -> str:
    spec = model.spec
    shape = "whatever size the photo has" if spec.shape is None else "×".join(map(str, spec.shape))
    sees = f"{spec.describe()} of JPEG photos"
    size = (
        f"{spec.bytes_per_image:,} bytes a photo" if spec.bytes_per_image else "bytes depending on the photo"
    )
    names = ", ".join(classes[:10]) + (", …" if len(classes) > 10 else "") if classes else "not named"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return f"""---
library_name: freqvision
pipeline_tag: {model.task}
tags: [frequency-domain, dct, jpeg]
---

# {model.settings["name"]}

{model.kind} that reads {sees}.

| | |
| --- | --- |
| input | {shape}, {spec.dtype}, {size} |
| parameters | {parameters:,} |
| classes | {model.settings["num_classes"]}: {names} |

```python
import freqvision as fv

model = fv.load("path/of/this/folder")
decode = fv.Decoder(model.spec)
{model.usage}
```

How the input is made, down to the normalisation, stands in `config.json`. How the model was trained, on what,
and how well it does: to be filled in by its author.
"""
