"""How much of each frequency is left in training crops, which are enlarged, beside the crop of validation.

    python studies/crops.py --photos ../shared/data/clothing --scales 0.35 0.7

A photo of 400 pixels shows nothing beyond 400: random crops of a part of it, enlarged to the size of the
input, have empty high frequencies, which the whole photo fills on validation. Writes crops.csv: the root mean
square of the channels of each frequency band, over that on validation.
"""

import argparse
import csv
from pathlib import Path

import torch

import freqvision as fv
from freqvision.data.folder import find_photos
from freqvision.spectrum.channels import BLOCK, FREQUENCIES

BATCH = 32


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder with train/ and validation/")
    parser.add_argument("--scales", type=float, nargs="+", default=[0.35], help="smallest shares of the area")
    parser.add_argument("--resize", type=int, default=512, help="shorter side on validation")
    parser.add_argument("--crop", type=int, default=448)
    parser.add_argument("--output", type=Path, default=Path("docs/results/fold"), help="folder for the CSV")
    options = parser.parse_args()
    spec = fv.InputSpec(resize=options.resize, crop=options.crop, channels=fv.ChannelSet.parse("Y0-63"))
    decoder = fv.Decoder(spec)
    validation = find_photos(options.photos / "validation")
    train = find_photos(options.photos / "train")
    train = train[:: len(train) // len(validation)]
    reference = band_rms(decoder(files) for files in chunks(validation))
    rows = []
    for scale in options.scales:
        generator = torch.Generator().manual_seed(0)
        batches = (
            decoder.random_resized(files, (scale, 1.0), generator=generator) for files in chunks(train)
        )
        for band, (cropped, whole) in enumerate(zip(band_rms(batches), reference, strict=True), 1):
            rows.append({"scale": scale, "band": band, "share": f"{cropped / whole:.3f}"})
            print(rows[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    with open(options.output / "crops.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def chunks(paths: list[str]) -> list[list[str]]:
    """Batches of files."""
    return [paths[first : first + BATCH] for first in range(0, len(paths), BATCH)]


def band_rms(batches) -> list[float]:
    """Root mean square of luma's channels whose larger frequency is 1, 2, … 7, over (B, 64, h, w) batches."""
    total = torch.zeros(FREQUENCIES)
    for batch in batches:
        total += batch.float().square().mean(dim=(0, 2, 3))
    larger = torch.tensor([max(i // BLOCK, i % BLOCK) for i in range(FREQUENCIES)])
    return [float(total[larger == band].mean().sqrt()) for band in range(1, BLOCK)]


if __name__ == "__main__":
    main()
