"""Leave-one-out sensitivity: what a network loses when one channel is silenced or drowned in noise."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from freqvision.analysis.probe import Probe
from freqvision.analysis.scores import ChannelScores, channel_name
from freqvision.runtime import progress_bar
from freqvision.spectrum.channels import ChannelSet

Replacement = Literal["mean", "noise"]
Measure = Literal["loss", "accuracy", "divergence", "changed"]


@dataclass(frozen=True)
class Base:
    """How a network does with all channels.

    Args:
        loss: Cross-entropy of the labels; NaN where there are none.
        accuracy: Top-1 accuracy; likewise.
        confidence: Mean log probability of the class that comes first.
    """

    loss: float
    accuracy: float
    confidence: float

    def is_like(self, other: Base) -> bool:
        """Whether both can be the same network on the same photos, in sums of another order."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        # Relative, since networks that are sure of all photos differ in the fifth digit of their losses only.
        return all(
            math.isclose(a, b, rel_tol=2e-4, abs_tol=1e-7) or (math.isnan(a) and math.isnan(b))
            for a, b in pairs
        )


@dataclass(frozen=True)
class Effect:
    """What becomes of the network's answers without one channel, on average over photos.

    Args:
        channel: 0 to 191.
        loss: Rise of the cross-entropy of the labels; NaN where there are none.
        loss_error: Standard error of that mean.
        accuracy: Rise of the top-1 accuracy, so mostly negative; NaN where there are no labels.
        divergence: Kullback-Leibler divergence of the answers from those with all channels, in nats.
        divergence_error: Standard error of that mean.
        changed: Share of photos for which another class comes first.
    """

    channel: int
    loss: float
    loss_error: float
    accuracy: float
    divergence: float
    divergence_error: float
    changed: float


@dataclass(frozen=True)
class Sensitivity:
    """The effect of each channel, as measured by `leave_one_out`.

    Args:
        effects: One for each channel, in ascending order.
        base: The network with all channels.
        photos: Number of photos.
        replace: What a channel was replaced with: "mean" or "noise".
        seed: Of the noise; 0 without.
    """

    effects: tuple[Effect, ...]
    base: Base
    photos: int
    replace: str
    seed: int = 0

    def scores(self, measure: Measure | None = None) -> ChannelScores:
        """Channels by what leaving them out does.

        Args:
            measure: "loss" (its rise), "accuracy" (its fall), "divergence" or "changed"; None is the loss if
                there were labels, else the divergence. Equal scores are ranked by divergence.

        Raises:
            ValueError: There were no labels, which loss and accuracy need.
        """
        unlabelled = math.isnan(self.base.loss)
        measure = measure or ("divergence" if unlabelled else "loss")
        if measure in ("loss", "accuracy") and unlabelled:
            raise ValueError(f"the {measure} needs labels, and there were none: use divergence or changed")
        noise = ", and noise of its deviation" if self.replace == "noise" else ""
        about = f"leave-one-out over {self.photos:,} photos, a channel replaced by its mean{noise}"
        if not unlabelled:
            about += f"; with all channels accuracy {self.base.accuracy:.1%}, loss {self.base.loss:.3f}"
        units = {"loss": "rise of the loss", "accuracy": "fall of the accuracy", "changed": "changed answers"}
        sign = -1 if measure == "accuracy" else 1
        return ChannelScores(
            "sensitivity",
            ChannelSet(tuple(effect.channel for effect in self.effects)),
            tuple(sign * getattr(effect, measure) for effect in self.effects),
            tuple(effect.divergence for effect in self.effects),
            units.get(measure, measure),
            about=about,
        )

    def is_like(self, other: Sensitivity) -> bool:
        """Whether effects of both can stand in one table."""
        same = (self.photos, self.replace, self.seed) == (other.photos, other.replace, other.seed)
        return same and self.base.is_like(other.base)

    def settings(self) -> str:
        """What was measured, without the effects."""
        noise = f" of seed {self.seed}" if self.replace == "noise" else ""
        return f"{self.photos} photos, {self.replace}{noise}, {self.base}"

    def save(self, path: str | Path) -> None:
        """Write a CSV file, a line for each channel, which spreadsheets read too."""
        path = Path(path)
        unfinished = path.with_name(path.name + ".part")  # a run may be stopped while it writes
        common = {"photos": self.photos, "replace": self.replace, "seed": self.seed}
        common |= {f"base_{name}": value for name, value in asdict(self.base).items()}
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            columns = ["channel", "name", *(field.name for field in fields(Effect)[1:]), *common]
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for effect in self.effects:
                writer.writerow({"name": channel_name(effect.channel), **asdict(effect), **common})
        os.replace(unfinished, path)

    @classmethod
    def load(cls, path: str | Path) -> Sensitivity:
        """Read a file that `save` wrote.

        Raises:
            ValueError: It is not such a table.
        """
        with Path(path).open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        try:
            numbers = [field.name for field in fields(Effect)[1:]]
            effects = [
                Effect(int(line["channel"]), *(float(line[name]) for name in numbers)) for line in lines
            ]
            base = Base(*(float(lines[0][f"base_{field.name}"]) for field in fields(Base)))
            first = lines[0]  # without a seed where an earlier version wrote it
            return cls(
                tuple(effects), base, int(first["photos"]), first["replace"], int(first.get("seed") or 0)
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no table of sensitivities: {error!r}") from error


@torch.inference_mode()
def leave_one_out(
    probe: Probe,
    *,
    replace: Replacement = "mean",
    channels: Iterable[int] | None = None,
    batch_size: int = 64,
    seed: int = 0,
    table: str | Path | None = None,
    progress: bool = True,
) -> Sensitivity:
    """Silence one channel after the other and see what becomes of the network's answers.

    Args:
        probe: Network and photos.
        replace: "mean" sets the channel to its mean everywhere, the value 0; "noise" draws each block's value
            from a normal distribution of the channel's mean and deviation, so that its size stays and what it
            says goes.
        channels: Which ones, 0 to 191; None is all that the network reads.
        batch_size: Photos in a batch.
        seed: Of the noise.
        table: CSV file that is written after each channel. Channels that stand in it already are not
            measured again, so that a run that was stopped can go on.
        progress: Show a progress bar, if there is a terminal.

    Raises:
        ValueError: The table is of another network, of other photos, of another replacement or seed.
    """
    if replace not in ("mean", "noise"):
        raise ValueError(f'replace is "mean" or "noise", got {replace!r}')
    wanted = ChannelSet(tuple(probe.spec.channels if channels is None else channels))
    places = dict(zip(wanted, probe.spec.channels.positions(wanted), strict=True))
    earlier = Sensitivity.load(table) if table is not None and Path(table).exists() else None
    done = {} if earlier is None else {effect.channel: effect for effect in earlier.effects}
    missing = [index for index in wanted if index not in done]
    count = len(probe.inputs)
    with progress_bar(total=count * (1 + len(missing)), desc="all", unit="photo", shown=progress) as bar:
        untouched = _answers(probe, batch_size, bar)
        base = _base(untouched, probe.labels)
        whole = Sensitivity((), base, count, replace, seed if replace == "noise" else 0)
        if earlier is not None and not whole.is_like(earlier):
            raise ValueError(
                f"{table} was begun with another network, other photos or another replacement: it is of "
                f"{earlier.settings()}; this is of {whole.settings()}. Name another table (of freqvision "
                "select: another --output), or delete this one"
            )
        for index in missing:
            bar.set_description(channel_name(index))
            answers = _answers(probe, batch_size, bar, places[index], replace, seed)
            done[index] = _effect(index, untouched, answers, probe.labels)
            if table is not None:
                replace_fields(whole, effects=tuple(done[index] for index in sorted(done))).save(table)
    return replace_fields(whole, effects=tuple(done[index] for index in wanted))


def _answers(
    probe: Probe, batch_size: int, bar: tqdm, place: int | None = None, replace: str = "mean", seed: int = 0
) -> torch.Tensor:
    """Log probabilities (N, classes), with the channel at a place replaced."""
    device = next(probe.network.parameters()).device
    parts = []
    for part in probe.batches(batch_size):
        inputs = probe.inputs[part].to(device, copy=True)
        if place is not None:
            inputs[:, place] = _replacement(replace, part, place, inputs, seed)
        parts.append(F.log_softmax(probe.network(inputs).float(), dim=1))
        bar.update(len(inputs))
    return torch.cat(parts)


def _replacement(replace: str, part: slice, place: int, inputs: torch.Tensor, seed: int) -> torch.Tensor:
    """What to put in the place of a channel of some photos, (B, h, w), in units of its deviation."""
    shape = inputs.shape[2:]
    if replace == "mean":
        return inputs.new_zeros(len(inputs), *shape)
    # From the number of photo and channel alone: the same for every size of batch and on every device.
    seeds = ([seed, place, photo] for photo in range(part.start, part.stop))
    noise = [np.random.default_rng(numbers).standard_normal(shape, np.float32) for numbers in seeds]
    return torch.from_numpy(np.stack(noise)).to(inputs.device)


def _base(answers: torch.Tensor, labels: torch.Tensor | None) -> Base:
    confidence = answers.amax(1).double().mean().item()
    if labels is None:
        return Base(math.nan, math.nan, confidence)
    loss = F.nll_loss(answers.double(), labels).item()
    return Base(loss, (answers.argmax(1) == labels).double().mean().item(), confidence)


def _effect(index: int, before: torch.Tensor, after: torch.Tensor, labels: torch.Tensor | None) -> Effect:
    before, after = before.double(), after.double()
    divergence, divergence_error = _mean_and_error((before.exp() * (before - after)).sum(1))
    first, then = before.argmax(1), after.argmax(1)
    loss, loss_error, accuracy = math.nan, math.nan, math.nan
    if labels is not None:
        rise = F.nll_loss(after, labels, reduction="none") - F.nll_loss(before, labels, reduction="none")
        loss, loss_error = _mean_and_error(rise)
        accuracy = ((then == labels).double() - (first == labels).double()).mean().item()
    changed = (first != then).double().mean().item()
    return Effect(index, loss, loss_error, accuracy, divergence, divergence_error, changed)


def _mean_and_error(values: torch.Tensor) -> tuple[float, float]:
    """Mean and its standard error; that of a single value is unknown, 0 here."""
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return values.mean().item(), error
