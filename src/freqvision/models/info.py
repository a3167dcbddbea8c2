"""What a model costs, counted without running it: grid, parameters, multiply-adds, bytes per image."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from freqvision.inputs.spec import InputSpec
from freqvision.models.registry import architecture


@dataclass(frozen=True)
class ModelInfo:
    """What a model costs.

    Args:
        name: As `create_model` takes it.
        image_size: (height, width) in pixels of the photo that the model sees.
        shape: (channels, height, width) of the input; the grid of blocks for DCT channels.
        parameters: Number of parameters.
        macs: Multiply-adds of convolutions and matrix products for one image; half the FLOPs.
    """

    name: str
    image_size: tuple[int, int]
    shape: tuple[int, int, int]
    parameters: int
    macs: int

    @property
    def values(self) -> int:
        """Numbers sent to the device for an image: bytes in int8 or uint8, a quarter of those in float32."""
        return math.prod(self.shape)


def model_info(
    name: str,
    spec: InputSpec | None = None,
    num_classes: int = 1000,
    start: str | None = None,
    strides: str = "standard",
    rgb_size: int | None = None,
) -> ModelInfo:
    """Grid, parameters, multiply-adds and bytes of a model, without memory for its weights.

    Args:
        name: One of `list_models`.
        spec: Its input; None takes `default_spec`. `rgb_spec` gives that of the RGB original.
        num_classes: Number of logits.
        start: Form of the input layers, as `create_model` takes it.
        strides: Likewise.
        rgb_size: Likewise.

    Raises:
        ValueError: The spec leaves the size of the image open, an argument is illegal, or the model is a
            detector, whose cost depends on what it finds.

    Example:
        >>> from freqvision.models import rgb_spec
        >>> dct, rgb = model_info("resnet18"), model_info("resnet18", rgb_spec("resnet18"))
        >>> dct.shape, rgb.shape, round(dct.macs / rgb.macs, 2)
        ((24, 56, 56), (3, 224, 224), 0.9)
    """
    found = architecture(name)
    if found.backbone:
        raise ValueError(
            f"{name} is a detector, whose cost depends on what it finds: ask for its backbone, "
            f"{found.backbone}"
        )
    spec = found.default_spec() if spec is None else spec
    shape = spec.shape
    if shape is None:
        raise ValueError("the cost depends on the image's size, which this spec leaves open: give it a crop")

    options: dict[str, Any] = {"start": start, "strides": strides, "rgb_size": rgb_size}
    try:
        with torch.device("meta"):
            model = found.create(spec, num_classes, **options)
    except NotImplementedError:  # RegNet works out its widths with tensors, which need values
        model = found.create(spec, num_classes, **options).to("meta")
    inputs = torch.empty(1, *shape, dtype=spec.torch_dtype, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(inputs)
    return ModelInfo(
        name=name,
        image_size=(shape[1] * spec.cell, shape[2] * spec.cell),
        shape=shape,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=counter.get_total_flops() // 2,
    )
