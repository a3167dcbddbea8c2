"""The report: complete in itself, readable in light and dark, on phones and paper, by ear and by keyboard."""

import os
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from freqvision import ChannelSet
from freqvision.analysis.curves import CurvePoint, save_curve
from freqvision.analysis.report import Run, Selection, write_report
from freqvision.analysis.report.plots import (
    LESS,
    MORE,
    class_maps,
    difference_colours,
    heat_maps,
    radius_curves,
)
from freqvision.analysis.scores import ChannelScores, radial_frequency
from freqvision.cli.main import main

EVERY = ChannelSet.preset(192)
SVG = "{http://www.w3.org/2000/svg}"


def gate_scores():
    generator = torch.Generator().manual_seed(0)
    falling = (1 - radial_frequency() / 10).clamp(0, 1).expand(3, 8, 8).flatten()

    def shares():
        return tuple((falling * torch.rand(192, generator=generator)).tolist())

    classes = {name: shares() for name in ("cats & <dogs>", "boats")}
    return ChannelScores("gates", EVERY, shares(), None, "open share", classes, "share of 10 photos")


def loss_scores():
    generator = torch.Generator().manual_seed(1)
    changes = torch.randn(192, generator=generator) * 10 ** torch.empty(192).uniform_(
        -6, 0, generator=generator
    )
    return ChannelScores("sensitivity", EVERY, tuple(changes.tolist()), unit="rise of the loss")


@pytest.fixture(scope="module")
def selections(tmp_path_factory):
    """Folders as `freqvision select` writes them."""
    root = tmp_path_factory.mktemp("selections")
    for name, scores in (("gates", gate_scores()), ("sensitivity", loss_scores())):
        (root / name).mkdir()
        scores.save(root / name / "scores.json")
        scores.top(24).save(root / name / "channels.json")
        points = [
            CurvePoint(scores.method, count, 784 * count, count / 300, 0.5, 10) for count in (6, 24, 192)
        ]
        save_curve(points, root / name / "curve.csv")
    return root


@pytest.fixture(scope="module")
def report(selections, photos, tmp_path_factory):
    runs = [Run("static-seed0", 24, 75264, 0.8, 0.82, 5), Run("static-seed1", 24, 75264, 0.9, 0.9, 5)]
    runs += [Run("gated", 192, 602112, 0.88, 0.89, 5, 0.2), Run("rgb", 0, 150528, 0.93, 0.93, 5)]
    return write_report(
        [Selection.load(selections / "gates"), Selection.load(selections / "sensitivity")],
        tmp_path_factory.mktemp("report"),
        runs=runs,
        photos=sorted((photos / "validation").glob("*/*.jpg"))[:2],
        size=64,
    )


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.stack = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "source", "meta", "link"):
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def test_page_is_complete_in_itself(report):
    text = report.read_text(encoding="utf-8")
    page = Page(text)
    assert page.stack == []
    assert not re.search(r"https?://|@import|url\((?!#)", text)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert all(len(image["alt"]) > 10 for image in page.all("img"))
    assert all(len(chart["aria-label"]) > 10 for chart in page.all("svg"))
    assert not page.all("script")
    anchors = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(anchors)
    assert "cats &amp; &lt;dogs&gt;" in text


def test_pictures_lie_beside_it(report):
    page = Page(report.read_text(encoding="utf-8"))
    photos, charts = (sorted(report.parent.glob(f"*.{kind}")) for kind in ("png", "svg"))
    assert len(photos) == len(page.all("img"))
    assert len(charts) == len(page.all("svg")) == 2 + 2 + 1 + 1  # heat maps, by radius, accuracy, classes
    for path in photos:
        with Image.open(path) as image:
            image.load()
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 4  # not blank
    for path in charts:
        drawn = list(ElementTree.parse(path).getroot().iter())
        assert len({element.tag for element in drawn} & {f"{SVG}text", f"{SVG}path", f"{SVG}image"}) >= 2


def test_says_what_was_found(report):
    text = re.sub(r"<[^>]*>", "", report.read_text(encoding="utf-8"))
    assert "Low over high frequencies: holds" in text
    assert "Luma over chroma: does not hold" in text
    assert "static, mean of 2 runs: 85.0% (80.0%, 90.0%)" in text
    assert str(gate_scores().top(24)) in text


def test_classes_that_gates_do_not_tell_apart_are_said_to_be_so(tmp_path):
    scores = ChannelScores("gates", EVERY, (0.5,) * 192, None, "open share", {"cats": (0.504,) * 192})
    page = write_report([Selection("gates", scores)], tmp_path).read_text(encoding="utf-8")
    assert "do not tell the classes apart" in page
    assert "(most by +0.4 points: Y(0, 0) for cats)" in page
    assert not list(tmp_path.glob("*classes*"))


def test_differences_of_classes_are_drawn_as_far_as_they_reach():
    """Not on a scale to 1, where 20 points can hardly be seen; nor on white where the page is dark."""
    generator = torch.Generator().manual_seed(2)
    signs = torch.randint(-1, 2, (192,), generator=generator)
    far, near = (
        difference_colours(
            ChannelScores("gates", EVERY, (0.5,) * 192, unit="open share", classes={"a": shares}), "a"
        )
        for shares in (tuple((0.5 + reach * signs).tolist()) for reach in (0.4, 0.2))
    )
    torch.testing.assert_close(far, near)
    for sign, colour in ((-1, LESS), (1, MORE)):
        shown = near.reshape(192, 4)[signs == sign]
        wanted = torch.tensor([*bytes.fromhex(colour[1:]), 255]).double() / 255
        torch.testing.assert_close(shown, wanted.expand_as(shown))
    assert not near.reshape(192, 4)[signs == 0, 3].any()  # transparent: the page shows through


def test_same_numbers_same_page(selections, tmp_path):
    chosen = [Selection.load(selections / "gates")]
    chosen = [replace(chosen[0], scores=replace(chosen[0].scores, classes={}))]  # which takes half the time
    first, second = (write_report(chosen, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second


@pytest.mark.parametrize(
    ("channels", "value"),
    [("all", 0.0), ("all", -1e-9), ("Y0", 3.0), ("Y0-20+Cr5", 1e9), ("Cb63", 1e-30)],
)
def test_figures_of_any_scores(channels, value):
    chosen = ChannelSet.parse(channels)
    scores = ChannelScores("any", chosen, (value,) * len(chosen), classes={"5$ and $": (0.5,) * len(chosen)})
    for picture in (heat_maps("map", scores), radius_curves("radius", scores), class_maps("classes", scores)):
        assert ElementTree.fromstring(picture.data).tag == f"{SVG}svg"
        assert "currentColor" in picture.data  # light on dark pages, dark on light ones


def test_command_writes_it(selections, tmp_path, capsys):
    output = tmp_path / "report"
    assert main(["report", str(selections / "gates"), "--output", str(output), "--title", "A & B"]) == 0
    assert str(output / "index.html") in capsys.readouterr().out
    assert "<h1>A &amp; B</h1>" in (output / "index.html").read_text(encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 1
    assert "no scores.json" in capsys.readouterr().err


def test_reads_runs(trained_run):
    run = Run.load(trained_run)
    assert (run.name, run.channels, run.bytes, run.epochs) == ("first", 24, 24 * 8 * 8, 2)
    assert 0 <= run.accuracy <= run.best <= 1
    assert run.open_share is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.yaml", "[1]"),
        ("config.yaml", "{a: [}"),
        ("config.yaml", "trainer: {max_epochs: many}"),
        ("metrics.csv", "val/top1\n1\n"),
        ("metrics.csv", "epoch,val/top1\n1," + "9" * 200_000),
    ],
)
def test_damaged_runs_are_refused(name, text, trained_run, tmp_path):
    damaged = shutil.copytree(trained_run, tmp_path / "damaged")
    (damaged / name).write_text(text)
    with pytest.raises(ValueError, match="damaged holds metrics or settings that are damaged"):
        Run.load(damaged)


def test_unfinished_runs_are_refused(trained_run, tmp_path):
    """They would stand next to others as if they had been trained as long."""
    failed, short = tmp_path / "failed", tmp_path / "short"
    failed.mkdir()
    with pytest.raises(FileNotFoundError, match="failed before its first epoch"):
        Run.load(failed)
    shutil.copytree(trained_run, short)
    lines = (short / "metrics.csv").read_text().splitlines(keepends=True)
    (short / "metrics.csv").write_text("".join(lines[:2]))
    with pytest.raises(ValueError, match="stopped after 1 of 2 epochs: finish it with freqvision fit"):
        Run.load(short)


def test_no_conclusions_from_a_model_that_guesses(tmp_path):
    scores = replace(gate_scores(), doubts=("the model guesses",))
    page = write_report([Selection("gates", scores)], tmp_path).read_text(encoding="utf-8")
    assert "Nothing follows from these scores:</strong> the model guesses." in page
    assert 'class="verdict' not in page


def test_nothing_to_report(tmp_path):
    with pytest.raises(ValueError, match="one or more selections"):
        write_report([], tmp_path)


CONTRAST = """(() => {
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map(c => c / 255)
      .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (!colour.endsWith(', 0)')) return colour;
    }
  };
  const kinds = 'h1,h2,p,li,a,td,th,caption,figcaption,summary,span,code';
  const ratios = [...document.querySelectorAll(kinds)].map(e => {
    const [a, b] = [luminance(getComputedStyle(e).color), luminance(behind(e))].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
  return Math.min(...ratios);
})()"""


class Shown:
    """The report in a window of the browser, with what it asked for and complained of."""

    def __init__(self, browser, report, **options):
        self.requests, self.problems = [], []
        self.page = browser.new_page(**{"viewport": {"width": 1100, "height": 900}, **options})
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.problems.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self._note(message))
        self.page.goto(report.resolve().as_uri())
        self.evaluate, self.press = self.page.evaluate, self.page.keyboard.press

    def _note(self, message):
        if message.type == "error":
            self.problems.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.page.close()

    def ink(self):
        """Colours of the charts' axes and labels."""
        texts = "[...document.querySelectorAll('figure svg g[id*=xtick] text')]"
        return set(self.evaluate(f"{texts}.map(e => getComputedStyle(e).fill)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shows_in_a_browser(chromium, report, scheme):
    with Shown(chromium, report, color_scheme=scheme) as shown:
        assert shown.problems == []
        fetched = [url for url in shown.requests if not url.startswith("data:")]
        assert fetched == [report.resolve().as_uri()]
        assert shown.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert shown.evaluate("document.querySelectorAll('figure svg').length") == 6
        assert shown.ink() == {"rgb(228, 230, 234)" if scheme == "dark" else "rgb(28, 30, 33)"}
        assert shown.evaluate(CONTRAST) >= 4.5  # WCAG 2.2, AA
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")  # no scrolling sideways
        background = shown.evaluate("getComputedStyle(document.body).backgroundColor")
        red, _, _ = map(int, re.findall(r"\d+", background))
        assert (red < 128) == (scheme == "dark")
        if folder := os.environ.get("FREQVISION_SCREENSHOTS"):  # to look at them
            shown.page.screenshot(path=f"{folder}/report-{scheme}.png", full_page=True)


def test_paper_is_white(chromium, report):
    """Also for those whose screen is dark."""
    with Shown(chromium, report, color_scheme="dark") as shown:
        shown.page.emulate_media(media="print", color_scheme="dark")
        assert shown.ink() == {"rgb(28, 30, 33)"}
        assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(28, 30, 33)"
        assert not shown.evaluate("document.querySelector('nav').checkVisibility()")


def test_fits_a_phone(chromium, report):
    """Nothing is cut off: what is wider than the screen, charts and tables, scrolls by itself."""
    phone = {"viewport": {"width": 375, "height": 800}, "is_mobile": True}
    with Shown(chromium, report, **phone) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth <= 375")
        outside = "e.getBoundingClientRect().right > innerWidth && !e.closest('.scroll')"
        assert shown.evaluate(f"[...document.querySelectorAll('main *')].filter(e => {outside}).length") == 0
        chart = "document.querySelector('figure svg')"
        width = shown.evaluate(f"{chart}.getBoundingClientRect().width")
        assert width > 700  # a heat map, whose numbers are to be read
        assert shown.evaluate(f"getComputedStyle({chart}.parentElement).overflowX") == "auto"
        if folder := os.environ.get("FREQVISION_SCREENSHOTS"):
            shown.page.screenshot(path=f"{folder}/report-phone.png", full_page=True)


def test_works_by_keyboard(chromium, report):
    with Shown(chromium, report) as shown:
        shown.press("Tab")
        assert shown.evaluate("document.activeElement.className") == "skip"
        assert shown.evaluate("document.activeElement.getBoundingClientRect().left >= 0")  # seen when focused
        shown.press("Enter")
        assert shown.evaluate("document.activeElement.id") == "main"
        for _ in range(50):
            shown.press("Tab")
            if shown.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        outline = shown.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        opened = "document.activeElement.parentElement.open"
        assert not shown.evaluate(opened)
        shown.press("Enter")
        assert shown.evaluate(opened)
        shown.press("Tab")
        assert shown.evaluate("document.activeElement.className") == "scroll"  # a wide table scrolls by keys
    with Shown(chromium, report) as shown:
        shown.press("Tab")
        shown.press("Tab")
        assert shown.evaluate("document.activeElement.hash") == "#summary"
        shown.press("Enter")
        assert shown.evaluate("location.hash") == "#summary"
