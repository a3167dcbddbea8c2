"""Detectors in ONNX: one image of a fixed size in, its detections out."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqvision.detection.targets import STRIDE, cell_pixels, view_pixels, with_area
from freqvision.inputs.spec import InputSpec
from freqvision.models.frequency_model import FrequencyModel

PADDING_KEY = "freqvision.padding"  # JSON list, of `freqvision.inputs.encoding.padding`
OUTPUT_NAMES = ("boxes", "labels", "scores", "masks")


def export_detector(
    model: FrequencyModel, path: Path, size: tuple[int, int], metadata: Mapping[str, str], masks: bool
) -> None:
    """Write a `freqvision.detection.DetectionModel` as ONNX for images of `export_size`.

    `freqvision.models.export_onnx` sets the evaluation mode.
    """
    import onnx

    height, width = size
    cells = cell_pixels(model.spec)
    device = next(model.parameters()).device
    shape = (model.channels, height // cells, width // cells)
    names = OUTPUT_NAMES[: 4 if masks else 3]
    network: Any = model.network
    transform, network.transform = network.transform, _OneImage(size)
    try:
        with warnings.catch_warnings():
            # Of sizes that become constants, as intended, and of this old exporter: the new one cannot
            # follow torchvision's detectors (github.com/pytorch/vision/issues/9462).
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Detections(model),
                (torch.zeros(shape, dtype=model.spec.torch_dtype, device=device),),
                str(path),
                input_names=["input"],
                output_names=list(names),
                dynamic_axes={name: {0: "detections"} for name in names},
                opset_version=17,
                dynamo=False,
            )
    finally:
        network.transform = transform
    exported = onnx.load(str(path))
    onnx.helper.set_model_props(exported, dict(metadata))
    onnx.save(exported, str(path))


def export_size(spec: InputSpec, size: tuple[int, int] | None = None) -> tuple[int, int]:
    """The (height, width) in pixels, multiples of 32, of the images for which a detector is exported.

    None takes the shorter and the longer side of the spec, rounded up: all photos in landscape format fit.

    Example:
        >>> import freqvision as fv
        >>> export_size(fv.FrequencySpec(resize=1600, crop=None, max_size=2666))  # 200×336 blocks
        (800, 1344)
    """
    if size is None:
        if not isinstance(spec.resize, int) or spec.max_size is None:
            raise ValueError(f"the spec allows any size, and an export has one: name it; the spec is {spec}")
        pixels = view_pixels(spec)
        height, width = (-(-side // (pixels * STRIDE)) * STRIDE for side in (spec.resize, spec.max_size))
        return height, width
    if len(size) != 2 or any(side < STRIDE or side % STRIDE for side in size):
        raise ValueError(
            f"size is (height, width) in pixels, multiples of {STRIDE} such as (800, 1344); got {size}"
        )
    return size[0], size[1]


class Detections(nn.Module):
    """A detector as a function of one tensor (C, h, w), with its detections as a tuple."""

    def __init__(self, model: FrequencyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Boxes, labels, scores, and masks if there are any."""
        (found,) = self.model.network([self.model.input(image[None])[0]])
        return tuple(found[name] for name in OUTPUT_NAMES if name in found)


class _OneImage(nn.Module):
    """Replaces `PadBatch` for one image that needs no padding. Its size is a constant of the export."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: list[torch.Tensor], targets: None = None) -> Any:
        """(C, h, w) → torchvision's ImageList."""
        from torchvision.models.detection.image_list import ImageList

        return ImageList(torch.stack(images), [self.size]), targets

    def postprocess(self, detections: Any, image_sizes: Any, original_sizes: Any) -> Any:
        """Detections without empty boxes, as from `PadBatch`."""
        return with_area(detections)
