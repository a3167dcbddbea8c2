"""`freqvision pack`: pack photos once, so that every epoch reads them faster."""

from pathlib import Path

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt

from freqvision.cli.help import THREADS, HelpFormatter


def main(args: list[str]) -> None:
    """Write shards of packed photos, and print what they cost."""
    parser = ArgumentParser(
        formatter_class=HelpFormatter,
        prog="freqvision pack",
        description="Pack photos into tar files: DCT channels of each photo, resized once, without the "
        "Huffman code that every reader of JPEGs has to undo.\n\n"
        "  freqvision pack PHOTOS PACKED --channels 24 --resize 512\n"
        "  freqvision pack PHOTOS PACKED --lossless true\n\n"
        "A run that was stopped continues. In Python: freqvision.data.PhotoShards(PACKED, spec).",
    )
    parser.add_argument("photos", help="folder, with a sub-folder for each class if there are classes")
    parser.add_argument("output", help="folder for the shards")
    parser.add_argument("--channels", type=int | str, default=24, help="as for freqvision fit")
    parser.add_argument("--resize", type=PositiveInt, default=512, help="shorter side kept, in pixels")
    parser.add_argument("--lossless", type=bool, default=False, help="keep all coefficients as stored")
    parser.add_argument("--codec", default="lz4", help="lz4 is read fastest, zstd is smallest")
    parser.add_argument("--level", type=PositiveInt | None, help="of the codec; more is smaller and slower")
    parser.add_argument("--photos_per_shard", type=PositiveInt, default=1000, help="photos in a tar file")
    parser.add_argument(
        "--damaged", default="error", help='"error" stops at a damaged photo, "skip" leaves it out'
    )
    parser.add_argument("--crop", type=PositiveInt, default=448, help="side of views to measure the loss on")
    parser.add_argument("--num_threads", type=NonNegativeInt, default=0, help=THREADS)
    options = parser.parse_args(args)
    if options.damaged not in ("error", "skip"):
        raise ValueError(f'--damaged is "error" or "skip", got {options.damaged!r}')

    from freqvision.data.folder import find_photos
    from freqvision.data.pack import measure_loss, pack_folder
    from freqvision.inputs.packed import Packer
    from freqvision.inputs.spec import FrequencySpec
    from freqvision.runtime import aligned
    from freqvision.spectrum.channels import ChannelSet

    channels = ChannelSet.parse(str(options.channels))
    spec = None if options.lossless else FrequencySpec(options.resize, None, channels)
    packer = Packer(spec, codec=options.codec, level=options.level, num_threads=options.num_threads)
    done = pack_folder(
        options.photos, options.output, packer, options.photos_per_shard, options.damaged == "skip"
    )
    for cause in done.damaged.values():
        print(cause)
    print(
        f"{done.photos:,} photos in {options.output}: {done.packed_bytes:,} bytes, "
        f"{done.packed_bytes / done.source_bytes:.2f} of their files' {done.source_bytes:,}"
        + (f"; {len(done.damaged):,} damaged photos left out" if done.damaged else "")
    )
    view = FrequencySpec.for_crop(options.crop, channels=channels)
    loss = measure_loss(find_photos(Path(options.photos)), packer, view)
    rows = [("view", "relative error"), *((name, f"{error:.3f}") for name, error in loss.items())]
    print(f"\nDCT-{len(channels)} of {options.crop} pixels, from the shards against from the files:")
    print(aligned(rows))
