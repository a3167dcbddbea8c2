"""Mean and deviation of every frequency over a data set, and the int8 steps that follow from them."""

from __future__ import annotations

import functools
import json
import math
import operator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import torch

from freqvision.runtime import JsonFile, parse_json
from freqvision.spectrum.channels import BLOCK, FREQUENCIES, NUM_CHANNELS, ChannelSet
from freqvision.spectrum.dct import dct_matrix

# Less than the rounding of pixels leaves in a coefficient (0.29): a channel without content, such as the
# chroma of gray photos, is not scaled up to unit variance, and nothing is divided by zero.
MIN_STD = 0.1

# int8. DC has steps of 8, one gray level of the block's mean, which covers its whole range (−1024 to 1016).
# AC is clipped at 20 deviations: finer steps lose more by clipping, coarser ones more by rounding. Measured
# by benchmarks/int8_clip.py on ImageNet photos: an RMS error of 0.053 of a channel's deviation over all AC
# channels, the least of all clips, and 0.042 over the preset of 24, of which 7 in a million are clipped.
# Steps finer than 1/8 would resolve what rounding to 8-bit pixels has already lost.
DC_SCALE = 8.0
AC_CLIP = 20.0
MIN_SCALE = 1 / 8
INT8_STEPS = 127


@dataclass(frozen=True)
class ChannelStatistics(JsonFile):
    """Statistics of DCT channels, in units of coefficients; every block of every photo is a sample.

    Args:
        channels: The channels that were measured.
        count: Number of blocks.
        mean: Mean of each channel.
        variance: Population variance of each channel (divided by `count`).
        largest: Greatest magnitude of each channel.
        about: What was measured and how, for people.

    Raises:
        ValueError: A list has another length than `channels`, or a number is impossible.

    Example:
        >>> first, second = torch.randn(2, 192, 4, 4), torch.randn(3, 192, 4, 4)
        >>> merged = ChannelStatistics.of(first).merge(ChannelStatistics.of(second))
        >>> merged.count, len(merged.mean)
        (80, 192)
    """

    what, writer = "statistics", "freqvision stats PHOTOS --output FILE"

    channels: ChannelSet
    count: int
    mean: tuple[float, ...] = field(repr=False)
    variance: tuple[float, ...] = field(repr=False)
    largest: tuple[float, ...] = field(repr=False)
    about: str = ""

    def __post_init__(self) -> None:
        for name in ("mean", "variance", "largest"):
            numbers = tuple(float(number) for number in getattr(self, name))
            if len(numbers) != len(self.channels):
                expected = f"each of {len(self.channels)} channels"
                raise ValueError(f"{name} has one number for {expected}; got {len(numbers)}")
            if not all(math.isfinite(number) and (name == "mean" or number >= 0) for number in numbers):
                rule = "finite numbers" if name == "mean" else "finite numbers, none negative"
                raise ValueError(f"{name} holds {rule}; got {numbers}")
            object.__setattr__(self, name, numbers)
        if self.count <= 0:
            raise ValueError(f"statistics are of at least one block, got count={self.count}")

    @classmethod
    def of(
        cls, cubes: torch.Tensor, channels: ChannelSet | None = None, about: str = ""
    ) -> ChannelStatistics:
        """Statistics of a batch of coefficients.

        Args:
            cubes: (..., C, h, w) in units of coefficients, not normalised.
            channels: The C channels; None for all 192.
            about: What was measured and how, for people.

        Raises:
            ValueError: The number of channels is another, or there is no block.
        """
        channels = ChannelSet.preset(NUM_CHANNELS) if channels is None else channels
        if cubes.ndim < 3 or cubes.shape[-3] != len(channels) or not cubes.numel():
            raise ValueError(
                f"cubes are (..., {len(channels)}, h, w) with at least one block; got {tuple(cubes.shape)}"
            )
        samples = cubes.double().movedim(-3, 0).flatten(1)  # (C, blocks)
        variance, mean = torch.var_mean(samples, dim=1, correction=0)
        largest = samples.abs().amax(dim=1)
        return cls(channels, samples.shape[1], _numbers(mean), _numbers(variance), _numbers(largest), about)

    def merge(self, other: ChannelStatistics) -> ChannelStatistics:
        """Statistics of both sets of samples together (Chan, Golub and LeVeque, 1979).

        Raises:
            ValueError: The other statistics are of other channels.
        """
        if other.channels != self.channels:
            raise ValueError(f"statistics of {other.channels} do not merge with those of {self.channels}")
        count = self.count + other.count
        share = other.count / count
        mean, other_mean = torch.tensor([self.mean, other.mean], dtype=torch.float64)
        variance, other_variance = torch.tensor([self.variance, other.variance], dtype=torch.float64)
        step = other_mean - mean
        return ChannelStatistics(
            self.channels,
            count,
            _numbers(mean + share * step),
            _numbers((1 - share) * variance + share * other_variance + share * (1 - share) * step.square()),
            tuple(map(max, self.largest, other.largest)),
            self.about or other.about,
        )

    def select(self, channels: ChannelSet) -> ChannelStatistics:
        """The statistics of a subset of the channels.

        Raises:
            ValueError: A channel was not measured.
        """
        places = self.channels.positions(channels)
        mean, variance, largest = (
            tuple(numbers[place] for place in places) for numbers in (self.mean, self.variance, self.largest)
        )
        return ChannelStatistics(channels, self.count, mean, variance, largest, self.about)

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, as measured."""
        return tuple(math.sqrt(variance) for variance in self.variance)

    def mean_of(self, channels: ChannelSet) -> tuple[float, ...]:
        """Means to normalise these channels with."""
        return self.select(channels).mean

    def std_of(self, channels: ChannelSet) -> tuple[float, ...]:
        """Deviations to normalise these channels with: no smaller than `MIN_STD`."""
        return tuple(max(std, MIN_STD) for std in self.select(channels).std)

    def scale_of(self, channels: ChannelSet) -> tuple[float, ...]:
        """Steps of int8 for these channels.

        DC has steps of 8, one gray level of the block's mean, over its whole range. AC reaches to 20
        deviations, or to the greatest magnitude that 8-bit samples can have at that frequency if that is
        less.
        """
        chosen = self.select(channels)
        reach = greatest_magnitude()
        scales = []
        for index, std in zip(channels, chosen.std, strict=True):
            frequency = index % FREQUENCIES
            clip = min(AC_CLIP * std, reach[frequency])
            scales.append(DC_SCALE if frequency == 0 else max(clip / INT8_STEPS, MIN_SCALE))
        return tuple(scales)

    def to_json(self) -> str:
        """JSON text that `from_json` reads back to the same numbers."""
        values = {"about": self.about, "channels": str(self.channels), "count": self.count}
        numbers = {name: list(getattr(self, name)) for name in ("mean", "variance", "largest")}
        return json.dumps({**values, **numbers})

    @classmethod
    def from_json(cls, text: str) -> ChannelStatistics:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is not JSON of that form.
        """
        values: Any = parse_json(text)
        needed = ("channels", "count", "mean", "variance", "largest")
        if not isinstance(values, dict) or any(name not in values for name in needed):
            raise ValueError(f"statistics in JSON have {', '.join(needed)}; got {text[:80]}")
        try:
            values["channels"] = ChannelSet.parse(values["channels"], files=False)
            values["count"] = operator.index(values["count"])
            return cls(**{name: values[name] for name in needed}, about=str(values.get("about", "")))
        except (TypeError, OverflowError) as error:  # values of other types
            raise ValueError(f"statistics in JSON are numbers and text: {error}") from error

    @staticmethod
    @functools.cache
    def default() -> ChannelStatistics:
        """Statistics of general photos: 200 of ImageNet, resize 512, crop 448."""
        file = resources.files("freqvision.inputs") / "default_statistics.json"
        return ChannelStatistics.from_json(file.read_text(encoding="utf-8"))


def greatest_magnitude() -> list[float]:
    """Largest possible magnitude of each frequency 8·u + v for samples in [−128, 128]."""
    sums = dct_matrix(BLOCK, torch.float64).abs().sum(dim=1)
    return (128 * torch.outer(sums, sums)).flatten().tolist()


def _numbers(values: torch.Tensor) -> tuple[float, ...]:
    return tuple(values.tolist())
