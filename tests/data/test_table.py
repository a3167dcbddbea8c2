"""Photos in Hugging Face Datasets: the same batches as from a folder, wherever the table is."""

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoTable, RandomView
from freqvision.data.opening import open_sources
from freqvision.data.table import Table

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
SPEC = fv.FrequencySpec(resize=72, crop=64)


@pytest.fixture(scope="module")
def folder(photos):
    return FrequencyFolder(photos / "train", SPEC, RandomView(), seed=3, num_threads=1)


@pytest.fixture(scope="module")
def rows(folder):
    """The folder as a table: bytes, and the names of the classes."""
    photos = [{"bytes": Path(path).read_bytes(), "path": None} for path in folder.paths]
    names = datasets.ClassLabel(names=folder.classes)
    features = datasets.Features({"label": names, "image": datasets.Image()})
    return datasets.Dataset.from_dict({"image": photos, "label": folder.labels.tolist()}, features=features)


@pytest.fixture(scope="module")
def places(rows, tmp_path_factory):
    """The table in memory, on disk and as Parquet."""
    root = tmp_path_factory.mktemp("tables")
    rows.save_to_disk(root / "disk")
    datasets.DatasetDict(train=rows, validation=rows.select(range(0, 24, 4))).save_to_disk(root / "parts")
    rows.to_parquet(root / "parquet" / "0.parquet")
    return {"memory": rows, "disk": root / "disk", "parts": root / "parts", "parquet": root / "parquet"}


@pytest.mark.parametrize("kind", ["memory", "disk", "parts", "parquet"])
def test_a_table_holds_what_the_folder_holds(kind, places, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    split = "train" if kind == "parts" else None
    ours = PhotoTable(places[kind], SPEC, RandomView(), split=split, seed=3, num_threads=1)
    assert ours.classes == folder.classes
    assert torch.equal(ours.labels, folder.labels)
    images, labels = pickle.loads(pickle.dumps(ours)).__getitems__([20, 3, 9])
    expected, truth = folder.__getitems__([20, 3, 9])
    assert torch.equal(images, expected), "random views depend on seed, epoch and index only"
    assert torch.equal(labels, truth)


def test_tables_are_found_by_where_they_are(places):
    photos = open_sources(places["disk"], ["z", *sorted(set(places["memory"].features["label"].names))])
    assert photos.labels.min() == 1
    assert bytes(photos[2]) == bytes(Table(places["memory"])[2])


def test_columns_are_found_or_named(folder, tmp_path):
    contents = Path(folder.paths[0]).read_bytes()
    plain = datasets.Dataset.from_dict({"cls": ["b", None, "a"], "jpg": [contents] * 3})
    table = Table(plain)
    assert table.classes == ["a", "b"]
    assert table.labels.tolist() == [1, -1, 0]
    assert bytes(table[1]) == contents
    assert Table(plain, image="jpg", label="cls").labels.tolist() == [1, -1, 0]
    paths = datasets.Dataset.from_dict({"image": folder.paths[:2]}).cast_column("image", datasets.Image())
    assert Table(paths)[:] == folder.paths[:2]
    assert torch.equal(Table(plain.select([2, 0])).labels, torch.tensor([0, 1]))
    for options, message in (
        ({"image": "photo"}, "no column 'photo': there are cls, jpg"),
        ({"label": "jpg"}, "labels are whole numbers or text"),
    ):
        with pytest.raises(ValueError, match=message):
            Table(plain, **options)
    with pytest.raises(ValueError, match="no column of photos"):
        Table(plain.remove_columns("jpg"))
    with pytest.raises(FileNotFoundError, match="no table at"):
        Table(tmp_path)


def test_splits_are_named(places):
    assert len(Table(places["parts"], split="validation")) == 6
    with pytest.raises(ValueError, match="splits train, validation: name one"):
        Table(places["parts"])


def test_a_damaged_photo_is_named_and_can_be_skipped(folder):
    good = Path(folder.paths[0]).read_bytes()
    rows = datasets.Dataset.from_dict({"image": [good, good[:300]], "label": [0, 0]})
    with pytest.raises(fv.JpegError, match="the table, row 1: "):
        PhotoTable(rows, SPEC).__getitems__([0, 1])
    skipping = PhotoTable(rows, SPEC, damaged="skip")
    assert len(skipping.__getitems__([0, 1])[0]) == 1
    assert skipping.skipped()[0].startswith("the table, row 1: ")


def test_a_png_goes_through_pillow(tmp_path):
    Image.new("RGB", (80, 70), "teal").save(tmp_path / "a.png")
    rows = datasets.Dataset.from_dict({"image": [(tmp_path / "a.png").read_bytes()]})
    assert PhotoTable(rows, SPEC).__getitems__([0])[0].shape == (1, 24, 8, 8)
