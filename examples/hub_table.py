"""Train on a data set of the Hugging Face hub, or on any Arrow table, without unpacking it.

    python examples/hub_table.py
    python examples/hub_table.py --table food101 --split train       # from the hub

The first makes a table of generated photos. JPEGs stay JPEGs in a table, and are decoded by the native pass.
"""

import argparse
import tempfile
from pathlib import Path

import datasets
import torch
from torch.nn import functional as F

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoLoader, PhotoTable, RandomView, write_synthetic_photos


def make_table(folder: Path, spec: fv.FrequencySpec) -> Path:
    """A table of generated photos, as ``save_to_disk`` writes it; returns where it is."""
    write_synthetic_photos(folder / "photos", photos_per_class=20, size=96)
    photos = FrequencyFolder(folder / "photos", spec)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=photos.classes)}
    )
    contents = [{"bytes": Path(path).read_bytes(), "path": None} for path in photos.paths]
    table = datasets.Dataset.from_dict({"image": contents, "label": photos.labels.tolist()}, features)
    table.save_to_disk(folder / "table")
    return folder / "table"


def main() -> None:
    """Train a small network for an epoch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", help="name on the hub, folder or file; default: generated photos")
    parser.add_argument("--split", help="which part of it")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    torch.manual_seed(0)
    spec = fv.FrequencySpec(resize=72, crop=64)
    with tempfile.TemporaryDirectory() as temporary:
        table = options.table or make_table(Path(temporary), spec)
        photos = PhotoTable(table, spec, RandomView(scale=(0.35, 1.0)), split=options.split, damaged="skip")
        model = fv.create_model("resnet18", spec, num_classes=len(photos.classes))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for images, labels in PhotoLoader(photos, options.batch_size, shuffle=True, drop_last=True):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"{len(photos)} photos, {len(photos.classes)} classes: last loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
