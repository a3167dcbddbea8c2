"""`freqvision bench`: time loading on a user's own photos."""

import importlib.util
from dataclasses import fields
from pathlib import Path

from jsonargparse import ArgumentParser

from freqvision.cli.help import HelpFormatter

_DESCRIPTION = """Time everything between JPEG files and a network's input, on photos of your own.

freqvision, torchvision, OpenCV and others decode the same photos side by side, each as its users write it,
on one thread and on all cores. What is not installed is named, with the way to get it. Close other programs
first: the table says how busy the machine was."""

_PIPELINES = (
    "Time only those whose name matches, * standing for anything: --pipelines 'freqvision*' '*RGB-224'. "
    "A name that matches nothing shows all names. (default: the usual ones)"
)


def main(args: list[str]) -> None:
    """Run the benchmark, print its table, and save table, charts and every number."""
    from freqvision.analysis.throughput import Settings, run, save_charts, text_table

    parser = ArgumentParser(formatter_class=HelpFormatter, prog="freqvision bench", description=_DESCRIPTION)
    parser.add_argument("folder", type=Path, help="Folder of JPEG photos; its sub-folders are searched too.")
    parser.add_class_arguments(Settings, skip={"pipelines"})
    parser.add_argument("--pipelines", nargs="+", type=str, metavar="PATTERN", help=_PIPELINES)
    parser.add_argument("--output", type=Path, default=Path("bench"), help="Folder for the results.")
    config = parser.parse_args(args)
    chosen = {field.name: config[field.name] for field in fields(Settings) if field.name != "pipelines"}
    settings = Settings(**chosen, pipelines=tuple(config.pipelines or ()))

    benchmark = run(config.folder, settings)
    table = text_table(benchmark)
    print(table)
    config.output.mkdir(parents=True, exist_ok=True)
    benchmark.save(config.output / "throughput.json")
    (config.output / "throughput.txt").write_text(table + "\n", encoding="utf-8")
    print(f"\nEvery round is in {config.output / 'throughput.json'}.")
    if importlib.util.find_spec("matplotlib"):
        print(f"Charts: {', '.join(map(str, save_charts(benchmark, config.output / 'throughput')))}")
    else:
        print("For charts: pip install 'freqvision[report]'")
