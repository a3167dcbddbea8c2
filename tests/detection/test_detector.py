"""Detectors: trained, validated, resumed, in two processes, and used; with photos and files of all kinds."""

import contextlib
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

import freqvision as fv
from freqvision.cli.main import main
from freqvision.data.check import PhotoCheck
from freqvision.detection import DetectorOptions, read_coco, write_synthetic_scenes
from freqvision.detection.average_precision import NAMES, average_precision, coco_results, encode_mask
from freqvision.detection.coco import draw_mask
from freqvision.detection.find_objects import find_objects
from freqvision.detection.scenes import synthetic_scene
from freqvision.models import load
from freqvision.models.predict import predict
from freqvision.runtime import read_table
from freqvision.training import CocoPhotos, Detector, Optimisation
from freqvision.training.fit import fit
from freqvision.training.validate import validate

MODEL = "maskrcnn_resnet18_fpn"
PROGRAM = Path(__file__).parents[1] / "training" / "tiny_program.py"
pytestmark = pytest.mark.usefixtures("small_resnets")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Six photos: one without objects, one with a crowd, two upright."""
    folder = tmp_path_factory.mktemp("scenes")
    write_synthetic_scenes(folder, photos=6, size=(60, 80))
    return folder


def fit_arguments(scenes, output, model=MODEL, epochs=2):
    return [
        *("--model", "Detector", "--model.name", model, "--model.detector.samples", "16"),
        *("--model.detector.detections", "10", "--model.detector.score_threshold", "0"),
        *("--model.optimisation.lr", "0.002", "--data", "CocoPhotos", "--data.root", str(scenes)),
        *("--data.train_photos", "images", "--data.train_annotations", "instances.json"),
        *("--data.validation_photos", "images", "--data.validation_annotations", "instances.json"),
        *("--data.resize", "64", "--data.max_size", "96", "--data.num_threads", "1"),
        *("--trainer.max_epochs", str(epochs), "--trainer.accelerator", "cpu"),
        *("--trainer.precision", "32-true", "--output", str(output)),
    ]


@pytest.fixture(scope="module")
def trained(scenes, small_resnets, tmp_path_factory):
    """The folder of a run by the command line's own arguments."""
    output = tmp_path_factory.mktemp("runs") / "first"
    fit(fit_arguments(scenes, output))
    return output


class TestARun:
    def test_it_learns_and_writes_average_precision(self, trained):
        for name in ("config.yaml", "statistics.json", "checkpoints/best.ckpt", "checkpoints/last.ckpt"):
            assert (trained / name).is_file(), name
        first, second = read_table(trained / "metrics.csv")
        assert float(second["train/loss"]) < float(first["train/loss"])
        for kind in ("box", "mask"):
            for name in NAMES:
                value = float(second[f"val/{kind}_{name}"])
                assert np.isnan(value) or 0 <= value <= 1

    def test_validate_measures_what_training_logged(self, trained, tmp_path, capsys):
        checkpoint = trained / "checkpoints" / "last.ckpt"
        metrics = validate(
            checkpoint, progress=False, accelerator="cpu", precision="32-true", results=tmp_path / "r.json"
        )
        assert metrics["photos"] == 6
        logged = read_table(trained / "metrics.csv")[-1]
        for name, value in metrics.items():
            if name != "photos":
                assert value == pytest.approx(float(logged[f"val/{name}"]), abs=2e-6, nan_ok=True)
        results = json.loads((tmp_path / "r.json").read_text())
        assert {result["image_id"] for result in results} <= set(range(1, 7))
        keys = {"image_id", "category_id", "bbox", "score", "segmentation"}
        assert all(set(result) == keys for result in results)
        arguments = ["validate", "--checkpoint", str(checkpoint), "--accelerator", "cpu"]
        assert main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()[-4:]
        assert [line.split()[0] for line in lines] == ["6", "AP", "box", "mask"]
        assert [line.split()[4:] for line in lines[2:]] == [["0.0%", "–", "–"]] * 2  # all objects are small

    def test_validate_prints_json_that_others_can_read(self, trained, capsys):
        checkpoint = trained / "checkpoints" / "last.ckpt"
        assert main(["validate", "--checkpoint", str(checkpoint), "--accelerator", "cpu", "--json"]) == 0
        metrics = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)
        assert metrics["photos"] == 6
        assert metrics["box_ap_large"] is None  # there are no such objects

    def test_other_photos_to_validate_on(self, trained, scenes, tmp_path):
        checkpoint = trained / "checkpoints" / "last.ckpt"
        with pytest.raises(ValueError, match="name both the folder"):
            validate(checkpoint, data=scenes / "images", progress=False)
        values = json.loads((scenes / "instances.json").read_text())
        values["categories"][1]["name"] = "crate"
        other = tmp_path / "other.json"
        other.write_text(json.dumps(values))
        with pytest.raises(ValueError, match=r"other\.json have different categories, such as 2 'box', 2"):
            validate(checkpoint, scenes / "images", annotations=other, progress=False)

    def test_predict_draws_and_writes_what_it_found(self, trained, scenes, tmp_path, capsys):
        checkpoint = trained / "checkpoints" / "last.ckpt"
        files = [str(scenes / "images" / f"00{number}.jpg") for number in (0, 1)]
        bad = tmp_path / "bad.jpg"
        bad.write_bytes(b"\xff\xd8\xff\xe0")
        arguments = ["predict", *files, str(bad), "--checkpoint", str(checkpoint), "--min_score", "0"]
        assert main([*arguments, "--output", str(tmp_path / "out"), "--device", "cpu"]) == 1
        captured = capsys.readouterr()
        assert "bad.jpg" in captured.err
        assert captured.out.startswith(files[0])
        results = json.loads((tmp_path / "out" / "predictions.json").read_text())
        assert "error" in results[2]
        model = load(checkpoint)
        names = model.class_names
        found_any = 0
        for file, result in zip(files, results, strict=False):
            with Image.open(file) as photo, Image.open(result["picture"]) as picture:
                assert photo.size == picture.size == tuple(result["size"][::-1])
                changed = np.abs(np.asarray(photo).astype(int) - np.asarray(picture)).max() > 60
                assert changed == bool(result["objects"])
                width, height = photo.size
            scores = [found["score"] for found in result["objects"]]
            assert scores == sorted(scores, reverse=True)
            for found in result["objects"]:
                x, y, w, h = found["bbox"]
                assert 0 <= x <= x + w <= width + 1e-3
                assert 0 <= y <= y + h <= height + 1e-3
                assert found["class"] == names[found["category_id"]]  # ids are labels here
                assert found["segmentation"]["size"] == [height, width]
            found_any += len(scores)
        assert found_any
        assert model.settings["name"] == MODEL

    def test_a_folder_of_save_is_used_like_the_checkpoint(self, trained, scenes, tmp_path):
        checkpoint = trained / "checkpoints" / "last.ckpt"
        model = load(checkpoint)
        names = model.class_names
        folder = fv.save(model, tmp_path / "named", names)
        card = (folder / "README.md").read_text()
        assert f"| classes | {len(names) - 1}: {', '.join(names[1:])} |" in card  # without the background
        photos = [scenes / "images" / f"00{number}.jpg" for number in (0, 1)]
        expected = find_objects(photos, checkpoint, min_score=0)
        assert find_objects(photos, folder, min_score=0) == expected  # ids are labels here
        assert any(result["objects"] for result in expected)
        data = {"data": scenes / "images", "annotations": scenes / "instances.json", "progress": False}
        assert validate(folder, **data) == pytest.approx(validate(checkpoint, **data), nan_ok=True)
        fv.save(model, folder, ["background", "box", "ball", "tent"])
        with pytest.raises(ValueError, match="the names and their order must be the same"):
            validate(folder, **data)
        with pytest.raises(ValueError, match="is a detector: find_objects takes it"):
            predict(photos, folder)
        boxes_alone = fv.create_detector("fasterrcnn_resnet18_fpn", model.spec, len(names))
        metrics = validate(fv.save(boxes_alone, tmp_path / "boxes", names), **data)
        assert "box_ap" in metrics
        assert "mask_ap" not in metrics

    def test_predict_leaves_unsure_objects_out(self, trained, scenes, tmp_path, capsys):
        arguments = ["predict", str(scenes / "images" / "001.jpg"), "--output", str(tmp_path)]
        checkpoint = ["--checkpoint", str(trained / "checkpoints" / "last.ckpt"), "--device", "cpu"]
        assert main([*arguments, *checkpoint, "--min_score", "1"]) == 0
        assert json.loads((tmp_path / "predictions.json").read_text())[0]["objects"] == []
        assert "nothing with a score of 100% or more; --min_score shows more" in capsys.readouterr().out


class StopBefore(Callback):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise KeyError("broken off")


def run(scenes, folder, *, stop=None, checkpoint=None, name="fcos_resnet18_fpn", epochs=2, **data):
    """Train in `folder`, perhaps broken off before an epoch, or going on from a checkpoint."""
    seed_everything(7)
    last = ModelCheckpoint(folder, filename="last", save_on_train_epoch_end=True)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        default_root_dir=folder,
        callbacks=[last] if stop is None else [last, StopBefore(stop)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    files = {"photos": "images", "annotations": "instances.json"}
    options = {f"{part}_{what}": path for part in ("train", "validation") for what, path in files.items()}
    options |= {"resize": 64, "max_size": 96, "num_threads": 1, **data}
    module = Detector(
        name,
        optimisation=Optimisation(lr=0.002, schedule="steps"),
        detector=DetectorOptions(samples=None if name.startswith(("fcos", "retina")) else 16, detections=10),
    )
    stopped = contextlib.nullcontext() if stop is None else pytest.raises(KeyError, match="broken off")
    with stopped:
        trainer.fit(module, datamodule=CocoPhotos(str(scenes), **options), ckpt_path=checkpoint)
    return module


def test_a_resumed_run_equals_an_unbroken_one(scenes, tmp_path):
    options = {"scale": (0.8, 1.2), "crop": (64, 64), "train_range": (0, 4), "validation_range": (0, 2)}
    unbroken = run(scenes, tmp_path / "a", **options)
    run(scenes, tmp_path / "b", stop=1, **options)
    resumed = run(scenes, tmp_path / "b", checkpoint=tmp_path / "b" / "last.ckpt", **options)
    expected = unbroken.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in resumed.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("retinanet_resnet18_fpn", {"dtype": "int8"}),
        ("fcos_resnet18_fpn", {"input": "rgb", "dtype": "uint8", "sizes": (56, 64), "batch_size": 4}),
    ],
)
def test_other_detectors_and_types_train(scenes, tmp_path, name, options):
    module = run(scenes, tmp_path, name=name, epochs=1, **options)
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert float(module.trainer.callback_metrics["train/loss"]) > 0
    assert "val/box_ap" in module.trainer.callback_metrics
    assert "val/mask_ap" not in module.trainer.callback_metrics


def test_two_processes_train_and_validate_together(scenes, tmp_path):
    """Each of the five photos to validate on counts once; Lightning warns of nothing."""
    arguments = [
        *fit_arguments(scenes, tmp_path / "run", "fasterrcnn_resnet18_fpn", epochs=1),
        *("--data.batch_size", "1", "--data.train_range", "[0,4]", "--data.validation_range", "[0,5]"),
        *("--trainer.devices", "2", "--trainer.strategy", "ddp"),
    ]
    done = subprocess.run(
        [sys.executable, PROGRAM, "fit", *arguments],
        check=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"},
        capture_output=True,
        text=True,
    )
    assert not re.search(r"(?i)warn|lightning|recommended", done.stderr), done.stderr
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 2
    (logged,) = read_table(tmp_path / "run" / "metrics.csv")
    metrics = validate(last, progress=False, accelerator="cpu", precision="32-true", batch_size=1)
    assert metrics["photos"] == 5
    for name in ("box_ap", "box_ap50", "box_ap_medium"):
        assert metrics[name] == pytest.approx(float(logged[f"val/{name}"]), abs=2e-6, nan_ok=True)


def jittered(coco, seed, masks=True):
    """The truth, moved, partly left out, with wrong classes and scores, as COCO's results."""
    rng = np.random.default_rng(seed)
    results = []
    for image in coco.images:
        height, width = image.size
        for found in image.objects:
            for _ in range(rng.integers(0, 3)):
                shift = rng.normal(0, 0.06, 4) * (found.box[2] - found.box[0])
                box = torch.tensor(np.array(found.box) + shift)[None].clamp(min=0)
                box = torch.maximum(box, torch.cat([box[:, :2] + 1, box[:, :2] + 1], 1))
                label = found.label if rng.random() < 0.9 else 1 + found.label % 3
                one = {"boxes": box, "labels": torch.tensor([label]), "scores": torch.tensor([rng.random()])}
                if masks:
                    mask = draw_mask(found.segmentation, (height, width)).astype(bool)
                    move = tuple(rng.integers(-3, 4, 2))
                    one["masks"] = torch.from_numpy(np.roll(mask, move, (0, 1)))[None]
                results += coco_results(one, image.id, coco.category_ids)
    return results


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_pycocotools(tmp_path, seed):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    path = write_synthetic_scenes(tmp_path, photos=16, size=(200, 260), seed=100 * seed)
    coco = read_coco(path, tmp_path / "images")
    results = jittered(coco, seed)
    shown = [image.id for image in coco.images[:13]]
    metrics = average_precision(coco, results, shown)
    assert len(metrics) == 12
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        for kind, ours in (("bbox", "box"), ("segm", "mask")):
            # Without what the other kind needs, since pycocotools takes areas from boxes where there are any.
            left_out = "bbox" if kind == "segm" else "segmentation"
            of_kind = [{k: v for k, v in result.items() if k != left_out} for result in results]
            evaluation = COCOeval(truth, truth.loadRes(copy.deepcopy(of_kind)), kind)
            evaluation.params.imgIds = shown
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert 0.1 < evaluation.stats[0] < 0.9  # neither nothing nor all is found
            for name, value in zip(NAMES, evaluation.stats[:6], strict=True):
                expected = float("nan") if value < 0 else value
                assert metrics[f"{ours}_{name}"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_the_truth_itself_has_average_precision_1(scenes):
    coco = read_coco(scenes / "instances.json", scenes / "images")
    results = []
    for index, image in enumerate(coco.images):
        target = coco.target(index)
        found = {**target, "masks": target["masks"].bool(), "scores": torch.ones(len(target["labels"]))}
        results += coco_results(found, image.id, coco.category_ids)
    metrics = average_precision(coco, results, [image.id for image in coco.images])
    assert metrics["box_ap"] == pytest.approx(1)
    assert metrics["mask_ap"] == pytest.approx(1)
    nothing = average_precision(coco, [], [1, 2])
    assert nothing["box_ap"] == nothing["mask_ap"] == nothing["box_ap_small"] == 0
    assert np.isnan(nothing["mask_ap_large"])  # of which there is none
    assert all(np.isnan(value) for value in average_precision(coco, [], [5]).values())


def test_files_of_other_tools_are_measured_alike(tmp_path):
    """Numbers that begin with 0, and none of what can be left out."""
    path = write_synthetic_scenes(tmp_path, photos=5, size=(100, 130))
    coco = read_coco(path, tmp_path / "images")
    results, shown = jittered(coco, 5), [image.id for image in coco.images]
    expected = average_precision(coco, results, shown)
    values = json.loads(path.read_text())
    for number, entry in enumerate(values["annotations"]):
        entry["id"] = number
        del entry["iscrowd"]  # there is no crowd in the first five
    path.write_text(json.dumps(values))
    assert average_precision(read_coco(path, tmp_path / "images"), results, shown) == pytest.approx(
        expected, nan_ok=True
    )
    for entry in values["annotations"]:
        del entry["id"], entry["area"]
    path.write_text(json.dumps(values))
    assert average_precision(read_coco(path, tmp_path / "images"), results, shown)["box_ap"] == pytest.approx(
        expected["box_ap"]
    )
    del values["annotations"][2]["segmentation"]
    path.write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"instances\.json: annotation 2 of image 2 has no segmentation"):
        average_precision(read_coco(path, tmp_path / "images"), results, shown)
    assert "mask_ap" not in average_precision(
        read_coco(path, tmp_path / "images"), results, shown, masks=False
    )
    values["annotations"][2]["bbox"][2] = 0  # of an object without area nothing is missed
    path.write_text(json.dumps(values))
    assert "mask_ap" in average_precision(read_coco(path, tmp_path / "images"), results, shown)


def test_run_lengths_read_back():
    mask = torch.rand(30, 41, generator=torch.Generator().manual_seed(0)) > 0.5
    encoded = json.loads(json.dumps(encode_mask(mask)))
    assert (draw_mask(encoded, (30, 41)).astype(bool) == mask.numpy()).all()


def odd_photos(folder):
    """One photo of each odd kind, with annotations."""
    kinds = {
        "empty": ((60, 80), []),
        "crowd": ((60, 80), [{"bbox": [5, 5, 50, 40], "iscrowd": 1}]),
        "point": ((60, 80), [{"bbox": [30, 20, 1, 1]}, {"bbox": [79, 59, 1, 1]}]),
        "thin": ((60, 80), [{"bbox": [10, 0, 0.4, 60]}]),
        "small": ((5, 7), [{"bbox": [0, 0, 4, 4]}]),
        "upright": ((200, 25), [{"bbox": [2, 20, 20, 150]}]),
        "panorama": ((20, 400), [{"bbox": [10, 2, 300, 15]}, {"bbox": [350, 1, 1, 1]}]),
        "beyond": ((60, 80), [{"bbox": [-10, -10, 500, 500]}]),
    }
    (folder / "images").mkdir(parents=True)
    values = {"images": [], "annotations": [], "categories": [{"id": 9, "name": "thing"}]}
    for number, (name, ((height, width), objects)) in enumerate(kinds.items()):
        synthetic_scene((height, width), 1, number)[0].save(folder / "images" / f"{name}.jpg")
        values["images"].append({"id": number, "file_name": f"{name}.jpg", "height": height, "width": width})
        for entry in objects:
            x, y, w, h = entry["bbox"]
            values["annotations"].append(
                {
                    "id": len(values["annotations"]),
                    "image_id": number,
                    "category_id": 9,
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    "area": w * h,
                    **entry,
                }
            )
    (folder / "instances.json").write_text(json.dumps(values))
    return len(kinds)


@pytest.mark.parametrize("options", [{}, {"input": "rgb"}], ids=["frequency", "rgb"])
def test_odd_photos_are_trained_and_validated_on(tmp_path, options):
    count = odd_photos(tmp_path)
    module = run(tmp_path, tmp_path / "run", name=MODEL, epochs=1, keep_empty=True, hflip=1.0, **options)
    assert len(module.trainer.datamodule.train_set) == len(module.seen) == count
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    assert np.isfinite(float(module.trainer.callback_metrics["train/loss"]))
    assert float(module.trainer.callback_metrics["val/box_ap"]) >= 0


def test_photos_without_objects_are_left_out_unless_kept(tmp_path):
    count = odd_photos(tmp_path)
    files = ("images", "instances.json", "images", "instances.json")
    plan = CocoPhotos(str(tmp_path), *files, resize=64, max_size=96).plan()
    assert plan["photos"] == f"{count - 2} to train on, {count} to validate, 1 class and the background"
    assert (
        "shorter side of 64 pixels and a longer one of at most 96 (photos are resized to 2" in plan["input"]
    )
    assert len(CocoPhotos(str(tmp_path), *files).train_coco.images) == count - 2  # empty, and a crowd alone
    assert len(CocoPhotos(str(tmp_path), *files, keep_empty=True).train_coco.images) == count
    assert len(CocoPhotos(str(tmp_path), *files).validation_coco.images) == count
    values = json.loads((tmp_path / "instances.json").read_text())
    values["categories"] += [{"id": 10 + number, "name": f"thing {number}"} for number in range(79)]
    (tmp_path / "coco.json").write_text(json.dumps(values))
    plan = CocoPhotos(str(tmp_path), "images", "coco.json", "images", "coco.json").plan()
    assert "80 classes and the background" in plan["photos"]
    assert "81" not in plan["photos"]
    with pytest.raises(ValueError, match="has no photos numbered 0 to 0, of 8, that hold objects"):
        CocoPhotos(str(tmp_path), *files, train_range=(0, 1))


@pytest.mark.parametrize("damaged", ["skip", "decode"])
def test_a_run_survives_damaged_photos(scenes, tmp_path, damaged, capsys):
    """A batch of nothing else too."""
    shutil.copytree(scenes, tmp_path / "scenes")
    for number, left in ((1, 1.0), (2, 0.7)):
        photo = tmp_path / "scenes" / "images" / f"00{number}.jpg"
        data = photo.read_bytes()
        photo.write_bytes(data[: int(left * len(data))] if left < 1 else data[:-200])
    options = {"name": "fcos_resnet18_fpn", "epochs": 1, "batch_size": 1}
    with pytest.raises(ValueError, match=r"00\d\.jpg"):
        run(tmp_path / "scenes", tmp_path / "error", **options)
    module = run(tmp_path / "scenes", tmp_path / "run", damaged=damaged, **options)
    assert len(module.seen) == (4 if damaged == "skip" else 6)
    assert all(parameter.isfinite().all() for parameter in module.parameters())
    skipped = module.trainer.datamodule.train_set.skipped()
    assert sorted(cause.split(":")[0][-7:] for cause in skipped) == ["001.jpg", "002.jpg"]


def test_photos_on_a_list_of_damaged_ones_are_left_out(tmp_path):
    count = odd_photos(tmp_path)
    files = ("images", "instances.json", "images", "instances.json")
    photos = tmp_path / "images"
    PhotoCheck(str(photos), count, {str(photos / "thin.jpg"): "truncated"}).save(tmp_path / "damaged.json")
    data = CocoPhotos(str(tmp_path), *files, keep_empty=True, exclude=str(tmp_path / "damaged.json"))
    assert len(data.train_coco.images) == len(data.validation_coco.images) == count - 1
    assert not any(image.path.endswith("thin.jpg") for image in data.train_coco.images)


class TestBrokenData:
    """The command fails with one line that names the file and the entry."""

    def fails(self, scenes, folder, change, capsys, model=MODEL, part="train"):
        values = json.loads((scenes / "instances.json").read_text())
        change(values)
        (folder / "broken.json").write_text(json.dumps(values))
        arguments = fit_arguments(scenes, folder / "run", model)
        broken = str(folder / "broken.json")
        arguments += [f"--data.{part}_annotations", broken, "--data.paths_outside", "true"]
        assert main(["fit", *arguments]) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("freqvision fit: ")
        return error

    def test_an_entry(self, scenes, tmp_path, capsys):
        def change(values):
            values["annotations"][3]["bbox"] = [1, 2, 3]

        error = self.fails(scenes, tmp_path, change, capsys)
        assert "broken.json: annotations[3] (id 4, image_id" in error

    def test_a_file_that_is_cut_off(self, scenes, tmp_path, capsys):
        text = (scenes / "instances.json").read_text()
        (tmp_path / "broken.json").write_text(text[: len(text) // 2])
        arguments = fit_arguments(scenes, tmp_path / "run")
        assert main(["fit", *arguments, "--data.validation_annotations", str(tmp_path / "broken.json")]) == 1
        assert "broken.json is no JSON, or cut off" in capsys.readouterr().err

    def test_sizes_that_are_not_the_photos(self, scenes, tmp_path, capsys):
        def change(values):
            for image in values["images"]:
                image["height"], image["width"] = image["width"], image["height"]
            values["annotations"] = [a for a in values["annotations"] if not a["iscrowd"]]

        error = self.fails(scenes, tmp_path, change, capsys)
        assert "was it resized or turned since?" in error
        assert ".jpg has" in error

    @pytest.mark.parametrize("part", ["train", "validation"])
    def test_outlines_are_missing(self, scenes, tmp_path, capsys, part):
        """Those of validation too before the first step, not after an epoch."""

        def change(values):
            for annotation in values["annotations"]:
                annotation["segmentation"] = []

        error = self.fails(scenes, tmp_path, change, capsys, part=part)
        assert not (tmp_path / "run" / "metrics.csv").exists()
        assert "has no segmentation, which a model of masks needs" in error
        assert "broken.json: annotation " in error

    def test_categories_differ_from_those_of_validation(self, scenes, tmp_path, capsys):
        def change(values):
            values["categories"].append({"id": 12, "name": "lamp"})

        error = self.fails(scenes, tmp_path, change, capsys)
        assert "different categories, such as 12 'lamp'" in error
        assert "broken.json and " in error

    def test_a_photo_that_cannot_be_read(self, scenes, tmp_path, capsys):
        (tmp_path / "cut.jpg").write_bytes((scenes / "images" / "001.jpg").read_bytes()[:900])

        def change(values):
            values["images"][1]["file_name"] = str(tmp_path / "cut.jpg")

        assert "cut.jpg" in self.fails(scenes, tmp_path, change, capsys)


def test_a_detector_needs_no_lightning_to_be_used(trained, scenes):
    model = load(trained / "checkpoints" / "last.ckpt")
    names = model.class_names
    assert names == ["background", "ball", "box", "tent"]
    statistics = fv.ChannelStatistics.load(trained / "statistics.json")
    assert model.spec == fv.FrequencySpec(128, None, max_size=192).with_statistics(statistics)
