"""How much of each frequency enlarged training crops hold, compared with the validation crop.

    python studies/crops.py --photos ../shared/data/clothing --scales 0.35 0.7

A part of a photo, enlarged to the input's size, has less detail than the whole photo. Are its high
frequencies empty, so that nothing can be learnt from them? Writes crops.csv: the root mean square of the
channels of each frequency band, divided by that on validation. Detail and what interpolation adds count
alike.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch

import freqvision as fv
from freqvision.data.folder import find_photos
from freqvision.runtime import batches
from freqvision.spectrum.channels import BLOCK, FREQUENCIES

from study import write_rows  # isort: skip  # next to this file

BATCH = 32


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder with train/ and validation/")
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[0.35], help="smallest share of the area, one or more"
    )
    parser.add_argument("--resize", type=int, default=512, help="shorter side on validation")
    parser.add_argument("--crop", type=int, default=448)
    parser.add_argument("--output", type=Path, default=Path("docs/results/fold"), help="folder for the CSV")
    options = parser.parse_args()
    spec = fv.FrequencySpec(resize=options.resize, crop=options.crop, channels=fv.ChannelSet.parse("Y0-63"))
    decoder = fv.Decoder(spec.raw())
    validation = find_photos(options.photos / "validation")
    train = find_photos(options.photos / "train")
    train = train[:: len(train) // len(validation)]
    reference = band_rms(decoder(files) for files in batches(validation, BATCH))
    rows = []
    for scale in options.scales:
        generator = torch.Generator().manual_seed(0)
        crops = (
            decoder.random_resized(files, (scale, 1.0), generator=generator)
            for files in batches(train, BATCH)
        )
        for band, (cropped, whole) in enumerate(zip(band_rms(crops), reference, strict=True), 1):
            rows.append({"scale": scale, "band": band, "share": f"{cropped / whole:.3f}"})
            print(rows[-1], flush=True)
    write_rows(options.output / "crops.csv", rows)


def band_rms(inputs: Iterable[torch.Tensor]) -> list[float]:
    """Root mean square of luma's channels whose larger frequency is 1, 2, … 7, over (B, 64, h, w) batches."""
    total, photos = torch.zeros(FREQUENCIES), 0
    for batch in inputs:
        total += batch.square().mean(dim=(2, 3)).sum(dim=0)
        photos += len(batch)
    larger = torch.tensor([max(i // BLOCK, i % BLOCK) for i in range(FREQUENCIES)])
    return [float((total[larger == band].mean() / photos).sqrt()) for band in range(1, BLOCK)]


if __name__ == "__main__":
    main()
