"""Does the device wait for photos? A device that is only a clock, fed by our loader and by torch's.

    python benchmarks/feeding.py [FOLDER]

A step takes T ms and needs no CPU, as on a GPU. What a loader adds shows in the time of a step, which at best
is the longer of T and the time that a batch takes to decode. Printed for T around that time.
"""

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Dataset

import freqvision as fv
from freqvision.data import PhotoLoader
from freqvision.data.folder import find_photos

FOLDER = Path(__file__).parents[1] / "../shared/data/imagenet-sample/images"
FACTORS = (0.5, 0.8, 1.0, 1.25, 2.0)


class Photos(Dataset):
    """Photos without labels, over and over."""

    def __init__(self, paths: list[str], spec: fv.InputSpec, threads: int) -> None:
        self.paths = paths
        self.decode = fv.Decoder(spec, threads)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> Any:
        return self.decode([self.paths[index] for index in indices])


def seconds_per_step(loader: Iterable[Any], step: float, steps: int) -> float:
    """Mean over the steps, without the first two, which find nothing ready yet."""
    ends = []
    for _ in loader:
        time.sleep(step)
        ends.append(time.perf_counter())
        if len(ends) == steps + 3:
            break
    return (ends[-1] - ends[2]) / (len(ends) - 3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=FOLDER)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1, help="decoding threads")
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    paths = find_photos(options.folder)
    paths *= -(-(options.steps + 4) * options.batch // len(paths))
    spec = fv.FrequencySpec(resize=512, crop=448)
    photos = Photos(paths, spec, options.threads)
    ours = PhotoLoader(photos, options.batch)
    theirs: DataLoader = DataLoader(photos, options.batch, collate_fn=lambda batch: batch)
    decode = seconds_per_step(theirs, 0.0, options.steps)
    print(f"a batch of {options.batch} decodes in {1000 * decode:.1f} ms on {options.threads} thread(s)\n")
    print("| T, ms | at best | PhotoLoader | over the best | DataLoader | over the best |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for factor in FACTORS:
        step = factor * decode
        decode = seconds_per_step(theirs, 0.0, options.steps)  # anew: machines are shared
        best = max(step, decode)
        mine, plain = (seconds_per_step(loader, step, options.steps) for loader in (ours, theirs))
        cells = [f"{1000 * value:.1f}" for value in (step, best, mine)]
        print(
            f"| {' | '.join(cells)} | {mine / best:.2f} | {1000 * plain:.1f} | {plain / best:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
