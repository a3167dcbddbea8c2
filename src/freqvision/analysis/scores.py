"""Scores of channels, by which they are ranked and selected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from freqvision.runtime import JsonFile, parse_json
from freqvision.spectrum.channels import BLOCK, COMPONENTS, FREQUENCIES, NUM_CHANNELS, ChannelSet


@dataclass(frozen=True)
class ChannelScores(JsonFile):
    """How much each channel matters, by one measure.

    Args:
        method: Name of the measure, such as "gates".
        channels: The channels that were measured.
        scores: One per channel; the greater, the more it matters.
        ties: A second measure that decides between equal scores, or None.
        unit: What a score is, for people: "open share", "rise of the loss".
        classes: Scores over the photos of one class, by the class's name; empty if not measured.
        about: What was measured and how, for people.
        doubts: Reasons to draw no conclusion from the scores, such as a model that only guesses.

    Raises:
        ValueError: A list does not have a finite number for each channel.

    Example:
        >>> scores = ChannelScores("energy", ChannelSet((0, 1, 64)), (5.0, 0.5, 2.0))
        >>> print(scores.top(2), scores.at_least(0.5))
        Y0+Cb0 Y0-1+Cb0
    """

    what, writer = "channel scores", "freqvision select"

    method: str
    channels: ChannelSet
    scores: tuple[float, ...]
    ties: tuple[float, ...] | None = None
    unit: str = "score"
    classes: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    about: str = ""
    doubts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, numbers in (("scores", self.scores), ("ties", self._second()), *self.classes.items()):
            if len(numbers) != len(self.channels) or not all(map(math.isfinite, numbers)):
                raise ValueError(
                    f"{name} has one finite number for each of {len(self.channels)} channels; got {numbers}"
                )

    def ranking(self) -> list[int]:
        """Channels 0 to 191, those that matter most first; of channels that tie, the lower comes first."""
        order = sorted(
            zip(self.scores, self._second(), self.channels, strict=True), key=lambda s: (-s[0], -s[1], s[2])
        )
        return [channel for _, _, channel in order]

    def top(self, count: int, allow_ties: bool = False) -> ChannelSet:
        """The `count` channels that matter most.

        Args:
            count: 1 to the number of channels.
            allow_ties: Where scores cannot tell which to take, a second measure or the lower channel decides.

        Raises:
            ValueError: There are fewer channels, or the scores do not decide which ones to take.
        """
        if not 1 <= count <= len(self.channels):
            raise ValueError(f"1 to {len(self.channels)} channels can be taken; got {count}")
        ranking = self.ranking()
        if not allow_ties and (tied := self._tied_at(ranking, count)):
            raise ValueError(
                f"which {count} channels to take is not decided: {tied} have the same {self.unit}. Take "
                "another number of them, or the first of the ranking: --allow_ties, allow_ties=True"
            )
        return ChannelSet(tuple(ranking[:count]))

    def _tied_at(self, ranking: list[int], count: int) -> int:
        """How many channels tie across the end of a selection; 0 where the scores decide."""
        if count == len(ranking):
            return 0
        if len(set(self.scores)) == 1:
            return len(self.scores)  # the second measure may order them, but the first one says nothing
        values = dict(zip(self.channels, zip(self.scores, self._second(), strict=True), strict=True))
        last, following = (values[channel] for channel in ranking[count - 1 : count + 1])
        return list(values.values()).count(last) if last == following else 0

    def tied_score(self, count: int) -> int:
        """How many channels have the score of the last of `count`, if some of them are left out; else 0."""
        ranked = sorted(self.scores, reverse=True)
        tied = count < len(ranked) and ranked[count - 1] == ranked[count]
        return ranked.count(ranked[count]) if tied else 0

    def _second(self) -> tuple[float, ...]:
        return self.ties or (0.0,) * len(self.channels)

    def at_least(self, threshold: float) -> ChannelSet:
        """The channels whose score is at least `threshold`.

        Raises:
            ValueError: There are none; the message gives the greatest score.
        """
        chosen = [c for c, score in zip(self.channels, self.scores, strict=True) if score >= threshold]
        if not chosen:
            raise ValueError(
                f"no channel reaches {threshold:g}: the greatest {self.unit} is {max(self.scores):g}"
            )
        return ChannelSet(tuple(chosen))

    def grid(self, scores: tuple[float, ...] | None = None) -> torch.Tensor:
        """Scores by component, vertical and horizontal frequency, float64 (3, 8, 8); NaN where not measured.

        Args:
            scores: Other scores of the same channels, such as those of a class; None is the scores.
        """
        values = torch.full((NUM_CHANNELS,), math.nan, dtype=torch.float64)
        values[list(self.channels)] = values.new_tensor(self.scores if scores is None else scores)
        return values.reshape(len(COMPONENTS), BLOCK, BLOCK)  # (3, 8, 8)

    def by_component(self) -> dict[str, float]:
        """Mean score of each component's channels, without components that were not measured."""
        grid = self.grid()
        means = {name: grid[i].nanmean().item() for i, name in enumerate(COMPONENTS)}
        return {name: mean for name, mean in means.items() if not math.isnan(mean)}

    def by_radius(self) -> dict[int, tuple[float, ...]]:
        """Mean score by radial frequency, the distance sqrt(u² + v²) from DC, rounded.

        Returns:
            By radius 0 to 10: the mean of Y, of Cb, of Cr, and of all; NaN where nothing was measured.
        """
        grid, radius = self.grid(), radial_frequency()
        rings = {}
        for r in range(int(radius.max()) + 1):
            ring = grid[:, radius == r]  # (3, frequencies at this radius)
            rings[r] = (*ring.nanmean(dim=1).tolist(), ring.nanmean().item())
        return rings

    def to_json(self) -> str:
        """JSON text that `from_json` reads back."""
        return json.dumps({**asdict(self), "channels": str(self.channels)})

    @classmethod
    def from_json(cls, text: str) -> ChannelScores:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is not JSON of that form.
        """
        values: Any = parse_json(text)
        needed = ("method", "channels", "scores")
        if not isinstance(values, dict) or any(name not in values for name in needed):
            raise ValueError(f"channel scores in JSON have {', '.join(needed)}; got {text[:80]}")
        try:
            values["channels"] = ChannelSet.parse(values["channels"], files=False)
            kinds = {"scores": float, "ties": float, "doubts": str}
            for name, kind in kinds.items():
                if values.get(name) is not None:
                    values[name] = tuple(map(kind, values[name]))
            classes = values.get("classes", {}).items()
            values["classes"] = {name: tuple(map(float, scores)) for name, scores in classes}
            if not all(isinstance(values.get(name, ""), str) for name in ("method", "unit", "about")):
                raise TypeError("the method, its unit and what it is about are text")
            return cls(**values)
        except (TypeError, AttributeError, OverflowError) as error:  # values of other types
            raise ValueError(f"channel scores in JSON are numbers and text: {error}") from error


def radial_frequency() -> torch.Tensor:
    """Distance of each frequency (u, v) from DC, rounded: int64 (8, 8), 0 to 10."""
    u = torch.arange(BLOCK).double()
    return torch.hypot(u[:, None], u[None, :]).round().long()


def channel_name(index: int) -> str:
    """A channel as people read it: component, vertical and horizontal frequency.

    Example:
        >>> channel_name(64 + 8 * 2 + 5)
        'Cb(2, 5)'
    """
    component, frequency = divmod(index, FREQUENCIES)
    return f"{COMPONENTS[component]}({frequency // BLOCK}, {frequency % BLOCK})"
