"""Writes the report: fills report.html with what was found, and saves the pictures next to it."""

import base64
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from freqvision.analysis import figures
from freqvision.analysis.curves import CurvePoint
from freqvision.analysis.report import plots
from freqvision.analysis.report.findings import findings, format_score, greatest_difference, signed
from freqvision.analysis.report.load import Run, Selection
from freqvision.analysis.scores import ChannelScores, channel_name
from freqvision.inputs import Decoder, FrequencySpec
from freqvision.runtime import naming_extras, replacing, write_text
from freqvision.spectrum.channels import BLOCK, COMPONENTS, NUM_CHANNELS, ChannelSet

ENDS = 12  # channels listed at either end of a ranking

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # caption, head, rows


def write_report(
    selections: Sequence[Selection],
    output: str | Path,
    *,
    runs: Sequence[Run] = (),
    photos: Sequence[str | Path] = (),
    size: int = 224,
    title: str = "Which frequencies does the network need?",
) -> Path:
    """Write index.html, which holds all that it shows, and its pictures as files next to it.

    Args:
        selections: What to report, in this order.
        output: Folder; made if missing.
        runs: Trainings to compare.
        photos: Files to show next to what the selected channels keep of them.
        size: Side in pixels at which photos are shown, a multiple of 8.
        title: Of the page.

    Returns:
        The path of index.html.

    Raises:
        ValueError: There is nothing to report, or two selections have the same name.
        ModuleNotFoundError: matplotlib or jinja2 is missing; the message says how to get it.
    """
    with naming_extras():
        from jinja2 import Environment, FileSystemLoader
        from markupsafe import Markup
    names = [selection.name for selection in selections]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"a report is of one or more selections with different names; got {names}")
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    points = [point for one in selections for point in one.curve if not math.isnan(point.accuracy)]
    chosen = {one.name: one.channels for one in selections if one.channels is not None}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["sentence"] = lambda text: f"{text[:1].upper()}{text[1:]}."

    def picture(shown: plots.Picture, caption: str = "") -> Markup:
        """Save a picture to a file, and give the HTML that shows it without that file."""
        path = folder / shown.name
        if isinstance(shown.data, str):
            write_text(path.with_suffix(".svg"), shown.data)
            image = Markup(_inline(shown.data)).format(shown.alt)
        else:
            with replacing(path.with_suffix(".png")) as draft:
                draft.write_bytes(shown.data)
            image = Markup('<img src="data:image/png;base64,{}" alt="{}">').format(
                base64.b64encode(shown.data).decode(), shown.alt
            )
        below = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
        return Markup('<figure><div class="scroll">{}</div>{}</figure>').format(image, below)

    page = environment.get_template("report.html").render(
        title=title,
        selections=selections,
        runs=runs,
        groups={run.group: [other.accuracy for other in runs if other.group == run.group] for run in runs},
        points=points,
        trained=[CurvePoint(r.group, r.channels, r.bytes, r.accuracy, math.nan, 0) for r in runs],
        photos=_rebuilt(photos, chosen, size) if photos and chosen else [],
        picture=picture,
        components=COMPONENTS,
        **{name: getattr(plots, name) for name in ("heat_maps", "radius_curves", "accuracy_curves")},
        class_maps=plots.class_maps,
        full_difference=plots.full_difference,
        **{one.__name__: one for one in (findings, greatest_difference, signed, channel_name, plots.slug)},
        **{one.__name__: one for one in (grids, rings, ends, point_table, run_table, shares)},
    )
    path = folder / "index.html"
    write_text(path, page)
    return path


def grids(scores: ChannelScores) -> Iterator[Table]:
    """All scores, a table for each component."""
    head = ["", *(f"v = {v}" for v in range(BLOCK))]
    for component, grid in zip(COMPONENTS, scores.grid().tolist(), strict=True):
        rows = [[f"u = {u}", *_cells(row, scores)] for u, row in enumerate(grid)]
        yield f"{component}: {scores.unit}", head, rows


def rings(scores: ChannelScores) -> Table:
    """Means by radial frequency."""
    rows = [[f"{radius}", *_cells(ring, scores)] for radius, ring in scores.by_radius().items()]
    return f"Mean {scores.unit}", ["radial frequency", *COMPONENTS, "all"], rows


def ends(scores: ChannelScores) -> list[tuple[str, list[str]]]:
    """The channels that matter most and least, each with its score."""
    values = dict(zip(scores.channels, scores.scores, strict=True))
    named = [f"{channel_name(c)} {format_score(values[c], scores)}" for c in scores.ranking()]
    return [("Most useful", named[:ENDS]), ("Least useful", named[::-1][:ENDS])]


def point_table(points: Sequence[CurvePoint]) -> Table:
    """Accuracy with some of the channels, without training."""
    head = ["ranked by", "channels", "bytes in int8", "accuracy", "answers as with all", "photos"]
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
    return "Without training", head, rows


def run_table(runs: Sequence[Run]) -> Table:
    """What was trained."""
    head = ["run", "channels", "bytes in int8", "gates open", "last epoch", "best epoch", "epochs"]
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
    return "Trained: validation accuracy", head, rows


def shares(scores: ChannelScores) -> Table:
    """Open share of each class by component."""
    means = {
        name: ChannelScores(scores.method, scores.channels, values).by_component()
        for name, values in scores.classes.items()
    }
    rows = [[name, *(f"{100 * mean:.1f}" for mean in of.values())] for name, of in means.items()]
    return "Open share by component, %", ["class", *next(iter(means.values()))], rows


def _rebuilt(
    photos: Sequence[str | Path], chosen: dict[str, ChannelSet], size: int
) -> Iterator[tuple[str, list[tuple[plots.Picture, str]]]]:
    """Each photo's name, and pictures with captions: the photo, and what each selection keeps of it."""
    # Normalised, so that channels that are left out stand at their mean, as for a network.
    spec = FrequencySpec(size, size, ChannelSet.preset(NUM_CHANNELS))
    cubes = Decoder(spec)([str(photo) for photo in photos])
    for number, (photo, cube) in enumerate(zip(photos, cubes, strict=True)):
        whole, name, file = figures.reconstruct(cube, spec), Path(photo).name, f"photo-{number}"
        original = plots.Picture(file, f"{name}, the original", _png(whole))
        pictures = [(original, "original, all 192 channels")]
        for place, (selection, channels) in enumerate(chosen.items()):
            kept = figures.reconstruct(cube * channels.grid().reshape(-1, 1, 1), spec)  # (192, h, w)
            error = (kept - whole).square().mean().item()
            quality = "the same" if error == 0 else f"{-10 * math.log10(error):.1f} dB"
            caption = f"{len(channels)} by {selection}"
            alt = f"{name}, rebuilt from {caption}"
            shown = plots.Picture(f"{file}-{place}-{plots.slug(selection)}", alt, _png(kept))
            pictures.append((shown, f"{caption}, {quality}"))
        yield name, pictures


def _inline(svg: str) -> str:
    """SVG for the inside of a page: no namespaces, its size in CSS pixels, a place {} for its description."""
    size = r'width="([\d.]+)pt" height="([\d.]+)pt"'
    found = re.search(size, svg)
    assert found
    width, height = (round(float(side) * 96 / 72) for side in found.groups())
    # On a phone charts scroll sideways instead of shrinking: their numbers have to stay legible.
    least = f"min-width: {0.75 * width:.0f}px"
    new = f'role="img" aria-label="{{}}" width="{width}" height="{height}" style="{least}"'
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    return re.sub(size, lambda _: new, svg.replace("{", "{{").replace("}", "}}"), count=1)


def _cells(values: Iterable[float], scores: ChannelScores) -> list[str]:
    return ["" if math.isnan(value) else format_score(value, scores) for value in values]


def _png(pixels: torch.Tensor) -> bytes:
    """(3, H, W) from 0 to 1 as a PNG file."""
    file = io.BytesIO()
    figures.picture(pixels).save(file, "PNG", optimize=True)
    return file.getvalue()
