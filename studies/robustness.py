"""Accuracy on spoilt photos: compressed again, shrunk, or with noise in one band; pixels against frequencies.

    python studies/robustness.py --networks mobilenet_v2 resnet50
    python studies/robustness.py --checkpoints runs/robustness/*/checkpoints/last.ckpt
    python studies/robustness.py --summary

The first line asks ImageNet networks about 200 photos, from their own pixels and by Transport from 24 DCT
channels; the second asks what studies/robustness.yaml trained about the validation photos. Adds each line to
robustness.csv as it is measured, and resumes. The last one writes robustness.md and draws robustness.png.
"""

import argparse
import io
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from study import add_row, read_rows
from summary import bootstrap
from torch import nn
from transport import NETWORKS, InBfloat16

import freqvision as fv
from freqvision.analysis.probe import LabelledPhotos, find_labelled_photos
from freqvision.models import load
from freqvision.runtime import batches, markdown

Spoil = Callable[[Path], bytes]
QUALITIES = (95, 50, 25, 10)
SIDES = (192, 128, 64)
BANDS = ((8, 32), (32, 64), (64, 128), (128, 256))  # cycles per shorter side
NOISE, NOISY_SIDE = 20.0, 512  # standard deviation in grey levels; size at which noise is added
KINDS = {"quality": "JPEG quality", "side": "shorter side in pixels", "noise": "noise, cycles per side"}
LABELS = {"rgb": ("pixels", "#1f77b4"), "dct": ("24 DCT channels", "#d62728")}


def saved(image: Image.Image, quality: int) -> bytes:
    """A JPEG with 4:2:0."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()


def shortened(image: Image.Image, side: int) -> Image.Image:
    """Resized so that the shorter side has `side` pixels."""
    factor = side / min(image.size)
    return image.resize([round(factor * edge) for edge in image.size], Image.Resampling.LANCZOS)


def compressed(quality: int, path: Path) -> bytes:
    """The photo, compressed again."""
    return saved(Image.open(path), quality)


def shrunk(side: int, path: Path) -> bytes:
    """The photo at a smaller size, which its reader enlarges again."""
    return saved(shortened(Image.open(path), side), 95)


def noisy(low: int, high: int, path: Path) -> bytes:
    """The photo with gray noise of one octave or so; its power is the same in every band."""
    image = np.asarray(shortened(Image.open(path).convert("RGB"), NOISY_SIDE), dtype=np.float32)
    height, width = image.shape[:2]
    rng = np.random.default_rng([low, *path.stem.encode()])
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) * NOISY_SIDE
    noise = np.fft.irfft2(spectrum * ((radius >= max(low, 1)) & (radius < high)), (height, width))
    image = image + (NOISE / noise.std() * noise)[..., None]
    return saved(Image.fromarray(image.clip(0, 255).round().astype(np.uint8)), 95)


def conditions() -> Iterator[tuple[str, str, Spoil]]:
    """Kind, setting, and what spoils a photo."""
    yield "original", "", Path.read_bytes
    for quality in QUALITIES:
        yield "quality", str(quality), partial(compressed, quality)
    for side in SIDES:
        yield "side", str(side), partial(shrunk, side)
    for low, high in BANDS:
        yield "noise", f"{low}–{high}", partial(noisy, low, high)


@torch.inference_mode()
def study(data: str, models: dict[tuple[str, str], nn.Module], photos: LabelledPhotos, table: Path) -> None:
    """Ask all models about photos spoilt alike.

    Args:
        data: Name of the photos.
        models: By the input's name, "rgb" or "dct", and that of the network or run.
        photos: Labelled photos.
        table: CSV file.
    """
    done = {
        tuple(row[key] for key in ("data", "model", "input", "kind", "setting")) for row in read_rows(table)
    }
    decoders = {key: fv.Decoder(model.spec, num_threads=1) for key, model in models.items()}
    truth = torch.tensor(photos.labels)
    for kind, setting, spoil in conditions():
        left = [key for key in models if (data, key[1], key[0], kind, setting) not in done]
        answers: dict[tuple[str, str], list[torch.Tensor]] = {key: [] for key in left}
        for paths in batches(photos.paths, 25) if left else []:
            files = [spoil(Path(path)) for path in paths]
            read: dict[str, torch.Tensor] = {}  # models of one kind share their input
            for key in left:
                if key[0] not in read:
                    read[key[0]] = decoders[key](files)
                answers[key].append(models[key](read[key[0]]).argmax(1))
        for key in left:
            right = torch.cat(answers[key]) == truth
            row: dict[str, Any] = {"data": data, "model": key[1], "input": key[0], "kind": kind}
            row |= {"setting": setting, "top1": f"{100 * right.float().mean():.1f}"}
            print(*row.values(), flush=True)
            add_row(table, row | {"right": "".join(str(int(one)) for one in right)})


def imagenet(name: str, weights: Path) -> dict[tuple[str, str], nn.Module]:
    """An ImageNet network on its own pixels, and on 24 channels."""
    file, arguments = NETWORKS[name]
    rgb = fv.create_model(spec=fv.PixelSpec(dtype="uint8"), weights=weights / file, **arguments).eval()
    rgb.network = InBfloat16(rgb.network)
    return {("rgb", name): rgb, ("dct", name): fv.Transport(rgb).eval()}


def gathered(rows: list[dict[str, str]]) -> dict[tuple[str, str, str], dict[str, np.ndarray]]:
    """Right answers (seeds, photos) of each input, by data, kind and setting."""
    found: dict[tuple[str, str, str], dict[str, list[list[int]]]] = {}
    for row in sorted(rows, key=lambda row: row["model"]):
        inputs = found.setdefault((row["data"], row["kind"], row["setting"]), {})
        inputs.setdefault(row["input"], []).append([int(one) for one in row["right"]])
    return {key: {name: np.array(right) for name, right in inputs.items()} for key, inputs in found.items()}


def summarise(rows: list[dict[str, str]], folder: Path) -> None:
    """Write robustness.md and robustness.png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = gathered(rows)
    names = list(dict.fromkeys(row["data"] for row in rows))
    order = list(dict.fromkeys((kind, setting) for kind, setting, _ in conditions()))
    cells = [
        ["photos", *(f"{name}: {what}" for name in names for what in ("pixels", "DCT-24", "difference"))]
    ]
    for key in order:
        line = [" ".join(key)]
        for name in names:
            inputs = found.get((name, *key), {})
            if set(inputs) != {"rgb", "dct"} or inputs["rgb"].shape != inputs["dct"].shape:
                line += ["–"] * 3
                continue
            mean, low, high = bootstrap(100 * (inputs["dct"] - inputs["rgb"]))
            line += [f"{100 * inputs[one].mean():.1f}" for one in ("rgb", "dct")]
            line.append(f"{mean:+.1f} ({low:+.1f} to {high:+.1f})")
        cells.append(line)
    (folder / "robustness.md").write_text(markdown(cells) + "\n")
    figure, axes = plt.subplots(
        len(names),
        len(KINDS),
        figsize=(11, 2.9 * len(names)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    for line, name in zip(axes, names, strict=True):
        for axis, (kind, title) in zip(line, KINDS.items(), strict=True):
            settings = [setting for one, setting in order if one == kind]
            for one, (label, colour) in LABELS.items():
                values = [found.get((name, kind, setting), {}).get(one) for setting in settings]
                means = [np.nan if right is None else 100 * right.mean() for right in values]
                axis.plot(settings, means, marker="o", color=colour, label=label)
                original = found.get((name, "original", ""), {}).get(one)
                if original is not None:
                    axis.axhline(100 * original.mean(), color=colour, linestyle=":", linewidth=1)
            axis.set(title=name, xlabel=title)
            axis.grid(alpha=0.3)
        line[0].set_ylabel("top-1 in %")
    axes[0][0].legend(fontsize=8)
    figure.savefig(folder / "robustness.png", dpi=130)


def trained(checkpoints: Iterable[Path]) -> dict[tuple[str, str], nn.Module]:
    """Networks of studies/robustness.yaml."""
    models = {path.parents[1].name: load(path) for path in checkpoints}
    for model in models.values():
        model.network = InBfloat16(model.network)
    return {("rgb" if model.spec.channels is None else "dct", name): model for name, model in models.items()}


def main() -> None:
    """Measure what is missing, or summarise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of data/ and weights/")
    parser.add_argument("--networks", nargs="*", default=[], choices=list(NETWORKS))
    parser.add_argument("--checkpoints", type=Path, nargs="*", default=[])
    parser.add_argument("--summary", action="store_true", help="only write the table and the figure")
    parser.add_argument("--output", type=Path, default=Path("docs/results/robustness"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "robustness.csv"
    if options.summary:
        summarise(read_rows(table), options.output)
        return
    for name in options.networks:
        sample = options.shared / "data" / "imagenet-sample"
        photos = find_labelled_photos(sample / "images", table=sample / "labels.csv")
        study(f"ImageNet, {name}", imagenet(name, options.shared / "weights"), photos, table)
    if options.checkpoints:
        models = trained(options.checkpoints)
        classes = next(iter(models.values())).class_names
        photos = find_labelled_photos(options.shared / "data" / "clothing" / "validation", classes)
        study("garments", models, photos, table)


if __name__ == "__main__":
    main()
