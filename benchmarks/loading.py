"""From JPEG bytes to a network's input: freqvision against its rivals, and against its own targets.

    python benchmarks/loading.py [FOLDER] [--output FOLDER] [--docs docs/performance.md] [--check]

Everything is timed in one interleaved run; see ``throughput/``. Run nothing else
meanwhile.
"""

import sys
from pathlib import Path

from throughput.charts import markdown_table, save_charts, text_table
from throughput.options import parser as option_parser
from throughput.pipelines import COEFFICIENTS, FREQVISION, FROM_FILES, LOADER
from throughput.run import Settings, run, task_name
from throughput.targets import HEAD, Target, write_section

from freqvision.runtime import aligned, markdown

HEADING = "Frequencies"
THREADS = 2  # of the second measurement: what a target is about


DCT24, DCT64, DCT192, DCT24_TWICE = (
    task_name(FREQVISION, 1),
    task_name("freqvision DCT-64@448", 1),
    task_name("freqvision DCT-192@448", 1),
    task_name(FREQVISION, 2),
)
READING = task_name(COEFFICIENTS, 1)
TENSORS = task_name("torchvision tensors RGB-224", 1)
PIL, PIL_448 = task_name("torchvision PIL RGB-224", 1), task_name("torchvision PIL RGB-448", 1)
RELEASED = task_name("released pipeline DCT-24@448", 1)
BARE, LOADED = task_name(FROM_FILES, 1), task_name(LOADER, 1)

TARGETS = (
    Target("DCT-24: time / libjpeg-turbo's coefficient reading", DCT24, READING, 1.0),
    Target(
        "DCT-24: times faster than torchvision v2 on tensors, RGB-224", TENSORS, DCT24, 2.2, at_most=False
    ),
    Target("DCT-24: times faster than torchvision v2 on PIL, RGB-224", PIL, DCT24, 3.5, at_most=False),
    Target("DCT-24: times faster than the released pipeline", RELEASED, DCT24, 11, at_most=False),
    Target("DCT-64: time / libjpeg-turbo's coefficient reading", DCT64, READING, 1.25),
    Target("DCT-192: times faster than torchvision v2 on PIL, RGB-448", PIL_448, DCT192, 2, at_most=False),
    Target("DCT-24: two threads, times faster than one", DCT24, DCT24_TWICE, 1.85, at_most=False),
    Target("DCT-24: speed through the DataLoader / the bare decoder's", BARE, LOADED, 0.95, at_most=False),
)


def main() -> int:
    parser = option_parser(__doc__, rounds=9, photos=200)
    parser.add_argument(
        "--output", type=Path, default=Path("build/bench"), help="folder for JSON, table and charts"
    )
    parser.add_argument(
        "--docs", type=Path, help="page of documentation whose section Measured is written anew"
    )
    parser.add_argument(
        "--pipelines", nargs="+", default=[], metavar="PATTERN", help="only these (default: all)"
    )
    parser.add_argument("--targets-only", action="store_true", help="neither sweeps nor memory")
    parser.add_argument("--check", action="store_true", help="fail if a target is missed")
    options = parser.parse_args()

    more = not options.targets_only
    settings = Settings(
        options.photos, options.rounds, THREADS, tuple(options.pipelines), sweeps=more, memory=more
    )
    benchmark = run(options.folder, settings)
    lines = [target.line(benchmark.timings) for target in TARGETS]
    title = "Targets (median and quartiles of the ratio within a round)"
    text = f"{text_table(benchmark)}\n\n{title}\n{aligned(lines)}"
    print(text)

    options.output.mkdir(parents=True, exist_ok=True)
    benchmark.save(options.output / "loading.json")
    (options.output / "loading.txt").write_text(text + "\n", encoding="utf-8")
    charts = save_charts(benchmark, options.output / "loading")
    print(f"\nSaved: {', '.join(map(str, [options.output / 'loading.json', *charts]))}")
    if options.docs:
        figures = options.docs.parent / "figures"
        figures.mkdir(exist_ok=True)
        parts = [
            "Medians (quartiles) of one run of `python benchmarks/loading.py --docs docs/performance.md`.",
            markdown([HEAD, *lines]),
            markdown_table(benchmark),
            *(
                f"![{chart.stem}]({figures.name}/{chart.name})"
                for chart in save_charts(benchmark, figures / "loading")
            ),
        ]
        write_section(options.docs, HEADING, parts)
    return int(options.check and any(met == "MISSED" for *_, met in lines))


if __name__ == "__main__":
    sys.exit(main())
