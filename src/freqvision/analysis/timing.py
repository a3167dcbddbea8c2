"""A fair stopwatch: tasks in interleaved rounds, and ratios taken within a round."""

import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Task:
    """Something to time."""

    name: str  # unlike the others of a run
    run: Callable[[], object]  # one pass; the result is dropped
    photos: int  # of a pass

    @classmethod
    def epoch(cls, name: str, epoch: Callable[[], Iterable[object]], photos: int) -> "Task":
        """A task that iterates over what `epoch` returns, dropping each batch before the next."""
        return cls(name, lambda: deque(epoch(), maxlen=0), photos)


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of a value over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Spread":
        """The spread of one value per round, of shape (rounds,)."""
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return cls(median, low, high)

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}}–{self.high:{spec}})"

    def to_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return {"median": self.median, "q25": self.low, "q75": self.high}


@dataclass(frozen=True)
class Timings:
    """Milliseconds per photo of each task in each round."""

    names: tuple[str, ...]
    ms: np.ndarray  # (rounds, tasks)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def rounds(self, name: str) -> np.ndarray:
        """Milliseconds per photo in each round, of shape (rounds,)."""
        if name not in self.names:
            raise KeyError(f"{name!r} was not timed; timed were {', '.join(self.names)}")
        return self.ms[:, self.names.index(name)]

    def spread(self, name: str) -> Spread:
        """Milliseconds per photo."""
        return Spread.of(self.rounds(name))

    def ratio(self, numerator: str, denominator: str) -> Spread:
        """Time of one task divided by another's.

        The ratio is taken within each round and then summarised, so a machine that slows down for a while
        slows both and cancels out.
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
    gc.freeze()  # so that collecting before each pass costs nothing
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


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep PyTorch's operators to one thread, so that photos are all that runs in parallel."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _order(index: int, count: int) -> list[int]:
    """Tasks of a round: each starts elsewhere and every second runs backwards, so that neighbours vary."""
    order = [(place + index) % count for place in range(count)]
    return order[::-1] if index % 2 else order
