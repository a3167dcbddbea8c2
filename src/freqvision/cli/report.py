"""`freqvision report`: what selection found, as one page that opens anywhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser
from jsonargparse.typing import PositiveInt

from freqvision.cli.help import HelpFormatter

if TYPE_CHECKING:
    from freqvision.analysis.report.write import Run

DESCRIPTION = """Write one HTML page that opens offline, and the PNG files in it.

  freqvision report selection/gates selection/sensitivity --runs runs/gated runs/static --photos a.jpg b.jpg
"""


def main(args: list[str]) -> None:
    """Read what was found, and write the page."""
    options = parser().parse_args(args)
    for photo in options.photos:  # before all else is drawn
        if not Path(photo).is_file():
            raise FileNotFoundError(f"no photo at {photo}")

    from freqvision.analysis.report.write import Selection, write_report

    path = write_report(
        [Selection.load(folder) for folder in options.selections],
        options.output,
        runs=[read_run(folder) for folder in options.runs],
        photos=options.photos,
        size=options.size,
        title=options.title,
    )
    pictures = sum(1 for _ in path.parent.glob("*.png"))
    print(f"written: {path} ({path.stat().st_size / 2**20:.1f} MiB) and {pictures} pictures beside it")


def parser() -> ArgumentParser:
    """The command's options."""
    parser = ArgumentParser(formatter_class=HelpFormatter, prog="freqvision report", description=DESCRIPTION)
    parser.add_argument("selections", nargs="+", help="folders that freqvision select wrote")
    parser.add_argument("--runs", nargs="*", default=[], help="folders of freqvision fit to compare")
    parser.add_argument("--photos", nargs="*", default=[], help="files to show with what is left of them")
    parser.add_argument("--size", type=PositiveInt, default=224, help="side in pixels of the photos shown")
    parser.add_argument("--title", default="Which frequencies does the network need?", help="of the page")
    parser.add_argument("--output", default="report", help="folder of the page")
    return parser


def read_run(folder: str | Path) -> Run:
    """What a report needs to know of a training.

    Raises:
        FileNotFoundError: There is no finished epoch in it.
        ValueError: It is not the training of a classifier.
    """
    from freqvision.analysis.report.write import Run
    from freqvision.inputs import FrequencySpec
    from freqvision.models.checkpoint import description, read_checkpoint
    from freqvision.training.callbacks import read_table

    folder = Path(folder)
    epochs = read_table(folder / "metrics.csv")
    if not epochs:
        raise FileNotFoundError(
            f"no epochs in {folder / 'metrics.csv'}: --runs takes folders of freqvision fit"
        )
    epochs = [epoch for epoch in epochs if epoch.get("val/top1")]  # not all need be validated
    if not epochs:
        raise ValueError(f"{folder} is no run of a classifier: its metrics have no val/top1")
    spec = description(read_checkpoint(folder / "checkpoints" / "last.ckpt")).spec
    accuracies = [float(line["val/top1"]) for line in epochs]
    opened = epochs[-1].get("val/open")
    return Run(
        folder.resolve().name,
        len(spec.channels) if isinstance(spec, FrequencySpec) else 0,
        math.prod(spec.shape or (0,)),
        accuracies[-1],
        max(accuracies),
        int(epochs[-1]["epoch"]),
        float(opened) if opened else None,
    )
