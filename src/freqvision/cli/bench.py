"""`freqvision bench`: time the preparation of a user's own photos."""

import json
from dataclasses import asdict
from pathlib import Path

from jsonargparse.typing import NonNegativeInt, PositiveInt

from freqvision.cli.parser import add_shared, command_parser

DESCRIPTION = """Time how your photos become a model's input: freqvision next to torchvision.

  freqvision bench PHOTOS

Everything is measured in turns, on one thread and on all cores, from JPEG bytes in memory to a batch. Close
other programs first: the last line says how busy the machine was.
"""


def main(args: list[str]) -> None:
    """Measure, and print a table or JSON."""
    parser = command_parser("bench", DESCRIPTION)
    parser.add_argument("folder", type=Path, help="folder of JPEG photos, searched with its sub-folders")
    parser.add_argument("--photos", type=PositiveInt, default=100, help="photos to use, evenly spread")
    parser.add_argument(
        "--rounds", type=PositiveInt, default=5, help="measurements of each; the median counts"
    )
    parser.add_argument("--threads", type=NonNegativeInt, default=0, help="0 for all cores, at most 32")
    add_shared(parser, "json")
    options = parser.parse_args(args)

    from freqvision.analysis.speed import busy_cores, default_threads, measure_speed, sound_photos
    from freqvision.runtime import aligned

    threads = options.threads or default_threads()
    busy = busy_cores()
    contents, left_out = sound_photos(options.folder, options.photos)
    speeds, missing = measure_speed(contents, threads, options.rounds, progress=not options.json)
    if options.json:
        values = {"photos": len(contents), "threads": threads, "busy_cores": busy, "missing": missing}
        print(json.dumps({**values, "speeds": [asdict(speed) for speed in speeds]}))
        return
    head = [
        "",
        "ms per photo",
        "time ratio",
        "photos/s",
        f"photos/s, {threads} thread{'s' * (threads > 1)}",
        "kB per photo",
    ]
    rows = [
        [
            speed.name,
            f"{speed.ms:.2f}",
            f"{speed.ratio.median:.2f}",
            f"{1000 / speed.ms.median:,.0f}",
            f"{1000 / speed.ms_threads.median:,.0f}",
            f"{speed.bytes_per_image / 1000:,.0f}",
        ]
        for speed in speeds
    ]
    print(aligned([head, *rows]))
    for name, reason in missing.items():
        print(f"not measured: {name}: {reason}")
    skipped = f" ({left_out} skipped that not every library reads)" if left_out else ""
    load = "" if busy is None else f" Other work kept {busy:.1f} cores busy."
    print(f"\n{len(contents)} photos{skipped}; medians and quartiles of {options.rounds} rounds.{load}")
