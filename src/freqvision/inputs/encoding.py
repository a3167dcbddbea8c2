"""Between coefficients and the numbers that a model is fed: select, normalise, cast, and back."""

import torch

from freqvision.inputs.spec import FrequencySpec
from freqvision.spectrum.cube import select

INT8_MIN, INT8_MAX = -128, 127


def encode(cube: torch.Tensor, spec: FrequencySpec) -> torch.Tensor:
    """Model input from a whole DCT cube: select, normalise, cast.

    Args:
        cube: (..., 192, h, w) in units of coefficients, float32 or float64.
        spec: Which channels, their statistics, and the type.

    Returns:
        (..., C, h, w) of the spec's type: (coefficient − mean) / std, or for int8 round(coefficient / scale)
        clamped to [−128, 127].
    """
    selected = select(cube, spec.channels)
    if spec.dtype == "int8":
        steps = selected / _per_channel(spec.scale, selected)
        return steps.round().clamp(INT8_MIN, INT8_MAX).to(torch.int8)
    if spec.mean is not None:
        selected = selected - _per_channel(spec.mean, selected)
    if spec.std is not None:
        selected = selected / _per_channel(spec.std, selected)
    return selected.to(spec.torch_dtype)


def decode(model_input: torch.Tensor, spec: FrequencySpec) -> torch.Tensor:
    """Coefficients of the selected channels, float32 (..., C, h, w), from what `encode` made of them."""
    if spec.dtype == "int8":
        return model_input * _per_channel(spec.scale, model_input.float())
    coefficients = model_input.float()
    if spec.std is not None:
        coefficients = coefficients * _per_channel(spec.std, coefficients)
    if spec.mean is not None:
        coefficients = coefficients + _per_channel(spec.mean, coefficients)
    return coefficients


def _per_channel(values: tuple[float, ...] | None, like: torch.Tensor) -> torch.Tensor:
    return like.new_tensor(values).reshape(-1, 1, 1)  # (C, 1, 1)
