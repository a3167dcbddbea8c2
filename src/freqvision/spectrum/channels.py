"""Which of the 192 frequencies a model uses."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from freqvision.runtime import JsonFile, parse_json

COMPONENTS = ("Y", "Cb", "Cr")
BLOCK = 8
FREQUENCIES = BLOCK * BLOCK  # of one component
NUM_CHANNELS = len(COMPONENTS) * FREQUENCIES

# Static subsets, as the number of frequencies taken from each row u of the 8×8 grid: (luma rows, chroma
# rows). 6 to 64 are those of the paper's released code ("Learning in the Frequency Domain", Xu et al., CVPR
# 2020), but for 12, of which the paper reports results without saying what it holds: here it keeps their 4 :
# 1 : 1 of components.
_PRESETS: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    6: ((2, 2), (1,)),
    12: ((3, 3, 2), (2,)),
    24: ((4, 4, 4, 4), (2, 2)),
    32: ((5, 5, 5, 4, 3), (3, 2)),
    48: ((6, 6, 6, 6, 4, 4), (3, 3, 2)),
    64: ((7, 7, 6, 6, 6, 6, 6), (3, 3, 2, 2)),
    192: ((8,) * 8, (8,) * 8),
}
PRESET_SIZES = tuple(_PRESETS)
_TEXT_HELP = (
    f"valid are a preset ({', '.join(map(str, _PRESETS))}), 'all', 'none', the path of a .json file that "
    "ChannelSet.save wrote, or frequencies 8·u + v for each component such as 'Y0-3,8-11+Cb0,1+Cr0'"
)


@dataclass(frozen=True)
class ChannelSet(JsonFile):
    """A subset of the 192 channels of a DCT cube.

    Channel ``64·component + 8·u + v`` holds the frequency with vertical index u and horizontal index v of
    component Y, Cb or Cr (0, 1, 2). A tensor's channels stand in ascending index.

    Args:
        indices: Channels, 0 to 191, each at most once; kept in ascending order.

    Raises:
        TypeError: An index is not an integer.
        ValueError: An index lies outside 0 to 191 or occurs twice.

    Example:
        >>> channels = ChannelSet.preset(24)
        >>> print(channels, len(channels))
        Y0-3,8-11,16-19,24-27+Cb0-1,8-9+Cr0-1,8-9 24
        >>> ChannelSet.parse("Y0-1+Cb0") | ChannelSet((128,)) == ChannelSet((0, 1, 64, 128))
        True
    """

    what, writer = "channel set", "ChannelSet.save"

    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        for index in self.indices:
            if not isinstance(index, int) or isinstance(index, bool):
                raise TypeError(
                    f"a channel is an integer from 0 to {NUM_CHANNELS - 1}, got {index!r}; "
                    "for text use ChannelSet.parse, for masks ChannelSet.from_grid"
                )
            if not 0 <= index < NUM_CHANNELS:
                raise ValueError(
                    f"channel {index} is outside 0 to {NUM_CHANNELS - 1}: it is 64·component + 8·u + v "
                    "with component 0, 1, 2 for Y, Cb, Cr and frequencies u, v from 0 to 7"
                )
        ordered = tuple(sorted(self.indices))
        for left, right in itertools.pairwise(ordered):
            if left == right:
                raise ValueError(f"channel {left} occurs twice; give each channel once")
        object.__setattr__(self, "indices", ordered)

    @classmethod
    def preset(cls, size: int) -> ChannelSet:
        """The paper's static subset of that many channels: low frequencies, mostly of luma."""
        if size not in _PRESETS:
            raise ValueError(
                f"no preset has {size!r} channels; presets: {', '.join(map(str, _PRESETS))}. "
                "Other subsets: ChannelSet(indices) or ChannelSet.parse('Y0-3,8-11+Cb0+Cr0')"
            )
        luma, chroma = _PRESETS[size]
        rows = (luma, chroma, chroma)
        return cls(
            tuple(
                FREQUENCIES * component + BLOCK * u + v
                for component, widths in enumerate(rows)
                for u, width in enumerate(widths)
                for v in range(width)
            )
        )

    @classmethod
    def parse(cls, text: str, *, files: bool = True) -> ChannelSet:
        """Read what a person types: a preset's size, a .json file's path, or frequencies for each component.

        ``ChannelSet.parse(str(channels)) == channels`` for every set.

        Args:
            text: What was typed.
            files: Whether it may be a path; in files from elsewhere it may not.

        Raises:
            ValueError: The text means no channel set; the message says what would.

        Example:
            >>> ChannelSet.parse("24") == ChannelSet.preset(24)
            True
            >>> ChannelSet.parse("Y0-2,8 + Cr63").indices
            (0, 1, 2, 8, 191)
        """
        cleaned = re.sub(r"\s+", "", text)
        if files and text.strip().endswith(".json"):
            return cls.load(text.strip())
        if cleaned.isdecimal():
            return cls.preset(int(cleaned))
        if cleaned.lower() in ("all", "none"):
            return cls(tuple(range(NUM_CHANNELS)) if cleaned.lower() == "all" else ())
        indices: list[int] = []
        for part in cleaned.split("+"):
            match = re.fullmatch(r"(y|cb|cr):?(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)", part, flags=re.IGNORECASE)
            if match is None:
                raise ValueError(f"cannot read {part!r} of {text!r} as channels; {_TEXT_HELP}")
            component = [name.lower() for name in COMPONENTS].index(match[1].lower())
            for run in match[2].split(","):
                first, _, last = run.partition("-")
                low, high = int(first), int(last or first)
                if low > high or high >= FREQUENCIES:
                    raise ValueError(
                        f"{run!r} in {text!r} is no range of frequencies: "
                        f"they ascend and lie in 0 to {FREQUENCIES - 1}"
                    )
                indices.extend(FREQUENCIES * component + frequency for frequency in range(low, high + 1))
        return cls(tuple(indices))

    @classmethod
    def from_grid(cls, mask: torch.Tensor) -> ChannelSet:
        """The channels where a mask of shape (3, 8, 8), as `grid` gives it, is true or not zero."""
        if tuple(mask.shape) != (len(COMPONENTS), BLOCK, BLOCK):
            raise ValueError(f"a channel mask has shape (3, 8, 8): component, u, v; got {tuple(mask.shape)}")
        return cls(tuple(mask.reshape(-1).nonzero().flatten().tolist()))

    @classmethod
    def from_components(cls, *frequencies: Iterable[int]) -> ChannelSet:
        """From the frequencies 8·u + v (0 to 63) of Y, Cb and Cr; components left out are empty."""
        if len(frequencies) > len(COMPONENTS):
            raise ValueError(
                f"there are three components, Y, Cb and Cr; got frequencies for {len(frequencies)}"
            )
        indices: list[int] = []
        for component, chosen in enumerate(frequencies):
            for frequency in chosen:
                if not 0 <= frequency < FREQUENCIES:
                    raise ValueError(
                        f"{COMPONENTS[component]} frequency {frequency} is outside 0 to {FREQUENCIES - 1}"
                    )
                indices.append(FREQUENCIES * component + frequency)
        return cls(tuple(indices))

    def component(self, component: int) -> tuple[int, ...]:
        """The frequencies 8·u + v (0 to 63) used of one component: 0 is Y, 1 is Cb, 2 is Cr."""
        if component not in range(len(COMPONENTS)):
            raise ValueError(f"component {component!r} does not exist; valid: 0 (Y), 1 (Cb), 2 (Cr)")
        return tuple(index % FREQUENCIES for index in self.indices if index // FREQUENCIES == component)

    def grid(self) -> torch.Tensor:
        """Boolean mask of shape (3, 8, 8): component, vertical frequency u, horizontal frequency v."""
        mask = torch.zeros(NUM_CHANNELS, dtype=torch.bool)
        mask[list(self.indices)] = True
        return mask.reshape(len(COMPONENTS), BLOCK, BLOCK)  # (3, 8, 8)

    def position(self, index: int) -> int:
        """Where channel `index` (0 to 191) stands in a tensor that holds this set's channels."""
        try:
            return self.indices.index(index)
        except ValueError:
            raise ValueError(f"channel {index} is not in the set {self}") from None

    def positions(self, other: ChannelSet) -> list[int]:
        """Where the channels of `other`, a subset of this set, stand in a tensor with this set's channels.

        Raises:
            ValueError: A channel of `other` is not in this set.
        """
        missing = other - self
        if missing.indices:
            raise ValueError(f"channels {missing} are not in the set {self}")
        place = {index: position for position, index in enumerate(self.indices)}
        return [place[index] for index in other.indices]

    def to_json(self) -> str:
        """JSON text: the frequencies 8·u + v of each component."""
        return json.dumps({name: list(self.component(i)) for i, name in enumerate(COMPONENTS)})

    @classmethod
    def from_json(cls, text: str) -> ChannelSet:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is not JSON of that form.
        """
        data: Any = parse_json(text)
        lists = isinstance(data, dict) and all(
            isinstance(values, list) and all(type(value) is int for value in values)
            for values in data.values()
        )
        if not lists or set(data) - set(COMPONENTS) or not data:
            raise ValueError(
                'a channel set in JSON looks like {"Y": [0, 1, 8], "Cb": [0], "Cr": [0]}; got ' + text[:80]
            )
        return cls.from_components(*(data.get(name, ()) for name in COMPONENTS))

    def __str__(self) -> str:
        parts = [name + _runs(self.component(i)) for i, name in enumerate(COMPONENTS) if self.component(i)]
        return "+".join(parts) or "none"

    def __repr__(self) -> str:
        return f"ChannelSet.parse({str(self)!r})"

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)

    def __contains__(self, index: object) -> bool:
        return index in self.indices

    def __or__(self, other: ChannelSet) -> ChannelSet:
        return ChannelSet(tuple(set(self.indices) | set(other.indices)))

    def __and__(self, other: ChannelSet) -> ChannelSet:
        return ChannelSet(tuple(set(self.indices) & set(other.indices)))

    def __sub__(self, other: ChannelSet) -> ChannelSet:
        return ChannelSet(tuple(set(self.indices) - set(other.indices)))

    def __xor__(self, other: ChannelSet) -> ChannelSet:
        return ChannelSet(tuple(set(self.indices) ^ set(other.indices)))


def _runs(numbers: Sequence[int]) -> str:
    """Ascending numbers as text in which neighbours share a run: 0, 1, 2, 8 is '0-2,8'."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
