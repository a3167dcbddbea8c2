"""`freqvision stats`: mean and deviation of each frequency over a folder of photos."""

from pathlib import Path

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt, PositiveInt

from freqvision.cli.help import HelpFormatter


def main(args: list[str]) -> None:
    """Measure, print a summary, and write the file if asked to."""
    parser = ArgumentParser(
        formatter_class=HelpFormatter,
        prog="freqvision stats",
        description="Measure mean and deviation of all 192 DCT channels over photos, in one pass.\n\n"
        "  freqvision stats PHOTOS --output statistics.json",
    )
    parser.add_argument("folder", help="folder of photos, searched with its sub-folders")
    parser.add_argument("--output", help="JSON file to write, for fit --data.statistics; default: print only")
    parser.add_argument("--channels", help="write only these, such as a file of freqvision select")
    parser.add_argument("--resize", type=PositiveInt, default=512, help="shorter side in pixels")
    parser.add_argument("--crop", type=PositiveInt, default=448, help="side of the square in pixels")
    parser.add_argument("--interpolation", default="bilinear", choices=["bilinear", "bicubic"])
    parser.add_argument(
        "--on_error", default="raise", choices=["raise", "skip"], help="what to do with an unreadable photo"
    )
    parser.add_argument("--num_threads", type=NonNegativeInt, default=0, help="decoding threads, 0 for all")
    options = parser.parse_args(args)

    from freqvision.data.folder import find_photos, readable
    from freqvision.inputs import FrequencySpec, collect_statistics
    from freqvision.spectrum import ChannelSet
    from freqvision.spectrum.channels import COMPONENTS

    spec = FrequencySpec(options.resize, options.crop, interpolation=options.interpolation)
    chosen = ChannelSet.parse(options.channels) if options.channels else None
    if not Path(options.folder).is_dir():
        raise FileNotFoundError(f"no folder at {options.folder}")
    paths = find_photos(options.folder)
    if not paths:
        raise ValueError(f"no photos in {options.folder} or its sub-folders")
    if options.on_error == "skip":
        good = readable(paths, options.num_threads)
        for path in sorted(set(paths) - set(good)):
            print(f"skipped, unreadable: {path}")
        paths = good
    statistics = collect_statistics(paths, spec, num_threads=options.num_threads)
    print(f"{len(paths):,} photos, {statistics.count:,} blocks. Deviation by frequency, low to high:")
    for component, name in enumerate(COMPONENTS):
        print(f"\n{name}, mean of its DC {statistics.mean[64 * component]:.1f}")
        for u in range(8):
            row = statistics.std[64 * component + 8 * u :][:8]
            print("  " + " ".join(f"{value:7.2f}" for value in row))
    if chosen is not None:
        statistics = statistics.select(chosen)
    if options.output:
        Path(options.output).parent.mkdir(parents=True, exist_ok=True)
        statistics.save(options.output)
        print(f"\nwritten to {options.output}")
