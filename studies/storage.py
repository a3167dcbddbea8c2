"""What ImageNet takes in each format, by the photos of a folder: the table of docs/cluster.md.

    python studies/storage.py ../shared/data/imagenet-sample

Bytes are the photos' mean times ImageNet's 1,281,167; requests are those that read it once from object
storage in chunks. Times are the CPU time of one thread, medians of interleaved rounds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import freqvision as fv
from freqvision.data.folder import evenly, find_photos
from freqvision.inputs.packed import Packer
from freqvision.runtime import markdown

PHOTOS = 1_281_167
CHUNK = 4 * 2**20


def clocked(function: Callable[[], Any]) -> tuple[Any, float]:
    """What a function gives, and the milliseconds of CPU time that it took."""
    started = time.process_time()
    result = function()
    return result, 1e3 * (time.process_time() - started)


def main() -> None:
    """Pack, read, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--count", type=int, default=200, help="photos to pack")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sources = evenly(find_photos(options.photos), options.count)
    formats: dict[str, Packer | None] = {"JPEG": None}
    for codec in ("lz4", "zstd"):
        formats[f"packed without loss, {codec}"] = Packer(codec=codec, num_threads=1)
        for channels in (48, 24):
            spec = fv.FrequencySpec(512, None, fv.ChannelSet.preset(channels))
            formats[f"packed DCT-{channels} at 512, {codec}"] = Packer(spec, codec=codec, num_threads=1)
    stored: dict[str, list[bytes]] = {"JPEG": [Path(source).read_bytes() for source in sources]}
    packing = {"JPEG": 0.0}
    for name, packer in formats.items():
        if packer is not None:
            stored[name], packing[name] = clocked(lambda packer=packer: packer(sources))
    decode = fv.Decoder(fv.FrequencySpec(dtype="int8"), num_threads=1)
    reading: dict[str, list[float]] = {name: [] for name in formats}
    for _ in range(options.rounds):
        for name, contents in stored.items():
            reading[name].append(clocked(lambda contents=contents: decode(contents))[1])
    rows = [
        (
            "format",
            "of the JPEG",
            "ImageNet, GB",
            "requests an epoch",
            "to pack, ms",
            "to read, ms",
            "a core, photos/s",
        )
    ]
    files = sum(map(len, stored["JPEG"]))
    for name, contents in stored.items():
        size = sum(map(len, contents)) / len(sources) * PHOTOS
        read = statistics.median(reading[name]) / len(sources)
        cells = (
            size / files * len(sources) / PHOTOS,
            size / 1e9,
            size / CHUNK,
            packing[name] / len(sources),
            read,
            1e3 / read,
        )
        rows.append((name, *(text.format(cell) for text, cell in zip(FORMATS, cells, strict=True))))
    print(markdown(rows))


FORMATS = ("{:.2f}", "{:.0f}", "{:,.0f}", "{:.2f}", "{:.2f}", "{:,.0f}")

if __name__ == "__main__":
    main()
