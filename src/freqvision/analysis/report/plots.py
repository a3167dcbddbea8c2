"""Charts of the report, drawn once: their ink takes the colour of the text around them, light or dark."""

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from freqvision.analysis.curves import CurvePoint
from freqvision.analysis.report.findings import greatest_difference, is_share, unusual_classes
from freqvision.analysis.scores import ChannelScores
from freqvision.runtime import naming_extras
from freqvision.spectrum.channels import BLOCK, COMPONENTS

# Readable on white and on near-black; told apart by people with any colour vision (after Okabe and Ito).
LINES = ("#1a7fc1", "#d55e00", "#0f9d75", "#b5679b", "#8d7b00", "#7d7d7d")
MARKERS = "osD^vP"
LESS, MORE = LINES[:2]
_INK = "#010203"  # stands for the text's colour until the chart is written


@dataclass(frozen=True)
class Picture:
    """A picture of the report, with what it shows for those who do not see it."""

    name: str  # of its file, without ending
    alt: str
    data: str | bytes  # SVG text of a chart, or a PNG file


def draw(name: str, alt: str, size: tuple[float, float], paint: Callable[[Any], None]) -> Picture:
    """A chart of a size in inches, as SVG; `paint` gets an empty `matplotlib.figure.Figure`."""
    with naming_extras():
        import matplotlib
        from matplotlib.figure import Figure
    ink = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    settings: dict[Any, Any] = {**dict.fromkeys(ink, _INK), "font.size": 9, "axes.titlesize": 10}
    settings |= {"legend.frameon": False, "grid.alpha": 0.2, "svg.fonttype": "none", "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        file = io.StringIO()
        # Without date and version, the same numbers give the same file.
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", file.getvalue(), flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>chart-{name}-", svg)  # a page may hold several
    return Picture(name, alt, svg[svg.index("<svg") :].replace(_INK, "currentColor"))


def heat_maps(name: str, scores: ChannelScores) -> Picture:
    """Scores of Y, Cb and Cr over vertical and horizontal frequency, as the paper's figure 5."""
    grid, share = scores.grid(), is_share(scores)

    def paint(figure: Any) -> None:
        from matplotlib.colors import LogNorm, Normalize

        low, high = _range(grid, share)
        norm = Normalize(low, high) if share else LogNorm(low, high)
        panels = figure.subplots(1, len(COMPONENTS))
        for axes, component, values in zip(panels, COMPONENTS, grid, strict=True):
            image = axes.imshow(values.clamp(low, high).numpy(), "cividis", norm, interpolation="none")
            axes.set(title=component, xticks=range(BLOCK), yticks=range(BLOCK))
            axes.tick_params(length=0)
            for u in range(BLOCK):
                for v in range(BLOCK):
                    _number(axes, u, v, values[u, v].item(), share, image)
        panels[0].set_ylabel("vertical frequency u")
        panels[1].set_xlabel("horizontal frequency v")
        bar = figure.colorbar(
            image, ax=panels, label=_label(scores), format=_ticks(scores), fraction=0.025, pad=0.01
        )
        bar.solids.set_rasterized(True)

    means = "; ".join(f"{name} {mean:.3g}" for name, mean in scores.by_component().items())
    alt = (
        f"Heat maps of 8 by 8 frequencies for Y, Cb and Cr: {scores.unit} by {scores.method}. "
        f"Means: {means}. The table below holds the numbers."
    )
    return draw(name, alt, (11, 3.9), paint)


def radius_curves(name: str, scores: ChannelScores) -> Picture:
    """Mean score by radial frequency, a line for each component."""
    rings = scores.by_radius()

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        for i, component in enumerate(COMPONENTS):
            heights = [ring[i] for ring in rings.values()]
            if not all(map(math.isnan, heights)):
                axes.plot(list(rings), heights, MARKERS[i] + "-", color=LINES[i], label=component)
        axes.set(xlabel="radial frequency sqrt(u² + v²), rounded", ylabel=f"mean {_label(scores)}")
        axes.set_xticks(list(rings))
        if is_share(scores):
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(_ticks(scores))
        elif min(scores.scores) > 0:
            axes.set_yscale("log")
        else:
            axes.set_yscale("symlog", linthresh=_range(scores.grid(), False)[0])
        _finish(axes)

    ends = ", ".join(f"{rings[radius][3]:.3g} at {radius}" for radius in (0, max(rings)))
    alt = f"Mean {scores.unit} by radial frequency: over all components {ends}"
    return draw(name, alt, (6.4, 3.4), paint)


def accuracy_curves(name: str, points: Sequence[CurvePoint], runs: Sequence[CurvePoint]) -> Picture:
    """Accuracy against the number of channels and against bytes.

    Points of networks whose other channels were silenced make a line for each method. Those of `runs`, which
    were trained on their channels, have a colour for each method; models of pixels are lines across.
    """
    methods, groups = (list(dict.fromkeys(point.method for point in some)) for some in (points, runs))

    def paint(figure: Any) -> None:
        from matplotlib.ticker import LogLocator

        panels = figure.subplots(1, 2, sharey=True)
        for axes, across in zip(panels, ("channels", "bytes"), strict=True):
            for i, method in enumerate((*methods, *groups)):
                trained = i >= len(methods)
                chosen = [point for point in (runs if trained else points) if point.method == method]
                heights = [100 * point.accuracy for point in chosen]
                look = {"color": LINES[i % len(LINES)], "label": _plain(method)}
                if across == "channels" and not chosen[0].channels:
                    for height in heights:
                        axes.axhline(height, linestyle="--", **look)
                else:
                    style = "*" if trained else MARKERS[i % len(MARKERS)] + "-"
                    axes.plot(
                        [getattr(point, across) for point in chosen],
                        heights,
                        style,
                        ms=11 if trained else 6,
                        **look,
                    )
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_locator(LogLocator(2, subs=(1.5,) if across == "channels" else (1.0,)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            _finish(axes, legend=across == "channels")
        panels[0].set(xlabel="channels", ylabel="top-1 accuracy, %")
        panels[1].set(xlabel="bytes per photo in int8")

    last = [[point for point in points if point.method == method][-1] for method in methods]
    described = "; ".join(f"{p.method}: {p.accuracy:.1%} with {p.channels} channels" for p in (*last, *runs))
    return draw(name, f"Accuracy against channels and bytes. {described}", (10, 3.9), paint)


def class_maps(name: str, scores: ChannelScores, limit: int = 12) -> Picture:
    """How the gates of the classes that differ most from all photos do so: three maps for each class."""
    chosen = unusual_classes(scores, limit)
    columns = 2 if len(chosen) > 1 else 1
    rows = math.ceil(len(chosen) / columns)

    def paint(figure: Any) -> None:
        panels = figure.subplots(rows, 3 * columns, squeeze=False)
        for axes in panels.flat:
            axes.axis("off")
        for place, label in enumerate(chosen):
            maps = difference_colours(scores, label)
            row, column = place % rows, 3 * (place // rows)
            for axes, component, colours in zip(panels[row, column:], COMPONENTS, maps, strict=False):
                axes.axis("on")
                axes.imshow(colours.numpy(), interpolation="none")
                axes.set(xticks=[], yticks=[], title=component if row == 0 else "")
            panels[row, column].set_ylabel(_plain(label), rotation=0, ha="right", va="center")

    alt = (
        "Maps of 8 by 8 frequencies: how often gates are open for photos of one class, less how often for "
        f"those of all: {', '.join(chosen)}"
    )
    return draw(name, alt, (11, 1.25 * rows + 0.5), paint)


def full_difference(scores: ChannelScores) -> float:
    """The difference from all photos that is drawn in full colour: the greatest, but at least 5 points."""
    return max(abs(greatest_difference(scores)[2]), 0.05)


def difference_colours(scores: ChannelScores, label: str) -> torch.Tensor:
    """Colours of a class's maps, (3, 8, 8, 4): from transparent at no difference to full blue or orange."""
    from matplotlib.colors import to_rgb

    difference = ((scores.grid(scores.classes[label]) - scores.grid()) / full_difference(scores)).nan_to_num()
    less, more = (torch.tensor(to_rgb(colour), dtype=torch.float64) for colour in (LESS, MORE))
    colours = torch.where(difference[..., None] < 0, less, more)  # (3, 8, 8, 3)
    return torch.cat([colours, difference.abs()[..., None]], dim=-1)


def _number(axes: Any, u: int, v: int, value: float, share: bool, image: Any) -> None:
    if math.isnan(value):
        return
    low, high = image.norm.vmin, image.norm.vmax
    red, green, blue, _ = image.cmap(image.norm(min(max(value, low), high)))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    text = f"{100 * value:.0f}" if share else compact(value)
    number = axes.text(
        v, u, text, ha="center", va="center", fontsize=6.5, color="black" if bright else "white"
    )
    number.set_in_layout(False)  # it is within its cell, and to measure 192 of them takes seconds


def _label(scores: ChannelScores) -> str:
    return f"{scores.unit}, %" if is_share(scores) else scores.unit


def _ticks(scores: ChannelScores) -> Any:
    """Shares are written in per cent, as everywhere on the page; None is matplotlib's default."""
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(1, symbol="") if is_share(scores) else None


def compact(value: float) -> str:
    """A number in at most five signs: two digits, or a power of ten.

    Example:
        >>> [compact(value) for value in (0, 12345, 123, 1.234, 0.0345, -0.00012)]
        ['0', '1e4', '123', '1.2', '.035', '-1e-4']
    """
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 9999.5:
        text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
        return text.replace("0.", ".", 1) if abs(value) < 1 else text
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def slug(name: str) -> str:
    """A name for files and HTML.

    Example:
        >>> slug("Gates & Co")
        'gates-co'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "selection"


def _plain(text: str) -> str:
    """Text as it stands: matplotlib would set what is between dollars as a formula."""
    return text.replace("$", r"\$")


def _range(grid: torch.Tensor, share: bool) -> tuple[float, float]:
    """Ends of the colour scale: 0 to 1, or at most four powers of ten below the greatest score."""
    if share:
        return 0.0, 1.0
    high = max(grid.nan_to_num().max().item(), 1e-12)
    positive = grid[grid > 0]
    low = max(positive.min().item() if len(positive) else high, high * 1e-4)
    return min(low, high / 10), high


def _finish(axes: Any, legend: bool = True) -> None:
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend()
