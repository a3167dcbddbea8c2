"""Top-1 of pretrained networks against the bytes of a photo, on the link to the device and over a network.

    python studies/links.py --photos ../shared/data/imagenet-sample --weights ../shared/weights \
        --calibration ../shared/data/coco128/images --output docs/results/links

Nothing is trained. Each case is a way to send a photo; what arrives becomes an image of 224 pixels for the
same RGB network, which computes in bfloat16. Adds each line to links.csv as it is measured, and resumes where
an earlier run stopped; then draws device.png and network.png.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zstandard
from PIL import Image
from study import add_row, read_rows
from summary import bootstrap
from torch import nn
from torch.nn import functional as F
from transport import NETWORKS, InBfloat16, argument_parser, parse

import freqvision as fv
from freqvision.analysis.accuracy import transport_spec
from freqvision.analysis.probe import LabelledPhotos
from freqvision.data.folder import evenly, find_photos
from freqvision.runtime import markdown
from freqvision.spectrum.dct import block_dct

SIZE = 224
BATCH = 25
CALIBRATION = 48  # photos
LOW = "Y0-3,8-11,16-19,24-27+Cb0-3,8-11,16-19,24-27+Cr0-3,8-11,16-19,24-27"  # all that 224 pixels show
MEAN, STD = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
Sent = tuple[torch.Tensor, float, float]  # images (B, 3, 224, 224) on [0, 1], bytes, bytes by their entropy
STYLES = {
    "RGB uint8": ("o", "#1f77b4"),
    "RGB float16": ("x", "#1f77b4"),
    "YCbCr 4:2:0 uint8": ("D", "#2ca02c"),
    "DCT int8": ("s", "#d62728"),
    "DCT float16": ("+", "#d62728"),
    "photo file": ("*", "0.3"),
    "JPEG of RGB-224": ("o", "#1f77b4"),
    "JPEG of RGB-160": ("^", "#17becf"),
    "JPEG of RGB-112": ("v", "#9467bd"),
    "JPEG of RGB-224, tables for the network": ("p", "#e377c2"),
    "DCT-24, default steps": ("s", "#d62728"),
    "DCT-48 low, uniform": ("P", "#ff7f0e"),
    "DCT-48 low, steps for the network": ("X", "#8c564b"),
}


@dataclass(frozen=True)
class Case:
    """A way to send a photo."""

    link: str
    family: str
    setting: str
    send: Callable[[list[str]], Sent]


def pixels(size: int, paths: list[str], colour: str = "rgb") -> torch.Tensor:
    """uint8 (B, 3, size, size), the crop that RGB-224 shows."""
    spec = fv.PixelSpec.for_crop(size, dtype="uint8", colour=colour)
    return fv.Decoder(spec, num_threads=1)([Path(path) for path in paths])


def enlarge(images: torch.Tensor) -> torch.Tensor:
    """Images on [0, 1] at the network's size, as a device would do it."""
    if images.shape[-1] == SIZE:
        return images
    return F.interpolate(images, size=(SIZE, SIZE), mode="bicubic", align_corners=False).clamp(0, 1)


def send_rgb(size: int, item: int, paths: list[str]) -> Sent:
    """Pixels, 8 or 16 bits a value."""
    count = 3 * size**2 * item
    return enlarge(pixels(size, paths) / 255), count, count


def send_ycbcr(size: int, paths: list[str]) -> Sent:
    """Y at full size, Cb and Cr at half of it, as video and JPEG send them."""
    y, chroma = subsampled(size, paths)
    return enlarge(to_rgb(y, chroma.round())), 1.5 * size**2, 1.5 * size**2


def subsampled(size: int, paths: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Y (B, size, size), and Cb and Cr at half of it, (B, 2, size / 2, size / 2)."""
    planes = pixels(size, paths, "ycbcr").float()
    return planes[:, 0], F.avg_pool2d(planes[:, 1:], 2)


def to_rgb(y: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """What `subsampled` gives → RGB on [0, 1]."""
    chroma = F.interpolate(chroma, size=y.shape[-2:], mode="bilinear", align_corners=False)
    cb, cr = (chroma - 128).unbind(1)
    rgb = torch.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], 1)
    return (rgb / 255).clamp(0, 1)


@cache
def transport(channels: str, dtype: str, side: int) -> tuple[fv.Transport, fv.Decoder]:
    """What makes images of channels, and what reads the channels."""
    spec = transport_spec(fv.PixelSpec.for_crop(side), fv.ChannelSet.parse(channels), dtype)
    return fv.Transport(nn.Identity(), spec, pixels=4), fv.Decoder(spec, num_threads=1)


def send_channels(channels: str, dtype: str, side: int, paths: list[str]) -> Sent:
    """DCT channels, as they are."""
    carrier, decode = transport(channels, dtype, side)
    sent = decode([Path(path) for path in paths])
    return enlarge(carrier.to_pixels(sent)), sent[0].nbytes, sent[0].nbytes


def send_compressed(channels: str, steps: torch.Tensor, paths: list[str]) -> Sent:
    """DCT channels in multiples of `steps` (C,), in coefficients, compressed by zstd plane by plane."""
    carrier, decode = transport(channels, "float32", SIZE)
    mean, std = (values[:, None, None] for values in carrier.spec.normalisation())
    values = decode([Path(path) for path in paths]) * std + mean
    sent = (values / steps[:, None, None]).round().clamp(-128, 127)
    restored = (sent * steps[:, None, None] - mean) / std
    packed = [len(zstandard.compress(photo.tobytes(), 19)) for photo in sent.to(torch.int8).numpy()]
    return enlarge(carrier.to_pixels(restored)), sum(packed) / len(packed), entropy(sent.to(torch.int8))


def entropy(sent: torch.Tensor) -> float:
    """Bytes per photo of an ideal coder that knows how often each value occurs in each plane of a photo."""
    bits = 0.0
    for plane in sent.flatten(0, 1).flatten(1).numpy():
        counts = np.unique(plane, return_counts=True)[1]
        bits -= float((counts * np.log2(counts / counts.sum())).sum())
    return bits / 8 / len(sent)


def send_jpeg(size: int, settings: dict[str, Any], paths: list[str]) -> Sent:
    """Pixels, compressed again as a 4:2:0 JPEG with its own Huffman tables."""
    found, total = [], 0
    for image in pixels(size, paths).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", subsampling="4:2:0", optimize=True, **settings)
        total += file.tell()
        found.append(torch.from_numpy(np.array(Image.open(file))))
    images = torch.stack(found).permute(0, 3, 1, 2) / 255
    return enlarge(images), total / len(paths), total / len(paths)


def send_file(paths: list[str]) -> Sent:
    """The photo's own file."""
    size = sum(Path(path).stat().st_size for path in paths) / len(paths)
    return pixels(SIZE, paths) / 255, size, size


def network_steps(network: nn.Module, photos: list[str]) -> torch.Tensor:
    """Steps (C,) that cost the network equally: inverse to the root mean square of its gradient.

    To first order noise of variance step²/12 in a channel changes the log probability of the network's
    answer by its gradient. With steps in inverse proportion to it every channel contributes the same, which
    is the best division of bits at high rates. Labels are not used. The mean over channels of log step is 0.
    """
    carrier, decode = transport(LOW, "float32", SIZE)
    _, std = carrier.spec.normalisation()
    squares = torch.zeros(len(std), dtype=torch.float64)
    for path in photos:
        sent = decode([Path(path)]).requires_grad_()
        best = network((carrier.to_pixels(sent) - MEAN) / STD).log_softmax(1).max()
        (gradient,) = torch.autograd.grad(best, sent)
        squares += (gradient[0].double() / std[:, None, None]).square().mean((1, 2))
    steps = squares.rsqrt()
    return (steps / steps.log().mean().exp()).float()


def network_tables(network: nn.Module, photos: list[str]) -> torch.Tensor:
    """Quantisation tables (2, 8, 8) of Y and of Cb and Cr for 4:2:0 JPEGs, by the rule of `network_steps`."""
    squares = torch.zeros(2, 8, 8, dtype=torch.float64)
    for path in photos:
        planes = [plane.requires_grad_() for plane in subsampled(SIZE, [path])]
        best = network((to_rgb(*planes) - MEAN) / STD).log_softmax(1).max()
        for total, gradient in zip(squares, torch.autograd.grad(best, planes), strict=True):
            blocks = block_dct(gradient.double()).unflatten(-2, (-1, 8)).unflatten(-1, (-1, 8))
            total += blocks.square().mean((-4, -2)).reshape(-1, 8, 8).mean(0)  # (…, h, 8, w, 8) → (8, 8)
    tables = squares.rsqrt()
    return tables / tables.log().mean().exp()


def cases(network: nn.Module, calibration: list[str]) -> Iterator[Case]:
    """All ways to send a photo."""
    for channels in ("24", "12", "6", "48"):
        yield Case("device", "DCT int8", f"{channels}@448", partial(send_channels, channels, "int8", 224))
    for size in (224, 192, 160, 128, 112):
        yield Case("device", "RGB uint8", str(size), partial(send_rgb, size, 1))
    for size in (224, 160, 112):
        yield Case("device", "YCbCr 4:2:0 uint8", str(size), partial(send_ycbcr, size))

    yield Case("network", "photo file", "", send_file)
    for size, qualities in ((224, (90, 70, 50, 30, 15)), (160, (80, 50, 30)), (112, (80, 50))):
        for quality in qualities:
            case = partial(send_jpeg, size, {"quality": quality})
            yield Case("network", f"JPEG of RGB-{size}", f"q{quality}", case)
    default = torch.tensor(fv.FrequencySpec(channels=fv.ChannelSet.parse("24")).scale)
    for factor in (1, 2, 4, 8):
        case = partial(send_compressed, "24", factor * default)
        yield Case("network", "DCT-24, default steps", f"×{factor}", case)
    tables = network_tables(network, calibration)
    for step in (8, 16, 32, 64, 128):
        scaled = (step * tables).round().clamp(1, 255).int().flatten(1).tolist()
        case = partial(send_jpeg, SIZE, {"qtables": scaled})
        yield Case("network", "JPEG of RGB-224, tables for the network", f"{step}", case)
    steps = network_steps(network, calibration)
    low = torch.ones(48)
    for step in (16, 32, 64):
        yield Case("network", "DCT-48 low, uniform", f"{step}", partial(send_compressed, LOW, step * low))
    for step in (16, 32, 64, 96):
        case = partial(send_compressed, LOW, step * steps)
        yield Case("network", "DCT-48 low, steps for the network", f"{step}", case)

    for side in (160, 112):
        case = partial(send_channels, "24", "int8", side)
        yield Case("device", "DCT int8", f"24@{2 * side}", case)
    yield Case("device", "RGB float16", "224", partial(send_rgb, 224, 2))
    yield Case("device", "DCT float16", "24@448", partial(send_channels, "24", "float16", 224))


@torch.inference_mode()
def answers(network: nn.Module, case: Case, photos: LabelledPhotos) -> tuple[torch.Tensor, float, float]:
    """The network's answers (N,), and the mean bytes per photo, sent and by their entropy."""
    found, sent, ideal = [], 0.0, 0.0
    for start in range(0, len(photos.paths), BATCH):
        paths = photos.paths[start : start + BATCH]
        images, count, bound = case.send(paths)
        found.append(network((images - MEAN) / STD).argmax(1))
        sent, ideal = sent + count * len(paths), ideal + bound * len(paths)
    return torch.cat(found), sent / len(photos.paths), ideal / len(photos.paths)


def study(name: str, options: argparse.Namespace, photos: LabelledPhotos, table: Path) -> None:
    """Measure every case that is not in the table."""
    file, arguments = NETWORKS[name]
    made = fv.create_model(spec=fv.PixelSpec(), weights=options.weights / file, **arguments)
    network = InBfloat16(made.network.eval())
    calibration = evenly(find_photos(options.calibration), CALIBRATION)
    done = {(row["network"], row["family"], row["setting"]) for row in read_rows(table)}
    truth = torch.tensor(photos.labels)
    original, _, _ = answers(network, Case("", "", "", partial(send_rgb, SIZE, 1)), photos)
    for case in cases(network, calibration):
        if (name, case.family, case.setting) in done:
            continue
        found, sent, ideal = answers(network, case, photos)
        row = {
            "network": name,
            "link": case.link,
            "family": case.family,
            "setting": case.setting,
            "bytes": round(sent),
            "entropy_bytes": round(ideal),
            "photos": len(truth),
            "top1": f"{100 * (found == truth).float().mean():.1f}",
            "same_answer": f"{100 * (found == original).float().mean():.1f}",
            "right": "".join(str(int(right)) for right in found == truth),  # photo by photo
        }
        print(*list(row.values())[:-1], flush=True)
        add_row(table, row)


def summarise(rows: list[dict[str, str]], path: Path) -> None:
    """Write a table: top-1, and the difference from RGB-224 in 8 bits photo by photo, with 95 % intervals."""

    def right(row: dict[str, str]) -> np.ndarray:
        return 100 * np.array([[int(one) for one in row["right"]]])

    rgb = {
        row["network"]: right(row) for row in rows if (row["family"], row["setting"]) == ("RGB uint8", "224")
    }
    lines = [
        [
            "network",
            "link",
            "sent",
            "kB",
            "kB by entropy",
            "top-1, %",
            "difference from RGB-224",
            "on the front",
        ]
    ]
    for row in rows:
        mine = [other for other in rows if (other["network"], other["link"]) == (row["network"], row["link"])]
        best = front([(int(other["bytes"]), float(other["top1"])) for other in mine])
        mean, low, high = bootstrap(right(row) - rgb[row["network"]])
        line = [row["network"], row["link"], f"{row['family']} {row['setting']}".strip()]
        line += [f"{int(row[key]) / 1000:.1f}" for key in ("bytes", "entropy_bytes")]
        line += [row["top1"], f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"]
        lines.append([*line, "yes" if (int(row["bytes"]), float(row["top1"])) in best else ""])
    path.write_text(markdown(lines, left=3) + "\n")


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other one beats in both bytes and top-1, by bytes."""
    best: list[tuple[float, float]] = []
    for size, top1 in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or top1 > best[-1][1]:
            best.append((size, top1))
    return best


def draw(rows: list[dict[str, str]], link: str, path: Path) -> None:
    """Top-1 against bytes, a panel for each network, with the Pareto front."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure, axes = plt.subplots(
        1, len(networks), figsize=(5.6 * len(networks), 4.4), squeeze=False, layout="constrained"
    )
    for axis, network in zip(axes[0], networks, strict=True):
        mine = [row for row in rows if (row["network"], row["link"]) == (network, link)]
        points = [(int(row["bytes"]) / 1000, float(row["top1"])) for row in mine]
        axis.plot(
            *zip(*front(points), strict=True), color="0.75", linewidth=5, label="Pareto front", zorder=0
        )
        for family in dict.fromkeys(row["family"] for row in mine):
            marker, colour = STYLES.get(family, ("s", "#d62728"))
            these = sorted(
                (int(row["bytes"]) / 1000, float(row["top1"])) for row in mine if row["family"] == family
            )
            axis.plot(*zip(*these, strict=True), marker=marker, color=colour, label=family, linewidth=1)
        axis.set(title=network, xscale="log", xlabel="kB per photo", ylabel="top-1 in %")
        axis.set_ylim(bottom=max(0, max(top1 for _, top1 in points) - 35))
        smallest, largest = 0.8 * min(points)[0], 1.2 * max(points)[0]
        ticks = [tick for tick in (2, 5, 10, 20, 50, 100, 200, 300) if smallest <= tick <= largest]
        axis.set_xticks(ticks, labels=map(str, ticks))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0][-1].legend(fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Measure what is missing, and draw."""
    parser = argument_parser(__doc__, "docs/results/links")
    parser.add_argument("--calibration", type=Path, required=True, help="other photos, for the steps")
    parser.add_argument("--summary", action="store_true", help="measure nothing")
    options, photos = parse(parser)
    table = options.output / "links.csv"
    for name in [] if options.summary else options.networks:
        study(name, options, photos, table)
    summarise(read_rows(table), options.output / "table.md")
    for link in ("device", "network"):
        draw(read_rows(table), link, options.output / f"{link}.png")


if __name__ == "__main__":
    main()
