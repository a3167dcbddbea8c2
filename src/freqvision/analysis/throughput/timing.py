"""Times many tasks fairly: interleaved rounds, and ratios within a round."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Task:
    """Something to time.

    Args:
        name: Unique among the tasks of a run.
        run: One pass over the photos; what it returns is dropped.
        photos: How many photos a pass handles.
    """

    name: str
    run: Callable[[], object]
    photos: int


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a value over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """Of one value for each round, of shape (rounds,)."""
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return cls(median, low, high)

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}}–{self.high:{spec}})"

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"median": self.median, "q25": self.low, "q75": self.high}


@dataclass(frozen=True)
class Timings:
    """Milliseconds a photo of each task in each round.

    Args:
        names: Of the tasks.
        ms: (rounds, tasks).
    """

    names: tuple[str, ...]
    ms: np.ndarray

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def rounds(self, name: str) -> np.ndarray:
        """Milliseconds a photo in each round, of shape (rounds,).

        Raises:
            KeyError: No such task was timed.
        """
        if name not in self.names:
            raise KeyError(f"{name!r} was not timed; timed were {', '.join(self.names)}")
        return self.ms[:, self.names.index(name)]

    def spread(self, name: str) -> Spread:
        """Milliseconds a photo."""
        return Spread.of(self.rounds(name))

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """Time of one task in units of another's.

        The ratio is taken within each round and only then summarised: what slows the machine for a while
        slows both, and drops out.
        """
        return Spread.of(self.rounds(numerator) / self.rounds(denominator))


def measure(
    tasks: Sequence[Task],
    rounds: int,
    *,
    warmup: int = 1,
    advance: Callable[[str], Any] = lambda name: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Run all tasks once a round, each round in another order.

    Args:
        tasks: What to time.
        rounds: How often; the spread is taken over them.
        warmup: Passes of each task before the first round, not recorded.
        advance: Called with the task's name after each pass, for a progress bar.
        clock: Seconds, from any origin.

    Raises:
        ValueError: There is nothing to time, or two tasks share a name.

    Example:
        >>> tasks = [Task("sum", lambda: sum(range(100)), 1), Task("nothing", lambda: None, 1)]
        >>> timings = measure(tasks, rounds=3)
        >>> timings.ms.shape, timings.ratio("sum", "sum").median
        ((3, 2), 1.0)
    """
    names = tuple(task.name for task in tasks)
    if not tasks or rounds < 1 or min(task.photos for task in tasks) < 1:
        raise ValueError("nothing to time: pass at least one task with a photo, and rounds=1 or more")
    if len(set(names)) < len(names):
        raise ValueError(f"tasks need names of their own, got {', '.join(names)}")
    ms = np.empty((rounds, len(tasks)))
    gc.collect()
    gc.freeze()  # what is there stays, so that collecting before each pass costs nothing
    try:
        for index in range(-warmup, rounds):
            for number in _order(index, len(tasks)):
                task = tasks[number]
                gc.collect()  # no task pays for another's garbage
                start = clock()
                task.run()
                seconds = clock() - start
                if index >= 0:
                    ms[index, number] = 1000 * seconds / task.photos
                advance(task.name)
    finally:
        gc.unfreeze()
    return Timings(names, ms)


def _order(index: int, count: int) -> list[int]:
    """Tasks of a round: each begins elsewhere, every second runs backwards, so that neighbours vary."""
    order = [(place + index) % count for place in range(count)]
    return order[::-1] if index % 2 else order
