"""Decoding for vision transformers at 224 pixels: RGB, and blocks of the same view, 2×2 of them for a patch.

python benchmarks/patches.py ../shared/data/imagenet-sample

CPU time of one thread per photo, from memory, the least of interleaved rounds; ratios are their medians.
"""

import argparse
import statistics
import time
from pathlib import Path

import freqvision as fv
from freqvision.data.folder import evenly, find_photos
from freqvision.runtime import aligned


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    photos = [Path(path).read_bytes() for path in evenly(find_photos(options.folder), options.photos)]
    pixels = fv.PixelSpec(dtype="uint8")
    sets = [fv.ChannelSet.preset(count) for count in (24, 64, 192)]
    specs = [pixels, *(fv.FrequencySpec.like(pixels, 1, channels=chosen, dtype="int8") for chosen in sets)]
    decoders = [fv.Decoder(spec, num_threads=1) for spec in specs]
    rounds = []
    for _ in range(options.rounds + 1):  # the first warms up
        times = []
        for decode in decoders:
            started = time.process_time()
            decode(photos)
            times.append(1000 * (time.process_time() - started) / len(photos))
        rounds.append(times)
    rows = [("input", "bytes", "ms", "ratio")]
    for spec, times in zip(specs, zip(*rounds[1:], strict=True), strict=True):
        ratio = statistics.median(mine / rgb for mine, (rgb, *_) in zip(times, rounds[1:], strict=True))
        rows.append((spec.label, f"{spec.bytes_per_image:,}", f"{min(times):.2f}", f"{ratio:.2f}"))
    print(aligned(rows))


if __name__ == "__main__":
    main()
