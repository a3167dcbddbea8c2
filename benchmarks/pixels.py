"""From JPEG bytes to RGB: freqvision's pixels against its rivals, and against their targets.

    python benchmarks/pixels.py [FOLDER] [--rounds 9] [--docs docs/performance.md] [--check]

One thread, CPU time (of all threads that a library starts), in one interleaved run.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import coefficients
import numpy as np
import torch
from throughput import machine
from throughput.options import parser as option_parser
from throughput.photos import Photos, mosaics
from throughput.pipelines import (
    COEFFICIENTS,
    FREQVISION,
    FULL,
    FULL_RIVAL,
    RANDOM,
    TURBOLOADER_RANDOM,
    choose,
)
from throughput.targets import HEAD, Target, write_section

import freqvision as fv
from freqvision.analysis.speed import sound_photos
from freqvision.analysis.timing import Task, Timings, measure, one_thread
from freqvision.inputs.view import random_resized_views
from freqvision.jpeg import read_header
from freqvision.runtime import aligned, batches, markdown, progress_bar

HEADING = "Pixels"
BATCH = 32
TENSORS_448 = "torchvision tensors RGB-448"
UINT8, FLOAT, FLOAT_448 = "freqvision RGB-224 uint8", "freqvision RGB-224", "freqvision RGB-448"
SCALED = "simplejpeg scaled + OpenCV RGB-224"
LARGE = ", 12 megapixels"
ONE_VIEW, TWO_VIEWS = "freqvision RGB-224, one random view", "freqvision RGB-224, two random views"
UPRIGHT, TURNED = f"{UINT8}, orientation 1", f"{UINT8}, orientation 6"
READER, READER_RIVAL = "reader, rows", "libjpeg-turbo, coefficients, in C++"
PIPELINES = (
    FREQVISION,
    COEFFICIENTS,
    "*RGB only",
    "*RGB-224*",
    "freqvision RGB-448",
    "torchvision tensors RGB-448",
)

TARGETS = (
    Target(
        "RGB-224 uint8 / torchcodec or torchvision tensors, the faster, with transforms v2",
        UINT8,
        ("torchvision tensors RGB-224 uint8", "torchcodec RGB-224 uint8"),
        0.5,
    ),
    Target("RGB-224 float32 / torchvision v2 on PIL", FLOAT, "torchvision PIL RGB-224", 0.25),
    Target("RGB-224 random crops / TurboLoader's train_aug", RANDOM, TURBOLOADER_RANDOM, 0.6),
    Target("RGB-448 float32 / torchvision tensors", FLOAT_448, TENSORS_448, 0.4),
    Target("12 megapixels to RGB-224 / simplejpeg scaled + OpenCV", FLOAT + LARGE, SCALED + LARGE, 0.75),
    Target("full-size RGB / libjpeg-turbo's, in C", FULL, FULL_RIVAL, 1),
    Target("reader / libjpeg-turbo's coefficients", READER, READER_RIVAL, 0.55),
    Target("DCT-24@448 / libjpeg-turbo's coefficients", FREQVISION, COEFFICIENTS, 0.75),
    Target("two views of a photo / one", TWO_VIEWS, ONE_VIEW, 1.45),
    Target("orientation 6 / orientation 1", TURNED, UPRIGHT, 1.1),
)


def main() -> int:
    parser = option_parser(__doc__, rounds=9, photos=200)
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help="folder for JSON and table")
    parser.add_argument("--docs", type=Path, help=f"page whose section {HEADING} is written anew")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    options = parser.parse_args()
    contents, _ = sound_photos(options.folder, options.photos)
    facts = machine.facts()
    missing = {p.name: p.missing() for p in choose(PIPELINES) if p.missing()}
    with tempfile.TemporaryDirectory() as folder, one_thread():
        tasks = [*pipeline_tasks(contents, Path(folder)), *own_tasks(contents)]
        with progress_bar(total=len(tasks) * (options.rounds + 1), desc="pixels") as bar:
            timings = measure(
                tasks, options.rounds, clock=time.process_time, advance=lambda name: bar.update()
            )
    timings = with_reader(timings, options.folder, options.rounds)
    rows = [
        [name, f"{timings.spread(name):.2f}", f"{1000 / timings.spread(name).median:.0f}", f"{ratio:.2f}"]
        for name in timings.names
        for ratio in [timings.ratio(name, UINT8)]
    ]
    head = ["one thread", "ms of CPU per photo", "photos/s", f"time / {UINT8}"]
    lines = [target.line(timings) for target in TARGETS]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    about = (
        f"{facts['cpu']}, {facts['freqvision_isa']}; {facts['date']}; {len(contents)} photos, "
        f"{options.rounds} rounds; {versions}."
    )
    unmeasured = [f"Not measured: {name}: {reason}" for name, reason in missing.items()]
    print("\n\n".join([about, aligned([head, *rows]), "\n".join(unmeasured), aligned(lines)]))
    options.output.mkdir(parents=True, exist_ok=True)
    rounds = {name: timings.rounds(name).tolist() for name in timings.names}
    values = {"machine": facts, "missing": missing, "rounds_ms_per_photo": rounds}
    (options.output / "pixels.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    if options.docs:
        text = "Medians (quartiles) of one run of `python benchmarks/pixels.py --docs docs/performance.md`."
        parts = [text, markdown([HEAD, *lines]), about, markdown([head, *rows]), *unmeasured]
        write_section(options.docs, HEADING, parts)
    return int(options.check and any(line[-1] == "MISSED" for line in lines))


def pipeline_tasks(contents: Sequence[bytes], folder: Path) -> Iterator[Task]:
    """Ours and the rivals, on the photos, and some of them on large ones."""
    photos = Photos.write(contents, folder / "photos")
    for pipeline in choose(PIPELINES):
        if pipeline.missing() is None:
            yield Task.epoch(pipeline.name, pipeline.open(photos, 1, BATCH), len(photos))
    large = Photos.write(mosaics(contents, 3464, 4), folder / "large")
    for pipeline in choose((FLOAT, SCALED)):
        if pipeline.missing() is None:
            yield Task.epoch(pipeline.name + LARGE, pipeline.open(large, 1, len(large)), len(large))


def own_tasks(contents: Sequence[bytes]) -> Iterator[Task]:
    """One view and two from the same reading; photos stored upright and turned."""
    decode = fv.Decoder(fv.PixelSpec.for_crop(224), num_threads=1)
    generator = torch.Generator().manual_seed(0)
    sizes = [read_header(content).size for content in contents]
    first, second = (
        random_resized_views(sizes, (224, 224), (0.08, 1.0), (3 / 4, 4 / 3), 0.5, generator) for _ in range(2)
    )
    drawn = zip(contents, first, second, strict=True)
    # The single view is of both draws in turn: the boxes of one of them are larger.
    pairs = [(photo, b, a) if i % 2 else (photo, a, b) for i, (photo, a, b) in enumerate(drawn)]

    def views(count: int) -> Callable[[], Iterator[object]]:
        return lambda: (
            decode.multi_view([photo for photo, *_ in some], [seen[:count] for _, *seen in some])
            for some in batches(pairs, BATCH)
        )

    yield Task.epoch(ONE_VIEW, views(1), len(contents))
    yield Task.epoch(TWO_VIEWS, views(2), len(contents))
    stored = fv.Decoder(fv.PixelSpec.for_crop(224, dtype="uint8", orientation="exif"), num_threads=1)
    for name, orientation in ((UPRIGHT, 1), (TURNED, 6)):
        turned = [with_orientation(content, orientation) for content in contents]
        yield Task.epoch(
            name, lambda turned=turned: (stored(some) for some in batches(turned, BATCH)), len(turned)
        )


def with_orientation(content: bytes, orientation: int) -> bytes:
    """A JPEG file with an EXIF segment that holds only an orientation, in front of its other segments."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
    exif = b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + entry + bytes(4)
    return content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]


def with_reader(timings: Timings, folder: Path, rounds: int) -> Timings:
    """Add the readers' times, which a C++ program measures; they are the same in each round."""
    times = coefficients.measure(coefficients.find(folder), rounds)["ms_per_file"]
    added = {READER: times["rows"]["median"], READER_RIVAL: times["libjpeg-turbo"]["median"]}
    columns = [timings.ms, *(np.full((len(timings.ms), 1), value) for value in added.values())]
    return Timings((*timings.names, *added), np.hstack(columns))


if __name__ == "__main__":
    sys.exit(main())
