"""The report: complete in itself, readable in light and dark, on phones and paper, by ear and by keyboard."""

import io
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from browser import Browser, find_chromium
from PIL import Image

from freqvision import ChannelSet
from freqvision.analysis.curves import CurvePoint, save_curve
from freqvision.analysis.report.plots import DARK, LIGHT, class_maps, heat_maps, radius_curves
from freqvision.analysis.report.write import Run, Selection, write_report
from freqvision.analysis.scores import ChannelScores, radial_frequency
from freqvision.cli.main import main
from freqvision.cli.report import read_run

EVERY = ChannelSet.preset(192)


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
    assert not re.search(r"https?://|@import|url\(", text)
    assert all(image["src"].startswith("data:image/png;base64,") for image in page.all("img"))
    assert all(len(image["alt"]) > 10 for image in page.all("img"))
    assert not page.all("script")
    anchors = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(anchors)
    assert "cats &amp; &lt;dogs&gt;" in text


def test_pictures_lie_beside_it(report):
    files = sorted(report.parent.glob("*.png"))
    pictures = Page(report.read_text(encoding="utf-8")).all("img")
    themed = [path for path in files if path.stem.endswith("-dark")]
    assert len(files) == len(pictures)
    assert len(themed) == sum(picture.get("class") == "dark" for picture in pictures)
    assert len(themed) == 2 + 2 + 1 + 1  # heat maps, by radius, accuracy, classes
    for path in files:
        with Image.open(path) as image:
            image.load()
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 4  # not blank


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
        class_maps("x", ChannelScores("gates", EVERY, (0.5,) * 192, unit="open share", classes={"a": shares}))
        for shares in (tuple((0.5 + reach * signs).tolist()) for reach in (0.4, 0.2))
    )

    def colours(png):
        with Image.open(io.BytesIO(png)) as image:
            counts = image.convert("RGB").getcolors(1 << 24)
        return {colour for count, colour in counts if count > 500}

    assert colours(far.light) == colours(near.light)
    for theme, png in ((LIGHT, near.light), (DARK, near.dark)):
        wanted = {theme.background, *theme.lines[:2]}
        assert colours(png) >= {tuple(bytes.fromhex(colour[1:])) for colour in wanted}


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
        assert picture.light != picture.dark


def test_command_writes_it(selections, tmp_path, capsys):
    output = tmp_path / "report"
    assert main(["report", str(selections / "gates"), "--output", str(output), "--title", "A & B"]) == 0
    assert str(output / "index.html") in capsys.readouterr().out
    assert "<h1>A &amp; B</h1>" in (output / "index.html").read_text(encoding="utf-8")
    assert main(["report", str(tmp_path)]) == 1
    assert "no scores.json" in capsys.readouterr().err


def test_reads_runs(trained_run):
    run = read_run(trained_run)
    assert (run.name, run.channels, run.bytes, run.epochs) == ("first", 24, 24 * 8 * 8, 2)
    assert 0 <= run.accuracy <= run.best <= 1
    assert run.open_share is None


def test_nothing_to_report(tmp_path):
    with pytest.raises(ValueError, match="one or more selections"):
        write_report([], tmp_path)


@pytest.fixture(scope="module")
def browser():
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium to show the report in: install chromium to run this test")
    browser = Browser(path)
    try:
        browser.__enter__()
    except (ConnectionError, TimeoutError) as error:  # containers can forbid what it needs
        browser.__exit__()
        pytest.skip(f"{path} does not start here: {error}")
    yield browser
    browser.__exit__()


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


DARK_SCREEN = [{"name": "prefers-color-scheme", "value": "dark"}]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_shows_in_a_browser(browser, report, dark):
    browser.open(report, dark)
    assert browser.problems() == []
    assert browser.requests() == [report.resolve().as_uri()]
    assert browser.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert shown_themes(browser) == {"", "dark" if dark else "light"}
    assert browser.evaluate(CONTRAST) >= 4.5  # WCAG 2.2, AA
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")  # no scrolling sideways
    red, _, _ = map(
        int, re.findall(r"\d+", browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    )
    assert (red < 128) == dark
    if folder := os.environ.get("FREQVISION_SCREENSHOTS"):  # to look at them
        browser.screenshot(f"{folder}/report-{'dark' if dark else 'light'}.png")


def shown_themes(browser):
    """Classes of the images that can be seen: "light", "dark", and "" of photos."""
    visible = "[...document.images].filter(i => i.checkVisibility())"
    return set(browser.evaluate(f"{visible}.map(i => i.className)"))


def test_paper_is_white(browser, report):
    """Also for those whose screen is dark."""
    browser.open(report, dark=True)
    browser.send("Emulation.setEmulatedMedia", media="print", features=DARK_SCREEN)
    assert shown_themes(browser) == {"", "light"}
    assert browser.evaluate("getComputedStyle(document.body).color") == "rgb(28, 30, 33)"
    assert not browser.evaluate("document.querySelector('nav').checkVisibility()")
    browser.send("Emulation.setEmulatedMedia", media="")


def test_fits_a_phone(browser, report):
    """Nothing is cut off: what is wider than the screen, figures and tables, scrolls by itself."""
    phone = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.send("Emulation.setDeviceMetricsOverride", **phone)
    browser.open(report)
    assert browser.evaluate("document.documentElement.scrollWidth <= 360")
    outside = "e.getBoundingClientRect().right > innerWidth && !e.closest('.scroll')"
    assert browser.evaluate(f"[...document.querySelectorAll('main *')].filter(e => {outside}).length") == 0
    figure = "document.querySelector('img.light')"
    assert browser.evaluate(f"{figure}.width") > 700  # a heat map, whose numbers are to be read
    assert browser.evaluate(f"getComputedStyle({figure}.parentElement).overflowX") == "auto"
    browser.send("Emulation.clearDeviceMetricsOverride")


def test_works_by_keyboard(browser, report):
    browser.open(report)
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.className") == "skip"
    assert browser.evaluate("document.activeElement.getBoundingClientRect().left >= 0")  # seen when focused
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "main"
    for _ in range(50):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    outline = browser.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    opened = "document.activeElement.parentElement.open"
    assert not browser.evaluate(opened)
    browser.press("Enter")
    assert browser.evaluate(opened)
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.className") == "scroll"  # a wide table scrolls by keys
    browser.open(report)
    browser.press("Tab")
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.hash") == "#summary"
    browser.press("Enter")
    assert browser.evaluate("location.hash") == "#summary"
