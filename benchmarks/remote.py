"""Shards in object storage against the same shards on this disk, and how a million photos start.

    python benchmarks/remote.py [FOLDER]
    python benchmarks/remote.py --index 1000000

The first packs a folder's photos into shards, serves them by S3 on loopback, each answer 30 ms late, and
loads an epoch from there, with an empty cache, and from the disk, in turns: photos per second by the clock,
in the same order of shuffled blocks. The server is a process of its own that only sends files, since what it
takes of busy cores counts against S3. The second writes an index of that number of photos, and measures what
opening it takes.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np

import freqvision as fv
from freqvision.data import PhotoLoader, PhotoShards, RandomView
from freqvision.data.folder import find_photos
from freqvision.data.remote import Storage
from freqvision.data.shards import RECORD, find_shards, open_index, write_shard

SERVER = Path(__file__).parents[1] / "tests/data/object_server.py"
FOLDER = Path(__file__).parents[1] / "../shared/data/imagenet-sample/images"
SPEC = fv.FrequencySpec(resize=512, crop=448, dtype="int8")


class Timed(PhotoShards):
    """Adds up the CPU time of the thread that loads."""

    seconds = 0.0

    def __getitems__(self, indices: Any) -> Any:
        began = time.thread_time()
        batch = super().__getitems__(indices)
        self.seconds += time.thread_time() - began
        return batch


def epoch(photos: Timed, options: argparse.Namespace) -> tuple[float, ...]:
    """Of one epoch the seconds to the first batch; then photos per second by the clock, and by CPU time.

    CPU time is of the loading thread, and of the whole process.
    """
    loader = PhotoLoader(
        photos, options.batch, shuffle=True, shuffle_block=options.block, shuffle_window=options.window
    )
    started, cpu = time.perf_counter(), time.process_time()
    batches = iter(loader)
    first = len(next(batches)[1])
    begun = time.perf_counter()
    count = sum(len(labels) for _, labels in batches)
    clock, used = time.perf_counter() - begun, time.process_time() - cpu
    return begun - started, count / clock, (first + count) / photos.seconds, (first + count) / used


def compare(options: argparse.Namespace) -> None:
    """Print photos per second from object storage and from the disk."""
    paths = find_photos(options.folder)
    paths = (paths * -(-options.photos // len(paths)))[: options.photos]
    rounds: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "shards")
        for number, start in enumerate(range(0, len(paths), 100)):
            some = enumerate(paths[start : start + 100])
            samples = [(f"{start + place:06}", ".jpg", Path(path).read_bytes(), 0) for place, path in some]
            write_shard(folder / f"{number:04}.tar", samples)
        open_index(find_shards(folder))
        bytes_ = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{len(paths)} photos, {bytes_ / 1e6:.0f} MB; {options.delay} ms a request")
        command = [sys.executable, SERVER, folder, options.delay / 1000]
        server = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        settings = {
            "endpoint": f"http://127.0.0.1:{int(server.stdout.readline())}",
            "region": "us-east-1",
            "skip_signature": True,
            "client_options": {"allow_http": True},
        }
        how: dict[str, Any] = {"augment": RandomView(), "num_threads": options.threads}
        for number in range(options.rounds + 1):
            cache = Storage(settings, Path(temporary, f"cache{number}"))
            local = epoch(Timed(folder, SPEC, **how), options)
            remote = epoch(Timed("s3://bucket", SPEC, storage=cache, **how), options)
            shutil.rmtree(cache.cache)
            if number:  # the first warms up
                ratios = [there / here for there, here in zip(remote, local, strict=True)]
                rounds.append((*local, *remote, *ratios))
                print("  ".join(f"{value:8.2f}" for value in rounds[-1]), flush=True)
        server.kill()
    cells = list(map(spread, zip(*rounds, strict=True)))
    print(
        "\n| from | s to the first batch | photos/s by the clock | of the loading thread's CPU | of all CPU |"
    )
    print("| --- | ---: | ---: | ---: | ---: |")
    for place, name in enumerate(("disk", "S3", "S3 / disk")):
        print(f"| {name} | {' | '.join(cells[4 * place : 4 * place + 4])} |")


def spread(values: Iterable[float]) -> str:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4)
    digits = 2 if middle < 10 else 0
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def start(count: int) -> None:
    """Print what it takes to open an index of `count` photos, and what a worker process gets."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        index = np.zeros(count, RECORD)
        index["shard"] = np.arange(count) // 1000
        index["offset"] = np.arange(count) % 1000 * 108_000 + 512
        index["length"] = 107_000
        index["label"] = np.arange(count) % 1000
        known = []
        for number in range(-(-count // 1000)):
            path = folder / f"{number:06}.tar"
            path.touch()
            known.append([path.name, 0, os.stat(path).st_mtime_ns])
        np.save(folder / "index.npy", index)
        about = {"shards": known, "photos": count, "classes": [f"class {place}" for place in range(1000)]}
        (folder / "index.json").write_text(json.dumps(about))
        process = multiprocessing.get_context("spawn").Process(target=opened, args=(folder,))
        process.start()
        process.join()


def memory(of: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(of)) / 1024


def opened(folder: Path) -> None:
    """In a process of its own: open the index, and order an epoch."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before = memory("VmRSS")
    began = time.perf_counter()
    photos = PhotoShards(folder, SPEC)
    seconds, grown = time.perf_counter() - began, memory("VmHWM") - before
    loader = PhotoLoader(photos, 32, shuffle=True, shuffle_block=64, shuffle_window=1024)
    began = time.perf_counter()
    assert len(next(iter(loader.batch_sampler))) == 32
    order, peak = time.perf_counter() - began, memory("VmHWM") - before
    assert isinstance(photos.photos.records, np.memmap)
    print(f"{len(photos):,} photos: opened in {seconds:.2f} s with {grown:.0f} MiB")
    print(f"the order of an epoch: {order:.2f} s more, {peak:.0f} MiB in all at most")
    print(f"a worker process is sent {len(ForkingPickler.dumps(photos)):,} bytes, and maps the rest")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", default=FOLDER)
    parser.add_argument("--index", type=int, help="photos of the index to open, instead")
    parser.add_argument("--photos", type=int, default=4000)
    parser.add_argument("--delay", type=float, default=30, help="milliseconds by which each answer is late")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--block", type=int, default=64, help="neighbours that stay together")
    parser.add_argument("--window", type=int, default=512, help="photos that are shuffled among each other")
    parser.add_argument("--threads", type=int, default=1, help="decoding threads")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.index:
        start(options.index)
    else:
        compare(options)


if __name__ == "__main__":
    main()
