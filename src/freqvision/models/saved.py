"""Saved models: checkpoints of training and folders of `save`, each read once and handed on."""

import html
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

from freqvision.inputs.spec import InputSpec
from freqvision.models import hub
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.registry import architecture
from freqvision.models.weights import CHECKPOINT_KEY, find_state, read_file
from freqvision.runtime import address, parse_json, read_text, replacing, write_text

CONFIG, WEIGHTS, CARD = hub.FILES
MAX_CONFIG_BYTES = 2**24
_NO_SETTINGS = ("spec", "weights", "weights_backbone", "photos")
# What fills a new layer by itself; Tensor.normal_ would be drawn again for ever by what rejects its values.
_DRAWN = (init.normal_, init.uniform_, init.kaiming_uniform_)
MAX_RGB_SIZE = 4096  # position embeddings grow with its square


class _TooLarge(Exception):  # noqa: N818  for SavedModel.bounded, which says what is
    pass


class _Parameters(TorchFunctionMode):
    """Counts the parameters of new layers, and leaves undrawn what they draw by themselves.

    There may be at most `most`; with None there is no memory for them.
    """

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most
        self.count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in _DRAWN:
            return args[0] if args else kwargs["tensor"]
        if function is torch.empty:
            blank = torch.empty(*args, **kwargs | {"device": "meta"})
            self.count += blank.numel()
            if self.most is None:
                return blank
            if self.count > self.most:
                raise _TooLarge
        return function(*args, **kwargs)


@dataclass(frozen=True)
class SavedModel:
    """The contents of a checkpoint or a folder; `build` makes the model.

    Args:
        spec: The model's input.
        settings: Arguments of `create_model` or `create_detector` that build the same network.
        state: The model's state dict.
        class_names: Names of the logits; None where a folder of `save` has none.
        source: Where it was read from.
        validation: Folder of the photos that the run was validated on; None where it is not known.
        details: What training stored for its task. For detectors: the "annotations" that were validated on,
            which "photos" of them (from and to, or None for all), and the "category_ids" by label.
        hyper_parameters: Arguments of the training module that wrote the checkpoint; none in a folder.
        epoch: Of training, counted from 0; None in a folder.
    """

    spec: InputSpec
    settings: dict[str, Any]
    state: dict[str, torch.Tensor] = field(repr=False)
    class_names: list[str] | None = None
    source: str = "the checkpoint"
    validation: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    hyper_parameters: dict[str, Any] = field(default_factory=dict, repr=False)
    epoch: int | None = None

    @property
    def name(self) -> str:
        """The architecture's name."""
        return str(self.settings["name"])

    @property
    def task(self) -> str:
        """As model cards name it: "image-classification" or "object-detection"."""
        return architecture(self.name).task

    @property
    def options(self) -> dict[str, Any]:
        """The settings but for the name and the number of classes."""
        return {key: value for key, value in self.settings.items() if key not in ("name", "num_classes")}

    def names(self) -> list[str]:
        """The names of the classes, where nothing can be done without them.

        Raises:
            ValueError: There are none.
        """
        if self.class_names is None:
            raise ValueError(
                f"{self.source} has no names of its classes: fv.save(model, folder, classes) adds them"
            )
        return self.class_names

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """For building a network that gets the weights: little is drawn that they overwrite.

        Raises:
            ValueError: It is far larger than they are; this is said before memory for it is taken.
        """
        stored = sum(value.numel() for value in self.state.values())
        try:
            # Surgery leaves out some of the stem.
            with torch.random.fork_rng(devices=[]), _Parameters(most=2 * stored + 2**20):
                yield
        except _TooLarge:
            found, rgb_size = architecture(self.name), self.settings.get("rgb_size")
            with _Parameters() as needed:
                found.build(self.settings["num_classes"], found.image_side(self.spec, rgb_size))
            raise ValueError(
                f"{self.name} has {needed.count:,} parameters, the weights in {self.source} {stored:,} "
                "numbers"
            ) from None

    def build(self) -> FrequencyModel:
        """The model in evaluation mode on the CPU.

        Raises:
            ValueError: The weights do not fit the settings to the last layer.
        """
        create = architecture(self.name).create
        with self.bounded():
            model = create(self.spec, self.settings["num_classes"], weights=self.state, **self.options)
        if model.new_layers:  # which create starts anew, as for other classes
            raise ValueError(
                f"the weights in {self.source} do not fit its settings: it lacks "
                f"{', '.join(model.new_layers)}, or they have other shapes. Copy all of its files again"
            )
        model.class_names, model.details = self.class_names, self.details
        return model.eval()


def read_saved(path: str | Path) -> SavedModel:
    """Read a checkpoint that `fit` wrote, or a folder that `save` wrote, also from the Hugging Face hub.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It is not one of freqvision's, or it is damaged.
    """
    path = hub.download(path) if address(path) else Path(path)
    is_folder = (path / CONFIG).is_file() or (path / WEIGHTS).is_file()
    if not is_folder:
        _check_file(path)
    try:
        return _read_folder(path) if is_folder else from_checkpoint(read_file(path), str(path))
    except (FileNotFoundError, PermissionError, ImportError):
        raise
    except Exception as error:  # a hostile file can make any of the parsers fail
        kind = "folder of fv.save" if is_folder else "checkpoint"
        raise ValueError(f"{path} is no {kind}: {error}") from error


def _check_regular(path: Path) -> None:
    if path.exists() or path.is_symlink():
        raise ValueError(f"{path} is no regular file, or a link to nothing")


def _check_file(path: Path) -> None:
    """Say what is wrong with the path of a checkpoint."""
    if path.is_dir() and (path / "checkpoints").is_dir():
        raise ValueError(f"{path} is the folder of a run: name its checkpoints/best.ckpt or last.ckpt")
    if path.is_dir() or not path.suffix:
        _check_regular(path / CONFIG)
        raise FileNotFoundError(f"{path} is no folder that fv.save wrote: there is no {CONFIG} in it")
    if not path.is_file():
        _check_regular(path)
        raise FileNotFoundError(
            f"no checkpoint at {path}: training writes RUN/checkpoints/best.ckpt and last.ckpt"
        )
    if path.suffix in (".onnx", ".pt2"):
        raise ValueError(f"{path} is an export: name the checkpoint or the folder that it was made from")


def from_checkpoint(checkpoint: Mapping[str, Any], source: str = "the checkpoint") -> SavedModel:
    """The part of a checkpoint that says what its model is, which `describe` gave."""
    stored = checkpoint.get(CHECKPOINT_KEY)
    if not isinstance(stored, Mapping):
        raise ValueError(
            "it was not written by freqvision fit: it does not say what its model's input is. Weights alone "
            "go to freqvision fit --model.weights, or to fv.create_model(weights=...)"
        )
    spec = InputSpec.from_dict(stored["spec"])
    return SavedModel(
        spec,
        _settings(stored["settings"], spec),
        find_state(checkpoint["state_dict"]),
        stored["classes"],
        source,
        stored.get("validation"),
        stored.get("detection") or {},
        checkpoint.get("hyper_parameters", {}),
        checkpoint.get("epoch"),
    )


def describe(model: FrequencyModel, class_names: list[str] | None) -> dict[str, Any]:
    """What a checkpoint keeps under `CHECKPOINT_KEY`: plain values, which load with ``weights_only=True``."""
    names = None if class_names is None else list(class_names)
    return {"settings": dict(model.settings), "spec": model.spec.to_dict(), "classes": names}


def load(path: str | Path) -> FrequencyModel:
    """Open a folder that `save` wrote, or a checkpoint that `fit` wrote.

    Nothing in them is run: weights are tensors, everything else is plain values.

    Args:
        path: The folder or file, or ``hf://OWNER/NAME`` of the Hugging Face hub, to which `save` uploads;
            ``hf://OWNER/NAME@REVISION`` for a branch, tag or commit.

    Returns:
        The model in evaluation mode on the CPU; ``.spec`` is its input, ``.class_names`` are the names of its
        classes, None if none were saved.

    Raises:
        FileNotFoundError: It does not exist, or a file of the folder is missing.
        OSError: It is neither in the hub's cache nor to be had.
        ValueError: The configuration is damaged or not one of freqvision's, or the weights are damaged or do
            not fit it to the last layer.
    """
    saved = read_saved(path)
    try:
        return saved.build()
    except ImportError:  # which names the extra that is missing
        raise
    except Exception as error:  # settings of the right types can still ask for what no network is
        raise ValueError(f"{path} cannot be built: {error}") from error


def save(
    model: FrequencyModel,
    folder: str | Path,
    classes: Sequence[str] | None = None,
    push_to: str | None = None,
) -> Path:
    """Write a model, with all that is needed to use it, to a folder that `load` opens.

    The folder holds ``model.safetensors``, ``config.json`` (arguments of `create_model`, the specification of
    the input, names of the classes) and a model card. Each file is written whole or not at all.

    Args:
        model: What `create_model`, `create_detector` or `load` gave; it may have been trained since.
        folder: The folder to write; created if it does not exist.
        classes: Names of the classes in the order of the logits; None takes the model's own, if it has any.
        push_to: Upload these files to a repository of the Hugging Face hub, ``OWNER/NAME``, too, with the
            login of huggingface-hub (extra ``hub``). A new one is public or private as the account has it.

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
    tensors = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    config = {
        "library": "freqvision",
        "model": model.settings,
        "input": model.spec.to_dict(),
        "classes": names,
    }
    with replacing(folder / WEIGHTS) as draft:
        save_file(tensors, draft, metadata={"format": "pt"})
    for name, text in {CONFIG: json.dumps(config, indent=1) + "\n", CARD: _card(model, names)}.items():
        write_text(folder / name, text)
    if push_to is not None:
        hub.upload(folder, push_to)
    return folder


def _read_folder(folder: Path) -> SavedModel:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            _check_regular(folder / name)
            raise FileNotFoundError(f"{folder} is no folder that fv.save wrote: there is no {name} in it")
    path = folder / CONFIG
    try:
        config = parse_json(read_text(path, MAX_CONFIG_BYTES))
    except ValueError as error:  # too large, no UTF-8, or no JSON
        raise ValueError(f"{path} is damaged, it is no JSON ({error}): copy it again") from error
    if not isinstance(config, dict) or config.get("library") != "freqvision":
        raise ValueError(f"{path} was not written by fv.save: it does not name the library freqvision")
    kinds: dict[str, tuple[type, ...]] = {"model": (dict,), "input": (dict,), "classes": (list, type(None))}
    for key, allowed in kinds.items():
        if key not in config or not isinstance(config[key], allowed):
            raise ValueError(f"{path} is incomplete: there is no {key!r} as fv.save writes it")
    spec, names = InputSpec.from_dict(config["input"]), config["classes"]
    settings = _settings(config["model"], spec)
    if names is not None:
        if len(names) != settings["num_classes"]:
            raise ValueError(f"{path} names {len(names)} classes for {settings['num_classes']} logits")
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{path} has names of classes that are no text")
    return SavedModel(spec, settings, dict(read_file(folder / WEIGHTS)), names, str(folder))


def _settings(values: Any, spec: InputSpec) -> dict[str, Any]:
    """Arguments that build a model, checked."""
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise ValueError("it does not name its model")
    found = architecture(values["name"])
    # What else create takes would be read from disk, or is kept elsewhere.
    known = {"name", *inspect.signature(found.create).parameters} - {*_NO_SETTINGS}
    given: dict[str, Any] = dict(values)
    unknown = sorted(given.keys() - known)
    if unknown or "num_classes" not in given:
        raise ValueError(
            f"it is of another version of freqvision, or incomplete: its 'model' has {', '.join(values)}; "
            f"valid: {', '.join(sorted(known))}"
        )
    for name, most in {"num_classes": 2**24, "rgb_size": MAX_RGB_SIZE}.items():
        value = given.get(name)
        if value is not None and not (type(value) is int and 1 <= value <= most):
            raise ValueError(f"its {name} is a number from 1 to {most}; got {value!r}")
    if spec.channels is None:
        given.pop("start", None)  # models of pixels have no such choice
    return given


def _card(model: FrequencyModel, classes: Sequence[str] | None) -> str:
    spec = model.spec
    shape = "whatever size the photo has" if spec.shape is None else "×".join(map(str, spec.shape))
    size = (
        f"{spec.bytes_per_image:,} bytes per photo"
        if spec.bytes_per_image
        else "bytes depending on the photo"
    )
    classes = classes[model.background :] if classes else ()
    names = ", ".join(map(_escape, classes[:10])) + (", …" if len(classes) > 10 else "")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return f"""---
library_name: freqvision
pipeline_tag: {model.task}
tags: [frequency-domain, dct, jpeg]
---

# {_escape(model.settings["name"])}

{model.kind} that reads {spec.describe()} of JPEG photos.

| | |
| --- | --- |
| input | {shape}, {spec.dtype}, {size} |
| parameters | {parameters:,} |
| classes | {model.settings["num_classes"] - model.background}: {names or "not named"} |

```python
import freqvision as fv

model = fv.load("path/of/this/folder")
decode = fv.Decoder(model.spec)
{model.usage}
```

How the input is made, down to the normalisation, is in `config.json`. How the model was trained, on what, and
how well it does: to be filled in by its author.
"""


def _escape(text: str) -> str:
    """A name as Markdown shows it in a cell, whatever is in it: on one line, without markup of its own."""
    text = html.escape(" ".join("".join(c for c in text if c.isprintable() or c.isspace()).split()))
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#|!~<>" else c for c in text)
