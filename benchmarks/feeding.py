"""Does the device wait for photos? A device that is only a clock, fed by our loader and by torch's.

    python benchmarks/feeding.py [FOLDER] [--batch 32] [--threads 1] [--rounds 5]
    python benchmarks/feeding.py [FOLDER] --loaders      photos per second through loaders, on two cores

A step takes T ms and needs no CPU, as on a GPU. At best, the time per step is the longer of T and the time
that a batch takes to decode. Other work on the machine changes both from second to second, so a run is
compared with the decode time of its own batches, and with the time that as many sleeps of T ms took just
before it. That the loader does not slow down decoding itself is shown by the CPU time of its batches, over
that of the same batches in a plain loop.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from throughput.options import parser as option_parser
from throughput.photos import Photos
from throughput.rivals import Torchcodec
from torch.utils.data import DataLoader, Dataset

import freqvision as fv
from freqvision.analysis.speed import TorchvisionTensors, sound_photos
from freqvision.analysis.timing import Spread, Task, measure, one_thread
from freqvision.data import PhotoLoader, PixelFolder
from freqvision.data.folder import find_photos
from freqvision.runtime import markdown

FACTORS = (0.5, 0.8, 1.0, 1.25, 2.0)
BATCH = 32


class TimedPhotos(Dataset):
    """Photos without labels, over and over, and the times that their batches take.

    Attributes:
        wall: Seconds of each batch.
        cpu: The same in CPU time of the thread that asked for the batch.
    """

    def __init__(self, paths: list[str], spec: fv.InputSpec, threads: int) -> None:
        self.paths = paths
        self.decode = fv.Decoder(spec, threads)
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> Any:
        start, cpu = time.perf_counter(), time.thread_time()
        images = self.decode([self.paths[index] for index in indices])
        self.wall.append(time.perf_counter() - start)
        self.cpu.append(time.thread_time() - cpu)
        return images


def seconds_per_step(loader: Iterable[Any], step: float, steps: int) -> float:
    """Mean over the steps, without the first three, which find nothing ready yet."""
    ends = []
    for _ in islice(loader, steps + 3):
        if step:
            time.sleep(step)
        ends.append(time.perf_counter())
    return (ends[-1] - ends[2]) / (len(ends) - 3)


def feeding(photos: TimedPhotos, batch: int, steps: int, rounds: int) -> str:
    """A table of times per step, over the best, for T around the decode time."""
    loaders = {
        "PhotoLoader": PhotoLoader(photos, batch),
        "DataLoader": DataLoader(photos, batch, collate_fn=lambda batch: batch),
    }

    def run(loader: Iterable[Any], step: float) -> tuple[float, float, float]:
        """Seconds per step, and of its batches' decoding in wall and CPU time."""
        photos.wall.clear()
        photos.cpu.clear()
        seconds = seconds_per_step(loader, step, steps)
        done = slice(3, steps + 3)
        return seconds, float(np.mean(photos.wall[done])), float(np.mean(photos.cpu[done]))

    plain = loaders["DataLoader"]
    decode = run(plain, 0.0)[1]
    values: dict[float, list[list[float]]] = {factor: [] for factor in FACTORS}
    for _ in range(rounds):
        for factor in FACTORS:
            step = factor * decode
            cpu = run(plain, 0.0)[2]
            slept = seconds_per_step(repeat(None), step, steps)
            row = [1000 * step]
            for loader in loaders.values():
                seconds, wall, own_cpu = run(loader, step)
                row += [1000 * seconds, seconds / max(slept, wall), own_cpu / cpu]
            values[factor].append(row)
    head = ["T / decode time", "T, ms"]
    head += [f"{name}{what}" for name in loaders for what in (", ms", " / best", ", CPU of decoding / alone")]
    rows = [
        [f"{factor:.2f}", *(f"{Spread.of(column):.2f}" for column in np.array(lines).T)]
        for factor, lines in values.items()
    ]
    for row in rows:  # the same in each round
        row[1] = row[1].partition(" ")[0]
    return f"a batch of {batch} decodes in {1000 * decode:.1f} ms\n\n" + markdown([head, *rows])


def photos_per_second(contents: Sequence[bytes], rounds: int) -> str:
    """A table of photos per second through loaders, from files to batches, RGB-224 in float32."""
    tasks = []
    with tempfile.TemporaryDirectory() as temporary:
        photos = Photos.write(contents, Path(temporary) / "photos")
        mine = PhotoLoader(PixelFolder(photos.root, fv.PixelSpec.for_crop(224)), BATCH)
        tasks.append(Task.epoch("freqvision PhotoLoader", lambda: iter(mine), len(photos)))
        for name, rival in (("torchvision", TorchvisionTensors), ("torchcodec", Torchcodec)):
            try:
                rival.require()
            except ModuleNotFoundError as error:
                print(f"not measured: {name}: {error}")
                continue
            files = Files(photos.paths, rival(256, 224))
            for workers in (0, 1, 2):
                loader = DataLoader(
                    files, batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
                )
                tasks.append(
                    Task.epoch(
                        f"DataLoader, {workers} workers, {name}",
                        lambda loader=loader: iter(loader),
                        len(photos),
                    )
                )
        with one_thread():
            timings = measure(tasks, rounds)
    first = timings.names[0]
    rows = [
        [name, f"{1000 / timings.spread(name).median:.0f}", f"{timings.ratio(name, first):.2f}"]
        for name in timings.names
    ]
    return markdown([["loader, files to RGB-224", "photos/s", f"time / {first}"], *rows])


class Files(Dataset):
    """Files as photos' tensors."""

    def __init__(self, paths: Sequence[str], load: Callable[[bytes], torch.Tensor]) -> None:
        self.paths, self.load = paths, load

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.load(Path(self.paths[index]).read_bytes())


def main() -> int:
    parser = option_parser(__doc__, rounds=5)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--threads", type=int, default=1, help="decoding threads")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--loaders", action="store_true", help="measure photos per second instead")
    parser.add_argument("--photos", type=int, default=200, help="of --loaders")
    options = parser.parse_args()
    if options.loaders:
        print(photos_per_second(sound_photos(options.folder, options.photos)[0], options.rounds))
        return 0
    paths = find_photos(options.folder)
    paths *= -(-(options.steps + 8) * options.batch // len(paths))
    photos = TimedPhotos(paths, fv.FrequencySpec(resize=512, crop=448), options.threads)
    print(feeding(photos, options.batch, options.steps, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
