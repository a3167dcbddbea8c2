"""The decoders of imread_benchmark, freqvision's and torchcodec's, by its own measurement, in turns.

    pip install IMREAD_BENCHMARK ./benchmarks/imread_benchmark
    python benchmarks/imread_benchmark/run.py [FOLDER] [--photos 100] [--rounds 5] [--decoders freqvision …]

Its `decode-memory` measurement checks each result (RGB, uint8, (H, W, 3), contiguous), warms up, and times
passes over files in memory. Here its clock is CPU time of all threads, and the decoders take turns: a busy
machine then disturbs all alike.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from imread_benchmark.datasets.package import ResidentItem
from imread_benchmark.decoders import REGISTRY, BaseDecoder
from imread_benchmark.execution import measurement

from freqvision.analysis.speed import sound_photos
from freqvision.jpeg import read_header
from freqvision.runtime import markdown, progress_bar

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "imagenet-sample"


class TorchcodecDecoder(BaseDecoder):
    """torchcodec, of which the benchmark has no class."""

    name = package_name = "torchcodec"

    def decode(self, data: bytes) -> np.ndarray:
        """A file as RGB, uint8 (H, W, 3)."""
        from torchcodec.decoders import decode_jpeg

        pixels = decode_jpeg(torch.frombuffer(data, dtype=torch.uint8), mode="RGB")
        return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOS, help=f"photos (default: {PHOTOS})")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--decoders", nargs="*", help="by name; default: all that are installed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "The given buffer is not writable")
    contents, _ = sound_photos(options.folder, options.photos)
    contents = [
        data for data in contents if read_header(data).colour_model == "YCbCr"
    ]  # gray stays gray in some
    items = [ResidentItem(str(i), "", "", len(data), data) for i, data in enumerate(contents)]
    kinds = {**REGISTRY, "torchcodec": TorchcodecDecoder}
    decoders: dict[str, BaseDecoder] = {}
    for name in options.decoders or kinds:
        try:
            decoders[name] = kinds[name]()
            decoders[name].decode(contents[0])
        except Exception as error:  # of any library, in its own way
            decoders.pop(name, None)
            print(f"not measured: {name}: {type(error).__name__}: {error}")
    measurement.time = SimpleNamespace(perf_counter=time.process_time)
    plan = SimpleNamespace(
        protocol_id="decode-memory",
        warmup_passes=1,
        timed_passes_per_run=1,
        logical_repeat_factor=1,
        minimum_timed_seconds=0,
        requested_threads=None,
    )
    times: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in progress_bar(range(options.rounds), desc="rounds"):
        for name, decoder in decoders.items():
            result = measurement.run_decode_memory_measurement(decoder, items, plan, effective_threads=1)
            times[name] += (1000 * sample.elapsed_seconds / len(items) for sample in result.samples)
    rows = []
    for name in sorted(times, key=lambda name: statistics.median(times[name])):
        ratios = [theirs / ours for theirs, ours in zip(times[name], times["freqvision"], strict=True)]
        rows.append((name, f"{statistics.median(times[name]):.2f}", f"{statistics.median(ratios):.2f}"))
    print(markdown([("decoder", "ms of CPU per photo", "time / freqvision's"), *rows]))


if __name__ == "__main__":
    main()
