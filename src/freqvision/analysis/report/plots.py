"""Figures of the report, each for light and for dark pages."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from freqvision.analysis.curves import CurvePoint
from freqvision.analysis.report.findings import is_share
from freqvision.analysis.scores import ChannelScores
from freqvision.spectrum.channels import BLOCK, COMPONENTS

DPI = 144


@dataclass(frozen=True)
class Theme:
    """Colours of a page; those of lines are told apart by people with any colour vision (Okabe and Ito)."""

    background: str
    text: str
    lines: tuple[str, ...]

    def differences(self) -> Any:
        """Colours from less (blue) over none (the page's background) to more (orange)."""
        from matplotlib.colors import LinearSegmentedColormap

        less, more = self.lines[:2]
        return LinearSegmentedColormap.from_list("differences", (less, self.background, more))


LIGHT = Theme("#ffffff", "#1c1e21", ("#0072b2", "#d55e00", "#008a63", "#a5527f", "#7a6a00", "#4d4d4d"))
DARK = Theme("#1b1d21", "#e4e6ea", ("#56b4e9", "#ff8c42", "#2fc79a", "#e39cc3", "#e6d44a", "#b8bcc4"))
MARKERS = "osD^vP"


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Args:
        name: Of its files, without ending.
        alt: What it shows, for those who do not see it.
        light: PNG file for light pages.
        dark: PNG file for dark pages; None where one serves both.
    """

    name: str
    alt: str
    light: bytes
    dark: bytes | None = None


def draw(name: str, alt: str, size: tuple[float, float], paint: Callable[[Any, Theme], None]) -> Picture:
    """Paint a figure in both themes.

    Args:
        name: Of the picture's files, without ending.
        alt: What it shows.
        size: Width and height in inches.
        paint: Gets an empty `matplotlib.figure.Figure` and the theme.

    Raises:
        ModuleNotFoundError: There is no matplotlib; the message says how to get it.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("figures need matplotlib: pip install 'freqvision[report]'") from error
    files = []
    for theme in (LIGHT, DARK):
        colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
        settings: dict[Any, Any] = {**dict.fromkeys(colours, theme.text), "axes.facecolor": theme.background}
        settings |= {"font.size": 9, "axes.titlesize": 10, "legend.frameon": False}
        with matplotlib.rc_context(settings):
            figure = Figure(figsize=size, dpi=DPI, facecolor=theme.background, layout="constrained")
            paint(figure, theme)
            file = io.BytesIO()
            # Without the software's name and version, the same numbers give the same file.
            figure.savefig(file, format="png", metadata={"Software": None})
            files.append(file.getvalue())
    return Picture(name, alt, *files)


def heat_maps(name: str, scores: ChannelScores) -> Picture:
    """Scores of Y, Cb and Cr over vertical and horizontal frequency, as the paper's figure 5."""
    grid = scores.grid()

    def paint(figure: Any, theme: Theme) -> None:
        from matplotlib.colors import LogNorm, Normalize

        low, high = _range(grid, is_share(scores))
        norm = Normalize(low, high) if is_share(scores) else LogNorm(low, high)
        panels = figure.subplots(1, len(COMPONENTS))
        for axes, component, values in zip(panels, COMPONENTS, grid, strict=True):
            image = _blocks(axes, values.clamp(low, high), theme, cmap="cividis", norm=norm)
            axes.set_title(component)
            for u in range(BLOCK):
                for v in range(BLOCK):
                    _number(axes, u, v, values[u, v].item(), is_share(scores), image)
        panels[0].set_ylabel("vertical frequency u")
        panels[1].set_xlabel("horizontal frequency v")
        figure.colorbar(
            image, ax=panels, label=_label(scores), format=_ticks(scores), fraction=0.025, pad=0.01
        )

    means = "; ".join(f"{name} {mean:.3g}" for name, mean in scores.by_component().items())
    alt = (
        f"Heat maps of 8 by 8 frequencies for Y, Cb and Cr: {scores.unit} by {scores.method}. "
        f"Means: {means}. The table below holds the numbers."
    )
    return draw(name, alt, (11, 3.9), paint)


def radius_curves(name: str, scores: ChannelScores) -> Picture:
    """Mean score by radial frequency, a line for each component."""
    rings = scores.by_radius()

    def paint(figure: Any, theme: Theme) -> None:
        axes = figure.subplots()
        for i, component in enumerate(COMPONENTS):
            heights = [ring[i] for ring in rings.values()]
            if not all(map(math.isnan, heights)):
                axes.plot(list(rings), heights, MARKERS[i] + "-", color=theme.lines[i], label=component)
        axes.set(xlabel="radial frequency sqrt(u² + v²), rounded", ylabel=f"mean {_label(scores)}")
        axes.set_xticks(list(rings))
        if is_share(scores):
            axes.set_ylim(-0.03, 1.03)
            axes.yaxis.set_major_formatter(_ticks(scores))
        elif min(scores.scores) > 0:
            axes.set_yscale("log")
        else:
            axes.set_yscale("symlog", linthresh=_range(scores.grid(), False)[0])
        _finish(axes, theme)

    ends = {radius: rings[radius][3] for radius in (0, max(rings))}
    alt = f"Mean {scores.unit} by radial frequency: over all components " + ", ".join(
        f"{mean:.3g} at {radius}" for radius, mean in ends.items()
    )
    return draw(name, alt, (6.4, 3.4), paint)


def accuracy_curves(name: str, points: Sequence[CurvePoint], runs: Sequence[CurvePoint]) -> Picture:
    """Accuracy against the number of channels and against bytes.

    Args:
        name: Of the picture's files.
        points: Of networks whose other channels were silenced; each method is a line.
        runs: Of networks that were trained with their channels; each is a point, and those of one method have
            one colour. Those without channels, of pixels, are lines across.
    """
    methods, groups = (list(dict.fromkeys(point.method for point in some)) for some in (points, runs))

    def paint(figure: Any, theme: Theme) -> None:
        from matplotlib.ticker import LogLocator

        left, right = figure.subplots(1, 2, sharey=True)
        for axes, across in ((left, "channels"), (right, "bytes")):
            for i, method in enumerate(methods):
                chosen = [point for point in points if point.method == method]
                places = [getattr(point, across) for point in chosen]
                style = MARKERS[i % len(MARKERS)] + "-"
                axes.plot(
                    places,
                    [100 * point.accuracy for point in chosen],
                    style,
                    color=theme.lines[i % len(theme.lines)],
                    label=_plain(method),
                )
            for i, group in enumerate(groups):
                chosen = [run for run in runs if run.method == group]
                colour = theme.lines[(len(methods) + i) % len(theme.lines)]
                heights = [100 * run.accuracy for run in chosen]
                if across == "channels" and not chosen[0].channels:
                    for height in heights:
                        axes.axhline(height, color=colour, linestyle="--", label=_plain(group))
                else:
                    places = [getattr(run, across) for run in chosen]
                    axes.plot(places, heights, "*", ms=11, color=colour, label=_plain(group))
            axes.set_xscale("log", base=2)
            axes.xaxis.set_major_locator(LogLocator(2, subs=(1.5,) if across == "channels" else (1.0,)))
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        left.set(xlabel="channels", ylabel="top-1 accuracy, %")
        right.set(xlabel="bytes a photo, one a value")
        _finish(left, theme)
        _finish(right, theme, legend=False)

    last = [[point for point in points if point.method == method][-1] for method in methods]
    described = [f"{p.method}: {p.accuracy:.1%} with {p.channels} channels" for p in (*last, *runs)]
    return draw(name, "Accuracy against channels and bytes. " + "; ".join(described), (10, 3.9), paint)


def class_maps(name: str, scores: ChannelScores, limit: int = 12) -> Picture:
    """How the gates of each class differ from those of all: three maps for each of the classes.

    Args:
        name: Of the picture's files.
        scores: With classes.
        limit: Show at most so many classes, those that differ most.
    """
    chosen = unusual_classes(scores, limit)
    mean = scores.grid()
    # Up to the greatest difference; but fewer than 5 points of a hundred must not look like much.
    _, _, greatest = greatest_difference(scores)
    limits = {"vmin": -max(abs(greatest), 0.05), "vmax": max(abs(greatest), 0.05)}
    columns = 2 if len(chosen) > 1 else 1
    rows = math.ceil(len(chosen) / columns)

    def paint(figure: Any, theme: Theme) -> None:
        panels = figure.subplots(rows, 3 * columns, squeeze=False)
        for axes in panels.flat:
            axes.axis("off")
        image = None
        for place, label in enumerate(chosen):
            difference = scores.grid(scores.classes[label]) - mean
            row, column = place % rows, 3 * (place // rows)
            for i, component in enumerate(COMPONENTS):
                axes = panels[row, column + i]
                axes.axis("on")
                image = _blocks(axes, difference[i], theme, cmap=theme.differences(), **limits)
                axes.set_xticks([])
                axes.set_yticks([])
                if row == 0:
                    axes.set_title(component)
            panels[row, column].set_ylabel(_plain(label), rotation=0, ha="right", va="center")
        label = "difference of the open share, points"
        figure.colorbar(image, ax=panels, label=label, format=_ticks(scores), fraction=0.02, pad=0.01)

    alt = (
        "Maps of 8 by 8 frequencies: how often gates are open for photos of one class, less how often for "
        "those of all: " + ", ".join(chosen)
    )
    return draw(name, alt, (11, 1.25 * rows + 0.5), paint)


def unusual_classes(scores: ChannelScores, limit: int) -> list[str]:
    """Names of at most `limit` classes whose gates differ most from those of all photos, most first."""
    mean = torch.tensor(scores.scores)

    def difference(name: str) -> float:
        return (torch.tensor(scores.classes[name]) - mean).abs().sum().item()

    return sorted(scores.classes, key=difference, reverse=True)[:limit]


def greatest_difference(scores: ChannelScores) -> tuple[str, int, float]:
    """The class and the channel whose score differs most from that of all photos, and by how much.

    Example:
        >>> from freqvision.spectrum import ChannelSet
        >>> classes = {"cat": (0.5, 0.2), "dog": (0.5, 0.8)}
        >>> scores = ChannelScores("gates", ChannelSet((0, 9)), (0.5, 0.4), classes=classes)
        >>> greatest_difference(scores)
        ('dog', 9, 0.4)
    """
    differences = [
        (name, channel, share - mean)
        for name, shares in scores.classes.items()
        for channel, share, mean in zip(scores.channels, shares, scores.scores, strict=True)
    ]
    return max(differences, key=lambda difference: abs(difference[2]))


def class_shares(scores: ChannelScores) -> Mapping[str, dict[str, float]]:
    """Open share of each class by component."""
    return {
        name: ChannelScores(scores.method, scores.channels, shares).by_component()
        for name, shares in scores.classes.items()
    }


def _blocks(axes: Any, values: torch.Tensor, theme: Theme, **options: Any) -> Any:
    """An 8×8 map; frequencies that were not measured show the page through."""
    image = axes.imshow(values.numpy(), **options)
    axes.set_xticks(range(BLOCK))
    axes.set_yticks(range(BLOCK))
    axes.tick_params(length=0)
    axes.spines[:].set_color(theme.text)
    axes.spines[:].set_linewidth(0.5)
    return image


def _number(axes: Any, u: int, v: int, value: float, share: bool, image: Any) -> None:
    if math.isnan(value):
        return
    low, high = image.norm.vmin, image.norm.vmax
    red, green, blue, _ = image.cmap(image.norm(min(max(value, low), high)))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    text = f"{100 * value:.0f}" if share else compact(value)
    axes.text(v, u, text, ha="center", va="center", fontsize=6.5, color="black" if bright else "white")


def _label(scores: ChannelScores) -> str:
    return f"{scores.unit}, %" if is_share(scores) else scores.unit


def _ticks(scores: ChannelScores) -> Any:
    """How ticks are written: shares in per cent, as everywhere on the page; None for matplotlib's way."""
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


def _plain(text: str) -> str:
    """Text that stands as it is: matplotlib would set what is between dollars as a formula."""
    return text.replace("$", r"\$")


def _range(grid: torch.Tensor, share: bool) -> tuple[float, float]:
    """Ends of the colour scale; one of powers of ten shows four of them, and what is below as the lowest."""
    if share:
        return 0.0, 1.0
    high = max(grid.nan_to_num().max().item(), 1e-12)
    positive = grid[grid > 0]
    low = max(positive.min().item() if len(positive) else high, high * 1e-4)
    return min(low, high / 10), high


def _finish(axes: Any, theme: Theme, legend: bool = True) -> None:
    axes.grid(color=theme.text, alpha=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend()
