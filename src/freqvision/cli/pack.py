"""`freqvision pack`: pack photos once, so that every epoch reads them faster."""

from jsonargparse.typing import NonNegativeInt, PositiveInt

from freqvision.cli.data import KINDS
from freqvision.cli.parser import add_shared, command_parser

DESCRIPTION = """Pack photos into tar files: DCT channels of each photo, resized once, without the Huffman
code that every reader of JPEGs has to undo.

  freqvision pack PHOTOS PACKED --channels 24 --resize 512
  freqvision pack PHOTOS PACKED --lossless true
  freqvision pack PHOTOS PACKED --model resnet50 --weights DEFAULT

A run that was stopped continues. In Python: freqvision.data.PhotoShards(PACKED, spec). At the end some of the
photos are compared with their files: the input, and with --model the answers of an RGB model that is fed by
Transport.
"""


def main(args: list[str]) -> None:
    """Write shards of packed photos, and print what they cost."""
    parser = command_parser("pack", DESCRIPTION)
    parser.add_argument("photos", help=f"{KINDS}; a folder's sub-folders are its classes")
    parser.add_argument("output", help="folder for the shards")
    parser.add_argument("--channels", type=int | str, default=24, help="as for freqvision fit")
    parser.add_argument("--resize", type=PositiveInt, default=512, help="shorter side kept, in pixels")
    parser.add_argument("--lossless", type=bool, default=False, help="keep all coefficients as stored")
    parser.add_argument("--codec", default="lz4", help="lz4 is read fastest, zstd is smallest")
    parser.add_argument("--level", type=PositiveInt | None, help="of the codec; more is smaller and slower")
    parser.add_argument("--photos_per_shard", type=PositiveInt, default=1000, help="photos in a tar file")
    parser.add_argument(
        "--damaged",
        default="error",
        choices=["error", "skip"],
        help="stop at a damaged photo, or leave it out",
    )
    parser.add_argument("--measure", type=NonNegativeInt, default=64, help="photos to measure the loss on")
    parser.add_argument("--crop", type=PositiveInt, default=448, help="side of views to measure the loss on")
    parser.add_argument("--model", help="RGB network to compare the answers of, as for freqvision embed")
    add_shared(parser, "weights", "strides")
    parser.add_argument("--labels", help="CSV file with columns file and class_index, for its accuracy")
    add_shared(parser, "num_threads", "ray")
    options = parser.parse_args(args)
    if (options.model is None) != (options.weights is None):
        raise ValueError("--model and --weights go together: a network without weights answers at random")

    from freqvision.data.opening import has_classes, open_sources
    from freqvision.data.pack import measure_loss, pack_photos
    from freqvision.inputs.packed import Packer
    from freqvision.inputs.spec import FrequencySpec
    from freqvision.runtime import aligned, printable
    from freqvision.spectrum.channels import ChannelSet

    channels = ChannelSet.parse(str(options.channels))
    spec = None if options.lossless else FrequencySpec(options.resize, None, channels)
    threads = options.num_threads if options.ray is None else max(1, options.num_threads)
    packer = Packer(spec, codec=options.codec, level=options.level, num_threads=threads)
    photos = open_sources(options.photos, labelled=has_classes(options.photos))
    done = pack_photos(
        photos, options.output, packer, options.photos_per_shard, options.damaged == "skip", options.ray
    )
    for cause in done.damaged.values():
        print(printable(cause))
    print(
        f"{done.photos:,} photos in {options.output}: {done.packed_bytes:,} bytes, "
        f"{done.packed_bytes / max(1, done.source_bytes):.2f} of their files' {done.source_bytes:,}"
        + (f"; {len(done.damaged):,} damaged photos left out" if done.damaged else "")
    )
    if not options.measure:
        return
    view = FrequencySpec.for_crop(options.crop, channels=channels)
    model = labels = None
    sources = photos.spread(options.measure)[:]
    if options.model is not None:
        from freqvision.models import Transport
        from freqvision.models.features import rgb_network

        rgb = rgb_network(options.model, options.weights, options.strides)
        view = FrequencySpec.like(rgb.spec, channels=channels)
        model = Transport(rgb, view).eval()
        if options.labels is not None:
            from freqvision.analysis.probe import find_labelled_photos

            labelled = find_labelled_photos(options.photos, None, options.labels).spread(options.measure)
            sources, labels = labelled.paths, labelled.labels
    loss = measure_loss(sources, packer, view, model, labels)
    titles = ("view", "relative error", "equal answers", "right from files", "right from shards")
    rows = [(name, f"{one.error:.3f}", one.equal, one.before, one.after) for name, one in loss.items()]
    shown = [
        tuple(f"{cell:.1%}" if isinstance(cell, float) else cell for cell in row if cell is not None)
        for row in rows
    ]
    print(
        f"\nDCT-{len(channels)} of {view.crop} pixels, from the shards against from the files, "
        f"{len(sources):,} photos:"
    )
    print(aligned([titles[: len(shown[0])], *shown]))
