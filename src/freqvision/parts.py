"""One function over the parts of a task: in this process, or on a Ray cluster with retries."""

import json
import logging
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from freqvision.runtime import progress_bar, write_text

Result = TypeVar("Result")
Part = tuple[int, int]  # the first place, and the one after the last
Work = Callable[[Part, Callable[[int], Any]], Result]  # of a part, and a counter of what is done for its bar


def split(count: int, size: int) -> list[Part]:
    """Parts of a size; the last may be shorter. They never depend on how many machines share them.

    Example:
        >>> split(5, 2)
        [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + size, count)) for start in range(0, count, size)]


def map_parts(
    work: Work[Result],
    parts: Sequence[Part],
    *,
    ray: str | None = None,
    cpus: int = 1,
    gpus: float = 0,
    desc: str = "",
    progress: bool = True,
) -> Iterator[Result]:
    """Results in the order of the parts, which makes sums over them the same on any number of machines.

    Args:
        work: ``work(part, count)`` gives the part's result, and calls ``count(n)`` after each n photos. For
            Ray it can be pickled, and writes files whole or not at all: a part is done again if its machine
            fails.
        parts: What to work on.
        ray: Address of a Ray cluster, "auto" for the one on this machine, "local" to start one; None works
            in this process. All machines see the same files under the same paths.
        cpus: Cores of a worker process of Ray.
        gpus: GPUs of a worker process of Ray.
        desc: Title of the progress bar.
        progress: Show a progress bar.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        Exception: The first that `work` raised.

    Example:
        >>> list(map_parts(lambda part, count: part[1] - part[0], split(5, 2)))
        [2, 2, 1]
    """
    total = sum(end - start for start, end in parts)
    with progress_bar(total=total, desc=desc, unit="photo", shown=progress) as bar:
        if ray is None:
            for part in parts:
                yield work(part, bar.update)
            return
        waiting: dict[int, Result] = {}
        following = 0
        for place, result in _on_ray(work, parts, ray, cpus, gpus):
            bar.update(parts[place][1] - parts[place][0])
            waiting[place] = result
            while following in waiting:
                yield waiting.pop(following)
                following += 1


def _on_ray(
    work: Work[Result], parts: Sequence[Part], address: str, cpus: int, gpus: float
) -> Iterator[tuple[int, Result]]:
    """Places of parts with their results, as they come."""
    import ray
    from ray.data import DataContext, from_items

    ours = not ray.is_initialized()
    if ours:
        ray.init(address, logging_level=logging.WARNING)
    try:
        context = DataContext.get_current()
        context.enable_progress_bars = False  # there is one already
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        rows = from_items([{"place": place} for place in range(len(parts))], override_num_blocks=len(parts))
        # Tasks, not actors: those of a machine that fails are done by the others, which Ray Data sees to, and
        # need not wait for room to restart an actor. max_calls=0 keeps their processes, and what `work` has
        # opened in them.
        done = rows.map(
            partial(_work_remotely, work, list(parts), os.getcwd()),
            num_cpus=cpus,
            num_gpus=gpus,
            max_calls=0,
        )
        for row in done.iter_rows():
            result = pickle.loads(row["result"])
            if isinstance(result, Exception):
                raise result
            yield row["place"], result
    finally:
        if ours:
            ray.shutdown()


def _work_remotely(work: Work[Any], parts: list[Part], folder: str, row: dict[str, Any]) -> dict[str, Any]:
    os.chdir(folder)  # relative paths are those of the command
    try:
        result = work(parts[row["place"]], lambda count: None)
    except Exception as error:  # Ray's own would hide what it says
        result = error
    return {"place": row["place"], "result": pickle.dumps(result)}


def recorded(file: Path, write: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Write a file and what is to be known of it, next to it in JSON; or read that, if it is there.

    The record comes last, so a run that was stopped continues after its last whole file.
    """
    record = file.with_name(f"_{file.stem}.json")  # readers of Parquet folders leave out what begins so
    if not (record.exists() and file.exists()):
        values = write()
        write_text(record, json.dumps(values, ensure_ascii=False) + "\n")
    return dict(json.loads(record.read_text(encoding="utf-8")))


def same_settings(file: Path, settings: dict[str, Any]) -> None:
    """Keep the settings of an output that is written in several runs, and refuse others."""
    settings = json.loads(json.dumps(settings))
    if file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
        other = [name for name in {**found, **settings} if found.get(name) != settings.get(name)]
        if other:
            raise ValueError(
                f"{file.parent} was begun with other settings: "
                + ", ".join(f"{name} {found.get(name)!r}, now {settings.get(name)!r}" for name in other)
                + ". Continue with those, or name another folder"
            )
        return
    write_text(file, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
