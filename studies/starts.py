"""ImageNet accuracy of the four starts of a network of DCT channels, before any training.

    python studies/starts.py --photos ../shared/data/imagenet-sample --weights ../shared/weights

ResNet-50 on DCT-24. Every other photo, without its label, is used to fit the stem and to recalibrate
BatchNorm; the others are classified. Writes before.csv.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import freqvision as fv
from freqvision.analysis.accuracy import measure, transport_spec
from freqvision.analysis.probe import LabelledPhotos, find_labelled_photos
from freqvision.models import recalibrate_batchnorm
from freqvision.runtime import batches

from study import write_rows  # isort: skip  # next to this file

BATCH = 25


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--weights", type=Path, required=True, help="folder with the network's weights")
    parser.add_argument("--output", type=Path, default=Path("docs/results/starts"), help="folder for the CSV")
    options = parser.parse_args()
    photos = find_labelled_photos(options.photos / "images", table=options.photos / "labels.csv")
    seen, judged = every_other(photos, 0), every_other(photos, 1)
    pixels = fv.PixelSpec(dtype="uint8")
    spec = transport_spec(pixels, fv.ChannelSet.preset(24), "float32")
    network: dict[str, Any] = {
        "name": "resnet50",
        "strides": "v1",
        "weights": options.weights / "resnet50_v1_imagenet1k.safetensors",
    }
    rgb = measure(fv.create_model(spec=pixels, **network), pixels, judged)
    rows = [
        {"start": "RGB-224", "recalibrated": 0, "photos": len(rgb.correct), "top1": f"{100 * rgb.top1:.1f}"}
    ]
    decode = fv.Decoder(spec)
    for start in ("new", "slice", "fit", "fold"):
        fitted_on = {"photos": seen.paths} if start == "fit" else {}
        torch.manual_seed(0)
        model = fv.create_model(spec=spec, start=start, **network, **fitted_on)
        for recalibrated in (0, 1):
            if recalibrated:
                recalibrate_batchnorm(model, (decode(files) for files in batches(seen.paths, BATCH)))
            top1 = f"{100 * measure(model, spec, judged).top1:.1f}"
            rows.append({**rows[0], "start": start, "recalibrated": recalibrated, "top1": top1})
            print(rows[-1], flush=True)
    write_rows(options.output / "before.csv", rows)


def every_other(photos: LabelledPhotos, first: int) -> LabelledPhotos:
    """Half of the photos."""
    assert photos.labels is not None
    return replace(photos, paths=photos.paths[first::2], labels=photos.labels[first::2])


if __name__ == "__main__":
    main()
