"""`freqvision transport`: an RGB model on its own pixels, and unchanged on DCT channels."""

import json
from typing import TYPE_CHECKING, Any, Literal

from jsonargparse.typing import PositiveInt

from freqvision.cli.data import HELP, add_data, data_of
from freqvision.cli.parser import RGB_MODEL, add_shared, command_parser, rgb_model

if TYPE_CHECKING:
    from freqvision.analysis.accuracy import Measurement

DESCRIPTION = """Compare an RGB model on its own pixels with the same model, unchanged, on DCT channels.

  freqvision transport --checkpoint RUN/checkpoints/best.ckpt --data PHOTOS
  freqvision transport --channels 6,24,48 --model resnet50 --weights FILE --data PHOTOS --labels FILE.csv

The channels are sent to the device instead of pixels, and turned into pixels there. Prints accuracy, bytes
per photo and seconds, for the pixels and for each set of channels.
"""


def main(args: list[str]) -> None:
    """Print a line for the RGB pipeline and one for each set of channels."""
    parser = command_parser("transport", DESCRIPTION)
    parser.add_argument(
        "--channels", default="24", help="presets (24 or 6,24,48), or one set such as Y0-3+Cb0+Cr0"
    )
    parser.add_argument(
        "--dtype", default="int8", choices=["int8", "float16", "bfloat16", "float32"], help="of the channels"
    )
    parser.add_argument(
        "--scale",
        type=Literal[1, 2, 4, 8],
        default=2,
        help="side of the decoded photo in units of the model's image",
    )
    add_shared(parser, *RGB_MODEL)
    add_data(
        parser,
        f"{HELP}; a folder has a sub-folder for each class of the --checkpoint, or there are --labels",
        required=True,
    )
    parser.add_argument("--labels", help="CSV file with columns file and class_index, folders with --model")
    parser.add_argument("--batch_size", type=PositiveInt, default=32, help="photos in a batch")
    add_shared(parser, "num_threads", "device", "json")
    options = parser.parse_args(args)

    from freqvision.analysis.accuracy import compare_transport
    from freqvision.analysis.probe import find_labelled_photos
    from freqvision.runtime import aligned, choose_device
    from freqvision.spectrum import ChannelSet

    model = rgb_model(options)
    photos = find_labelled_photos(data_of(options.data), model.class_names, options.labels)
    if photos.labels is None:
        raise ValueError(
            "--model does not know the names of its classes: add --labels, or name shards that have labels"
        )
    texts = options.channels.split(",")
    texts = texts if all(text.strip().isdecimal() for text in texts) else [options.channels]
    measurements = list(
        compare_transport(
            model,
            photos,
            [ChannelSet.parse(text) for text in texts],
            options.dtype,
            options.scale,
            batch_size=options.batch_size,
            num_threads=options.num_threads,
            device=choose_device(options.device),
            progress=not options.json,
        )
    )
    lines = [summary(measurement, measurements[0]) for measurement in measurements]
    if options.json:
        print(json.dumps(lines))
        return
    print(f"{len(photos.paths):,} photos; gained: right here but wrong on pixels; lost: the other way round")
    print(aligned([tuple(lines[0]), *(tuple(_text(value) for value in line.values()) for line in lines)], 2))


def summary(one: "Measurement", rgb: "Measurement") -> dict[str, Any]:
    """The numbers of a line."""
    return {
        "input": one.spec.label,
        "dtype": one.spec.dtype,
        "bytes": one.bytes_per_image,
        "top1": one.top1,
        "gained": one.gained(rgb),
        "lost": rgb.gained(one),
        "reading s": round(one.reading, 3),
        "computing s": round(one.computing, 3),
    }


def _text(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
