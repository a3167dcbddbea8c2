"""Folders that fv.save writes and fv.load opens, and what is wrong with those that others write."""

import json

import pytest
import torch
from model_families import small_model, small_spec
from PIL import Image
from safetensors.torch import load_file, save_file

import freqvision as fv


def test_everything_needed_is_in_the_folder(tmp_path):
    spec = small_spec("tiny_resnet18", dtype="int8", scale=(2.0,) * 24)
    model = small_model("tiny_resnet18", spec, strides="released").eval()
    fv.save(model, tmp_path / "model", classes=["a", "b", "c", "d", "e"])
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "model.safetensors",
        "config.json",
        "README.md",
    }
    again = fv.load(tmp_path / "model")
    assert (again.spec, again.settings, again.class_names) == (
        spec,
        model.settings,
        ["a", "b", "c", "d", "e"],
    )
    assert not again.training
    inputs = torch.randint(-100, 100, (2, *spec.shape)).to(torch.int8)
    assert torch.equal(again(inputs), model(inputs))
    fv.save(again, tmp_path / "copy")  # the names come along
    assert json.loads((tmp_path / "copy/config.json").read_text()) == json.loads(
        (tmp_path / "model/config.json").read_text()
    )


def test_gates_and_pixels_come_back_too(tmp_path):
    gated = small_model("tiny_resnet18", gates={}).eval()
    fv.save(gated, tmp_path / "gated")
    inputs = torch.randn(2, *gated.spec.shape)
    assert torch.equal(fv.load(tmp_path / "gated")(inputs), gated(inputs))
    pixels = fv.create_model("resnet18", fv.PixelSpec(dtype="uint8"), 5).eval()
    fv.save(pixels, tmp_path / "pixels")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(fv.load(tmp_path / "pixels")(images), pixels(images))


def test_card_says_what_the_model_is(tmp_path):
    fv.save(small_model("tiny_resnet18"), tmp_path, classes=list("abcde"))
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: freqvision")
    assert "5: a, b, c, d, e" in card
    assert "24×8×8, float32, 6,144 bytes a photo" in card


@pytest.mark.parametrize(
    ("name", "spec", "task"),
    [
        ("resnet18", fv.PixelSpec(40, 32), "image-classification"),
        ("fasterrcnn_resnet18_fpn", fv.FrequencySpec(64, None, max_size=96), "object-detection"),
        ("fasterrcnn_resnet18_fpn", fv.PixelSpec(32, None, max_size=48), "object-detection"),
    ],
)
def test_the_snippet_of_the_card_runs(tmp_path, monkeypatch, name, spec, task):
    create = fv.create_detector if task == "object-detection" else fv.create_model
    fv.save(create(name, spec, 3), tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert f"pipeline_tag: {task}" in card
    Image.new("RGB", (100, 60)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(card.split("```")[1].removeprefix("python").replace("path/of/this/folder", "model"), {})


def test_mistakes_are_explained(tmp_path):
    with pytest.raises(TypeError, match="create_model"):
        fv.save(torch.nn.Linear(2, 2), tmp_path)
    with pytest.raises(ValueError, match="2 names of classes for 5 logits"):
        fv.save(small_model("tiny_resnet18"), tmp_path, classes=["a", "b"])
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        fv.load(tmp_path / "nowhere")
    fv.save(small_model("tiny_resnet18"), tmp_path)
    (tmp_path / "config.json").write_text('{"library": "other"}')
    with pytest.raises(ValueError, match=r"was not written by fv\.save"):
        fv.load(tmp_path)


def _without(*names):
    def damage(folder):
        tensors = load_file(folder / "model.safetensors")
        save_file({k: v for k, v in tensors.items() if k not in names}, folder / "model.safetensors")

    return damage


def _config(**changes):
    """Change the configuration; None takes an entry out."""

    def damage(folder):
        config = json.loads((folder / "config.json").read_text())
        for key, value in changes.items():
            config[key] = {**config[key], **value} if isinstance(value, dict) else value
            if value is None:
                del config[key]
        (folder / "config.json").write_text(json.dumps(config))

    return damage


def _cut(name, length):
    def damage(folder):
        (folder / name).write_bytes((folder / name).read_bytes()[:length])

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut("model.safetensors", 1000), r"model\.safetensors is damaged or incomplete"),
        (_cut("model.safetensors", -8), r"model\.safetensors is damaged or incomplete"),
        (_cut("config.json", 40), r"config\.json is damaged"),
        (_config(classes=None), "there is no 'classes'"),
        (_config(input=None), "there is no 'input'"),
        (_config(classes="abcde"), "there is no 'classes' as fv.save writes it"),
        (_config(classes=["a", "b"]), "names 2 classes for 5 logits"),
        (_config(model={"later": 1}), "another version of freqvision, .* its 'model' has .*later"),
        # A classifier that starts anew, as it does for other classes, would answer at random.
        (_config(model={"num_classes": 7}, classes=list("abcdefg")), r"lacks network\.fc"),
        (_without("network.fc.weight", "network.fc.bias"), r"lacks network\.fc"),
        (_without("network.layer2.0.conv1.weight"), "not in the weights"),
    ],
)
def test_a_damaged_folder_is_an_error_that_names_the_file(tmp_path, damage, message):
    fv.save(small_model("tiny_resnet18"), tmp_path, classes=list("abcde"))
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        fv.load(tmp_path)
