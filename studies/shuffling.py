"""What shuffling by blocks and windows costs in accuracy: training on photos that are sorted by class.

    python studies/shuffling.py [PHOTOS] [--epochs 6] [--seeds 2]

ResNet-18 from random weights on DCT-24 of 128-pixel photos, bfloat16; top-1 of the validation photos.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoLoader, RandomView
from freqvision.runtime import markdown

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "clothing"
SHUFFLES = {
    "all photos": {"shuffle": True},
    "blocks of 32, windows of 1,024": {"shuffle": True, "shuffle_block": 32, "shuffle_window": 1024},
    "blocks of 128, windows of 1,024": {"shuffle": True, "shuffle_block": 128, "shuffle_window": 1024},
    "blocks of 128, windows of 256": {"shuffle": True, "shuffle_block": 128, "shuffle_window": 256},
    "blocks of 128, no windows": {"shuffle": True, "shuffle_block": 128},
    "none": {"shuffle": False},
}


def top1(photos: Path, shuffle: dict, seed: int, epochs: int) -> float:
    """Train, and the share of validation photos that are answered rightly, in percent."""
    torch.manual_seed(seed)
    spec = fv.FrequencySpec(resize=144, crop=128)
    train = FrequencyFolder(photos / "train", spec, RandomView(scale=(0.5, 1)), seed=seed, num_threads=1)
    test = FrequencyFolder(photos / "validation", spec, classes=train.classes, num_threads=1)
    loader = PhotoLoader(train, 64, seed=seed, drop_last=True, **shuffle)
    model = fv.create_model("resnet18", spec, num_classes=len(train.classes))
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=epochs * len(loader))
    for _ in range(epochs):
        model.train()
        for images, labels in loader:
            with torch.autocast("cpu", torch.bfloat16):
                loss = functional.cross_entropy(model(images).float(), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    right = 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for images, labels in PhotoLoader(test, 64):
            right += int((model(images).argmax(1) == labels).sum())
    return 100 * right / len(test)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="?", type=Path, default=PHOTOS)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    values: dict[str, list[float]] = {name: [] for name in SHUFFLES}
    for seed in range(options.seeds):
        for name, shuffle in SHUFFLES.items():
            values[name].append(top1(options.photos, shuffle, seed, options.epochs))
            print(f"seed {seed}, {name}: {values[name][-1]:.1f} %", flush=True)
    rows = [
        [name, ", ".join(f"{value:.1f}" for value in found), f"{sum(found) / len(found):.1f}"]
        for name, found in values.items()
    ]
    print(markdown([["shuffled", "top-1 of each seed, %", "mean, %"], *rows]))


if __name__ == "__main__":
    main()
