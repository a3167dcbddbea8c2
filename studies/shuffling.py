"""What shuffling by blocks and windows costs in accuracy: training on photos that are sorted by class.

    python studies/shuffling.py [PHOTOS] [--epochs 12] [--seeds 3]

A small network with batch normalisation, from random weights, on DCT-24 of 64-pixel photos; top-1 of the
validation photos.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import freqvision as fv
from freqvision.data import EpochBatches, FrequencyFolder
from freqvision.runtime import markdown

PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "clothing"
SHUFFLES = {
    "all photos": {"shuffle": True},
    "blocks of 32, windows of 1,024": {"shuffle": True, "shuffle_block": 32, "shuffle_window": 1024},
    "blocks of 128, windows of 1,024": {"shuffle": True, "shuffle_block": 128, "shuffle_window": 1024},
    "blocks of 32, windows of 256": {"shuffle": True, "shuffle_block": 32, "shuffle_window": 256},
    "blocks of 128, no windows": {"shuffle": True, "shuffle_block": 128},
    "nothing": {"shuffle": False},
}
Photos = tuple[torch.Tensor, torch.Tensor]


def network(classes: int) -> nn.Sequential:
    """(B, 24, 8, 8) → (B, classes)."""
    layers: list[nn.Module] = []
    for before, after, stride in ((24, 64, 1), (64, 128, 2), (128, 256, 2)):
        layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, classes))


def top1(train: Photos, test: Photos, shuffle: dict, seed: int, epochs: int) -> float:
    """Train, and the share of validation photos that are answered rightly, in percent."""
    torch.manual_seed(seed)
    batches = EpochBatches(len(train[1]), 64, seed=seed, rank=0, world_size=1, **shuffle)
    model = network(int(train[1].max()) + 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=epochs * len(batches))
    for epoch in range(epochs):
        batches.set_epoch(epoch)
        for batch in batches:
            images, labels = (part[batch] for part in train)
            loss = functional.cross_entropy(model(images), labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        return 100 * float((model(test[0]).argmax(1) == test[1]).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="?", type=Path, default=PHOTOS)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    spec = fv.FrequencySpec(resize=72, crop=64)
    folders = [FrequencyFolder(options.photos / part, spec) for part in ("train", "validation")]
    train, test = (folder.__getitems__(range(len(folder))) for folder in folders)
    assert torch.equal(train[1], train[1].sort().values), "sorted by class"
    values: dict[str, list[float]] = {name: [] for name in SHUFFLES}
    for seed in range(options.seeds):
        for name, shuffle in SHUFFLES.items():
            values[name].append(top1(train, test, shuffle, seed, options.epochs))
            print(f"seed {seed}, {name}: {values[name][-1]:.1f} %", flush=True)
    rows = [
        [name, f"{np.mean(found):.1f}", f"{np.min(found):.1f}–{np.max(found):.1f}"]
        for name, found in values.items()
    ]
    print(markdown([["shuffled", "top-1, %", "of seeds"], *rows]))


if __name__ == "__main__":
    main()
