"""`freqvision explore`: what it computes, and the page in a browser."""

import io
import os
import re
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from test_report import CONTRAST

import freqvision as fv
from freqvision.analysis.explore.photo import (
    EVERY,
    Reader,
    board,
    byte_counts,
    open_photo,
    rebuild,
    received,
)
from freqvision.cli import main as command_line
from freqvision.cli.explore import reader_of
from freqvision.detection.scenes import synthetic_scene

NAMES = ["a cat", "<b>dogs</b>", "a boat", "rain", "a tree", "a hat"]
KEPT = fv.ChannelSet.preset(24)


def scene(size=(150, 200), seed=0, **options):
    file = io.BytesIO()
    synthetic_scene(size, seed=seed)[0].save(file, "JPEG", quality=90, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def rgb(tiny):
    torch.manual_seed(0)
    model = fv.create_model(tiny, fv.PixelSpec(72, 64), num_classes=len(NAMES))
    model.class_names = NAMES
    return model.eval()


def probabilities(guesses):
    return torch.tensor([guess["probability"] for guess in sorted(guesses, key=lambda one: one["class"])])


def test_more_channels_rebuild_a_photo_better():
    photo = open_photo(scene(), fv.FrequencySpec(96, None))
    errors = []
    for size in (6, 24, 64, 192):
        rebuilt, psnr = rebuild(photo, received(photo, fv.ChannelSet.preset(size)))
        assert rebuilt.shape == photo.pixels.shape == (3, 96, 128)
        errors.append(psnr)
    assert errors == sorted(errors)
    assert errors[-1] > 35
    gray, _ = rebuild(photo, received(photo, fv.ChannelSet(())))
    assert (gray - 128 / 255).abs().max() < 1e-6


def test_bytes_are_those_that_are_sent():
    contents = scene()
    photo = open_photo(contents, fv.FrequencySpec(90, None))  # 90×120 pixels in 12×15 blocks
    counts = byte_counts(photo, KEPT)
    spec = fv.FrequencySpec(90, None, KEPT, dtype="int8")
    (sent,) = fv.Decoder(spec, num_threads=1).each([contents])
    assert counts["kept channels, int8"] == sent.nbytes == 24 * 12 * 15
    assert counts["kept channels, compressed"] == len(fv.pack([contents], spec, codec="zstd")[0])
    assert counts["RGB pixels"] == 3 * 90 * 120
    assert counts["the file"] == len(contents)
    assert byte_counts(photo, fv.ChannelSet(()))["kept channels, compressed"] == 0


def test_boards_show_where_a_channel_is_strong():
    """Vertical stripes on the left half: only horizontal frequencies of Y, and only there."""
    image = Image.new("L", (128, 64), 128)
    for x in range(0, 64, 4):
        image.paste(200, (x, 0, x + 2, 64))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    photo = open_photo(file.getvalue(), fv.FrequencySpec(64, None))
    assert photo.about == "128×64 pixels, gray"
    maps = torch.frombuffer(bytearray(board(photo, 0).tobytes()), dtype=torch.uint8)
    maps = maps.reshape(8, 8, 8, 16, 3)[..., 0].float()  # u, row, v, column
    strength = maps[:, :, 1:].amax((1, 3))  # (u, v)
    assert strength[0].max() == 255
    assert strength[1:].max() < 60
    strongest = maps[0, :, 1 + strength[0].argmax()]  # (row, column)
    assert strongest[:, :7].min() > 200 > 20 > strongest[:, 9:].max()


def test_all_channels_answer_as_pixels_do(rgb):
    reader, contents = Reader(rgb), scene(subsampling=0)
    assert list(reader.specs) == ["64×64", "128×128"]
    photo = open_photo(contents, reader.specs["64×64"])
    exact, pixels = reader.answers(photo, photo.cube), reader.rgb_answers(photo)
    assert [guess["class"] for guess in exact] == [guess["class"] for guess in pixels]
    assert torch.allclose(probabilities(exact), probabilities(pixels), atol=2e-3)


def test_kept_channels_answer_as_transport_of_them_does(rgb):
    contents, spec = scene(), fv.FrequencySpec.like(rgb.spec, channels=KEPT, dtype="int8")
    reader = Reader(rgb)
    photo = open_photo(contents, reader.specs["128×128"])
    transported = fv.Transport(rgb, spec)(fv.Decoder(spec, num_threads=1)([contents])).softmax(1)[0]
    expected = {NAMES[label]: share for label, share in enumerate(transported.tolist())}
    for guess in reader.answers(photo, received(photo, KEPT), KEPT):
        assert guess["probability"] == pytest.approx(expected[guess["class"]], abs=1e-4)


def test_a_model_of_channels_has_those_left_out_at_their_mean(tiny):
    torch.manual_seed(1)
    model = fv.create_model(tiny, fv.FrequencySpec(72, 64), num_classes=len(NAMES)).eval()
    reader, contents = Reader(model), scene()
    photo = open_photo(contents, *reader.specs.values())
    inputs = fv.Decoder(model.spec, num_threads=1)([contents])
    for kept in (EVERY, fv.ChannelSet.parse("Y0-3")):
        inputs[:, [index not in kept for index in model.spec.channels]] = 0
        shares = model(inputs).softmax(1)[0]
        for guess in reader.answers(photo, photo.cube, kept):  # named by their numbers
            assert guess["probability"] == pytest.approx(shares[int(guess["class"])].item(), abs=1e-5)
    assert reader.rgb_answers(photo) == []
    assert reader.needed(photo).channels == model.spec.channels


def test_bad_files_get_a_sentence():
    contents = scene()
    for bad in (b"", b"no photo", contents[: len(contents) // 2]):
        with pytest.raises(fv.JpegError, match=r"^This file cannot be shown: .*[^.]\.$"):
            open_photo(bad, fv.FrequencySpec(96, None))


def options(**given):
    names = ("checkpoint", "model", "weights")
    return SimpleNamespace(**{**dict.fromkeys(names), "strides": "standard", "fold": False, **given})


def test_command_finds_its_model(rgb, tiny, tmp_path):
    assert reader_of(options()) is None
    fv.save(rgb, tmp_path / "model")
    assert reader_of(options(checkpoint=tmp_path / "model")).names == NAMES
    weights = {"model": tiny, "weights": rgb.network.state_dict(), "num_classes": len(NAMES), "fold": True}
    folded = reader_of(options(**weights))
    photo = open_photo(scene((300, 400), subsampling=0), *folded.specs.values())
    assert len(folded.needed(photo).channels) == 192
    ours, pixels = folded.answers(photo, photo.cube), folded.rgb_answers(photo)
    assert ours[0]["class"] == pixels[0]["class"]
    with pytest.raises(ValueError, match="--fold folds the weights of a --model"):
        reader_of(options(checkpoint=tmp_path / "model", fold=True))


def test_without_gradio_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "freqvision.analysis.explore.page", raising=False)
    assert command_line.main(["explore"]) == 1
    assert "pip install 'freqvision[explore]'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def address(rgb):
    pytest.importorskip("gradio", reason="pip install 'freqvision[explore]' to test its page")
    from freqvision.analysis.explore.page import LAUNCH, page

    blocks = page(Reader(rgb))
    _, url, _ = blocks.launch(**LAUNCH, prevent_thread_lock=True)
    yield url
    blocks.close()


class Tab:
    """The page in a window of its own, with what it asked for and complained of."""

    def __init__(self, browser, address, **options):
        self.requests, self.problems = [], []
        self.page = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **options})
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(address)
        self.says("#pictures", "Rebuilt from 24 of 192")

    def says(self, place, text):
        self.page.locator(place).get_by_text(text).first.wait_for()

    def cell(self, index):
        return self.page.locator(f".cell[data-index='{index}']")

    def kept(self):
        return self.page.eval_on_selector_all(
            ".cell[aria-pressed=true]", "all => all.map(e => +e.dataset.index)"
        )

    def type(self, text):
        self.page.fill("#channels textarea, #channels input", text)
        self.page.press("#channels textarea, #channels input", "Enter")

    def upload(self, name, contents):
        remove = self.page.locator("#file [aria-label*=emove], #file [aria-label*=lear]")
        if remove.count():
            remove.first.click()
        self.page.set_input_files(
            "#file input[type=file]", {"name": name, "mimeType": "", "buffer": contents}
        )

    def picture(self, name):
        if folder := os.environ.get("FREQVISION_SCREENSHOTS"):  # to look at them
            self.page.screenshot(path=f"{folder}/explore-{name}.png", full_page=True)


def test_page_in_a_browser(chromium, address):
    one = Tab(chromium, address, color_scheme="dark")
    assert one.page.evaluate("document.querySelectorAll('.cell').length") == 192
    assert one.page.evaluate(CONTRAST) >= 4.5  # WCAG 2.2, AA
    other = Tab(chromium, address)  # a second tab, while the first one is used

    one.upload("scene.jpg", scene((120, 250), seed=5))
    one.says("#pictures", "250×120 pixels, 4:2:0")
    one.page.get_by_role("button", name="6", exact=True).click()
    one.says("#pictures", "Rebuilt from 6 of 192")
    assert one.kept() == [0, 1, 8, 9, 64, 128]
    one.says("#answers", "6 kept")
    one.says("#answers", "RGB pixels")
    assert "<b>dogs</b>" in one.page.inner_text("#answers")  # names are text, not markup

    one.cell(20).click()
    one.says("#pictures", "Rebuilt from 7 of 192")
    one.cell(48).hover()  # from here to there by mouse: a row of Y
    one.page.mouse.down()
    one.cell(55).hover()
    one.page.mouse.up()
    one.says("#pictures", "Rebuilt from 15 of 192")
    assert one.kept() == [0, 1, 8, 9, 20, *range(48, 56), 64, 128]

    one.cell(7).focus()  # by keyboard: to the next board, paint to the right, and switch one off
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Space"):
        one.page.keyboard.press(key)
    one.says("#pictures", "Rebuilt from 16 of 192")
    assert {64, 65}.issubset(one.kept())
    assert 73 not in one.kept()
    assert one.page.evaluate("document.activeElement.dataset.index") == "73"

    one.page.get_by_role("button", name="what the answer needs", exact=True).click()
    assert one.page.locator(".heat .cell").count() == 192
    one.page.get_by_role("button", name="needed most").click()
    one.says("#pictures", "Rebuilt from 16 of 192")
    one.page.locator(".grid").focus()
    before = one.page.inner_text("#block")
    one.page.keyboard.press("ArrowUp")
    one.page.wait_for_function(f"document.querySelector('#block').innerText !== {before!r}")
    one.picture("dark")

    one.page.get_by_label("64×64").click()
    one.says("#pictures", "8×8 blocks")
    one.type("Y0+Cb0")
    one.says("#pictures", "Rebuilt from 2 of 192")
    one.type("Y99")
    one.says("#message", "is no range of frequencies")
    one.upload("notes.txt", b"no photo")
    one.says("#message", "This file cannot be shown")
    one.says("#pictures", "Rebuilt from 2 of 192")  # what was there stays
    assert one.kept() == [0, 64]

    assert other.kept() == list(KEPT)  # each tab has its own photo and channels
    other.cell(63).click()
    other.says("#pictures", "Rebuilt from 25 of 192")
    assert "640×480" in other.page.inner_text("#pictures")
    other.picture("light")
    for tab in (one, other):
        assert tab.problems == []
        assert [url for url in tab.requests if not re.match(f"{address}|data:|blob:", url)] == []
        tab.page.close()


def test_page_on_a_phone(chromium, address):
    phone = Tab(chromium, address, viewport={"width": 375, "height": 800}, is_mobile=True, has_touch=True)
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 375
    phone.cell(30).tap()
    phone.says("#pictures", "Rebuilt from 25 of 192")
    phone.picture("phone")
    phone.page.close()


def test_space_makes_the_page(tmp_path, monkeypatch):
    gradio = pytest.importorskip("gradio", reason="pip install 'freqvision[explore]' to test its page")
    monkeypatch.syspath_prepend(os.path.join(os.path.dirname(__file__), "../../examples/space"))
    import app

    assert isinstance(app.demo, gradio.Blocks)
