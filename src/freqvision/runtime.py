"""Progress bars and devices."""

import sys
import time
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

INTERVAL = 60.0  # seconds between lines


def progress_bar(iterable: Iterable[Any] | None = None, *, shown: bool = True, **options: Any) -> tqdm:
    """Tqdm's bar on a terminal; elsewhere a plain line a minute, and none for what is done sooner.

    Args:
        iterable: What is gone through; None for a bar that `update` moves.
        shown: Whether there is anything to see at all.
        options: Of tqdm: total, desc, unit and so on.

    Example:
        >>> sum(progress_bar([1, 2, 3], desc="adding"))
        6
    """
    kind = tqdm if sys.stderr.isatty() else _Lines
    return kind(iterable, disable=not shown, **options)


class _Lines(tqdm):
    """A bar for files, which keep every state of one that is redrawn ten times a second."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.printed = time.monotonic()
        super().__init__(*args, **{**options, "leave": False})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line if the last one is old enough; a message is only the empty one that wipes a bar."""
        now = time.monotonic()
        if msg is None and now - self.printed >= INTERVAL:
            self.printed = now
            self.fp.write(f"{self}\n")
            self.fp.flush()


def choose_device(name: str | None) -> str:
    """A device by torch's name for it, or by None a GPU where there is one.

    Raises:
        ValueError: It is not here.
    """
    import torch

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter of builds without CUDA
        cause = str(error).partition("\n")[0]
        raise ValueError(f"device {name!r} cannot be used here, but cpu can: {cause}") from error
    return name
