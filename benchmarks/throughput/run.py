"""A whole benchmark: find photos, time everything in one run, and keep what is needed to judge the result."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from freqvision.analysis.speed import default_threads, sound_photos
from freqvision.analysis.timing import Spread, Task, Timings, measure, one_thread
from freqvision.runtime import progress_bar
from throughput import machine, sweeps
from throughput.memory import peak_memory
from throughput.photos import Photos
from throughput.pipelines import FREQVISION, Pipeline, choose

LARGEST_BATCH = 32
LEAST_BATCHES = 4  # for each worker process, so that its start and end hardly count


@dataclass(frozen=True)
class Settings:
    """How a benchmark is done.

    Args:
        photos: How many of the folder's photos are used at most.
        rounds: How often everything is timed.
        threads: Threads, or worker processes of rivals, for the second measurement; 0 for all cores (at most
            32), 1 for no second measurement.
        pipelines: Patterns of names; none for the usual ones.
        reference: Name of the pipeline that the others are compared with.
        sweeps: Time also against photo size, quality, channels and threads.
        memory: Measure peak memory too, each pipeline in a process of its own.

    Raises:
        ValueError: A number is out of its range, or there is no such pipeline.
    """

    photos: int = 200
    rounds: int = 9
    threads: int = 0
    pipelines: tuple[str, ...] = ()
    reference: str = FREQVISION
    sweeps: bool = True
    memory: bool = True

    def __post_init__(self) -> None:
        for name, least in (("photos", 1), ("rounds", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is a number of {least} or more, got {getattr(self, name)}")
        choose([*self.pipelines, self.reference])

    def thread_counts(self) -> tuple[int, ...]:
        """Those that are timed, ascending: (1,) or (1, n)."""
        return tuple(sorted({1, self.threads or default_threads()}))


@dataclass(frozen=True)
class Row:
    """What was measured of one pipeline with one number of threads."""

    pipeline: Pipeline
    threads: int
    ms: Spread
    ratio: Spread
    memory: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "pipeline": self.pipeline.name,
            "group": self.pipeline.group,
            "summary": self.pipeline.summary,
            "threads": self.threads,
            "ms_per_photo": self.ms.to_dict(),
            "photos_per_second": 1000 / self.ms.median,
            "time_over_reference": self.ratio.to_dict(),
            "bytes_to_device": self.pipeline.bytes_to_device,
            "peak_memory_megabytes": self.memory,
        }


@dataclass(frozen=True)
class Benchmark:
    """The result of a run.

    Args:
        settings: How it was done.
        machine: What it was done on.
        photos: Number, sides and size of the photos, and how many were left out.
        rows: What was measured.
        missing: Pipelines that could not run, each with the reason.
        timings: The rounds behind `rows`; `task_name` gives the names.
        sweeps: The line charts.
    """

    settings: Settings
    machine: dict[str, Any]
    photos: dict[str, float]
    rows: list[Row]
    missing: dict[str, str]
    timings: Timings
    sweeps: list[sweeps.Sweep]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with every round."""
        return {
            "settings": asdict(self.settings),
            "machine": self.machine,
            "photos": self.photos,
            "results": [row.to_dict() for row in self.rows],
            "missing": self.missing,
            "rounds_ms_per_photo": {name: self.timings.rounds(name).tolist() for name in self.timings.names},
            "sweeps": [sweep.to_dict() for sweep in self.sweeps],
        }

    def save(self, path: str | Path) -> None:
        """Write everything as JSON."""
        Path(path).write_text(
            json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def task_name(pipeline: str, threads: int) -> str:
    """The name in `Benchmark.timings` of a pipeline with a number of threads."""
    return f"{pipeline} × {threads}"


def even_batch(photos: int, threads: int) -> int:
    """The largest batch size up to 32 that gives each of some worker processes the same number of batches."""
    rounds = -(-photos // (threads * LARGEST_BATCH))
    return -(-photos // (threads * rounds))


def run(folder: str | Path, settings: Settings | None = None) -> Benchmark:
    """Time pipelines on the photos of a folder, all in one run.

    Args:
        folder: Searched with its sub-folders for JPEG photos.
        settings: How; None for the usual.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: There are no photos in it, or the reference cannot run here.
    """
    settings = settings or Settings()
    contents, left_out = sound_photos(folder, settings.photos)
    chosen = choose([*settings.pipelines, settings.reference] if settings.pipelines else ())
    reasons = {pipeline.name: pipeline.missing() for pipeline in chosen}
    missing = {name: reason for name, reason in reasons.items() if reason is not None}
    if settings.reference not in reasons or settings.reference in missing:
        reason = missing.get(settings.reference, "it is not among the chosen pipelines")
        raise ValueError(f"the reference {settings.reference!r} cannot run here: {reason}")
    present = [pipeline for pipeline in chosen if pipeline.name not in missing]
    counts = settings.thread_counts()
    with tempfile.TemporaryDirectory(prefix="freqvision-bench-") as temporary, one_thread():
        scratch = Path(temporary)
        facts = machine.facts()
        photos = Photos.write(contents, scratch / "all")
        timings = _time_pipelines(present, photos, counts, settings.rounds, scratch)
        charts = _time_sweeps(contents, scratch / "sweeps", settings) if settings.sweeps else []
        memory = _measure_memory(present, photos) if settings.memory else {}
    rows = [
        Row(
            pipeline,
            threads,
            timings.spread(task_name(pipeline.name, threads)),
            timings.ratio(task_name(pipeline.name, threads), task_name(settings.reference, threads)),
            memory.get(pipeline.name) if threads == 1 else None,
        )
        for threads in counts
        for pipeline in present
    ]
    return Benchmark(
        settings, facts, {**photos.facts(), "left_out": left_out}, rows, missing, timings, charts
    )


def _time_pipelines(
    present: Sequence[Pipeline], photos: Photos, counts: Sequence[int], rounds: int, scratch: Path
) -> Timings:
    most = max(counts)
    batch = even_batch(len(photos), most)
    tasks = []
    for threads in counts:
        times = 1 if threads == 1 else -(-threads * LEAST_BATCHES * batch // len(photos))
        shown = photos if times == 1 else Photos.write(photos.contents * times, scratch / f"times-{threads}")
        for pipeline in present:
            epoch = pipeline.open(shown, threads, batch)
            tasks.append(Task.epoch(task_name(pipeline.name, threads), epoch, len(shown)))
    with _progress("pipelines", len(tasks) * (rounds + 1)) as advance:
        return measure(tasks, rounds, advance=advance)


def _time_sweeps(contents: Sequence[bytes], scratch: Path, settings: Settings) -> list[sweeps.Sweep]:
    points = list(sweeps.points(contents, scratch, max(settings.thread_counts())))
    tasks = [
        Task.epoch(
            point.name, point.pipeline.open(point.photos, point.threads, sweeps.BATCH), len(point.photos)
        )
        for point in points
    ]
    rounds = max(1, settings.rounds // 2)
    with _progress("sweeps", len(tasks) * (rounds + 1)) as advance:
        return sweeps.collect(points, measure(tasks, rounds, advance=advance))


def _measure_memory(present: Sequence[Pipeline], photos: Photos) -> dict[str, float | None]:
    batch = even_batch(len(photos), 1)
    with _progress("memory", len(present)) as advance:
        memory = {}
        for pipeline in present:
            memory[pipeline.name] = peak_memory(pipeline.name, photos, batch)
            advance(pipeline.name)
        return memory


@contextmanager
def _progress(title: str, total: int) -> Iterator[Callable[[str], None]]:
    with progress_bar(total=total, desc=title, leave=False, mininterval=0.5) as bar:

        def advance(name: str) -> None:
            bar.set_postfix_str(name, refresh=False)
            bar.update()

        yield advance
