"""Where should int8 clip AC coefficients? Errors of several clips, in deviations, over folders of photos.

    python benchmarks/int8_clip.py ../shared/data/imagenet-sample/images ../shared/data/clothing/validation

The statistics are those of each folder itself. Prints a Markdown table for each folder.
"""

import argparse
from pathlib import Path

import torch

from freqvision import ChannelSet, Decoder, FrequencySpec
from freqvision.inputs.measure import collect_statistics
from freqvision.inputs.statistics import INT8_STEPS, MIN_SCALE, greatest_magnitude

CLIPS = (4, 6, 8, 10, 12, 16, 20, 24, 32)
AC = torch.arange(192) % 64 != 0
PRESET = ChannelSet.preset(24).grid().flatten() & AC


def measure(paths: list[str], every: int) -> None:
    spec = FrequencySpec(resize=512, crop=448, channels=ChannelSet.preset(192)).raw()
    statistics = collect_statistics(paths, spec)
    decode = Decoder(spec)
    std = torch.tensor(statistics.std_of(statistics.channels))
    limit = torch.tensor(greatest_magnitude()).repeat(3)
    steps = {
        clip: (torch.minimum(clip * std, limit) / INT8_STEPS).clamp(min=MIN_SCALE)[:, None] for clip in CLIPS
    }
    squares = {clip: torch.zeros(192, dtype=torch.float64) for clip in CLIPS}
    clipped = {clip: torch.zeros(192, dtype=torch.float64) for clip in CLIPS}
    worst = {clip: torch.zeros(192) for clip in CLIPS}
    count = 0
    for start in range(0, len(paths), 10):
        blocks = decode(paths[start : start + 10]).transpose(0, 1).flatten(1)[:, ::every]  # (192, blocks)
        count += blocks.shape[1]
        for clip, step in steps.items():
            quantised = (blocks / step).round()
            error = quantised.clamp(-128, 127) * step - blocks
            squares[clip] += error.double().square().sum(dim=1)
            clipped[clip] += ((quantised < -128) | (quantised > 127)).sum(dim=1)
            worst[clip] = torch.maximum(worst[clip], error.abs().amax(dim=1))
    print("| clip | error / std, AC | clipped, AC | error / std, 24 | clipped, 24 | worst error, 24 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for clip in CLIPS:
        relative = (squares[clip] / count).sqrt() / std
        share = clipped[clip] / count
        peak = worst[clip][PRESET].max()
        print(
            f"| {clip} | {relative[AC].mean():.3f} | {share[AC].mean():.1e} "
            f"| {relative[PRESET].mean():.3f} | {share[PRESET].mean():.1e} | {peak:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=3, help="look at every n-th block")
    arguments = parser.parse_args()
    for folder in arguments.folder:
        paths = sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
        print(f"\n{folder.name}: {len(paths)} photos\n")
        measure(paths, arguments.every)


if __name__ == "__main__":
    main()
