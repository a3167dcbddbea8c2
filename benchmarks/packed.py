"""Packed photos against JPEG and against stores of pixels: time, bytes and loss, next to their targets.

    python benchmarks/packed.py [FOLDER] [--rounds 9]

One thread, CPU time of all threads that a library starts, in one interleaved run.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from throughput import machine, rivals
from throughput.options import parser as option_parser
from throughput.photos import Photos
from throughput.targets import HEAD, Target

import freqvision as fv
from freqvision.analysis.speed import load_batches, sound_photos
from freqvision.analysis.timing import Task, measure, one_thread
from freqvision.data.pack import VIEWS, measure_loss
from freqvision.inputs.packed import Packer
from freqvision.runtime import aligned, batches, progress_bar

BATCH = 32
STORE = fv.FrequencySpec(resize=512, crop=None, channels=fv.ChannelSet.preset(24))
READ = fv.FrequencySpec(resize=512, crop=448, channels=fv.ChannelSet.preset(24))
RGB = fv.PixelSpec(resize=256, crop=224, dtype="uint8")

STORES = {
    "DCT-24 LZ4": Packer(STORE, num_threads=1),
    "DCT-24 zstd": Packer(STORE, codec="zstd", num_threads=1),
    "lossless LZ4": Packer(None, num_threads=1),
    "lossless zstd": Packer(None, codec="zstd", num_threads=1),
}
CROPS, WHOLE, PIXELS = "random crops to DCT-24@448", "centre to DCT-24@448", "RGB-224 uint8"
TURBOLOADER = "TurboLoader, 256×256 RGB, random crops to RGB-224"
TORCHCODEC = "torchcodec and v2, JPEG, RGB-224 uint8"


def name(store: str, what: str) -> str:
    """What a task is called: a view of one store's photos."""
    return f"{store}, {what}"


TARGETS = (
    Target(
        "packed DCT-24, random crops: times as fast as TurboLoader's pixels",
        TURBOLOADER,
        name("DCT-24 LZ4", CROPS),
        2,
        at_most=False,
    ),
    Target(
        "packed DCT-24, random crops: times as fast as from JPEG",
        name("JPEG", CROPS),
        name("DCT-24 LZ4", CROPS),
        2.7,
        at_most=False,
    ),
    Target("packed DCT-24 to RGB-224 uint8 / torchcodec", name("DCT-24 LZ4", PIXELS), TORCHCODEC, 0.25),
    Target(
        "lossless, DCT-24@448: times as fast as from JPEG",
        name("JPEG", WHOLE),
        name("lossless LZ4", WHOLE),
        2,
        at_most=False,
    ),
)


def main() -> int:
    options = option_parser(__doc__, rounds=9, photos=200).parse_args()
    contents, _ = sound_photos(options.folder, options.photos)
    packed = {store: packer(contents) for store, packer in STORES.items()}
    facts = machine.facts()
    print(f"{facts['cpu']}, {facts['freqvision_isa']}; {facts['date']}; {len(contents)} photos\n")
    print(aligned(sizes(contents, packed)), end="\n\n")
    with tempfile.TemporaryDirectory() as folder, one_thread():
        photos = Photos.write(contents, Path(folder) / "photos")
        tasks = [*ours({"JPEG": contents, **packed}), *others(photos)]
        with progress_bar(total=len(tasks) * (options.rounds + 1), desc="packed") as bar:
            timings = measure(
                tasks, options.rounds, clock=time.process_time, advance=lambda name: bar.update()
            )
    rows = [[task, f"{timings.spread(task):.3f}"] for task in timings.names]
    print(aligned([["one thread", "ms of CPU per photo"], *rows]), end="\n\n")
    print(aligned([HEAD, *(target.line(timings) for target in TARGETS)]))
    return 0


def sizes(contents: Sequence[bytes], packed: dict[str, list[bytes]]) -> Iterator[Sequence[str]]:
    """Bytes of each store, and how far its views are from the files'."""
    whole = sum(map(len, contents))
    yield "store", "bytes / JPEG's", *("error, " + view for view in VIEWS)
    for store, photos in packed.items():
        size = sum(map(len, photos)) / whole
        lossy = STORES[store].spec is not None
        found = measure_loss(contents, STORES[store], READ) if lossy else {}
        yield store, f"{size:.3f}", *(f"{found[view].error if lossy else 0:.3f}" for view in VIEWS)


def ours(stores: dict[str, Sequence[bytes]]) -> Iterator[Task]:
    """Every store through a decoder of frequencies and of pixels."""
    decode, pixels = fv.Decoder(READ, num_threads=1), fv.Decoder(RGB, num_threads=1)

    def crops(some: Sequence[bytes]) -> torch.Tensor:
        return decode.random_resized(some, generator=torch.Generator().manual_seed(0))

    ways: dict[str, Callable[[Sequence[bytes]], Any]] = {CROPS: crops, WHOLE: decode, PIXELS: pixels}
    for store, photos in stores.items():
        for what, way in ways.items():

            def epoch(way: Callable = way, photos: Sequence[bytes] = photos) -> Iterator[Any]:
                return map(way, batches(photos, BATCH))

            yield Task.epoch(name(store, what), epoch, len(photos))


def others(photos: Photos) -> Iterator[Task]:
    """TurboLoader's store of pixels and torchcodec, where they are installed."""
    try:
        rivals.require_turboloader()
        yield Task.epoch(TURBOLOADER, rivals.open_turboloader_pixels(photos, BATCH), len(photos))
    except ModuleNotFoundError as error:
        print(f"not measured: TurboLoader: {error}")
    try:
        rivals.Torchcodec.require()
        load = rivals.Torchcodec(256, 224, "uint8")
        yield Task.epoch(TORCHCODEC, load_batches(load, photos.contents, 1, BATCH), len(photos))
    except ModuleNotFoundError as error:
        print(f"not measured: torchcodec: {error}")


if __name__ == "__main__":
    sys.exit(main())
