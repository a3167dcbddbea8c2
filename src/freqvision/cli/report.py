"""`freqvision report`: what selection found, as one page that opens anywhere."""

from pathlib import Path

from jsonargparse.typing import PositiveInt

from freqvision.cli.parser import command_parser

DESCRIPTION = """Write one HTML page that opens offline, and its pictures as files next to it.

  freqvision report selection/gates selection/sensitivity --runs runs/gated runs/static --photos a.jpg b.jpg
"""


def main(args: list[str]) -> None:
    """Read what was found, and write the page."""
    parser = command_parser("report", DESCRIPTION)
    parser.add_argument("selections", nargs="+", help="folders that freqvision select wrote")
    parser.add_argument("--runs", nargs="*", default=[], help="folders of freqvision fit to compare")
    parser.add_argument(
        "--photos", nargs="*", default=[], help="photos to show with what the selected channels keep of them"
    )
    parser.add_argument("--size", type=PositiveInt, default=224, help="side in pixels of the photos shown")
    parser.add_argument(
        "--title", default="Which frequencies does the network need?", help="title of the page"
    )
    parser.add_argument("--output", default="report", help="folder of the page")
    options = parser.parse_args(args)
    for photo in options.photos:  # before anything is drawn
        if not Path(photo).is_file():
            raise FileNotFoundError(f"no photo at {photo}")

    from freqvision.analysis.report import Run, Selection, write_report

    path = write_report(
        [Selection.load(folder) for folder in options.selections],
        options.output,
        runs=[Run.load(folder) for folder in options.runs],
        photos=options.photos,
        size=options.size,
        title=options.title,
    )
    pictures = sum(file.suffix in (".svg", ".png") for file in path.parent.iterdir())
    print(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB) and {pictures} pictures next to it")
