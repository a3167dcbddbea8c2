import io
import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from throughput import sweeps
from throughput.charts import bar_chart, line_charts, markdown_table, save_charts, text_table
from throughput.libjpeg import load as load_libjpeg
from throughput.libjpeg import planes
from throughput.memory import peak_memory
from throughput.photos import Photos, mosaics
from throughput.pipelines import FREQVISION, LOADER, choose, frequency_spec, pipelines
from throughput.run import LARGEST_BATCH, Settings, even_batch, run, task_name
from torch.nn import functional as F

from freqvision.inputs.encoding import decode
from freqvision.inputs.spec import IMAGENET_MEAN, IMAGENET_STD
from freqvision.jpeg import read_coefficients

PIL = "torchvision PIL RGB-224"
SIMPLEJPEG = "simplejpeg + OpenCV RGB-224"
SIZES = ((500, 375), (300, 400), (447, 333))  # (width, height)


def photo(size: tuple[int, int], seed: int, mode: str = "RGB", **options) -> bytes:
    """A smooth random picture as a JPEG file."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (9, 12, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).convert(mode).save(
        file, "JPEG", quality=92, **options
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Photos:
    contents = [photo(size, seed) for seed, size in enumerate(SIZES)]
    return Photos.write([*contents, photo(SIZES[0], 7, "L")], tmp_path_factory.mktemp("photos") / "all")


@given(st.integers(1, 5000), st.integers(1, 64))
def test_even_batches_keep_all_workers_busy(photos, threads):
    batch = even_batch(photos, threads)
    assert 1 <= batch <= LARGEST_BATCH
    if photos >= threads * LARGEST_BATCH:
        number = -(-photos // batch)
        rounds = -(-number // threads)
        assert number > (rounds - 1) * threads  # no round of workers is wholly idle
        assert (
            rounds * threads * batch < photos + threads * rounds
        )  # nor is more than a photo a batch missing


def read_all(name: str, photos: Photos, threads: int = 1, batch: int = 3) -> torch.Tensor:
    results = []
    for result in pipelines()[name].open(photos, threads, batch)():
        images = result[0] if isinstance(result, (tuple, list)) else result
        if images is not None:
            results.append(images.clone())
    return torch.cat(results) if results else torch.empty(0)


def luma_grid(name: str, images: torch.Tensor) -> torch.Tensor:
    """What a pipeline saw: mean luma of 56×56 squares, (B, 56, 56)."""
    pipeline = pipelines()[name]
    if pipeline.shape[1] == 56:
        spec = frequency_spec(pipeline.shape[0], pipeline.dtype)
        return decode(images, spec)[:, 0] / 8 + 128
    if pipeline.dtype == "uint8":
        pixels = images.float()
    else:
        mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        pixels = 255 * (images * std + mean)
    luma = (pixels * torch.tensor([0.299, 0.587, 0.114]).reshape(3, 1, 1)).sum(1, keepdim=True)
    return F.avg_pool2d(luma, pipeline.shape[1] // 56)[:, 0]


@pytest.mark.parametrize("name", pipelines())
def test_each_pipeline_reads_the_same_photos_into_its_shape(name, photos):
    pipeline = pipelines()[name]
    reason = pipeline.missing()
    if reason is not None:
        pytest.skip(reason)
    images = read_all(name, photos)
    if pipeline.shape is None:
        assert images.numel() == 0
        return
    assert images.shape == (len(photos), *pipeline.shape)
    assert images.dtype == getattr(torch, pipeline.dtype)
    assert pipeline.bytes_to_device == images[0].numel() * images.element_size()

    if pipeline.own_view:
        return
    # Resize filters differ by design (OpenCV's and DALI's are not torchvision's): a few levels of 256.
    expected = luma_grid(PIL, read_all(PIL, photos))
    seen = luma_grid(name, images)
    assert (seen - expected).abs().mean() < 2.0
    for mine, theirs, other in zip(seen, expected, expected.roll(1, 0), strict=True):
        assert np.corrcoef(mine.flatten(), theirs.flatten())[0, 1] > 0.99
        assert np.corrcoef(mine.flatten(), other.flatten())[0, 1] < 0.9


@pytest.mark.parametrize("name", [FREQVISION, LOADER, PIL, "libjpeg-turbo, coefficients only"])
def test_more_threads_give_the_same(name, photos):
    if (reason := pipelines()[name].missing()) is not None:
        pytest.skip(reason)
    torch.testing.assert_close(
        read_all(name, photos, threads=2, batch=2), read_all(name, photos), rtol=0, atol=0
    )


def test_libjpeg_rival_reads_what_the_reader_reads(photos):
    try:
        load_libjpeg()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))
    content = photos.contents[0]
    expected = read_coefficients(content)
    for component, (plane, table) in enumerate(zip(expected.planes, expected.quant_tables, strict=True)):
        (read,) = planes(content, range(component, component + 1), plane.shape[:2])
        np.testing.assert_array_equal(read.reshape(plane.shape), plane * table)
    with pytest.raises(ValueError, match="damaged"):
        planes(content[:100], range(1), (1, 1))


def test_a_missing_rival_is_skipped_and_named(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)  # as if it were not installed
    assert "pip install simplejpeg" in pipelines()[SIMPLEJPEG].missing()
    settings = Settings(photos=2, rounds=1, threads=1, pipelines=(SIMPLEJPEG,), sweeps=False, memory=False)
    benchmark = run(photos.root, settings)
    assert list(benchmark.missing) == [SIMPLEJPEG]
    assert [row.pipeline.name for row in benchmark.rows] == [FREQVISION]  # the reference is always there
    assert "pip install simplejpeg" in text_table(benchmark)


def test_without_a_compiler_libjpeg_is_missing(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    load_libjpeg.cache_clear()
    try:
        assert "libjpeg62-turbo-dev" in pipelines()["libjpeg-turbo, RGB only"].missing()
        assert pipelines()["released pipeline DCT-24@448"].missing() is not None
    finally:
        load_libjpeg.cache_clear()


def test_a_whole_run(photos, monkeypatch, tmp_path):
    monkeypatch.setattr(sweeps, "SIDES", (256, 512))
    monkeypatch.setattr(sweeps, "QUALITIES", (50, 95))
    monkeypatch.setattr(sweeps, "PRESET_SIZES", (6, 24))
    monkeypatch.setattr(sweeps, "_RIVALS", (FREQVISION, PIL))
    monkeypatch.setattr(sweeps, "_PHOTOS", 2)
    before = torch.get_num_threads()
    settings = Settings(photos=3, rounds=2, threads=2, pipelines=("*DCT-24@448", PIL), memory=False)
    benchmark = run(photos.root, settings)
    assert torch.get_num_threads() == before

    names = {row.pipeline.name for row in benchmark.rows}
    assert {FREQVISION, PIL} <= names
    assert all(row.ms.median > 0 for row in benchmark.rows)
    references = [row for row in benchmark.rows if row.pipeline.name == FREQVISION]
    assert [(row.threads, row.ratio.median) for row in references] == [(1, 1.0), (2, 1.0)]

    path = tmp_path / "all.json"
    benchmark.save(path)
    values = json.loads(path.read_text())
    assert values["machine"]["cpu"]
    assert torch.__version__.startswith(values["machine"]["versions"]["torch"])
    assert values["photos"]["photos"] == 3
    assert len(values["rounds_ms_per_photo"][task_name(PIL, 2)]) == 2
    assert [sweep["x"] for sweep in values["sweeps"]] == [[256, 512], [50, 95], [6, 24], [1, 2]]
    assert set(values["sweeps"][0]["ms"]) == {FREQVISION, PIL}

    assert PIL in text_table(benchmark)
    assert "2 threads" in text_table(benchmark)
    rows = [line for line in markdown_table(benchmark).splitlines() if line.startswith("|")]
    assert len(rows) == 2 * (2 + len(names))
    charts = save_charts(benchmark, tmp_path / "chart")
    assert [Image.open(chart).format for chart in charts] == ["PNG", "PNG"]
    assert len(bar_chart(benchmark).axes) == 3
    assert [panel.get_visible() for panel in line_charts(benchmark.sweeps).axes] == [True] * 4
    shown = [panel.get_visible() for panel in line_charts(benchmark.sweeps[:3]).axes]
    assert shown == [True, True, True, False]


def test_peak_memory_counts_the_batch(photos):
    peak = peak_memory("freqvision DCT-192@448", photos, batch=4)
    if peak is None:
        pytest.skip("this system does not tell")
    assert peak > 3 * pipelines()["freqvision DCT-192@448"].bytes_to_device / 1e6


def test_choose_takes_patterns_and_lists_all_when_none_fits():
    assert [pipeline.name for pipeline in choose(["*pil rgb-224"])] == [PIL]
    assert FREQVISION in {pipeline.name for pipeline in choose()}
    with pytest.raises(ValueError, match=r"'cuda'; there are: freqvision DCT-24@448"):
        choose(["cuda"])
    with pytest.raises(ValueError, match="rounds is a number of 1 or more"):
        Settings(rounds=0)


@pytest.mark.parametrize("side", [100, 256, 600])
def test_mosaics_have_the_size_asked_for(photos, side):
    made = mosaics(photos.contents, side, 2)
    assert [read_coefficients(content).size for content in made] == [(side, side)] * 2
    assert made[0] != made[1]
