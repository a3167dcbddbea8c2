"""Train a classifier on DCT channels with a plain PyTorch loop: no Lightning, nothing hidden.

    python examples/train_plain_pytorch.py
    python examples/train_plain_pytorch.py --data PHOTOS --weights FILE --resize 512 --crop 448

The first trains on generated photos. PHOTOS holds train/CLASS/*.jpg and validation/CLASS/*.jpg; FILE
is a state dict of the RGB network with torchvision's names.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import freqvision as fv
from freqvision.data import FrequencyFolder, RandomView, write_synthetic_photos
from freqvision.inputs import collect_statistics


def read_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Train a classifier on DCT channels, in plain PyTorch.")
    parser.add_argument("--data", type=Path, help="holds train/ and validation/; default: synthetic photos")
    parser.add_argument("--model", default="resnet18", help=f"one of {', '.join(fv.list_models())}")
    parser.add_argument("--weights", help="state dict of the RGB network to start from")
    parser.add_argument("--channels", default="24", help="size of a preset, JSON file, or Y0-3+Cb0+Cr0")
    parser.add_argument(
        "--resize", type=int, default=144, help="shorter side of validation photos, in pixels"
    )
    parser.add_argument("--crop", type=int, default=128, help="side of the model's input, in pixels")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.05, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("model.pth"), help="where the trained model goes")
    return parser.parse_args()


def open_photos(root: Path, arguments: argparse.Namespace) -> tuple[FrequencyFolder, FrequencyFolder]:
    """Training photos with random crops, validation photos with centre crops."""
    channels = fv.ChannelSet.parse(arguments.channels)
    spec = fv.FrequencySpec(resize=arguments.resize, crop=arguments.crop, channels=channels)
    # Each channel is normalised by its own mean and deviation over the training photos.
    paths = FrequencyFolder(root / "train", spec).paths
    spec = spec.with_statistics(collect_statistics(paths, spec))
    train = FrequencyFolder(root / "train", spec, RandomView(scale=(0.35, 1.0)), seed=arguments.seed)
    return train, FrequencyFolder(root / "validation", spec, classes=train.classes)


def train_epoch(
    model: nn.Module,
    loader: DataLoader,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    device: torch.device,
) -> float:
    """One pass over the training photos; returns the mean loss."""
    model.train()
    total, count = 0.0, 0
    for images, labels in loader:  # (B, C, h, w) float32, (B,) int64
        images = images.to(device, memory_format=torch.channels_last, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            loss = F.cross_entropy(model(images), labels, label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.item() * len(labels)
        count += len(labels)
    return total / count


@torch.inference_mode()
def accuracy(model: nn.Module, loader: DataLoader, device: torch.device) -> float:
    """Share of photos whose most probable class is right."""
    model.eval()
    right, count = 0, 0
    for images, labels in loader:
        logits = model(images.to(device, memory_format=torch.channels_last))
        right += (logits.argmax(1).cpu() == labels).sum().item()
        count += len(labels)
    return right / count


def main() -> None:
    """Train, validate after each epoch, save, and load again."""
    arguments = read_arguments()
    torch.manual_seed(arguments.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.data
        if root is None:
            root = Path(temporary)
            print("Writing synthetic photos")
            write_synthetic_photos(root / "train", photos_per_class=100)
            write_synthetic_photos(root / "validation", photos_per_class=25, seed=1_000_000)
        train, validation = open_photos(root, arguments)
        print(f"{len(train)} photos to train on, {len(validation)} to validate, {len(train.classes)} classes")

        # The data set decodes whole batches on all cores; the loader only passes them on.
        options = {"batch_size": arguments.batch_size, "collate_fn": train.collate}
        train_loader = DataLoader(train, shuffle=True, drop_last=len(train) > arguments.batch_size, **options)
        validation_loader = DataLoader(validation, **options)

        model = fv.create_model(
            arguments.model, spec=train.spec, num_classes=len(train.classes), weights=arguments.weights
        )
        model = model.to(device, memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(
            model.parameters(), arguments.lr, momentum=0.9, nesterov=True, weight_decay=1e-4
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, arguments.lr, total_steps=arguments.epochs * len(train_loader) + 1
        )
        for epoch in range(arguments.epochs):
            started = time.perf_counter()
            train.set_epoch(epoch)  # different random crops in each epoch, the same in each run
            loss = train_epoch(model, train_loader, optimizer, schedule, device)
            share = accuracy(model, validation_loader, device)
            seconds = time.perf_counter() - started
            print(f"epoch {epoch + 1}: loss {loss:.3f}, validation accuracy {share:.1%}, {seconds:.0f} s")

    # The spec belongs to the weights: without it nobody knows what the model was fed.
    torch.save(
        {"state_dict": model.state_dict(), "spec": train.spec.to_dict(), "classes": train.classes},
        arguments.output,
    )
    print(f"Written to {arguments.output}")

    # Using it again:
    saved = torch.load(arguments.output, weights_only=True)
    spec = fv.FrequencySpec.from_dict(saved["spec"])
    again = fv.create_model(
        arguments.model, spec=spec, num_classes=len(saved["classes"]), weights=saved["state_dict"]
    )
    assert all(torch.equal(a.cpu(), b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


if __name__ == "__main__":
    main()
