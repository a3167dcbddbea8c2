"""Accuracy of models on labelled photos, and of RGB models fed by Transport."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from freqvision.analysis.probe import LabelledPhotos
from freqvision.inputs import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.decoder import Decoder, source_name
from freqvision.models import FrequencyModel, Transport
from freqvision.runtime import progress_bar
from freqvision.spectrum.channels import BLOCK, ChannelSet

_SIGNIFICANT = 1.96  # standard deviations, 95 %


@dataclass(frozen=True)
class Measurement:
    """How a model did on labelled photos."""

    spec: InputSpec
    bytes_per_image: int  # sent to the device
    ranks: torch.Tensor  # int (N,), how many classes it found likelier than the true one
    reading: float  # seconds from files to tensors
    computing: float  # seconds from tensors to classes

    @property
    def correct(self) -> torch.Tensor:
        """Whether each photo was classified correctly: bool (N,)."""
        return self.ranks == 0

    @property
    def top1(self) -> float:
        """Share of photos classified correctly, 0 to 1."""
        return self.correct.float().mean().item()

    @property
    def top5(self) -> float:
        """Share of photos whose class is among the five likeliest, 0 to 1."""
        return (self.ranks < 5).float().mean().item()

    def gained(self, other: Measurement) -> int:
        """Number of photos that this one gets right and the other gets wrong."""
        return int((self.correct & ~other.correct).sum())


def transport_spec(
    pixels: PixelSpec, channels: ChannelSet, dtype: str = "int8", scale: int = 2
) -> FrequencySpec:
    """The input for `Transport` that shows a model of pixels the same part of a photo.

    `scale` is the size of the decoded photo in units of the model's image, along each axis: 1, 2, 4 or 8.

    Example:
        >>> spec = transport_spec(PixelSpec(), ChannelSet.preset(24))
        >>> spec.resize, spec.crop, spec.bytes_per_image
        (512, 448, 75264)
    """
    if pixels.colour != "rgb":
        raise ValueError(f"Transport makes RGB pixels; this model's are {pixels.colour}")
    return FrequencySpec.like(pixels, scale, channels=channels, dtype=dtype)


def compare_transport(
    model: FrequencyModel,
    photos: LabelledPhotos,
    channels: Sequence[ChannelSet],
    dtype: str = "int8",
    scale: int = 2,
    **options: Any,
) -> Iterator[Measurement]:
    """Measure an RGB model on its own pixels, sent as uint8, then through Transport with each set.

    `dtype` and `scale` are those of `transport_spec`, the options those of `measure`.
    """
    if model.spec.channels is not None:
        raise ValueError("Transport is for models of RGB pixels; this one reads DCT channels already")
    pixels = cast(PixelSpec, model.spec.with_dtype("uint8"))
    rgb = FrequencyModel(model.network, pixels, model.settings)
    yield measure(rgb, pixels, photos, **options)
    for chosen in channels:
        spec = transport_spec(pixels, chosen, dtype, scale)
        yield measure(Transport(rgb, spec, pixels=BLOCK // scale), spec, photos, **options)


@torch.inference_mode()
def measure(
    model: nn.Module,
    spec: InputSpec,
    photos: LabelledPhotos,
    *,
    batch_size: int = 32,
    num_threads: int = 0,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Measurement:
    """Classify photos, from files to classes, by a model that gives logits (B, classes).

    Raises:
        ValueError: The photos have no labels, or a label is not one of the model's classes.
    """
    if photos.labels is None:
        raise ValueError("to measure accuracy the photos need labels: one sub-folder a class, or a CSV file")
    read = Decoder(spec, num_threads)
    model = model.to(device).eval()
    starts = range(0, len(photos.paths), batch_size)
    ranks: list[torch.Tensor] = []
    reading = computing = 0.0
    size = 0
    for start in progress_bar(starts, desc=f"{spec.label} {spec.dtype}", leave=False, shown=progress):
        started = time.perf_counter()
        batch = photos.paths[start : start + batch_size]
        inputs = read(batch)
        finished = time.perf_counter()
        logits = model(inputs.to(device)).float().cpu()  # .cpu() waits for the device
        reading, computing = reading + finished - started, computing + time.perf_counter() - finished
        size += inputs.nbytes
        truth = torch.tensor(photos.labels[start : start + len(batch)])
        for place, label in enumerate(truth.tolist()):
            if not 0 <= label < logits.shape[1]:
                name = source_name(place, batch[place])
                raise ValueError(
                    f"{name} has the label {label}; the model's classes are 0 to {logits.shape[1] - 1}: "
                    "count labels from 0, and give the network all of its classes"
                )
        ranks.append(rank_of_truth(logits, truth))
    return Measurement(spec, size // len(photos.paths), torch.cat(ranks), reading, computing)


def rank_of_truth(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Number of classes with a larger logit than the true one (B,); of equal logits the first class wins.

    Example:
        >>> rank_of_truth(torch.tensor([[0.0, 2, 1], [5, 5, 0]]), torch.tensor([2, 1]))
        tensor([1, 1])
    """
    order = logits.argsort(dim=1, descending=True, stable=True)  # (B, classes)
    return (order == truth[:, None]).int().argmax(dim=1)


def doubts_about(measurement: Measurement, photos: LabelledPhotos, classes: int) -> tuple[str, ...]:
    """That a model of some number of classes does no better than guessing; empty if it does."""
    counts = torch.tensor(photos.labels).bincount()
    total, right = len(measurement.ranks), int(measurement.correct.sum())
    chance = max(1 / classes, counts.max().item() / total)  # of one who always says the commonest class
    if right > total * chance + _SIGNIFICANT * math.sqrt(total * chance * (1 - chance)):
        return ()
    return (
        f"the model does no better than guessing: {right} of {total} photos are right, "
        f"{total * chance:.0f} would be by chance",
    )
