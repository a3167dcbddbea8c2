"""`freqvision info`: what a model costs on DCT channels, compared with its RGB original."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jsonargparse.typing import PositiveInt

from freqvision.cli.parser import command_parser

if TYPE_CHECKING:
    from freqvision.models.info import ModelInfo

# The paper's networks and channel sets, as docs/models.md shows them.
TABLE = {"resnet50": (192, 64, 48, 24), "mobilenet_v2": (192, 64, 48, 32, 24, 12, 6)}
_HEADER = ("model", "input", "photo", "tensor", "parameters", "GMAC", "bytes, 8 bit", "bytes, float32")


def main(args: list[str]) -> None:
    """Print a table, aligned or in Markdown."""
    parser = command_parser(
        "info",
        "Show the grid, parameters, multiply-adds and bytes per image of a model that reads DCT channels, "
        "and those of its RGB original. Without a model, list all.",
    )
    parser.add_argument("model", nargs="?", help="e.g. resnet50, mobilenet_v2, timm/resnet50d")
    parser.add_argument(
        "--channels", default="24", help="presets (24 or 192,64,24), or one set such as Y0-3,8-11+Cb0+Cr0"
    )
    parser.add_argument("--strides", default="standard", help="standard; for ResNet also v1 and released")
    parser.add_argument(
        "--start",
        default="fold",
        choices=["new", "slice", "fit", "fold"],
        help="form of the input layers, which differ in cost",
    )
    parser.add_argument("--classes", type=PositiveInt, default=1000, help="number of classes")
    parser.add_argument(
        "--table",
        action="store_true",
        help="print Markdown; without a model, for the paper's networks, as in the docs",
    )
    options = parser.parse_args(args)

    from freqvision.models import list_models
    from freqvision.runtime import aligned, markdown

    if options.model is None and not options.table:
        print("\n".join(list_models()))
        print("\nand timm/NAME for networks of timm (pip install 'freqvision[timm]')")
        return
    presets = options.channels.split(",")
    sets = presets if all(part.strip().isdecimal() for part in presets) else [options.channels]
    if options.model is None:
        wanted = {name: list(map(str, sizes)) for name, sizes in TABLE.items()}
    else:
        wanted = {options.model: sets}
    lines = [
        line
        for name, texts in wanted.items()
        for line in rows(name, texts, options.strides, options.start, options.classes)
    ]
    print((markdown if options.table else aligned)([_HEADER, *lines], 2))


def rows(
    name: str,
    channel_sets: Sequence[str],
    strides: str = "standard",
    start: str = "fold",
    classes: int = 1000,
) -> list[tuple[str, ...]]:
    """Cells of a table: the RGB original, then a line per channel set."""
    from freqvision.models import default_spec, model_info, rgb_spec
    from freqvision.spectrum.channels import ChannelSet

    lines = [cells("RGB", model_info(name, rgb_spec(name), classes, strides=strides))]
    for text in channel_sets:
        channels = ChannelSet.parse(text)
        spec = default_spec(name, channels)
        info = model_info(name, spec, classes, start, strides)
        lines.append(cells(f"DCT-{len(channels)}", info))
    return lines


def cells(what: str, info: "ModelInfo") -> tuple[str, ...]:
    """One line."""
    return (
        info.name,
        what,
        "{}×{}".format(*info.image_size),
        "{}×{}×{}".format(*info.shape),
        f"{info.parameters:,}",
        f"{info.macs / 1e9:.3f}",
        f"{info.values:,}",
        f"{4 * info.values:,}",
    )
