"""The command line: what it lists, prints and returns."""

import importlib
import json
import re
import shutil
import sys
import threading
from pathlib import Path

import pytest
from conftest import fit_arguments

import freqvision as fv
from freqvision.cli.main import COMMANDS, main
from freqvision.data import PhotoCheck

SOURCE = f"{Path(fv.__file__).parent}/"


def test_help_lists_every_command_with_a_line(capsys):
    assert main(["--help"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [line[0] for line in lines] == list(COMMANDS)
    assert all(len(line) > 3 for line in lines)


def test_nothing_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    assert "usage: freqvision" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"freqvision {fv.__version__}\n"


def test_unknown_command_lists_the_known_ones(capsys):
    assert main(["train"]) == 2
    error = capsys.readouterr().err
    assert "'train'" in error
    assert all(command in error for command in COMMANDS)


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert not stop.value.code
    assert f"usage: freqvision {command}" in capsys.readouterr().out


def test_examples_in_a_help_keep_their_lines_and_name_real_configs(capsys):
    root = Path(__file__).parents[2]
    for command in ("fit", "transport"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        lines = capsys.readouterr().out.splitlines()
        assert any(line.startswith(f"  freqvision {command}") for line in lines), command
        configs = re.findall(r"configs/\S+\.yaml", "\n".join(lines))
        assert all((root / config).is_file() for config in configs), configs


def test_a_default_in_words_is_not_told_again(capsys):
    with pytest.raises(SystemExit):
        main(["predict", "--help"])
    assert "null" not in " ".join(capsys.readouterr().out.split()).replace("| null", "")


def test_no_default_is_not_told(capsys):
    with pytest.raises(SystemExit):
        main(["select", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "(default: gates)" in printed
    assert "default: null" not in printed
    assert "None" not in printed


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lightning", None)
    for name in [name for name in sys.modules if name.startswith(("lightning.", "freqvision.training."))]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["validate", "--checkpoint", "x.ckpt"]) == 1
    assert "pip install 'freqvision[train]'" in capsys.readouterr().err


def test_wrong_usage_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "photo.jpg"])
    assert stop.value.code == 2
    assert "checkpoint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "named", "command"),
    [
        (["fit", "--data.rot", "x"], "Option 'rot' is not accepted", "fit"),
        (["fit", "--model.name", "resnet18"], "required: root", "fit"),
        (["transport", "--data", "x", "--scale", "3"], "scale", "transport"),
    ],
)
def test_mistaken_settings_are_named_on_one_screen(arguments, named, command, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    printed = capsys.readouterr().err
    assert named in printed
    assert f"freqvision {command} --help" in printed
    assert len(printed.splitlines()) < 20


def test_failures_are_one_line_without_a_traceback(tmp_path, capsys, monkeypatch):
    assert main(["predict", "photo.jpg", "--checkpoint", str(tmp_path / "none.ckpt")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("freqvision predict: no checkpoint at")
    assert main(["stats", str(tmp_path)]) == 1
    assert "no photos in" in capsys.readouterr().err
    assert main(["stats", str(tmp_path / "nowhere")]) == 1
    assert "no folder of photos" in capsys.readouterr().err
    assert main(["fit", "--data.root", str(tmp_path / "nowhere")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"freqvision fit: no folder of photos at {tmp_path}/nowhere/train: pass a folder")
    assert "Union" not in error
    monkeypatch.setenv("FREQVISION_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError):
        main(["predict", "photo.jpg", "--checkpoint", str(tmp_path / "none.ckpt")])


@pytest.fixture
def checkpoint(trained_run):
    return str(trained_run / "checkpoints" / "last.ckpt")


def test_predict_prints_classes_with_probabilities(photos, checkpoint, capsys):
    files = [str(photos / "validation" / name / "000.jpg") for name in ("dots", "rings")]
    assert main(["predict", *files, "--checkpoint", checkpoint, "--top", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[4]] == files
    assert len(lines) == 8
    assert all("%" in line for line in lines[1:4])


def test_predict_refuses_the_settings_of_detectors_for_a_classifier(photos, checkpoint, tmp_path, capsys):
    for setting in (["--output", str(tmp_path / "out")], ["--min_score", "0.1"]):
        assert main(["predict", str(photos / "validation"), "--checkpoint", checkpoint, *setting]) == 1
        assert f"{setting[0]} is for detectors; this is a classifier" in capsys.readouterr().err


def test_predict_takes_folders(photos, checkpoint, tmp_path, capsys):
    folder = photos / "validation" / "dots"
    assert main(["predict", str(folder), "--checkpoint", checkpoint, "--json"]) == 0
    images = [result["image"] for result in json.loads(capsys.readouterr().out)]
    assert images == sorted(str(file) for file in folder.iterdir())
    assert main(["predict", str(tmp_path), "--checkpoint", checkpoint]) == 1
    assert f"no photos in {tmp_path} or its sub-folders" in capsys.readouterr().err


def test_predict_as_json_agrees_with_the_model(photos, checkpoint, capsys):
    import torch

    from freqvision.models import load

    files = [str(file) for file in sorted((photos / "validation").rglob("*.jpg"))]
    assert main(["predict", *files, "--checkpoint", checkpoint, "--json", "--batch_size", "5"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["image"] for result in results] == files
    model = load(checkpoint)
    names = model.class_names
    with torch.inference_mode():
        expected = model(fv.Decoder(model.spec)(files)).softmax(1)
    for result, shares in zip(results, expected, strict=True):
        assert len(result["classes"]) == 5
        assert [guess["class"] for guess in result["classes"]] == [names[i] for i in shares.topk(5).indices]
        given = [guess["probability"] for guess in result["classes"]]
        assert given == pytest.approx(shares.topk(5).values.tolist(), abs=1e-5)


def test_a_folder_of_save_is_used_like_the_checkpoint(photos, checkpoint, tmp_path, capsys):
    from freqvision.models import load

    model = load(checkpoint)
    names = model.class_names
    named = str(fv.save(model, tmp_path / "named", names))
    model.class_names = None
    unnamed = str(fv.save(model, tmp_path / "unnamed"))
    files = [str(file) for file in sorted((photos / "validation").rglob("*.jpg"))]
    data = ["--data", str(photos / "validation"), "--accelerator", "cpu"]

    def answer(command, *arguments):
        assert main([command, *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    for command, arguments in (("predict", files), ("validate", data)):
        assert answer(command, "--checkpoint", named, *arguments) == answer(
            command, "--checkpoint", checkpoint, *arguments
        )
    (first, *_) = answer("predict", files[0], "--checkpoint", unnamed)
    assert {guess["class"] for guess in first["classes"]} < {str(label) for label in range(len(names))}
    assert main(["validate", "--checkpoint", unnamed, *data]) == 1
    assert "fv.save(model, folder, classes)" in capsys.readouterr().err
    assert main(["validate", "--checkpoint", named]) == 1
    assert "name a folder of photos" in capsys.readouterr().err


def test_predict_names_unreadable_photos_and_still_does_the_others(photos, checkpoint, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"\xff\xd8\xff\xe0")
    good = str(photos / "validation" / "dots" / "000.jpg")
    assert main(["predict", str(bad), good, "--checkpoint", checkpoint]) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith(good)
    assert "bad.jpg" in captured.err


def test_names_from_files_do_not_control_the_terminal(photos, checkpoint, tmp_path, capsys):
    """Neither those of classes nor those of photos, in results, in errors and in lists of faults."""
    evil = "\x1b[2J\x1b]0;title\x07\u202e\x9b31m"
    model = fv.load(checkpoint)
    names = [f"class {number}{evil}\nline" for number in range(len(model.class_names))]
    folder = str(fv.save(model, tmp_path / "model", classes=names))
    (tmp_path / "photos").mkdir()
    good, bad = (tmp_path / "photos" / f"{name}{evil}\n.jpg" for name in ("good", "bad"))
    shutil.copy(photos / "validation" / "dots" / "000.jpg", good)
    bad.write_bytes(b"\xff\xd8\xff\xe0")
    assert main(["predict", str(good), str(bad), "--checkpoint", folder]) == 1
    assert main(["predict", str(good), "--checkpoint", f"{folder}{evil}"]) == 1
    assert main(["check", str(tmp_path / "photos")]) == 1
    printed = "".join(capsys.readouterr())
    assert r"class 0\x1b[2J\x1b]0;title\x07\u202e\x9b31m\nline" in printed
    assert r"bad\x1b[2J" in printed
    assert all(line.isprintable() for line in printed.splitlines())
    assert not any(line.startswith((".jpg", "line")) for line in printed.splitlines())


def test_devices_that_are_not_there_are_refused_in_a_line(photos, checkpoint, capsys):
    photo = str(photos / "validation" / "dots" / "000.jpg")
    assert main(["predict", photo, "--checkpoint", checkpoint, "--device", "nonsense"]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("freqvision predict: device 'nonsense' cannot be used here")
    assert main(["validate", "--checkpoint", checkpoint, "--accelerator", "tpu"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("freqvision validate: ")


def test_validate_prints_accuracy(photos, checkpoint, capsys):
    arguments = ["validate", "--checkpoint", checkpoint, "--accelerator", "cpu", "--json"]
    assert main([*arguments, "--data", str(photos / "train")]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert metrics["photos"] == 24
    assert 0 <= metrics["top1"] <= metrics["top5"] <= 1


@pytest.mark.parametrize("coco", [False, True])
def test_check_lists_the_damaged_photos_and_fit_leaves_them_out(photos, tmp_path, capsys, coco):
    shutil.copytree(photos / "train" / "dots", tmp_path / "dots")
    bad = tmp_path / "dots" / "001.jpg"
    bad.write_bytes(bad.read_bytes()[:-300])
    source = tmp_path
    if coco:
        images = [
            {"id": i, "file_name": f"{i:03d}.jpg", "height": h, "width": w}
            for i, (h, w) in enumerate(
                fv.read_header(path).size for path in sorted((tmp_path / "dots").iterdir())
            )
        ]
        source = tmp_path / "dots" / "coco.json"
        values = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "dot"}]}
        source.write_text(json.dumps(values))
    output = tmp_path / "lists" / "damaged.json"
    assert main(["check", str(source), "--output", str(output), "--num_threads", "1"]) == 1
    printed = capsys.readouterr().out
    assert f"{bad}: " in printed
    assert "1 of 4 photos cannot be decoded" in printed
    assert list(PhotoCheck.load(output).damaged) == [str(bad)]
    assert main(["stats", str(tmp_path), "--crop", "64", "--resize", "72"]) == 1
    assert "dots/001.jpg" in capsys.readouterr().err
    for option in (("--exclude", str(output)), ("--damaged", "skip")):
        assert main(["stats", str(tmp_path), "--crop", "64", "--resize", "72", *option]) == 0
        assert "3 photos" in capsys.readouterr().out
    assert main(["stats", str(tmp_path), "--crop", "64", "--resize", "72", "--damaged", "decode"]) == 0
    assert f"shown in part: {bad}" in (printed := capsys.readouterr().out)
    assert "4 photos" in printed
    bad.unlink()
    if not coco:
        assert main(["check", str(source)]) == 0


def test_stats_writes_what_fit_reads(photos, tmp_path, capsys):
    output = tmp_path / "new" / "stats.json"
    arguments = ["stats", str(photos / "train"), "--resize", "72", "--crop", "64", "--num_threads", "1"]
    assert main([*arguments, "--output", str(output)]) == 0
    assert "24 photos, 1,536 blocks" in capsys.readouterr().out
    files = [str(file) for file in sorted((photos / "train").rglob("*.jpg"))]
    cubes = fv.Decoder(fv.FrequencySpec(72, 64).raw(fv.ChannelSet.preset(192)))(files)
    expected = fv.ChannelStatistics.of(cubes)
    measured = fv.ChannelStatistics.load(output)
    assert measured.mean == pytest.approx(expected.mean, abs=1e-3)
    assert measured.std == pytest.approx(expected.std, rel=1e-3, abs=1e-3)


def first_calls(command):
    """The files of the package in the order in which a command first calls into them."""
    found = {}

    def note(frame, event, _):
        path = frame.f_code.co_filename
        if event == "call" and path.startswith(SOURCE) and not frame.f_code.co_name.startswith("<"):
            found.setdefault(path.removeprefix(SOURCE), None)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        assert main(command) == 0
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(found)


def test_the_documented_walks_are_those_of_the_code(photos, trained_run, tmp_path):
    run = tmp_path / "run"
    fit = ["fit", *fit_arguments(photos, run, "resnet18"), "--trainer.max_epochs", "1"]
    fit += ["--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "1"]
    fit += ["--data.statistics", str(trained_run / "statistics.json")]
    photo = str(photos / "validation" / "dots" / "000.jpg")
    predict = ["predict", photo, "--checkpoint", str(run / "checkpoints" / "last.ckpt")]
    page = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    for command in (fit, predict):
        (text,) = re.findall(rf"```\nfreqvision {command[0]}, to .*?\n(.*?)```", page, re.S)
        documented = [line.split()[0] for line in text.splitlines()]
        assert 10 < len(documented) <= 25
        python = [name for name in documented if not name.startswith("native/")]
        for name in python:  # which may call into others
            importlib.import_module("freqvision." + name.removesuffix(".py").replace("/", "."))
        assert [name for name in first_calls(command) if name in python] == python
