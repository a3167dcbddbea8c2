"""Training, validation and measures read shards and tables as they read folders."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import torch
from conftest import fit_arguments

from freqvision import FrequencySpec
from freqvision.cli.main import main
from freqvision.data import EpochBatches, FrequencyFolder, PhotoLoader, PhotoShards, PhotoTable, RandomView
from freqvision.data.folder import list_classes, list_photos
from freqvision.data.shards import Shards, write_shard
from freqvision.data.sources import Files
from freqvision.detection import DetectionPhotos, RandomDetectionView, read_coco
from freqvision.detection.scenes import write_synthetic_scenes
from freqvision.detection.sidecars import read_annotated
from freqvision.models import load
from freqvision.training.coco import CocoPhotos
from freqvision.training.validate import validate

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture(scope="module")
def packed(photos, tmp_path_factory):
    """The tiny data set as shards, a folder for each part."""
    root = tmp_path_factory.mktemp("packed")
    classes = list_classes(photos / "train")
    for part in ("train", "validation"):
        files = zip(*list_photos(photos / part, classes), strict=True)
        samples = [
            (f"{place:03}", ".jpg", Path(path).read_bytes(), classes[label])
            for place, (path, label) in enumerate(files)
        ]
        write_shard(root / part / "0.tar", samples)
    return root


def test_training_on_shards_is_training_on_the_folder(photos, packed, trained_run, tmp_path, capsys):
    """The same weights to the last bit, and a config that repeats the run."""
    from freqvision.training.fit import fit

    arguments = fit_arguments(photos, tmp_path / "run")
    place = arguments.index("--data.root")
    arguments[place : place + 2] = [
        *("--data", "PhotoShards", "--data.root", str(packed), "--data.train", "train"),
        *("--data.validation", str(packed / "validation")),  # absolute: not below the root
    ]
    fit(arguments)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    ours, theirs = load(checkpoint), load(trained_run / "checkpoints" / "last.ckpt")
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))
    assert "class_path: freqvision.training.PhotoShards" in (tmp_path / "run" / "config.yaml").read_text()
    expected = validate(trained_run / "checkpoints" / "last.ckpt", progress=False)
    assert validate(checkpoint, progress=False) == pytest.approx(expected), "on what it was validated on"
    settings = ["--data", "PhotoShards", "--data.train", str(packed / "validation"), "--json"]
    capsys.readouterr()
    assert main(["validate", "--checkpoint", str(checkpoint), "--accelerator", "cpu", *settings]) == 0
    assert json.loads(capsys.readouterr().out) == pytest.approx(expected)


@pytest.fixture(scope="module")
def table(photos, tmp_path_factory):
    """The tiny data set as a table."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    classes = list_classes(photos / "train")
    features = datasets.Features({"img": datasets.Image(), "label": datasets.ClassLabel(names=classes)})
    parts = {}
    for part in ("train", "validation"):
        paths, labels = list_photos(photos / part, classes)
        contents = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
        parts[part] = datasets.Dataset.from_dict({"img": contents, "label": labels}, features)
    root = tmp_path_factory.mktemp("table")
    datasets.DatasetDict(parts).save_to_disk(root)
    return root


def test_training_takes_tables(photos, table, tmp_path):
    from freqvision.training.fit import fit

    arguments = fit_arguments(photos, tmp_path / "run")
    place = arguments.index("--data.root")
    arguments[place : place + 2] = ["--data", "PhotoTable", "--data.train", str(table)]
    cli = fit([*arguments, "--trainer.max_epochs", "1"])
    assert len(cli.datamodule.train_set) == 24
    assert len(cli.datamodule.validation_set) == 12


@pytest.mark.parametrize("kind", ["folder", "shards", "table", "detection"])
def test_a_loop_broken_off_after_any_batch_gets_the_views_that_were_left(kind, request, tmp_path):
    """From new objects, in the middle of an epoch; tests/stress/kills.py kills whole trainings."""
    spec, how = FrequencySpec(resize=72, crop=64), {"seed": 3, "num_threads": 1}
    if kind == "detection":
        coco = read_coco(write_synthetic_scenes(tmp_path, 12, size=(60, 80)), tmp_path / "images")
        spec = FrequencySpec(resize=64, crop=None)
    else:
        root = request.getfixturevalue({"folder": "photos", "shards": "packed"}.get(kind, kind))

    def loader(rank: int, world: int) -> PhotoLoader:
        if kind == "detection":
            paths, sizes = [image.path for image in coco.images], [image.size for image in coco.images]
            augment = RandomDetectionView(0.5, (), (0.8, 1.2), (48, 48))
            data = DetectionPhotos(Files(paths), coco.target, spec, sizes=sizes, augment=augment, **how)
        elif kind == "table":
            data = PhotoTable(root, spec, RandomView(), split="train", **how)
        else:
            data = {"folder": FrequencyFolder, "shards": PhotoShards}[kind](
                root / "train", spec, RandomView(), **how
            )
        batches = EpochBatches(len(data), 3, seed=3, drop_last=False, rank=rank, world_size=world)
        return PhotoLoader(data, batch_sampler=batches)

    for rank, world in ((0, 1), (1, 2)):
        whole = loader(rank, world)
        whole.set_epoch(1)
        expected = [list(images) for images, _ in whole]
        for stop in range(len(expected)):
            broken, resumed = loader(rank, world), loader(rank, world)
            broken.set_epoch(1)
            batches = iter(broken)
            for _ in range(stop):
                next(batches)
            resumed.load_state_dict(json.loads(json.dumps(broken.state_dict())))
            batches.close()
            left = [list(images) for images, _ in resumed]
            assert len(left) == len(expected) - stop
            assert all(
                torch.equal(image, other)
                for batch, others in zip(left, expected[stop:], strict=True)
                for image, other in zip(batch, others, strict=True)
            )


def test_statistics_of_shards_are_those_of_the_folder(photos, packed, tmp_path):
    written = []
    for name, place in (("folder", photos / "train"), ("shards", packed / "train")):
        output = str(tmp_path / f"{name}.json")
        assert main(["stats", str(place), "--resize", "72", "--crop", "64", "--output", output]) == 0
        written.append(json.loads(Path(output).read_text()))
    assert written[0] == written[1]


def test_a_mistake_names_what_there_is(packed, tmp_path, capsys):
    arguments = ["fit", "--model", "Detector", "--data", "PhotoShards", "--data.train", str(packed / "train")]
    assert main([*arguments, "--data.validation", str(packed / "validation"), "--output", str(tmp_path)]) == 1
    assert "--model Detector does not train on --data PhotoShards" in capsys.readouterr().err


def test_detection_from_shards_and_tables(tmp_path):
    """Annotations next to their photos are those of the file in COCO's format."""
    coco = json.loads(write_synthetic_scenes(tmp_path, 4).read_text())
    names = {entry["id"]: entry["name"] for entry in coco["categories"]}
    rows = []
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for image in coco["images"]:
            found = [entry for entry in coco["annotations"] if entry["image_id"] == image["id"]]
            objects = {
                "bbox": [entry["bbox"] for entry in found],
                "category": [names[entry["category_id"]] for entry in found],
            }
            contents = (tmp_path / "images" / image["file_name"]).read_bytes()
            rows.append({"image": contents, "objects": objects})
            for ending, text in ((".jpg", contents), (".json", json.dumps({"objects": objects}).encode())):
                member = tarfile.TarInfo(f"{image['id']:05}{ending}")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))
    sources = [Shards(str(tmp_path / "a.tar"))]
    try:
        import datasets

        from freqvision.data.table import Table

        sources.append(Table(datasets.Dataset.from_list(rows)))
    except ImportError:
        pass
    for photos in sources:
        read = read_annotated(photos)
        assert set(read.class_names[1:]) <= set(names.values())
        assert len(read.images) == len(coco["images"])
        for image, entry in zip(read.images, coco["images"], strict=True):
            assert image.size == (entry["height"], entry["width"])
            expected = [one for one in coco["annotations"] if one["image_id"] == entry["id"]]
            assert [read.class_names[one.label] for one in image.objects] == [
                names[one["category_id"]] for one in expected
            ]
            for one, other in zip(image.objects, expected, strict=True):
                x, y, width, height = other["bbox"]
                assert one.box == pytest.approx((x, y, x + width, y + height), abs=1e-3)
    settings = {"train_annotations": None, "validation_annotations": None}
    data = CocoPhotos(str(tmp_path), "a.tar", validation_photos="a.tar", **settings, resize=96, max_size=160)
    assert len(data.statistics_photos_of()) == len(coco["images"])
