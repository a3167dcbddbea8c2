"""A page of HTML that holds all that it shows, and opens offline, in light and in dark, by keyboard."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from freqvision.analysis.report.plots import DPI, Picture

# Nothing is fetched and nothing runs, whatever a name in it should say.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Page:
    """Collects sections, and saves pictures beside itself.

    Args:
        folder: Where index.html and the pictures go; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sections: list[tuple[str, str, str]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, anchor: str, heading: str, content: str) -> None:
        """Add a section of HTML, to which the navigation links."""
        self.sections.append((anchor, heading, content))

    def picture(self, picture: Picture, caption: str = "") -> str:
        """Save a picture and give the HTML that shows it, in itself complete.

        Both themes are there, and style sheets show one: a browser that prints would not choose again among
        the sources of a `picture` element, and print dark figures.
        """
        (self.folder / f"{picture.name}.png").write_bytes(picture.light)
        images = self._image(picture, picture.light, "light")
        if picture.dark is not None:
            (self.folder / f"{picture.name}-dark.png").write_bytes(picture.dark)
            images += self._image(picture, picture.dark, "dark")
        below = f"<figcaption>{caption}</figcaption>" if caption else ""
        return f'<figure><div class="scroll">{images}</div>{below}</figure>'

    @staticmethod
    def _image(picture: Picture, png: bytes, theme: str) -> str:
        width, height = struct.unpack(">II", png[16:24])  # of PNG's header
        more = ""
        if picture.dark is not None:
            width, height = (round(side * 96 / DPI) for side in (width, height))  # drawn for fine screens
            # On a phone photos shrink, but figures scroll sideways: their numbers are to stay legible.
            more = f' class="{theme}" style="min-width: {round(0.75 * width)}px"'
        alt = escape(picture.alt)
        return f'<img src="{_data(png)}" alt="{alt}" width="{width}" height="{height}"{more}>'

    def write(self, title: str, subtitle: str) -> Path:
        """Write index.html and return its path."""
        style = (resources.files("freqvision.analysis.report") / "report.css").read_text(encoding="utf-8")
        links = "".join(
            f'<li><a href="#{anchor}">{escape(heading)}</a></li>' for anchor, heading, _ in self.sections
        )
        sections = "".join(
            f'<section id="{anchor}" aria-labelledby="{anchor}-title" tabindex="-1">'
            f'<h2 id="{anchor}-title">{escape(heading)}</h2>{content}</section>\n'
            for anchor, heading, content in self.sections
        )
        page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">To the results</a>
<header>
<h1>{escape(title)}</h1>
<p class="faint">{escape(subtitle)}</p>
<nav aria-label="Sections"><ul>{links}</ul></nav>
</header>
<main id="main" tabindex="-1">
{sections}</main>
<footer><p>Written by <code>freqvision report</code>.</p></footer>
</body>
</html>
"""
        path = self.folder / "index.html"
        path.write_text(page, encoding="utf-8")
        return path


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls by itself where the screen is narrow, by keyboard too."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = ""
    for first, *others in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        body += f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def details(summary: str, content: str) -> str:
    """Content that shows when asked for."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
