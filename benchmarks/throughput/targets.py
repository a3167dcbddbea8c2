"""Bounds on ratios of times, and the section of a page of documentation that shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from freqvision.analysis.timing import Spread, Timings

HEAD = ("target", "bound", "measured", "")


@dataclass(frozen=True)
class Target:
    """A bound on the ratio of two times.

    Args:
        text: What is compared.
        numerator: Name of a task.
        denominator: Name of a task, or of several, of which the fastest counts in each round.
        bound: The most the ratio may be, or the least with `at_most=False`.
        at_most: Whether smaller is better.
    """

    text: str
    numerator: str
    denominator: str | tuple[str, ...]
    bound: float
    at_most: bool = True

    def ratio(self, timings: Timings) -> Spread | None:
        """The ratio within a round; None if a task was not timed here."""
        names = (self.denominator,) if isinstance(self.denominator, str) else self.denominator
        timed = [timings.rounds(name) for name in names if name in timings]
        if self.numerator not in timings or not timed:
            return None
        return Spread.of(timings.rounds(self.numerator) / np.min(timed, axis=0))

    def line(self, timings: Timings) -> tuple[str, str, str, str]:
        """What is compared, the bound, what was measured, and the verdict."""
        bound = f"{'≤' if self.at_most else '≥'} {self.bound:g}"
        ratio = self.ratio(timings)
        if ratio is None:
            return self.text, bound, "not measured here", "–"
        met = ratio.median <= self.bound if self.at_most else ratio.median >= self.bound
        return self.text, bound, f"{ratio:.2f}", "met" if met else "MISSED"


def write_section(page: Path, heading: str, parts: Sequence[str]) -> None:
    """Replace what stands below a heading of a page, up to the next one of its level.

    Raises:
        SystemExit: The page has no such heading.
    """
    title = f"\n## {heading}\n"
    before, found, after = page.read_text(encoding="utf-8").partition(title)
    if not found:
        raise SystemExit(f"{page} has no line '## {heading}' to put the measurements under")
    following = after.find("\n## ")
    rest = after[following:] if following >= 0 else ""
    page.write_text("\n\n".join([before + title.rstrip(), *parts]) + "\n" + rest, encoding="utf-8")
