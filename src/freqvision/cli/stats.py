"""`freqvision stats`: mean and deviation of each frequency over a folder of photos."""

from jsonargparse.typing import PositiveInt

from freqvision.cli.data import KINDS
from freqvision.cli.parser import add_shared, command_parser
from freqvision.runtime import printable


def main(args: list[str]) -> None:
    """Measure, print a summary, and write the file if asked to."""
    parser = command_parser(
        "stats",
        "Measure mean and deviation of all 192 DCT channels over photos, in one pass.\n\n"
        "  freqvision stats PHOTOS --output statistics.json",
    )
    parser.add_argument("folder", help=KINDS)
    parser.add_argument("--output", help="JSON file to write, for fit --data.statistics; default: print only")
    parser.add_argument("--channels", help="write only these, such as a file of freqvision select")
    parser.add_argument("--resize", type=PositiveInt, default=512, help="shorter side in pixels")
    parser.add_argument("--crop", type=PositiveInt, default=448, help="side of the square in pixels")
    parser.add_argument("--interpolation", default="bilinear", choices=["bilinear", "bicubic"])
    add_shared(parser, "damaged", "exclude", "num_threads", "ray")
    options = parser.parse_args(args)

    from freqvision.data.opening import open_sources
    from freqvision.inputs import FrequencySpec, collect_statistics
    from freqvision.spectrum import ChannelSet
    from freqvision.spectrum.channels import COMPONENTS

    spec = FrequencySpec(options.resize, options.crop, interpolation=options.interpolation)
    chosen = ChannelSet.parse(options.channels) if options.channels else None
    photos = open_sources(options.folder, exclude=options.exclude)
    damage: list[str] = []
    statistics = collect_statistics(
        photos,
        spec,
        num_threads=options.num_threads,
        damaged=options.damaged,
        damage=damage,
        ray=options.ray,
    )
    for line in damage:
        print(f"{'shown in part' if options.damaged == 'decode' else 'left out'}: {printable(line)}")
    count = len(photos) - len(damage) if options.damaged == "skip" else len(photos)
    print(f"{count:,} photos, {statistics.count:,} blocks. Deviation by frequency, low to high:")
    for component, name in enumerate(COMPONENTS):
        print(f"\n{name}, mean of its DC {statistics.mean[64 * component]:.1f}")
        for u in range(8):
            row = statistics.std[64 * component + 8 * u :][:8]
            print("  " + " ".join(f"{value:7.2f}" for value in row))
    if chosen is not None:
        statistics = statistics.select(chosen)
    if options.output:
        statistics.save(options.output)
        print(f"\nwritten to {options.output}")
