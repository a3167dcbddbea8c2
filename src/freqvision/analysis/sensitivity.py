"""Leave-one-out sensitivity: what a network loses when one channel is set to its mean or to noise."""

from __future__ import annotations

import math
import time
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
from freqvision.runtime import progress_bar, read_table, write_table
from freqvision.spectrum.channels import ChannelSet

Replacement = Literal["mean", "noise"]
Measure = Literal["loss", "accuracy", "divergence", "changed"]
SAVE_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class Base:
    """How a network does with all channels.

    Args:
        loss: Cross-entropy of the labels; NaN without labels.
        accuracy: Top-1 accuracy; NaN without labels.
        confidence: Mean log probability of the top class.
    """

    loss: float
    accuracy: float
    confidence: float

    def is_like(self, other: Base) -> bool:
        """Whether both can be the same network on the same photos, up to the order of sums."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        # Relative: networks that are sure of all photos differ only in the fifth digit of their losses.
        return all(
            math.isclose(a, b, rel_tol=2e-4, abs_tol=1e-7) or (math.isnan(a) and math.isnan(b))
            for a, b in pairs
        )


@dataclass(frozen=True)
class Effect:
    """How the network's answers change without one channel, on average over photos.

    Args:
        channel: 0 to 191.
        loss: Rise of the cross-entropy of the labels; NaN without labels.
        loss_error: Standard error of that mean.
        accuracy: Rise of the top-1 accuracy, so mostly negative; NaN without labels.
        divergence: Kullback-Leibler divergence of the answers from those with all channels, in nats.
        divergence_error: Standard error of that mean.
        changed: Share of photos whose top class changes.
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
        effects: One per channel, in ascending order.
        base: The network with all channels.
        photos: Number of photos.
        replace: What replaced a channel: "mean" or "noise".
        seed: Of the noise; 0 without noise.
    """

    effects: tuple[Effect, ...]
    base: Base
    photos: int
    replace: str
    seed: int = 0

    def scores(self, measure: Measure | None = None) -> ChannelScores:
        """Scores of the channels by the effect of leaving them out.

        Args:
            measure: "loss" (its rise), "accuracy" (its fall), "divergence" or "changed"; None is the loss
                with labels, else the divergence. Equal scores are ranked by divergence.

        Raises:
            ValueError: Loss or accuracy were asked for, and there were no labels.
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
        """Whether the effects of both can be in one table."""
        same = (self.photos, self.replace, self.seed) == (other.photos, other.replace, other.seed)
        return same and self.base.is_like(other.base)

    def settings(self) -> str:
        """What was measured, for messages."""
        noise = f" of seed {self.seed}" if self.replace == "noise" else ""
        return f"{self.photos} photos, {self.replace}{noise}, {self.base}"

    def save(self, path: str | Path) -> None:
        """Write a CSV file, a line per channel."""
        common = {"photos": self.photos, "replace": self.replace, "seed": self.seed}
        common |= {f"base_{name}": value for name, value in asdict(self.base).items()}
        rows = []
        for effect in self.effects:
            name = {"channel": effect.channel, "name": channel_name(effect.channel)}
            rows.append({**name, **asdict(effect), **common})
        write_table(path, rows)

    @classmethod
    def load(cls, path: str | Path) -> Sensitivity:
        """Read a file that `save` wrote.

        Raises:
            ValueError: The file is not such a table.
        """
        lines = read_table(path)
        try:
            numbers = [field.name for field in fields(Effect)[1:]]
            effects = [
                Effect(int(line["channel"]), *(float(line[name]) for name in numbers)) for line in lines
            ]
            base = Base(*(float(lines[0][f"base_{field.name}"]) for field in fields(Base)))
            first = lines[0]  # an earlier version wrote no seed
            return cls(
                tuple(effects), base, int(first["photos"]), first["replace"], int(first.get("seed") or 0)
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a table of sensitivities: {error!r}") from error


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
    """Replace one channel after the other, and measure how the network's answers change.

    Args:
        probe: Network and photos.
        replace: "mean" sets the channel to its mean everywhere, the value 0; "noise" draws each block's value
            from a normal distribution with the channel's mean and deviation: the same size, no information.
        channels: Channels 0 to 191 to leave out; None is all that the network reads.
        batch_size: Photos in a batch.
        seed: Of the noise.
        table: CSV file that is written every ten seconds and at the end. Channels that are in it already are
            not measured again, so a run that was stopped resumes.
        progress: Show a progress bar, if there is a terminal.

    Raises:
        ValueError: The table is of another network, other photos, another replacement or seed.
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

        def save() -> None:
            if table is not None and done:
                replace_fields(whole, effects=tuple(done[index] for index in sorted(done))).save(table)

        saved = time.monotonic()
        try:
            for index in missing:
                bar.set_description(channel_name(index))
                answers = _answers(probe, batch_size, bar, places[index], replace, seed)
                done[index] = _effect(index, untouched, answers, probe.labels)
                if time.monotonic() - saved > SAVE_EVERY:
                    save()
                    saved = time.monotonic()
        finally:
            save()
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
    """Values that replace a channel of some photos, (B, h, w), in units of its deviation."""
    shape = inputs.shape[2:]
    if replace == "mean":
        return inputs.new_zeros(len(inputs), *shape)
    # Seeded by photo and channel: the same for every batch size and on every device.
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
    """Mean and its standard error, which is given as 0 for a single value."""
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return values.mean().item(), error
