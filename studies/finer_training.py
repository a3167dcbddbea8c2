"""Can fine-tuning make a folded network use the frequencies beyond its pixels?

    python studies/finer_training.py [--variants fold distilled] [--seeds 3]
    python studies/finer_training.py --summary

MobileNetV2 from ImageNet weights, ten kinds of garments: RGB-56 against DCT-24 at 224 on the same grid. Half
of the 24 channels hold what RGB-56 shows. The other half are detail, whose weights a fold sets to zero; the
variants are what could make the network learn them. Adds each line to training.csv as it is measured, and
resumes; then writes training.md, with --summary only that.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from study import add_row, read_rows
from torch import nn
from torch.nn import functional as F
from wider import Photos, answers, learn, photos

import freqvision as fv
from freqvision.inputs.decoder import JointDecoder
from freqvision.models.block_convolution import BlockConvolution, FoldedConvolution
from freqvision.runtime import markdown

EPOCHS, RATE = 4, 0.01
DETAIL_RATE = 10.0  # factor on the learning rate of the detail's weights
TEMPERATURE = 2.0  # of the teacher's answers
FIT = 128  # photos that detail's weights are fitted to
PIXELS, TEACHER = fv.PixelSpec(64, 56), fv.PixelSpec(128, 112)
CHANNELS = fv.FrequencySpec(256, 224, fv.ChannelSet.preset(24))
# label, spec, and what is done differently
VARIANTS = {
    "rgb": ("RGB-56", PIXELS, ""),
    "fold": ("DCT-24, fold", CHANNELS, ""),
    "rate": (f"DCT-24, detail at {DETAIL_RATE:g} times the rate", CHANNELS, "rate"),
    "response": ("DCT-24, detail from the response to larger photos", CHANNELS, "response"),
    "rgb-distilled": ("RGB-56, answers of RGB-112", PIXELS, "distilled"),
    "distilled": ("DCT-24, answers of RGB-112", CHANNELS, "distilled"),
    "rgb-longer": ("RGB-56, three times as long", PIXELS, "longer"),
    "longer": ("DCT-24, three times as long", CHANNELS, "longer"),
}


def build(spec: fv.PixelSpec | fv.FrequencySpec, classes: int, weights: Path) -> nn.Module:
    """A network on this input that starts as the RGB network."""
    start = {"start": "fold", "rgb_size": 56} if isinstance(spec, fv.FrequencySpec) else {}
    model = fv.create_model("mobilenet_v2", spec, num_classes=classes, weights=weights, **start)
    return model.to(memory_format=torch.channels_last)


def detail_of(model: nn.Module) -> BlockConvolution | None:
    """The layer that reads the channels which the pixels do not show."""
    details = (layer.detail for layer in model.modules() if isinstance(layer, FoldedConvolution))
    return next(details, None)


@torch.no_grad()
def fit_detail(model: nn.Module, sources: list[bytes | str]) -> None:
    """Set the detail's weights from what the RGB network's first convolution gives for larger photos.

    At twice the size, every second point of its response has the grid of the fold's. All channels explain it
    by least squares, of which the detail's part is taken.
    """
    (layer,) = (layer for layer in model.modules() if isinstance(layer, FoldedConvolution))
    channels, pixels = JointDecoder([CHANNELS, TEACHER], num_threads=1)(sources)
    response = layer.convolution(pixels)[:, :, ::2, ::2]
    rows = channels.movedim(1, -1).flatten(0, 2).double()
    ones = rows.new_ones(len(rows), 1)
    found = torch.linalg.lstsq(torch.cat([rows, ones], 1), response.movedim(1, -1).flatten(0, 2).double())
    weight = found.solution[:-1].T[:, :, None, None] * layer.unseen
    detail_of(model).convolution.weight.copy_(weight)


def train(
    model: nn.Module,
    spec: fv.PixelSpec | fv.FrequencySpec,
    data: Photos,
    seed: int,
    epochs: int = EPOCHS,
    teacher: nn.Module | None = None,
    detail_rate: float = 1.0,
) -> None:
    """Fine-tune; with a teacher half of the loss is the divergence from its answers to the same views."""
    torch.manual_seed(seed)
    layer = detail_of(model)
    detail = [layer.convolution.weight] if layer else []
    others = [one for one in model.parameters() if all(one is not each for each in detail)]
    groups = [{"params": others, "lr": RATE}]
    if detail:
        groups.append({"params": detail, "lr": RATE * detail_rate})
    optimizer = torch.optim.SGD(groups, momentum=0.9, weight_decay=1e-4, nesterov=True)
    decode = JointDecoder([spec, TEACHER] if teacher else [spec], num_threads=1)

    def loss_of(chosen: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        sources = [data.train[int(one)] for one in chosen]
        images, *seen = (
            one.contiguous(memory_format=torch.channels_last)
            for one in decode.random_resized(sources, (0.35, 1), generator=generator)
        )
        logits = model(images)
        loss = F.cross_entropy(logits, data.train_labels[chosen], label_smoothing=0.1)
        if teacher:
            with torch.no_grad():
                taught = F.log_softmax(teacher(seen[0]) / TEMPERATURE, 1)
            given = F.log_softmax(logits / TEMPERATURE, 1)
            divergence = F.kl_div(given, taught, reduction="batchmean", log_target=True)
            loss = (loss + TEMPERATURE**2 * divergence) / 2
        return loss

    model.train()
    learn(optimizer, loss_of, len(data.train), epochs, seed)
    model.eval()


@torch.no_grad()
def measure(model: nn.Module, spec: fv.PixelSpec | fv.FrequencySpec, data: Photos) -> dict[str, str]:
    """Accuracy, loss, and the share of photos with the same answer without the detail."""
    decode = fv.Decoder(spec, num_threads=1)
    logits = answers(model, decode, data)
    right = logits.argmax(1) == data.test_labels
    found = {"top1": f"{100 * right.float().mean():.1f}"}
    found["loss"] = f"{F.cross_entropy(logits, data.test_labels):.4f}"
    found["same_without_detail"] = ""
    if layer := detail_of(model):
        layer.convolution.weight.zero_()
        same = answers(model, decode, data).argmax(1) == logits.argmax(1)
        found["same_without_detail"] = f"{100 * same.float().mean():.1f}"
    return found | {"right": "".join(str(int(one)) for one in right)}


def run(variant: str, seed: int, data: Photos, weights: Path, keep: Path) -> dict[str, str]:
    """Train one variant and measure it."""
    _, spec, how = VARIANTS[variant]
    torch.manual_seed(seed)
    model = build(spec, data.classes, weights)
    if how == "response":
        fit_detail(model, data.train[:: len(data.train) // FIT])
    epochs = 3 * EPOCHS if how == "longer" else EPOCHS
    teacher = trained_teacher(data, weights, keep) if how == "distilled" else None
    train(model, spec, data, seed, epochs, teacher, DETAIL_RATE if how == "rate" else 1.0)
    return measure(model, spec, data)


def trained_teacher(data: Photos, weights: Path, keep: Path) -> nn.Module:
    """RGB-112, fine-tuned alike; kept in a file between runs."""
    model = build(TEACHER, data.classes, weights)
    if keep.exists():
        model.load_state_dict(torch.load(keep, weights_only=True))
    else:
        train(model, TEACHER, data, seed=0)
        keep.parent.mkdir(parents=True, exist_ok=True)
        torch.save(model.state_dict(), keep)
    return model.eval()


def summarise(rows: list[dict[str, str]]) -> str:
    """Of each variant the means over the seeds, and each seed's top-1."""
    table = [["input", "top-1, %", "by seed", "loss", "same answer without detail, %"]]
    for variant, (label, *_) in VARIANTS.items():
        mine = [row for row in rows if row["variant"] == variant]
        if not mine:
            continue
        top1, loss = (np.mean([float(row[name]) for row in mine]) for name in ("top1", "loss"))
        same = [float(row["same_without_detail"]) for row in mine if row["same_without_detail"]]
        cells = [f"{top1:.1f}", ", ".join(row["top1"] for row in mine), f"{loss:.3f}"]
        table.append([label, *cells, f"{np.mean(same):.1f}" if same else "–"])
    return markdown(table) + "\n"


def main() -> None:
    """Train what is missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of data/ and weights/")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("docs/results/finer"))
    parser.add_argument("--teacher", type=Path, default=Path("runs/finer/rgb-112.pt"), help="kept there")
    parser.add_argument("--summary", action="store_true", help="train nothing, write the table")
    options = parser.parse_args()
    table = options.output / "training.csv"
    if not options.summary:
        options.output.mkdir(parents=True, exist_ok=True)
        done = {(row["variant"], row["seed"]) for row in read_rows(table)}
        data = photos("garments", 0, options.shared)
        weights = options.shared / "weights" / "mobilenet_v2_backbone_imagenet1k.safetensors"
        for seed in range(options.seeds):
            for variant in options.variants:
                if (variant, str(seed)) in done:
                    continue
                found = run(variant, seed, data, weights, options.teacher)
                print(variant, seed, found["top1"], found["loss"], found["same_without_detail"], flush=True)
                add_row(table, {"variant": variant, "seed": seed} | found)
    (options.output / "training.md").write_text(summarise(read_rows(table)))


if __name__ == "__main__":
    main()
