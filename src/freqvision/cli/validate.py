"""`freqvision validate`: measure a trained model on labelled photos."""

import json
import math

from jsonargparse.typing import PositiveInt

from freqvision.cli.data import HELP, add_data, data_of
from freqvision.cli.parser import add_shared, command_parser


def main(args: list[str]) -> None:
    """Print a classifier's accuracy or a detector's average precision."""
    if any(arg.partition("=")[0] == "--transport" for arg in args):
        raise ValueError("--transport is a command now: freqvision transport --channels 24, see its --help")
    parser = command_parser(
        "validate", "Measure a trained model. Input, classes and network come from the checkpoint."
    )
    parser.add_argument("--checkpoint", required=True, help="file of freqvision fit, or folder of fv.save")
    add_data(
        parser,
        f"{HELP}; a folder has a sub-folder for each class, for detectors photos; default: training's own",
    )
    parser.add_argument("--annotations", help="detectors: JSON file in COCO's format")
    parser.add_argument("--results", help="detectors: JSON file for all detections, in COCO's format")
    parser.add_argument(
        "--batch_size", type=PositiveInt | None, help="photos in a batch; default: 64, detectors 2"
    )
    add_shared(parser, "num_threads", "json")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu, gpu or another of Lightning's")
    parser.add_argument("--precision", help="such as 32-true or bf16-mixed; default: what suits the machine")
    parsed = parser.parse_args(args)
    data, parsed.data = parsed.data, None
    options = parsed.as_dict()
    as_json = options.pop("json")

    from freqvision.training.validate import validate

    options["data"] = data_of(data)
    metrics = validate(**options, progress=not as_json)
    if as_json:
        # JSON has no nan, which stands for sizes of which there are no objects.
        known = {name: None if math.isnan(value) else value for name, value in metrics.items()}
        print(json.dumps(known))
    elif "box_ap" in metrics:
        print(table(metrics))
    else:
        top5 = f"top-5 {metrics['top5']:.1%}, " if "top5" in metrics else ""
        print(f"{metrics['photos']:,} photos: top-1 {metrics['top1']:.1%}, {top5}loss {metrics['loss']:.3f}")


def table(metrics: dict[str, float]) -> str:
    """COCO's metrics in percent, a line for boxes and one for masks."""
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    heads = ("AP", "AP50", "AP75", "small", "medium", "large")
    lines = [f"{metrics['photos']:,} photos", "      " + "".join(f"{head:>8}" for head in heads)]
    for kind in ("box", "mask"):
        if f"{kind}_ap" in metrics:
            values = (metrics[f"{kind}_{name}"] for name in names)
            # nan where the photos hold no object of that size
            shown = ("–" if math.isnan(value) else f"{value:.1%}" for value in values)
            lines.append(f"{kind:<6}" + "".join(f"{text:>8}" for text in shown))
    return "\n".join(lines)
