"""The report: what selection found, as one page that opens anywhere, and the pictures in it."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import torch
from PIL import Image

from freqvision.analysis.curves import CurvePoint, load_curve
from freqvision.analysis.figures import reconstruct
from freqvision.analysis.report import plots
from freqvision.analysis.report.findings import findings, format_score, signed
from freqvision.analysis.report.page import Page, details, table
from freqvision.analysis.scores import ChannelScores, channel_name
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.spectrum.channels import BLOCK, COMPONENTS, NUM_CHANNELS, ChannelSet

_SUBTITLE = "DCT channels: component Y, Cb or Cr, vertical frequency u, horizontal frequency v, each 0 to 7."
_ENDS = 12  # channels listed at either end of a ranking
_SAME = 0.01  # one point: open shares that differ by less are the same


@dataclass(frozen=True)
class Selection:
    """What `freqvision select` found.

    Args:
        name: Unlike those of the others.
        scores: Of the channels.
        channels: Those selected; None where none were.
        curve: Accuracy with the channels that matter most; empty where it was not measured.
    """

    name: str
    scores: ChannelScores
    channels: ChannelSet | None = None
    curve: tuple[CurvePoint, ...] = ()

    @classmethod
    def load(cls, folder: str | Path) -> Selection:
        """Read the folder that `freqvision select --output` wrote; its name becomes the selection's.

        Raises:
            FileNotFoundError: There are no scores in it.
        """
        folder = Path(folder)
        if not (folder / "scores.json").is_file():
            raise FileNotFoundError(f"no scores.json in {folder}: pass folders that freqvision select wrote")
        name = folder.resolve().name
        channels, curve = folder / "channels.json", folder / "curve.csv"
        return cls(
            name,
            ChannelScores.load(folder / "scores.json"),
            ChannelSet.load(channels) if channels.is_file() else None,
            tuple(replace(point, method=name) for point in load_curve(curve)) if curve.is_file() else (),
        )


@dataclass(frozen=True)
class Run:
    """A training that is compared.

    Args:
        name: Of its folder; what follows "seed" at its end is taken as the seed.
        channels: Number of DCT channels; 0 for pixels.
        bytes: What a photo costs at one byte a value.
        accuracy: Validation accuracy of the last epoch that was validated.
        best: Of the best epoch.
        epochs: Number of epochs up to that.
        open_share: Of its gates, in the last epoch; None without gates.
    """

    name: str
    channels: int
    bytes: int
    accuracy: float
    best: float
    epochs: int
    open_share: float | None = None

    @property
    def group(self) -> str:
        """The name without the seed: runs that differ in nothing else."""
        return re.sub(r"[-_ ]*seed[-_ ]?\d+$", "", self.name) or self.name


def write_report(
    selections: Sequence[Selection],
    output: str | Path,
    *,
    runs: Sequence[Run] = (),
    photos: Sequence[str | Path] = (),
    size: int = 224,
    title: str = "Which frequencies does the network need?",
) -> Path:
    """Write index.html, which holds all that it shows, and its pictures as PNG files beside it.

    Args:
        selections: What to report, in this order.
        output: Folder; made if need be.
        runs: Trainings to compare.
        photos: Files that are shown beside what is left of them in the selected channels.
        size: Side in pixels at which photos are shown, a multiple of 8.
        title: Of the page.

    Returns:
        The path of index.html.

    Raises:
        ValueError: There is nothing to report, or two selections have one name.
        ModuleNotFoundError: There is no matplotlib; the message says how to get it.
    """
    names = [selection.name for selection in selections]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"a report is of one or more selections with different names; got {names}")
    page = Page(Path(output))
    page.add("summary", "In short", _summary(selections, runs))
    for place, selection in enumerate(selections):
        page.add(f"measure-{place}", f"By {selection.name}", _measure(page, place, selection))
    points = [
        point for selection in selections for point in selection.curve if not math.isnan(point.accuracy)
    ]
    if points or runs:
        page.add("accuracy", "Accuracy and bytes", _accuracy(page, points, runs))
    chosen = [selection for selection in selections if selection.channels is not None]
    if photos and chosen:
        page.add("photos", "What is left of photos", _photos(page, photos, chosen, size))
    for place, selection in enumerate(selections):
        if selection.scores.classes:
            content = _classes(page, place, selection)
            page.add(f"classes-{place}", f"Class by class: {selection.name}", content)
    return page.write(title, _SUBTITLE)


def _summary(selections: Sequence[Selection], runs: Sequence[Run]) -> str:
    items = []
    for selection in selections:
        scores = selection.scores
        if scores.method == "rectangles":
            continue  # a definition, no finding
        found = "".join(
            f'<li>{escape(finding.claim.capitalize())}: <span class="verdict '
            f'{"holds" if finding.verdict == "holds" else "fails"}">{finding.verdict}</span>: '
            f"{escape(finding.numbers)}.</li>"
            for finding in findings(scores)
        )
        about = _sentence(scores.about or scores.unit)
        items.append(f"<h3>{escape(selection.name)}</h3><p>{about}</p><ul>{found}</ul>")
    intro = (
        "<p>The paper (Xu et al., “Learning in the Frequency Domain”, CVPR 2020) claims that networks need "
        "low frequencies more than high ones, and luma more than chroma. What each measure says of that:</p>"
    )
    groups = list(dict.fromkeys(run.group for run in runs))
    trained = ""
    if groups:
        lines = []
        for group in groups:
            accuracies = [run.accuracy for run in runs if run.group == group]
            seeds = f", mean of {len(accuracies)} runs: " if len(accuracies) > 1 else ": "
            each = ", ".join(f"{accuracy:.1%}" for accuracy in accuracies)
            mean = sum(accuracies) / len(accuracies)
            lines.append(
                f"<li>{escape(group)}{seeds}<strong>{mean:.1%}</strong>"
                f"{f' ({each})' if len(accuracies) > 1 else ''}</li>"
            )
        trained = f"<h3>Trained</h3><p>Validation accuracy after the last epoch.</p><ul>{''.join(lines)}</ul>"
    return (intro if items else "") + "".join(items) + trained


def _measure(page: Page, place: int, selection: Selection) -> str:
    scores = selection.scores
    ranking = scores.ranking()
    values = dict(zip(scores.channels, scores.scores, strict=True))

    def listed(channels: Iterable[int]) -> str:
        return ", ".join(
            f'<span class="whole">{channel_name(c)} {format_score(values[c], scores)}</span>'
            for c in channels
        )

    parts = [
        f"<p>{_sentence(scores.about)}</p>" if scores.about else "",
        page.picture(
            plots.heat_maps(f"{place}-{_slug(selection.name)}-map", scores),
            _sentence(f"{scores.unit} of each channel; bright matters more"),
        ),
        details("The numbers", "".join(_grid_table(scores, i) for i in range(len(COMPONENTS)))),
        page.picture(plots.radius_curves(f"{place}-{_slug(selection.name)}-radius", scores)),
        details("Mean by radial frequency", _radius_table(scores)),
        f"<h3>Most useful</h3><p>{listed(ranking[:_ENDS])}.</p>",
        f"<h3>Least useful</h3><p>{listed(ranking[: -_ENDS - 1 : -1])}.</p>",
    ]
    if selection.channels is not None:
        counts = ", ".join(
            f"{len(selection.channels.component(i))} of {name}" for i, name in enumerate(COMPONENTS)
        )
        parts.append(
            f"<h3>Selected</h3><p>{len(selection.channels)} channels, {counts}: "
            f"<code>{selection.channels}</code></p>"
        )
    return "".join(parts)


def _accuracy(page: Page, points: Sequence[CurvePoint], runs: Sequence[Run]) -> str:
    trained = [CurvePoint(run.group, run.channels, run.bytes, run.accuracy, math.nan, 0) for run in runs]
    parts = [page.picture(plots.accuracy_curves("accuracy", points, trained))]
    if points:
        parts.append(
            "<p>Lines: a network that was trained with all channels sees only those that matter most, "
            "the others at their mean; nothing was trained for it.</p>"
        )
        rows = [
            [
                point.method,
                f"{point.channels}",
                f"{point.bytes:,}",
                f"{point.accuracy:.1%}",
                "" if math.isnan(point.agreement) else f"{point.agreement:.1%}",
                f"{point.photos:,}",
            ]
            for point in points
        ]
        head = ["ranked by", "channels", "bytes in int8", "accuracy", "answers as with all", "photos"]
        parts.append(details("The numbers", table("Without training", head, rows)))
    if runs:
        rows = [
            [
                run.name,
                f"{run.channels}" if run.channels else "pixels",
                f"{run.bytes:,}",
                "" if run.open_share is None else f"{run.open_share:.1%}",
                f"{run.accuracy:.1%}",
                f"{run.best:.1%}",
                f"{run.epochs}",
            ]
            for run in runs
        ]
        head = ["run", "channels", "bytes in int8", "gates open", "last epoch", "best epoch", "epochs"]
        parts.append(table("Trained: validation accuracy", head, rows))
    return "".join(parts)


def _photos(page: Page, photos: Sequence[str | Path], chosen: Sequence[Selection], size: int) -> str:
    every = FrequencySpec(size, size, ChannelSet.preset(NUM_CHANNELS))
    # Channels that are left out stand at their mean, as for a network.
    spec = every.with_statistics(ChannelStatistics.default())
    cubes = Decoder(spec)([str(photo) for photo in photos])
    rows = []
    for number, (photo, cube) in enumerate(zip(photos, cubes, strict=True)):
        whole = reconstruct(cube, spec)
        name = Path(photo).name
        shown = [plots.Picture(f"photo-{number}", f"{name}, the original", _png(whole))]
        captions = ["original, all 192 channels"]
        for selection in chosen:
            assert selection.channels is not None
            kept = reconstruct(cube * selection.channels.grid().reshape(-1, 1, 1), spec)  # (192, h, w)
            error = (kept - whole).square().mean().item()
            quality = "the same" if error == 0 else f"{-10 * math.log10(error):.1f} dB"
            caption = f"{len(selection.channels)} by {selection.name}"
            file = f"photo-{number}-{_slug(selection.name)}"
            shown.append(plots.Picture(file, f"{name}, rebuilt from {caption}", _png(kept)))
            captions.append(f"{escape(caption)}, {quality}")
        figures = "".join(page.picture(*pair) for pair in zip(shown, captions, strict=True))
        rows.append(f'<h3>{escape(name)}</h3><div class="photos">{figures}</div>')
    note = (
        "<p>Photos rebuilt from the selected channels alone, the others at their mean, and how far "
        "that is from all channels (peak signal-to-noise ratio).</p>"
    )
    return note + "".join(rows)


def _classes(page: Page, place: int, selection: Selection) -> str:
    scores = selection.scores
    label, channel, difference = plots.greatest_difference(scores)
    by = f"by {signed(100 * difference, 1)} points: {channel_name(channel)} for {label}"
    if abs(difference) < _SAME:
        return (
            "<p>The gates do not tell the classes apart: no open share of a class differs from that of all "
            f"photos by as much as one point (most {escape(by)}).</p>"
        )
    shares = plots.class_shares(scores)
    names = list(next(iter(shares.values())))
    rows = [[name, *(f"{100 * means[part]:.1f}" for part in names)] for name, means in shares.items()]
    shown = table("Open share by component, %", ["class", *names], rows)
    maps = page.picture(
        plots.class_maps(f"{place}-{_slug(selection.name)}-classes", scores),
        "Orange: open more often for photos of the class than for all; blue: less often. "
        "u downwards and v to the right, as above.",
    )
    found = f"<p>The open share differs most from that of all photos {escape(by)}.</p>"
    return found + maps + (shown if len(rows) <= _ENDS else details("The numbers", shown))


def _grid_table(scores: ChannelScores, component: int) -> str:
    grid = scores.grid()[component].tolist()
    rows = [
        [f"u = {u}", *("" if math.isnan(value) else format_score(value, scores) for value in row)]
        for u, row in enumerate(grid)
    ]
    head = ["", *(f"v = {v}" for v in range(BLOCK))]
    return table(f"{COMPONENTS[component]}: {scores.unit}", head, rows)


def _radius_table(scores: ChannelScores) -> str:
    rows = [
        [f"{radius}", *("" if math.isnan(value) else format_score(value, scores) for value in ring)]
        for radius, ring in scores.by_radius().items()
    ]
    return table(f"Mean {scores.unit}", ["radial frequency", *COMPONENTS, "all"], rows)


def _sentence(text: str) -> str:
    return escape(text[:1].upper() + text[1:]) + "."


def _png(pixels: torch.Tensor) -> bytes:
    """(3, H, W) from 0 to 1 as a PNG file."""
    file = io.BytesIO()
    values = (255 * pixels).round().byte().permute(1, 2, 0)  # (H, W, 3)
    Image.fromarray(values.numpy()).save(file, "PNG", optimize=True)
    return file.getvalue()


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "selection"
