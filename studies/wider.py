"""From scratch, wider: generated scenes whose answer follows from their frequencies, and garments.

    python studies/wider.py [--data scenes garments] [--networks tokens mobilenet_v2] [--seeds 3]

Scenes: gratings in one of six directions under clouds. What tells the classes apart lies in one band of
frequencies; SHOWN says beforehand which inputs can show it. Garments: see docs/results/scratch.md. Pixels and
channels have the same grid and body: "tokens" is a transformer that reads blocks of 8×8 coefficients, or
patches of 4×4 pixels, as tokens. "dct-192-own" normalises by the statistics of the training photos.
Adds each line to wider.csv as it is measured, and resumes where an earlier run stopped.
"""

import argparse
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from study import add_row, read_rows
from torch import nn
from torch.nn import functional as F

import freqvision as fv
from freqvision.analysis.probe import find_labelled_photos
from freqvision.data.folder import list_classes
from freqvision.data.synthetic import clouds
from freqvision.inputs.measure import collect_statistics
from freqvision.runtime import batches

DIRECTIONS, BATCH = 6, 32
SIDES = {"tokens": 64, "mobilenet_v2": 128}  # of the photos whose 8×8 blocks are read
BANDS = {"low": (0.05, 0.22), "middle": (0.28, 0.47), "high": (0.56, 0.94)}  # 1: the finest a photo can hold
SCENES, GARMENTS_EPOCHS, SCENES_EPOCHS = (480, 240), 12, 10
# The finest frequency that an input shows, on the same scale: by its size in pixels, or by its channels.
SHOWN = {
    "rgb-32": {"tokens": 0.5, "mobilenet_v2": 0.25},
    "dct-24": 0.5,
    "dct-192": 1.0,
    "dct-192-own": 1.0,
}
Source = bytes | str


@dataclass(frozen=True)
class Photos:
    """Training and validation photos with their classes."""

    train: list[Source]
    train_labels: torch.Tensor
    test: list[Source]
    test_labels: torch.Tensor
    classes: int


def predicted(network: str, name: str, band: str) -> bool:
    """Whether the input shows the band; where it does not, the answer is a guess, 1 of 6."""
    shown = SHOWN[name]
    return BANDS[band][1] <= (shown[network] if isinstance(shown, dict) else shown)


def scene(band: str, direction: int, side: int, seed: int) -> bytes:
    """A JPEG: a grating of the band in this direction, under clouds and noise that say nothing."""
    rng = np.random.default_rng([seed, direction, sorted(BANDS).index(band)])
    y, x = np.mgrid[0:side, 0:side] / side
    angle = math.pi * (direction + rng.uniform(-0.25, 0.25)) / DIRECTIONS
    cycles = rng.uniform(*BANDS[band]) * side / 2
    phase = 2 * math.pi * (cycles * (x * math.cos(angle) + y * math.sin(angle)) + rng.uniform())
    colour = 128 + 90 * (clouds(rng, x, y) - 0.5)[..., None] * rng.uniform(0.4, 1, 3)
    image = colour + 16 * np.sin(phase)[..., None] + rng.normal(0, 8, (side, side, 3))
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=95, subsampling="4:4:4")
    return file.getvalue()


@cache
def photos(data: str, side: int, shared: Path) -> Photos:
    """Scenes of a band, or the garments, which have a size of their own."""
    if data == "garments":
        root = shared / "data" / "clothing"
        classes = list_classes(root / "train")
        train, test = (find_labelled_photos(root / part, classes) for part in ("train", "validation"))
        labels = torch.tensor(train.labels), torch.tensor(test.labels)
        return Photos(list(train.paths), labels[0], list(test.paths), labels[1], len(classes))
    labels = torch.arange(sum(SCENES)) % DIRECTIONS
    made = [scene(data, int(label), side, seed) for seed, label in enumerate(labels)]
    count = SCENES[0]
    return Photos(made[:count], labels[:count], made[count:], labels[count:], DIRECTIONS)


def spec_of(name: str, side: int, whole: bool) -> fv.FrequencySpec | fv.PixelSpec:
    """Pixels at 32, or channels of the photo at `side`; all of a photo, or a crop."""
    kind, number = name.split("-")[:2]
    crop = int(number) if kind == "rgb" else side
    resize = crop if whole else round(crop * 8 / 7)
    if kind == "rgb":
        return fv.PixelSpec(resize, crop)
    return fv.FrequencySpec(resize, crop, fv.ChannelSet.preset(int(number)))


class Tokens(nn.Module):
    """A small transformer over 8×8 tokens, of 8×8 blocks, or of patches of 4×4 pixels.

    Args:
        spec: Channels, or pixels.
        classes: Number of classes.
    """

    def __init__(self, spec: fv.FrequencySpec | fv.PixelSpec, classes: int) -> None:
        super().__init__()
        self.patch = 1 if spec.channels else 4
        count = spec.shape[0] * self.patch**2
        self.embed = nn.Sequential(nn.LayerNorm(count), nn.Linear(count, 96))
        self.place = nn.Parameter(0.02 * torch.randn(1, 64, 96))
        layer = nn.TransformerEncoderLayer(96, 3, 192, 0.0, "gelu", batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(96), nn.Linear(96, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images → logits."""
        tokens = F.pixel_unshuffle(images, self.patch).flatten(2).mT  # (B, 64, C · patch²)
        head: torch.Tensor = self.head(self.body(self.embed(tokens) + self.place).mean(1))
        return head


def train(network: str, name: str, data: Photos, epochs: int, seed: int) -> tuple[float, float]:
    """Train from random weights; top-1 in % and the loss of the validation photos."""
    torch.manual_seed(seed)
    scenes = data.classes == DIRECTIONS
    spec = spec_of(name, SIDES[network], whole=scenes)
    if name.endswith("own"):
        spec = spec.with_statistics(collect_statistics(data.train, spec))
    if network == "tokens":
        model: nn.Module = Tokens(spec, data.classes)
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.05)
    else:
        start = {"start": "new"} if spec.channels else {}
        model = fv.create_model(network, spec, num_classes=data.classes, **start)
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    decode = fv.Decoder(spec, num_threads=1)
    still = decode(data.train) if scenes else None

    def loss_of(chosen: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        paths = [data.train[int(one)] for one in chosen]
        images = still[chosen] if scenes else decode.random_resized(paths, (0.35, 1), generator=generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images.contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), data.train_labels[chosen], label_smoothing=0.1)

    learn(optimizer, loss_of, len(data.train), epochs, seed)
    model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        logits = answers(model, decode, data).float()
    right = (logits.argmax(1) == data.test_labels).float().mean()
    return 100 * float(right), float(F.cross_entropy(logits, data.test_labels))


def learn(
    optimizer: torch.optim.Optimizer,
    loss_of: Callable[[torch.Tensor, torch.Generator], torch.Tensor],
    count: int,
    epochs: int,
    seed: int,
) -> None:
    """One cycle over `count` photos: steps down the loss of which photos are chosen, and of random views."""
    steps = count // BATCH
    rates = [group["lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=epochs * steps + 1)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for chosen in torch.randperm(count, generator=generator).split(BATCH)[:steps]:
            loss = loss_of(chosen, generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.inference_mode()
def answers(model: nn.Module, decode: fv.Decoder, data: Photos) -> torch.Tensor:
    """Logits of the validation photos."""
    return torch.cat([model(decode(part)) for part in batches(data.test, 64)])


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of data/")
    parser.add_argument("--data", nargs="+", default=["scenes", "garments"], choices=["scenes", "garments"])
    parser.add_argument("--networks", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs/results/wider"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "wider.csv"
    done = {(row["data"], row["network"], row["input"], row["seed"]) for row in read_rows(table)}
    sets = [name for one in options.data for name in (BANDS if one == "scenes" else (one,))]
    for seed in range(options.seeds):
        for network in options.networks:
            for data in sets:
                for name in SHOWN:
                    if (data, network, name, str(seed)) in done or (data == "garments" and "192" in name):
                        continue
                    started = time.process_time()
                    epochs = GARMENTS_EPOCHS if data == "garments" else SCENES_EPOCHS
                    top1, loss = train(
                        network, name, photos(data, SIDES[network], options.shared), epochs, seed
                    )
                    row = {"data": data, "network": network, "input": name, "seed": seed}
                    row |= {"predicted": "" if data == "garments" else int(predicted(network, name, data))}
                    row |= {"top1": f"{top1:.1f}", "loss": f"{loss:.4f}", "epochs": epochs}
                    row |= {"cpu_seconds": round(time.process_time() - started)}
                    print(*row.values(), flush=True)
                    add_row(table, row)


if __name__ == "__main__":
    main()
