"""The result of a benchmark as a table and as charts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqvision.analysis.timing import Spread
from freqvision.runtime import aligned, markdown
from throughput import sweeps as sweeping
from throughput.run import Benchmark, Row
from throughput.sweeps import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"freqvision": "#0f766e", "pixels": "#94a3b8", "released": "#d97706", "decode only": "#cbd5e1"}
_RIVAL_LINES = ("#2563eb", "#d97706", "#be185d", "#64748b")
_INK = "#1e293b"


def text_table(benchmark: Benchmark) -> str:
    """For a terminal."""
    blocks = [_heading(benchmark), *map(aligned, _tables(benchmark))]
    if benchmark.missing:
        missing = "\n".join(f"  {name}: {why}" for name, why in benchmark.missing.items())
        blocks.append(f"Not measured:\n{missing}")
    return "\n\n".join(blocks)


def markdown_table(benchmark: Benchmark) -> str:
    """For documentation."""
    return "\n\n".join([_heading(benchmark), *map(markdown, _tables(benchmark))])


def _tables(benchmark: Benchmark) -> Iterator[list[list[str]]]:
    """A table for each number of threads, head first."""
    for threads in benchmark.settings.thread_counts():
        rows = [_cells(benchmark, row) for row in benchmark.rows if row.threads == threads]
        yield [_titles(benchmark, threads), *rows]


def bar_chart(benchmark: Benchmark) -> Figure:
    """Time on one thread, time on all cores, bytes to the device: a row for each pipeline."""
    from matplotlib.figure import Figure

    counts = benchmark.settings.thread_counts()
    rows = {threads: [row for row in benchmark.rows if row.threads == threads] for threads in counts}
    order = sorted(range(len(rows[1])), key=lambda place: rows[1][place].ms.median, reverse=True)
    figure = Figure(figsize=(5.2 + 3.4 * (len(counts) + 1), 1.6 + 0.3 * len(order)), layout="constrained")
    panels = figure.subplots(1, len(counts) + 1, sharey=True, squeeze=False)[0]
    names = [rows[1][place].pipeline.name for place in order]
    colours = [_COLOURS[rows[1][place].pipeline.group] for place in order]
    for panel, threads in zip(panels, counts, strict=False):
        spreads = [rows[threads][place].ms for place in order]
        _bars(panel, [spread.median for spread in spreads], colours, "{:.2f}", spreads)
        panel.set_title("one thread" if threads == 1 else f"{threads} threads or worker processes")
        panel.set_xlabel("milliseconds per photo")
    sent = [(rows[1][place].pipeline.bytes_to_device or 0) / 1000 for place in order]
    _bars(panels[-1], sent, colours, "{:.0f}")
    panels[-1].set_title("sent to the device")
    panels[-1].set_xlabel("kilobytes per photo")
    panels[0].set_yticks(range(len(names)), names)
    for label, place in zip(panels[0].get_yticklabels(), order, strict=True):
        if rows[1][place].pipeline.group == "freqvision":
            label.set_fontweight("bold")
    figure.suptitle("From JPEG bytes to what a network reads", fontweight="bold", color=_INK)
    return figure


def line_charts(sweeps: Sequence[Sweep]) -> Figure:
    """A chart for each sweep.

    Raises:
        ValueError: There is no sweep.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    if not sweeps:
        raise ValueError("there are no sweeps to draw: run the benchmark with sweeps=True")
    figure = Figure(figsize=(11, 4 * -(-len(sweeps) // 2)), layout="constrained")
    panels = list(figure.subplots(-(-len(sweeps) // 2), 2, squeeze=False).flat)
    names = list(dict.fromkeys(name for sweep in sweeps for name in sweep.lines))
    ours = [name for name in names if name.startswith("freqvision")]
    colours = dict.fromkeys(ours, _COLOURS["freqvision"])
    colours.update(zip([name for name in names if name not in ours], _RIVAL_LINES, strict=False))
    drawn: dict[str, Any] = {}  # line of each name, for one legend
    for panel, sweep in zip(panels, sweeps, strict=False):
        for name, line in sweep.lines.items():
            (drawn[name],) = panel.plot(
                sweep.xs,
                [spread.median for spread in line],
                "o-",
                color=colours[name],
                label=name,
                markersize=4,
            )
            panel.fill_between(
                sweep.xs,
                [s.low for s in line],
                [s.high for s in line],
                color=colours[name],
                alpha=0.15,
                linewidth=0,
            )
        if sweep.name != sweeping.QUALITY:
            panel.set_xscale("log", base=2)
        if sweep.name == sweeping.SIDE:
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter("{x:g}")
        else:
            panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(FixedLocator(list(sweep.xs)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticklabels([str(x) for x in sweep.xs])
        panel.set_xlabel(sweep.name)
        panel.set_ylabel("milliseconds per photo")
        panel.grid(color="#e2e8f0")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[len(sweeps) :]:
        panel.set_visible(False)
    drawn.pop(sweeping.ALL_PRESETS, None)  # its axis names it
    figure.legend(drawn.values(), drawn.keys(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def save_charts(benchmark: Benchmark, stem: str | Path) -> list[Path]:
    """Write ``STEM-times.png`` and, with sweeps, ``STEM-sweeps.png``; returns their paths."""
    figures = {"times": bar_chart(benchmark)}
    if benchmark.sweeps:
        figures["sweeps"] = line_charts(benchmark.sweeps)
    paths = []
    for name, figure in figures.items():
        paths.append(Path(f"{stem}-{name}.png"))
        figure.savefig(paths[-1], dpi=150)
    return paths


def _heading(benchmark: Benchmark) -> str:
    facts, photos = benchmark.machine, benchmark.photos
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['freqvision_isa']}; {facts['date']}. {versions}.",
        f"{photos['photos']:.0f} photos ({photos['left_out']:.0f} left out), median "
        f"{photos['median_width']:.0f}×{photos['median_height']:.0f} and "
        f"{photos['median_kilobytes']:.0f} kB; {benchmark.settings.rounds} interleaved rounds: "
        "median and quartiles.",
    ]
    load = facts["load"]
    if load is not None and load > 0.25 * facts["cores"]:
        lines.append(
            f"Other work kept {load:.1f} of {facts['cores']} cores busy: believe the ratios more than the "
            "times, and those of several threads least."
        )
    return "\n".join(lines)


def _titles(benchmark: Benchmark, threads: int) -> list[str]:
    how = "one thread" if threads == 1 else f"{threads} threads"
    reference = f"time / {benchmark.settings.reference}"
    return [
        how,
        "ms per photo",
        "photos/s",
        reference,
        "kB to device",
        *(["peak MB"] if _has_memory(benchmark, threads) else []),
    ]


def _cells(benchmark: Benchmark, row: Row) -> list[str]:
    sent = row.pipeline.bytes_to_device
    cells = [
        row.pipeline.name,
        f"{row.ms:.2f}",
        f"{1000 / row.ms.median:.0f}",
        f"{row.ratio:.2f}",
        "–" if sent is None else f"{sent / 1000:.0f}",
    ]
    if _has_memory(benchmark, row.threads):
        cells.append("–" if row.memory is None else f"{row.memory:.0f}")
    return cells


def _has_memory(benchmark: Benchmark, threads: int) -> bool:
    """Memory is measured on one thread, if at all."""
    return threads == 1 and benchmark.settings.memory


def _bars(
    panel: Axes, values: Sequence[float], colours: Sequence[str], form: str, spreads: Sequence[Spread] = ()
) -> None:
    errors: Any = None
    if spreads:
        errors = [[s.median - s.low for s in spreads], [s.high - s.median for s in spreads]]
    panel.barh(
        range(len(values)),
        values,
        color=colours,
        height=0.72,
        xerr=errors,
        error_kw={"ecolor": _INK, "lw": 1},
    )
    ends = [spread.high for spread in spreads] or values
    for place, (value, end) in enumerate(zip(values, ends, strict=True)):
        text = form.format(value) if value else "no tensor"
        panel.annotate(
            text, (end, place), (4, 0), textcoords="offset points", va="center", fontsize="small", color=_INK
        )
    panel.set_xlim(0, 1.18 * max(*ends, 1e-9))
    panel.set_ylim(-0.7, len(values) - 0.3)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(left=False)
    panel.grid(axis="x", color="#e2e8f0")
    panel.set_axisbelow(True)
