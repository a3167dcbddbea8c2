"""Two versions of freqvision side by side: CPU time of the same decoding, round by round in turn.

    python benchmarks/versions.py BEFORE [--rounds 9] [--photos 96]

BEFORE is the Python of an environment where the other version is installed, 0.1.0 or later.
"""

import argparse
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from throughput.options import PHOTOS
from torch.utils.data import DataLoader, Dataset

import freqvision as fv


def tasks(folder: Path, count: int) -> dict[str, Callable[[], Any]]:
    """What is timed, with the version at hand."""
    torch.set_num_threads(1)
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in (".jpg", ".jpeg")]
    kinds = ("gray", "ycbcr")
    paths = [path for path in paths if fv.read_header(path).colour_model.lower() in kinds][:count]
    contents = [path.read_bytes() for path in paths]

    def decoder(channels: int, dtype: str = "float32") -> Any:
        kind = getattr(fv, "FrequencySpec", fv.InputSpec)
        spec = kind(resize=512, crop=448, channels=fv.ChannelSet.preset(channels))
        spec = spec.with_statistics(fv.ChannelStatistics.default()).with_dtype(dtype)
        return fv.Decoder(spec, num_threads=1)

    def all_of(sources: list[Any], decode: Callable[[list[Any]], Any]) -> Callable[[], None]:
        def run() -> None:
            for start in range(0, len(sources), 32):
                decode(sources[start : start + 32])

        return run

    class Photos(Dataset):
        def __len__(self) -> int:
            return len(paths)

        def __getitems__(self, places: list[int]) -> torch.Tensor:
            self.decode = getattr(self, "decode", None) or decoder(24)
            return self.decode([paths[place] for place in places])

    def load() -> None:
        for _ in DataLoader(Photos(), 32, num_workers=1, collate_fn=lambda batch: batch):
            pass

    crops = decoder(24)
    return {
        "DCT-24 float32": all_of(contents, decoder(24)),
        "DCT-24 int8": all_of(contents, decoder(24, "int8")),
        "DCT-64": all_of(contents, decoder(64)),
        "DCT-192": all_of(contents, decoder(192)),
        "DCT-24, random crops": all_of(contents, crops.random_resized),
        "DCT-24, from files": all_of(paths, decoder(24)),
        "DCT-24, from files, DataLoader": load,
    }


def answer(folder: Path, count: int) -> None:
    """Do the task on each line of the input, and write how much CPU time it took."""
    known = tasks(folder, count)
    print(*known, sep="\t", flush=True)
    for line in sys.stdin:
        torch.manual_seed(0)
        start = cpu_time()
        known[line.strip()]()
        print(cpu_time() - start, flush=True)


def cpu_time() -> float:
    """Of this process and of those that it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare(before: str, folder: Path, count: int, rounds: int) -> None:
    """Time both versions, and print a table in Markdown."""
    from freqvision.analysis.timing import Task, measure
    from freqvision.runtime import markdown

    seconds = 0.0  # of CPU time, in all

    def ask(process: subprocess.Popen[str], task: str) -> None:
        nonlocal seconds
        assert process.stdin
        assert process.stdout
        process.stdin.write(f"{task}\n")
        process.stdin.flush()
        seconds += float(process.stdout.readline())

    processes, timed, names = [], [], []
    for python in (before, sys.executable):
        command = [python, __file__, "--answer", "--photos", str(count), str(folder)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        names = process.stdout.readline().rstrip("\n").split("\t")
        timed += [Task(f"{name} {python}", partial(ask, process, name), count) for name in names]
    timings = measure(timed, rounds, clock=lambda: seconds)
    for process in processes:
        process.terminate()
    rows = [
        (
            name,
            f"{timings.spread(old).median:.2f}",
            f"{timings.spread(new).median:.2f}",
            f"{timings.ratio(new, old):.2f}",
        )
        for name in names
        for old, new in [(f"{name} {before}", f"{name} {sys.executable}")]
    ]
    print(markdown([("ms of CPU per photo", "before", "now", "now / before"), *rows]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", nargs="?", help="the other environment's Python")
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOS, help=f"photos (default: {PHOTOS})")
    parser.add_argument("--photos", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.answer:
        answer(Path(options.before), options.photos)
    elif options.before is None:
        parser.error("name the Python of the other version")
    else:
        compare(options.before, options.folder, options.photos, options.rounds)


if __name__ == "__main__":
    main()
