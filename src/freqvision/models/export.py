"""Models for other runtimes: ONNX and ``torch.export`` archives, which carry their input's specification."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from freqvision.inputs.spec import FrequencySpec
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.transport import Transport

SPEC_KEY = "freqvision.spec"  # JSON of the FrequencySpec or PixelSpec
CLASSES_KEY = "freqvision.classes"  # JSON list of names
INPUT_NAME, OUTPUT_NAME = "input", "logits"


def export_onnx(
    model: FrequencyModel | Transport,
    path: str | Path,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """Write a model as ONNX: batches of any size, the type of its spec in, logits out.

    The file's metadata hold the spec (`freqvision.spec`) and the names of the classes (`freqvision.classes`)
    as JSON, so that `Decoder` and onnxruntime are all that is needed to use it: see
    ``examples/serve_onnx.py``.

    A detector takes one image (C, h, w) of a fixed size, and gives "boxes" (N, 4), "labels" (N,), "scores"
    (N,), and of Mask R-CNN "masks" (N, 1, 28, 28), each filling its box. Smaller photos are padded at the
    bottom and on the right with the metadata's `freqvision.padding`, a value for each channel.

    Args:
        model: Of `create_model`, or `Transport`; in any mode, its evaluation mode is exported.
        path: Where to, ``.onnx``.
        classes: Names of the classes; None takes the model's own.
        size: Of a detector, (height, width) in pixels of the image in which boxes are, multiples of 32; None
            is the spec's shorter and longer side, rounded up.

    Returns:
        The path.

    Raises:
        ImportError: onnx and onnxscript are not installed.
        TypeError: The model is none of these.
        ValueError: The spec's type does not exist in numpy, so that no runtime could be fed; or the size is
            none of those.
    """
    from freqvision.detection.export import PADDING_KEY, export_detector, export_size, padding
    from freqvision.detection.model import DetectionModel

    _check_model(model)
    if model.spec.dtype == "bfloat16":
        raise ValueError(
            "numpy has no bfloat16 to feed an ONNX runtime: create the model with float16 or float32"
        )
    try:
        import onnxscript  # noqa: F401  which torch.onnx needs
    except ImportError as error:
        raise ImportError("exporting to ONNX needs: pip install 'freqvision[export]'") from error
    if isinstance(model, DetectionModel):
        metadata = {**_metadata(model, classes), PADDING_KEY: json.dumps(padding(model.spec))}
        return export_detector(model, path, export_size(model.spec, size), metadata)
    if size is not None:
        raise ValueError(f"size is of detectors; {type(model).__name__} has that of its spec")
    inputs, shapes = _example(model)
    was_training = model.training
    try:
        program = torch.onnx.export(
            model.eval(),
            (inputs,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
    finally:
        model.train(was_training)
    assert program is not None
    program.model.metadata_props.update(_metadata(model, classes))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    program.save(str(path))
    return Path(path)


def export_pt2(
    model: FrequencyModel | Transport, path: str | Path, classes: Sequence[str] | None = None
) -> Path:
    """Write a model as an archive of ``torch.export``, which runs without freqvision.

    ``torch.export.load(path).module()`` gives it back.

    The archive's extra files hold the spec and the names of the classes, as the metadata of `export_onnx` do.

    Args:
        model: Of `create_model`, or `Transport`; in any mode, its evaluation mode is exported.
        path: Where to, ``.pt2``.
        classes: Names of the classes; None takes the model's own.

    Returns:
        The path.

    Raises:
        TypeError: The model is none of these.
        NotImplementedError: The model is a detector, which torch.export cannot follow.
    """
    from freqvision.detection.model import DetectionModel

    _check_model(model)
    if isinstance(model, DetectionModel):
        name = model.settings.get("name", type(model).__name__)
        raise NotImplementedError(
            f"{name} has no archive of torch.export, which cannot follow torchvision's choice of boxes by "
            "score; what is supported: ONNX (--to onnx), or a folder that fv.load opens (--to hub)"
        )
    inputs, shapes = _example(model)
    was_training = model.training
    try:
        program = torch.export.export(model.eval(), (inputs,), dynamic_shapes=shapes)
    finally:
        model.train(was_training)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, path, extra_files=_metadata(model, classes))
    return Path(path)


def _check_model(model: Any) -> None:
    if not isinstance(model, (FrequencyModel, Transport)):
        raise TypeError(
            "exported are models of fv.create_model and fv.Transport, which know their input; got "
            + type(model).__name__
        )


def _example(model: FrequencyModel | Transport) -> tuple[torch.Tensor, tuple[dict[int, Any]]]:
    """An input of two photos (one would be taken for a constant), and which of its axes may differ."""
    batch = Dim("batch")
    spec = model.spec
    device = next((parameter.device for parameter in model.parameters()), None)
    if spec.shape is not None:
        return torch.zeros(2, *spec.shape, dtype=spec.torch_dtype, device=device), ({0: batch},)
    channels = len(spec.channels) if isinstance(spec, FrequencySpec) else 3
    shape = (2, channels, 48, 64)  # the spec leaves the size of photos open
    return torch.zeros(shape, dtype=spec.torch_dtype, device=device), (
        {0: batch, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},
    )


def _metadata(model: FrequencyModel | Transport, classes: Sequence[str] | None) -> dict[str, str]:
    names = getattr(model, "class_names", None) if classes is None else list(classes)
    return {SPEC_KEY: model.spec.to_json(), CLASSES_KEY: json.dumps(names)}
