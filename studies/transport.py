"""Accuracy of pretrained RGB networks on DCT channels, by Transport and by folding, by number of channels.

    python studies/transport.py --photos ../shared/data/imagenet-sample --weights ../shared/weights

Reads the photos as JPEG files; the baseline is each network's own RGB pipeline (Pillow, resize 256, crop
224). Adds each line to transport.csv as it is measured, and resumes where an earlier run stopped; then draws
transport.png.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from study import add_row, read_rows

import freqvision as fv
from freqvision.analysis.accuracy import Measurement, measure, transport_spec
from freqvision.analysis.probe import LabelledPhotos, find_labelled_photos

NETWORKS = {
    "mobilenet_v2": ("mobilenet_v2_tfsame_imagenet1k.safetensors", {"name": "mobilenet_v2_tfsame"}),
    "resnet50": ("resnet50_v1_imagenet1k.safetensors", {"name": "resnet50", "strides": "v1"}),
}
# How the network is fed, the preset of channels, and the type they are sent in.
CASES = [
    *(("transport", channels, dtype) for channels in (24, 6, 12, 32, 48, 64, 192) for dtype in ("int8",
    "float32")), ("fold", 24, "int8"), *(("fold", channels, "float32") for channels in (24, 48)),
]  # fmt: skip
STYLES: dict[tuple[str, str], dict[str, Any]] = {
    ("transport", "float32"): {"marker": "o", "color": "#1f77b4"},
    ("transport", "int8"): {"marker": "s", "color": "#d62728", "linestyle": "--"},
    ("fold", "int8"): {"marker": "P", "color": "#9467bd", "linestyle": "", "markersize": 9},
    ("fold", "float32"): {"marker": "*", "color": "#2ca02c", "linestyle": "", "markersize": 12},
}


def main() -> None:
    """Measure what is missing, and draw."""
    options, photos = parse(argument_parser(__doc__, "docs/results"))
    table = options.output / "transport.csv"
    for network in options.networks:
        study(network, options.weights, photos, table)
    draw(read_rows(table), options.output / "transport.png")


def argument_parser(description: str | None, output: str) -> argparse.ArgumentParser:
    """The options of studies that ask pretrained networks about labelled photos."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder with labels.csv and images/")
    parser.add_argument("--weights", type=Path, required=True, help="folder with the networks' weights")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--output", type=Path, default=Path(output), help="folder for tables and figures")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser


def parse(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, LabelledPhotos]:
    """The options, and the photos that they name; sets the threads and makes the folder."""
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)
    return options, find_labelled_photos(options.photos / "images", table=options.photos / "labels.csv")


class InBfloat16(torch.nn.Module):
    """A network that computes in bfloat16, a few photos at a time: fast on a CPU with AMX."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network.to(torch.bfloat16, memory_format=torch.channels_last)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised images (B, C, H, W) → logits (B, classes) in float32."""
        images = images.to(torch.bfloat16, memory_format=torch.channels_last)
        return torch.cat([self.network(part) for part in images.split(8)]).float()  # fits the cache


def study(network: str, weights: Path, photos: LabelledPhotos, table: Path) -> None:
    """Measure the baseline, then every case that is not in the table."""
    file, arguments = NETWORKS[network]
    pixels = fv.PixelSpec(dtype="uint8")
    rgb = fv.create_model(spec=pixels, weights=weights / file, **arguments)
    done = {(row["network"], row["input"], row["channels"], row["dtype"]) for row in read_rows(table)}
    cases = [case for case in CASES if (network, case[0], str(case[1]), case[2]) not in done]
    if not cases:
        return
    baseline = measure(rgb, pixels, photos)
    if (network, "rgb", "3", "uint8") not in done:
        write(table, network, "rgb", 3, baseline, baseline)
    for source, channels, dtype in cases:
        spec = transport_spec(pixels, fv.ChannelSet.preset(channels), dtype)
        if source == "transport":
            model: torch.nn.Module = fv.Transport(rgb, spec)
        else:
            model = fv.create_model(spec=spec, weights=weights / file, start="fold", **arguments)
        write(table, network, source, channels, measure(model, spec, photos), baseline)


def write(table: Path, network: str, source: str, channels: int, one: Measurement, rgb: Measurement) -> None:
    """Add a line; gained counts photos right here and wrong in RGB, lost the reverse."""
    row = {
        "network": network,
        "input": source,
        "channels": channels,
        "dtype": one.spec.dtype,
        "bytes": one.bytes_per_image,
        "photos": len(one.correct),
        "top1": f"{100 * one.top1:.1f}",
        "gained": one.gained(rgb),
        "lost": rgb.gained(one),
    }
    print(row, flush=True)
    add_row(table, row)


def draw(rows: list[dict[str, str]], path: Path) -> None:
    """Plot accuracy against the number of channels."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    networks = list(dict.fromkeys(row["network"] for row in rows))
    size = (5.2 * len(networks), 3.8)
    figure, axes = plt.subplots(1, len(networks), figsize=size, squeeze=False, layout="constrained")
    for axis, network in zip(axes[0], networks, strict=True):
        mine = sorted(
            (row for row in rows if row["network"] == network), key=lambda row: int(row["channels"])
        )
        baseline = next(float(row["top1"]) for row in mine if row["input"] == "rgb")
        axis.axhline(baseline, color="0.5", linestyle=":", label=f"RGB-224, uint8: {baseline:.1f} %")
        for (source, dtype), style in STYLES.items():
            points = [row for row in mine if (row["input"], row["dtype"]) == (source, dtype)]
            x, y = [int(row["channels"]) for row in points], [float(row["top1"]) for row in points]
            axis.plot(x, y, label=f"{source}, {dtype}", **style)
        ticks = sorted({channels for _, channels, _ in CASES})
        axis.set(title=network, xscale="log", xlabel="DCT channels at 448", ylabel="top-1 in %")
        axis.set_xticks(ticks, labels=map(str, ticks))
        axis.minorticks_off()
        axis.legend()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
