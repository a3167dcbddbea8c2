"""Between values and the numbers that a model is fed: select, normalise, quantise, and back.

Values are coefficients, or pixels in [0, 1]. A tensor of the spec's dtype is called stored.
"""

import torch

from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.spectrum.cube import select


def store(values: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Values (..., C, h, w) in the spec's dtype: normalised, or for int8 and uint8 in clamped steps."""
    if spec.steps is None:
        normalised = (values - _per_channel(spec.mean, values)) / _per_channel(spec.std, values)
        return normalised.to(spec.torch_dtype)
    return clamp(values / _per_channel(spec.steps, values), spec)


def clamp(numbers: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Floating-point numbers in the spec's dtype; for int8 and uint8 rounded to the nearest one it holds."""
    if spec.steps is not None:
        limits = torch.iinfo(spec.torch_dtype)
        numbers = numbers.round().clamp(limits.min, limits.max)
    return numbers.to(spec.torch_dtype)


def decode(stored: torch.Tensor, spec: InputSpec) -> torch.Tensor:
    """Values, float32 (..., C, h, w), from what `store` made of them."""
    gain, offset = value_map(spec)
    stored = stored.float()
    return stored * _per_channel(gain, stored) + _per_channel(offset, stored)


def encode(cube: torch.Tensor, spec: FrequencySpec) -> torch.Tensor:
    """Model input from a whole DCT cube: select, normalise, cast.

    (..., 192, h, w) become (..., C, h, w) of the spec's type: (coefficient − mean) / std, or for int8
    round(coefficient / scale) clamped to [−128, 127].
    """
    return store(select(cube, spec.channels), spec)


def value_map(spec: InputSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(gain, offset) of each channel with ``value = stored · gain + offset``.

    Example:
        >>> from freqvision import PixelSpec
        >>> value_map(PixelSpec(mean=(0.5,) * 3, std=(0.25,) * 3))
        ((0.25, 0.25, 0.25), (0.5, 0.5, 0.5))
    """
    return (spec.std, spec.mean) if spec.steps is None else (spec.steps, (0.0,) * len(spec.steps))


def normalised_map(spec: InputSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(gain, offset) of each channel with ``normalised = stored · gain + offset``: 1 and 0 for floats.

    Example:
        >>> from freqvision import PixelSpec
        >>> normalised_map(PixelSpec(dtype="uint8", mean=(0.5,) * 3, std=(1 / 255,) * 3))
        ((1.0, 1.0, 1.0), (-127.5, -127.5, -127.5))
    """
    if spec.steps is None:
        return (1.0,) * spec.num_channels, (0.0,) * spec.num_channels
    gain = tuple(step / std for step, std in zip(spec.steps, spec.std, strict=True))
    return gain, tuple(-mean / std for mean, std in zip(spec.mean, spec.std, strict=True))


def padding(spec: InputSpec) -> torch.Tensor:
    """What an input holds where there is no photo, (C,) of the spec's dtype: gray, or the mean colour.

    Example:
        >>> from freqvision import PixelSpec
        >>> padding(PixelSpec(dtype="uint8", mean=(0.5, 0.4, 0.3))).tolist()
        [128, 102, 76]
    """
    blank = torch.tensor(spec.blank, dtype=torch.float64, device="cpu")  # in which 0.3 · 255 is below 76.5
    return store(blank[:, None, None], spec)[:, 0, 0]


def normalised_padding(spec: InputSpec) -> torch.Tensor:
    """`padding` as the network's first layer sees it, after normalisation: float32 (C,)."""
    return (torch.tensor(spec.blank) - torch.tensor(spec.mean)) / torch.tensor(spec.std)


def _per_channel(values: tuple[float, ...], like: torch.Tensor) -> torch.Tensor:
    return like.new_tensor(values).reshape(-1, 1, 1)  # (C, 1, 1)
