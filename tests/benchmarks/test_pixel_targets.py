"""Parts of benchmarks/pixels.py, and the adapter for imread_benchmark."""

import importlib.util
import io
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pixels import TARGETS, with_orientation
from throughput.targets import Target, write_section

from freqvision.analysis.timing import Timings
from freqvision.jpeg import read_coefficients

ADAPTER = Path(__file__).parents[2] / "benchmarks" / "imread_benchmark" / "imread_benchmark_freqvision.py"


@pytest.fixture
def content():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((90, 67), Image.Resampling.BICUBIC).save(file, "JPEG", quality=92)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
def test_only_the_orientation_of_a_photo_is_changed(content, orientation):
    turned = with_orientation(content, orientation)
    assert Image.open(io.BytesIO(turned)).getexif()[0x0112] == orientation
    for mine, theirs in zip(read_coefficients(turned).planes, read_coefficients(content).planes, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_target_is_met_by_the_median_against_the_fastest_rival():
    timings = Timings(("ours", "a", "b"), np.array([[1.0, 4, 2], [1, 2, 8], [5, 4, 4]]))
    text, bound, measured, verdict = Target("ours / rivals", "ours", ("a", "b", "missing"), 0.5).line(timings)
    assert (text, bound, verdict) == ("ours / rivals", "≤ 0.5", "met")
    assert measured.startswith("0.50")
    assert Target("", "ours", "a", 0.4).line(timings)[-1] == "MISSED"
    assert Target("", "ours", "b", 0.4, at_most=False).line(timings)[-1] == "met"
    assert Target("", "ours", "missing", 1).line(timings)[2:] == ("not measured here", "–")
    assert len({target.text for target in TARGETS}) == len(TARGETS)


def test_a_section_replaces_what_stood_there(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n## Pixels\n\nold\n\n## Next\n\nstays\n")
    write_section(page, "Pixels", ["new", "| a |"])
    assert page.read_text() == "# Page\n\n## Pixels\n\nnew\n\n| a |\n\n## Next\n\nstays\n"
    with pytest.raises(SystemExit, match="no line '## Nowhere'"):
        write_section(page, "Nowhere", [])


def test_the_adapter_gives_what_the_benchmark_asks_for(content, tmp_path, monkeypatch):
    decoders = types.ModuleType("imread_benchmark.decoders")
    decoders.BaseDecoder = object
    monkeypatch.setitem(sys.modules, "imread_benchmark", types.ModuleType("imread_benchmark"))
    monkeypatch.setitem(sys.modules, "imread_benchmark.decoders", decoders)
    spec = importlib.util.spec_from_file_location("adapter", ADAPTER)
    adapter = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(adapter)
    decoder = adapter.FreqvisionDecoder()
    first = decoder.decode(content)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert (first.shape, first.dtype, first.flags.c_contiguous) == (expected.shape, np.uint8, True)
    assert np.sqrt(np.square(first.astype(float) - expected).mean()) < 1
    kept = first.copy()
    decoder.decode(with_orientation(content, 6))  # an array stays what it was
    np.testing.assert_array_equal(first, kept)
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    np.testing.assert_array_equal(decoder.decode_path(str(path)), kept)
