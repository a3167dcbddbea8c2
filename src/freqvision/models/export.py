"""Models for other runtimes: ONNX and ``torch.export`` archives, which carry their input's specification."""

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from freqvision.inputs.spec import InputSpec
from freqvision.runtime import naming_extras, replacing

SPEC_KEY = "freqvision.spec"  # JSON of the spec
CLASSES_KEY = "freqvision.classes"  # JSON list of names
INPUT_NAME, OUTPUT_NAME = "input", "logits"
SINGLE_FILE_BYTES = 1.9e9


class Exportable(nn.Module):
    """A module that knows its input, and so can be written for other runtimes."""

    spec: InputSpec  # what turns a photo into the input
    class_names: list[str] | None  # of the outputs, where they are known

    def write_onnx(self, path: Path, metadata: dict[str, str], size: tuple[int, int] | None) -> None:
        """Write an ONNX file; see `export_onnx`, which checks the arguments."""
        if size is not None:
            raise ValueError(f"size is for detectors; {type(self).__name__} has that of its spec")
        inputs, shapes = self._example()
        program = torch.onnx.export(
            self,
            (inputs,),
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            dynamic_shapes=shapes,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(metadata)
        program.save(str(path))

    def write_pt2(self, path: Path, metadata: dict[str, str]) -> None:
        """Write an archive of ``torch.export``; see `export_pt2`."""
        inputs, shapes = self._example()
        program = torch.export.export(self, (inputs,), dynamic_shapes=shapes)
        archive = io.BytesIO()  # on a full disk torch's own writer would end the process
        torch.export.save(program, archive, extra_files=metadata)
        path.write_bytes(archive.getbuffer())

    def _example(self) -> tuple[torch.Tensor, tuple[dict[int, Any]]]:
        """An input of two photos (one would be taken for a constant), and which of its axes may differ."""
        device = next((parameter.device for parameter in self.parameters()), None)
        # Where the spec leaves the size of photos open, any will do.
        shape = self.spec.shape or (self.spec.num_channels, 48, 64)
        axes: dict[int, Any] = {0: Dim("batch")}
        if self.spec.shape is None:
            axes |= {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
        return torch.zeros(2, *shape, dtype=self.spec.torch_dtype, device=device), (axes,)


def export_onnx(
    model: Exportable,
    path: str | Path,
    classes: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
) -> Path:
    """Write a model as ONNX: batches of any size, the type of its spec in, logits out.

    The file's metadata hold the spec (`freqvision.spec`) and the names of the classes (`freqvision.classes`)
    as JSON, so that `Decoder` and onnxruntime are all that is needed to use it: see
    ``examples/serve_onnx.py``.

    A detector takes one image (C, h, w) of a fixed size, and gives "boxes" (N, 4), "labels" (N,), "scores"
    (N,), and with Mask R-CNN "masks" (N, 1, 28, 28), each filling its box. Smaller photos are padded at the
    bottom and on the right with the metadata's `freqvision.padding`, a value for each channel.

    Args:
        model: From `create_model` or `create_detector`, or a `Transport`; exported in evaluation mode,
            whatever mode it is in.
        path: The file to write, ``.onnx``.
        classes: Names of the classes; None takes the model's own.
        size: Detectors only: (height, width) in pixels of the image in which boxes are, multiples of 32; None
            is the spec's shorter and longer side, rounded up.

    Returns:
        The path.

    Raises:
        ModuleNotFoundError: onnx and onnxscript are not installed.
        TypeError: The model is none of these.
        ValueError: The spec's type does not exist in numpy, so that no runtime could be fed; or the size is
            none of those.
    """
    _check_model(model)
    if model.spec.dtype == "bfloat16":
        raise ValueError(
            "numpy has no bfloat16 to feed an ONNX runtime: create the model with float16 or float32"
        )
    with naming_extras():
        import onnxscript  # noqa: F401  which torch.onnx needs
    with _whole(model, path) as draft:
        model.write_onnx(draft, _metadata(model, classes), size)
    return Path(path)


def export_pt2(model: Exportable, path: str | Path, classes: Sequence[str] | None = None) -> Path:
    """Write a model as an archive of ``torch.export``, which runs without freqvision.

    ``torch.export.load(path).module()`` gives it back. The archive's extra files hold the spec and the names
    of the classes, as the metadata of `export_onnx` do.

    Args:
        model: From `create_model`, or a `Transport`; exported in evaluation mode, whatever mode it is in.
        path: The file to write, ``.pt2``.
        classes: Names of the classes; None takes the model's own.

    Returns:
        The path.

    Raises:
        TypeError: The model is none of these.
        NotImplementedError: The model is a detector, which torch.export cannot follow.
    """
    _check_model(model)
    with _whole(model, path) as draft:
        model.write_pt2(draft, _metadata(model, classes))
    return Path(path)


def _check_model(model: Any) -> None:
    if not isinstance(model, Exportable):
        raise TypeError(
            "only models of fv.create_model and fv.create_detector and fv.Transport, which know their input, "
            f"can be exported; got {type(model).__name__}"
        )


@contextmanager
def _whole(model: Exportable, path: str | Path) -> Iterator[Path]:
    """Evaluation mode, and a path to write to that becomes the file once it is complete."""
    was_training = model.training
    model.eval()
    # ONNX keeps larger weights in a second file, whose name is in the first: neither can be renamed.
    single = sum(tensor.nbytes for tensor in model.state_dict().values()) < SINGLE_FILE_BYTES
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) if single else nullcontext(Path(path)) as draft:
            yield draft
    finally:
        model.train(was_training)


def _metadata(model: Exportable, classes: Sequence[str] | None) -> dict[str, str]:
    names = model.class_names if classes is None else list(classes)
    return {SPEC_KEY: model.spec.to_json(), CLASSES_KEY: json.dumps(names)}
