"""`freqvision transport`: an RGB model on its own pixels and on DCT channels."""

import json

import pytest
import torch

import freqvision as fv
from freqvision.cli.main import main
from freqvision.data import write_synthetic_photos


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of photos, and one of a saved RGB model."""
    folder = tmp_path_factory.mktemp("transport")
    photos = folder / "photos"
    write_synthetic_photos(photos, photos_per_class=4, size=96)
    classes = sorted(path.name for path in photos.iterdir())
    torch.manual_seed(0)
    model = fv.create_model("resnet18", spec=fv.PixelSpec(resize=64, crop=64), num_classes=len(classes))
    fv.save(model, folder / "model", classes=classes)
    return photos, folder / "model"


def compare(capsys, files, *options):
    photos, model = files
    assert main(["transport", "--checkpoint", str(model), "--data", str(photos), "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_all_that_the_photo_holds_gives_the_same_answers(capsys, files):
    rgb, everything = compare(capsys, files, "--channels", "192", "--dtype", "float32", "--scale", "1")
    assert rgb["bytes"] == 3 * 64 * 64
    assert everything["bytes"] == 4 * 192 * 8 * 8
    assert everything["gained"] == everything["lost"] == 0
    assert everything["top1"] == rgb["top1"]


def test_a_line_for_each_set_at_the_scale_that_was_asked_for(capsys, files):
    lines = compare(capsys, files, "--channels", "6,24", "--scale", "4")
    assert [line["input"] for line in lines] == ["RGB", "DCT-6", "DCT-24"]
    assert [line["bytes"] for line in lines[1:]] == [6 * 32 * 32, 24 * 32 * 32]


def test_labels_that_are_no_classes_are_refused(capsys, files, tmp_path):
    photos, model = files
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.jpg"))
    table = tmp_path / "labels.csv"
    table.write_text("file,class_index\n" + "".join(f"{name},1000\n" for name in names))
    arguments = ["--checkpoint", str(model), "--data", str(photos), "--labels", str(table)]
    assert main(["transport", "--channels", "6", *arguments]) == 1
    assert "has the label 1000; the model's classes are 0 to " in capsys.readouterr().err


def test_table(capsys, files):
    photos, model = files
    assert main(["transport", "--checkpoint", str(model), "--data", str(photos), "--channels", "Y0-3"]) == 0
    out = capsys.readouterr().out
    assert "DCT-4" in out
    assert "gained" in out


def test_a_model_is_needed(capsys, files):
    assert main(["transport", "--data", str(files[0]), "--channels", "24"]) == 1
    assert "name a --checkpoint or a --model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--model", "resnet18"], ["--checkpoint", "MODEL", "--weights", "w.pth"]]
)
def test_a_network_and_its_weights_go_together(capsys, files, options):
    photos, model = files
    options = [str(model) if option == "MODEL" else option for option in options]
    assert main(["transport", "--data", str(photos), "--channels", "24", *options]) == 1
    assert "--model and --weights go together" in capsys.readouterr().err


def test_help_shows_the_examples_as_they_are_typed(capsys):
    with pytest.raises(SystemExit):
        main(["transport", "--help"])
    out = capsys.readouterr().out
    assert "\n  freqvision transport --checkpoint RUN/checkpoints/best.ckpt --data PHOTOS\n" in out
    assert "<function" not in out


def test_a_network_by_its_name_needs_labels(capsys, files, tmp_path):
    weights = files[1] / "model.safetensors"
    arguments = ["--model", "resnet18", "--weights", str(weights), "--data", str(files[0])]
    assert main(["transport", "--channels", "6", *arguments]) == 1
    assert "add --labels" in capsys.readouterr().err


def test_the_former_flag_of_validate_leads_here(capsys):
    for flag in (["--transport", "24"], ["--transport=24"], ["--transport", "--help"]):
        assert main(["validate", *flag]) == 1
        error = capsys.readouterr().err
        assert "freqvision transport --channels 24" in error
        assert error.count("\n") == 1
