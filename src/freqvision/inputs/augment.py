"""Augmentation of model inputs in the frequency domain: colour, mirroring and erasing, on any device.

Brightness, contrast and saturation are affine in pixels, so they are affine in coefficients; mirroring
changes the sign of odd horizontal frequencies; rectangles of blocks can be erased. Unlike pixels, nothing is
clipped at black and white. MixUp and CutMix are linear too: torchvision's ``v2.MixUp`` and ``v2.CutMix`` work
on float batches (B, C, h, w). Other augmentations (hue, posterise, RandAugment, rotation, …) need pixels: put
them before `PixelTransform`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from freqvision.inputs.encoding import clamp, value_map
from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.spectrum.channels import BLOCK, FREQUENCIES

BLACK = -1024.0  # DC of a block of zeros
_TRIES = 10  # of torchvision's RandomErasing to find a box that fits


def adjust_colour(
    inputs: torch.Tensor,
    spec: FrequencySpec,
    brightness: float | torch.Tensor = 1.0,
    contrast: float | torch.Tensor = 1.0,
    saturation: float | torch.Tensor = 1.0,
) -> torch.Tensor:
    """Change brightness, then contrast, then saturation, as torchvision's ``adjust_…`` functions do.

    A factor of 1 changes nothing; brightness 0 is black, contrast 0 the photo's mean gray, saturation 0 gray.
    Each channel is changed by itself, so any ChannelSet works.

    Args:
        inputs: (B, C, h, w) model inputs of any of the spec's types.
        spec: What the inputs are: channels, statistics, type.
        brightness: Factor, 0 or more: one number, or a tensor (B,).
        contrast: Likewise.
        saturation: Likewise.

    Returns:
        (B, C, h, w) of the same type.

    Raises:
        ValueError: The inputs are not those of the spec, or a factor is below 0.

    Example:
        >>> spec = FrequencySpec().raw()
        >>> adjust_colour(torch.zeros(2, 24, 56, 56), spec, brightness=0.5)[0, 0, 0, 0]
        tensor(-512.)
    """
    _check(inputs, spec)
    constants = _constants(spec, inputs.device)
    bright, contrasted, saturated = (
        _per_sample(factor, inputs) for factor in (brightness, contrast, saturation)
    )
    gain = bright * contrasted * torch.where(constants.chroma, saturated, 1.0)  # (B or 1, C)
    shift = torch.zeros(len(inputs), len(spec.channels), device=inputs.device)
    if 0 in spec.channels:
        # Brightness scales luma's DC from black; contrast scales it from the photo's mean, that of DC.
        mean = inputs[:, :1].float().mean(dim=(2, 3)) * constants.std[0] + constants.mean[0]  # (B, 1)
        black = (1 - bright) * BLACK
        shift[:, :1] = contrasted * black + (1 - contrasted) * (bright * mean + black)
    return _affine(inputs, gain, shift, constants)


def horizontal_flip(inputs: torch.Tensor, spec: FrequencySpec) -> torch.Tensor:
    """Mirror photos: the order of block columns, and the sign of odd horizontal frequencies.

    Args:
        inputs: (B, C, h, w) model inputs of any of the spec's types.
        spec: What the inputs are: channels, statistics, type.

    Raises:
        ValueError: The inputs are not those of the spec.

    Example:
        >>> horizontal_flip(torch.ones(1, 24, 56, 56), FrequencySpec().raw())[0, :4, 0, 0]
        tensor([ 1., -1.,  1., -1.])
    """
    _check(inputs, spec)
    constants = _constants(spec, inputs.device)
    mirror = constants.mirror[None]  # (1, C)
    return _affine(inputs.flip(-1), mirror, torch.zeros_like(mirror), constants)


def erase(inputs: torch.Tensor, spec: FrequencySpec, boxes: torch.Tensor) -> torch.Tensor:
    """Fill a rectangle of blocks of each photo with the data set's mean colour; gray, if no mean is known.

    Args:
        inputs: (B, C, h, w) model inputs of any of the spec's types.
        spec: What the inputs are: channels, statistics, type.
        boxes: Integer (B, 4): top, left, height, width in blocks; what lies outside the photo has no effect.

    Raises:
        ValueError: The inputs are not those of the spec, or there is not a box for each.

    Example:
        >>> box = torch.tensor([[0, 0, 56, 28]])
        >>> int(erase(torch.ones(1, 24, 56, 56), FrequencySpec().raw(), box).sum()) == 24 * 56 * 28
        True
    """
    _check(inputs, spec)
    if tuple(boxes.shape) != (inputs.shape[0], 4):
        raise ValueError(f"boxes are ({inputs.shape[0]}, 4), one for each input; got {tuple(boxes.shape)}")
    top, left, height, width = boxes.to(inputs.device)[:, :, None, None].unbind(1)  # (B, 1, 1) each
    rows = torch.arange(inputs.shape[2], device=inputs.device)[None, :, None]  # (1, h, 1)
    columns = torch.arange(inputs.shape[3], device=inputs.device)[None, None, :]  # (1, 1, w)
    inside = (rows >= top) & (rows < top + height) & (columns >= left) & (columns < left + width)  # (B, h, w)
    fill = _constants(spec, inputs.device).mean_colour.to(inputs.dtype)
    return torch.where(inside[:, None], fill[None, :, None, None], inputs)


@dataclass(frozen=True)
class Augmentation:
    """Random colour, mirroring and erasing of DCT channels; nothing by default.

    Args:
        brightness: A factor is drawn from [max(0, 1 − brightness), 1 + brightness], as by ColorJitter.
        contrast: Likewise.
        saturation: Likewise.
        gray: Probability of a gray photo.
        hflip: Probability of a mirrored photo; `Decoder.random_resized` mirrors already.
        erase: Probability of an erased rectangle of blocks.
        erase_scale: Smallest and largest share of the photo that is erased.
        erase_ratio: Smallest and largest height / width of the rectangle.

    Raises:
        ValueError: A probability or a range is impossible.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    gray: float = 0.0
    hflip: float = 0.0
    erase: float = 0.0
    erase_scale: tuple[float, float] = (0.02, 0.33)
    erase_ratio: tuple[float, float] = (0.3, 3.3)

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} is the largest change of a factor around 1, 0 or more; got {getattr(self, name)}"
                )
        for name in ("gray", "hflip", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability from 0 to 1; got {getattr(self, name)}")
        scale, ratio = self.erase_scale, self.erase_ratio
        if not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(
                "erase_scale is (min, max) in (0, 1] and erase_ratio (min, max) above 0; "
                f"got {scale} and {ratio}"
            )

    def build(self, spec: InputSpec) -> FrequencyAugment | None:
        """The module that does it; None where there is nothing to do.

        Raises:
            ValueError: The inputs are pixels.
        """
        if not any((self.brightness, self.contrast, self.saturation, self.gray, self.hflip, self.erase)):
            return None
        if not isinstance(spec, FrequencySpec):
            raise ValueError("augmentation changes DCT channels, and this model reads pixels: leave it out")
        return FrequencyAugment(spec, **asdict(self))


class FrequencyAugment(nn.Module):
    """Augments each photo of a batch at random; does nothing in evaluation mode.

    Args:
        spec: What the inputs are: channels, statistics, type.
        values: Fields of `Augmentation`.
        named: Likewise, by name.

    Raises:
        ValueError: A probability or a range is impossible.

    Example:
        >>> augment = FrequencyAugment(FrequencySpec(), brightness=0.4, erase=0.25)
        >>> augment(torch.zeros(8, 24, 56, 56), torch.Generator().manual_seed(0)).shape
        torch.Size([8, 24, 56, 56])
    """

    def __init__(self, spec: FrequencySpec, *values: Any, **named: Any) -> None:
        super().__init__()
        self.spec = spec
        self.how = Augmentation(*values, **named)

    def forward(self, inputs: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Augment a batch.

        Args:
            inputs: (B, C, h, w) model inputs of any of the spec's types.
            generator: Source of randomness, on any device; None is torch's, of the inputs' device.

        Returns:
            (B, C, h, w) of the same type.

        Raises:
            ValueError: The inputs are not those of the spec.
        """
        _check(inputs, self.spec)
        if not self.training:
            return inputs
        how = self.how
        device = inputs.device if generator is None else generator.device
        # All numbers are always drawn, so that no option changes another's.
        shape = (len(inputs), 8 + 2 * _TRIES)
        draws = torch.rand(shape, generator=generator, device=device, dtype=torch.float32).to(inputs.device)
        jitter, chance, place, tries = draws.split((3, 3, 2, 2 * _TRIES), dim=1)
        if how.brightness or how.contrast or how.saturation or how.gray:
            brightness, contrast, saturation = (
                _uniform(jitter[:, i], max(0.0, 1 - strength), 1 + strength)
                for i, strength in enumerate((how.brightness, how.contrast, how.saturation))
            )
            saturation = torch.where(chance[:, 0] < how.gray, 0.0, saturation)
            inputs = adjust_colour(inputs, self.spec, brightness, contrast, saturation)
        if how.hflip:
            mirrored = horizontal_flip(inputs, self.spec)
            inputs = torch.where((chance[:, 1] < how.hflip)[:, None, None, None], mirrored, inputs)
        if how.erase:
            boxes = self._boxes(tries.unflatten(1, (2, _TRIES)), place, inputs.shape[2], inputs.shape[3])
            boxes = torch.where((chance[:, 2] < how.erase)[:, None], boxes, 0)
            inputs = erase(inputs, self.spec, boxes)
        return inputs

    def _boxes(self, tries: torch.Tensor, place: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Boxes as torchvision's RandomErasing chooses them, in blocks: (B, 4); empty where no try fits.

        From uniform numbers: `tries` (B, 2, tries) for area and ratio, `place` (B, 2) for top and left.
        """
        how = self.how
        area = rows * columns * _uniform(tries[:, 0], *how.erase_scale)
        low, high = how.erase_ratio
        ratio = _uniform(tries[:, 1], math.log(low), math.log(high)).exp()
        sizes = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()]).round().long()  # (2, B, tries)
        fits = (sizes[0] < rows) & (sizes[1] < columns)
        first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)  # (B, 1): argmax gives the first
        height, width = (size.gather(1, first)[:, 0] * fits.any(dim=1) for size in sizes)  # (B,) each
        top = (place[:, 0] * (rows - height + 1)).long()
        left = (place[:, 1] * (columns - width + 1)).long()
        return torch.stack([top, left, height, width], dim=1)


class _Constants:
    """Numbers per channel of a spec, all of shape (C,): coefficient = input · std + mean."""

    @torch.inference_mode(False)  # kept for later calls, which may need gradients
    def __init__(self, spec: FrequencySpec, device: torch.device) -> None:
        self.spec = spec
        self.std, self.mean = (torch.tensor(numbers, device=device) for numbers in value_map(spec))
        channels = torch.tensor(spec.channels.indices, device=device)
        frequency = channels % FREQUENCIES
        self.chroma = channels >= FREQUENCIES
        self.mirror = 1.0 - 2.0 * (frequency % BLOCK % 2).float()  # −1 where the horizontal frequency is odd
        # Coefficients of a block in the mean colour.
        flat = torch.where(frequency == 0, torch.tensor(spec.mean, device=device), 0.0)
        self.mean_colour = clamp((flat - self.mean) / self.std, spec)


_constants = functools.lru_cache(maxsize=16)(_Constants)


def _affine(
    inputs: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, constants: _Constants
) -> torch.Tensor:
    """Coefficients become gain · coefficient + shift; both (B or 1, C), of inputs (B, C, h, w)."""
    shift = ((gain - 1) * constants.mean + shift) / constants.std
    changed = inputs * gain[:, :, None, None] + shift[:, :, None, None]
    return clamp(changed, constants.spec) if inputs.dtype == torch.int8 else changed.to(inputs.dtype)


def _uniform(draws: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * draws


def _per_sample(factor: float | torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """A factor as (B, 1), or (1, 1) if it is the same for all."""
    tensor = torch.as_tensor(factor, dtype=torch.float32, device=inputs.device).reshape(-1, 1)
    if tensor.shape[0] not in (1, inputs.shape[0]):
        raise ValueError(
            f"a factor is one number or one for each of {len(inputs)} inputs; got {tensor.shape[0]} numbers"
        )
    # Tensors are not checked: that would force a GPU sync.
    if isinstance(factor, (int, float)) and not factor >= 0:
        raise ValueError(f"a factor is 0 or more, 1 changes nothing; got {factor}")
    return tensor


def _check(inputs: torch.Tensor, spec: FrequencySpec) -> None:
    if inputs.ndim != 4 or inputs.shape[1] != len(spec.channels):
        raise ValueError(
            f"inputs are (B, {len(spec.channels)}, h, w) as the spec says; got {tuple(inputs.shape)}: pixels "
            "are augmented before PixelTransform, one photo needs a batch dimension (photo[None])"
        )
    if inputs.dtype != spec.torch_dtype and (spec.dtype == "int8" or not inputs.is_floating_point()):
        raise ValueError(f"inputs are {spec.dtype} as the spec says; got {inputs.dtype}")
