"""`freqvision embed`: the features of a model for many photos. Needs no Lightning."""

from functools import partial

from jsonargparse.typing import PositiveInt

from freqvision.cli.data import KINDS
from freqvision.cli.parser import add_shared, command_parser
from freqvision.runtime import printable

DESCRIPTION = """Write the features of photos, a model's output before its classifier, to Parquet or
safetensors files: a name, a label and a vector for each photo.

  freqvision embed PHOTOS FEATURES --model resnet50 --weights DEFAULT
  freqvision embed PHOTOS FEATURES --model timm/vit_base_patch16_224 --weights DEFAULT
  freqvision embed PHOTOS FEATURES --checkpoint RUN/checkpoints/best.ckpt --ray auto

Photos become the pixels that the model was trained on, or with --transport DCT channels that become pixels on
the device. A run that was stopped continues.
"""


def main(args: list[str]) -> None:
    """Write the features, and print how many there are."""
    parser = command_parser("embed", DESCRIPTION)
    parser.add_argument("photos", help=f"{KINDS}; a folder's sub-folders are its classes")
    parser.add_argument("output", help="folder for the files")
    parser.add_argument("--model", help="any network of torchvision, or timm/NAME for any of timm's")
    add_shared(parser, "weights", "strides")
    parser.add_argument("--checkpoint", help="instead: a file of freqvision fit, or a folder of fv.save")
    parser.add_argument("--transport", type=int | str | None, help="send these DCT channels, such as 24")
    parser.add_argument("--format", default="parquet", help="of the files: parquet or safetensors")
    parser.add_argument("--dtype", default="float32", help="of the features: float32 or float16")
    parser.add_argument("--precision", help="bf16 or float32; default: bf16 where it is fast here")
    parser.add_argument("--photos_per_shard", type=PositiveInt, default=10_000, help="photos in a file")
    parser.add_argument("--batch_size", type=PositiveInt, default=64, help="photos in a batch")
    add_shared(parser, "damaged", "exclude", "device", "num_threads", "ray")
    options = parser.parse_args(args)

    from freqvision.data.opening import has_classes, open_sources
    from freqvision.models.embed import embed_photos
    from freqvision.models.features import feature_model
    from freqvision.spectrum.channels import ChannelSet

    channels = None if options.transport is None else ChannelSet.parse(str(options.transport))
    chosen = {
        "name": options.model,
        "weights": options.weights,
        "strides": options.strides,
        "checkpoint": options.checkpoint,
    }
    about = " ".join(f"{name} {value}" for name, value in chosen.items() if value is not None)
    done = embed_photos(
        open_sources(options.photos, labelled=has_classes(options.photos), exclude=options.exclude),
        options.output,
        partial(feature_model, **chosen, transport=channels),
        about=about if channels is None else f"{about}, by {channels}",
        file_format=options.format,
        dtype=options.dtype,
        precision=options.precision,
        photos_per_shard=options.photos_per_shard,
        batch_size=options.batch_size,
        damaged=options.damaged,
        device=options.device,
        num_threads=options.num_threads,
        ray=options.ray,
    )
    for name, cause in done.damaged.items():
        print(printable(cause if cause.startswith(name) else f"{name}: {cause}"))
    what = "seen in part" if options.damaged == "decode" else "left out"
    print(
        f"{done.photos:,} photos in {options.output}: {done.dimensions:,} numbers each"
        + (f"; {len(done.damaged):,} damaged photos {what}" if done.damaged else "")
    )
