"""How the times grow: with the photo's size, its JPEG quality, the number of channels, and of threads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freqvision.analysis.timing import Spread, Timings
from freqvision.spectrum.channels import PRESET_SIZES
from throughput.photos import Photos, at_quality, mosaics
from throughput.pipelines import COEFFICIENTS, FREQVISION, Pipeline, choose, decoder_pipeline

SIDE, QUALITY, CHANNELS, THREADS = (
    "side of a square photo in pixels",
    "JPEG quality",
    "channels of freqvision's input",
    "threads or worker processes",
)
ALL_PRESETS = "freqvision DCT@448"
SIDES = (256, 512, 1024, 2048)
QUALITIES = (30, 50, 70, 80, 90, 95, 98)
BATCH = 16
_PHOTOS = BATCH  # of each point
_RIVALS = (
    FREQVISION,
    "torchvision tensors RGB-224",
    "torchvision PIL RGB-224",
    "simplejpeg + OpenCV RGB-224",
    COEFFICIENTS,
)


@dataclass(frozen=True)
class Point:
    """One point of a line chart: what is run to find its y."""

    sweep: str
    x: int
    pipeline: Pipeline
    photos: Photos
    threads: int = 1

    @property
    def name(self) -> str:
        """Unique among the points, and not the name of a pipeline."""
        return f"{self.sweep} {self.x}: {self.pipeline.name}"


@dataclass(frozen=True)
class Sweep:
    """A line chart: milliseconds per photo against something, a line for each pipeline."""

    name: str
    xs: tuple[int, ...]
    lines: dict[str, list[Spread]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        lines = {name: [spread.to_dict() for spread in line] for name, line in self.lines.items()}
        return {"name": self.name, "x": list(self.xs), "ms": lines}


def points(contents: Sequence[bytes], scratch: Path, max_threads: int) -> Iterator[Point]:
    """All points, with their photos written below a scratch folder.

    Args:
        contents: The photos that the variations are made of.
        scratch: An empty folder.
        max_threads: Threads are swept from 1 to this in powers of two.
    """
    rivals = [pipeline for pipeline in choose(_RIVALS) if pipeline.missing() is None]
    some = [contents[index * len(contents) // _PHOTOS] for index in range(_PHOTOS)]
    for side in SIDES:
        count = max(4, min(_PHOTOS, _PHOTOS * 512 // side))
        photos = Photos.write(mosaics(contents, side, count), scratch / f"side-{side}")
        yield from (Point(SIDE, side, rival, photos) for rival in rivals)
    for quality in QUALITIES:
        photos = Photos.write(at_quality(some, quality), scratch / f"quality-{quality}")
        yield from (Point(QUALITY, quality, rival, photos) for rival in rivals)
    photos = Photos.write(some, scratch / "channels")
    for channels in PRESET_SIZES:
        yield Point(CHANNELS, channels, decoder_pipeline(channels), photos)
    powers = {2**power for power in range(max_threads.bit_length())}
    for threads in sorted({*powers, max_threads}):
        photos = Photos.write(some * (4 * threads), scratch / f"threads-{threads}")
        yield from (Point(THREADS, threads, rival, photos, threads) for rival in rivals)


def collect(points: Sequence[Point], timings: Timings) -> list[Sweep]:
    """The charts, from the times of all points."""
    sweeps = []
    for name in dict.fromkeys(point.sweep for point in points):
        mine = [point for point in points if point.sweep == name]
        lines: dict[str, list[Spread]] = {}
        for point in mine:
            line = ALL_PRESETS if name == CHANNELS else point.pipeline.name  # one for all presets
            lines.setdefault(line, []).append(timings.spread(point.name))
        sweeps.append(Sweep(name, tuple(dict.fromkeys(point.x for point in mine)), lines))
    return sweeps
