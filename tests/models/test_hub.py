"""Folders that fv.save writes and fv.load opens, and what is wrong with those that others write."""

import json
import os
from pathlib import Path

import pytest
import torch
from hub_server import hub_server
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
    state = torch.get_rng_state()
    again = fv.load(tmp_path / "gated")
    assert torch.equal(torch.get_rng_state(), state)  # whatever is drawn before it is overwritten
    assert torch.equal(again(inputs), gated(inputs))
    pixels = fv.create_model("resnet18", fv.PixelSpec(dtype="uint8"), 5).eval()
    fv.save(pixels, tmp_path / "pixels")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    assert torch.equal(fv.load(tmp_path / "pixels")(images), pixels(images))


def test_card_says_what_the_model_is(tmp_path):
    fv.save(small_model("tiny_resnet18"), tmp_path, classes=list("abcde"))
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: freqvision")
    assert "5: a, b, c, d, e" in card
    assert "24×8×8, float32, 6,144 bytes per photo" in card


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
        # Before memory for them is taken.
        (
            _config(model={"name": "vit_l_16"}),
            r"vit_l_16 has 30\d,\d+,\d+ parameters, the weights",
        ),
        (
            _config(model={"num_classes": 10**5}, classes=["x"] * 10**5),
            r"resnet18 has 5\d,\d+,\d+ parameters",
        ),
        (_without("network.fc.weight", "network.fc.bias"), r"lacks network\.fc"),
        (_without("network.layer2.0.conv1.weight"), "not in the weights"),
    ],
)
def test_a_damaged_folder_is_an_error_that_names_the_file(tmp_path, damage, message):
    fv.save(small_model("tiny_resnet18"), tmp_path, classes=list("abcde"))
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        fv.load(tmp_path)


def _nested(depth):
    def damage(folder):
        (folder / "config.json").write_text('{"library": ' + "[" * depth + "]" * depth + "}")

    return damage


def _replaced(name, make):
    def damage(folder):
        (folder / name).unlink()
        make(folder / name)

    return damage


def _bytes(name, data):
    return lambda folder: (folder / name).write_bytes(data)


HOSTILE = {
    "nested": _nested(200_000),
    "a list": _bytes("config.json", b"[]"),
    "no text": _bytes("config.json", b"\xff\xfe{"),
    "NaN classes": _config(model={"num_classes": float("nan")}),
    "huge classes": _config(model={"num_classes": 10**12}, classes=None),
    "classes below": _config(model={"num_classes": -5}),
    "true classes": _config(model={"num_classes": True}),
    "text classes": _config(model={"num_classes": "5"}),
    "numbers as names": _config(classes=[1, 2, 3, 4, 5]),
    "lists as names": _config(classes=[[], [], [], [], []]),
    "no name": _config(model={"name": None}),
    "a number for a name": _config(model={"name": 7}),
    "a path for a name": _config(model={"name": "../../etc/passwd"}),
    "a hub for a name": _config(model={"name": "hf-hub:someone/model"}),
    "a model of timm that is none": _config(model={"name": "timm/../x"}),
    "another architecture": _config(model={"name": "vit_b_16"}),
    "a detector": _config(model={"name": "fcos_resnet18_fpn"}),
    "weights as a setting": _config(model={"weights": "/etc/passwd"}),
    "published weights as a setting": _config(model={"weights": "DEFAULT"}),
    "photos as a setting": _config(model={"photos": ["/etc/passwd"]}),
    "a spec as a setting": _config(model={"spec": {}}),
    "a huge image": _config(model={"rgb_size": 2**40}),
    "an image of text": _config(model={"rgb_size": "large"}),
    "a start that is none": _config(model={"start": "cut"}),
    "a start that is a list": _config(model={"start": []}),
    "strides that are a mapping": _config(model={"strides": {}}),
    "gates that are a list": _config(model={"gates": [1]}),
    "gates of text": _config(model={"gates": {"squeeze": {}, "open_probability": "x"}}),
    "an input of another kind": _config(input={"kind": "sound"}),
    "an input without a kind": _config(input={"kind": []}),
    "channels that are a number": _config(input={"channels": 10**30}),
    "channels that are a mapping": _config(input={"channels": {}}),
    "a crop of text": _config(input={"crop": "large"}),
    "a huge crop": _config(input={"crop": 2**60, "resize": 2**60}),
    "a mean that is too long": _config(input={"mean": [0.0] * 10**5}),
    "a mean of text": _config(input={"mean": ["a"] * 24}),
    "a mean that is infinite": _config(input={"mean": [float("inf")] * 24}),
    "a type that is none": _config(input={"dtype": "object"}),
    "an unknown field": _config(input={"__class__": "x"}),
    "empty weights": _bytes("model.safetensors", b""),
    "a header beyond the file": _bytes("model.safetensors", (2**63 - 1).to_bytes(8, "little") + b"{}"),
    "a header that is no JSON": _bytes("model.safetensors", (4).to_bytes(8, "little") + b"{{{{"),
    "a pickle for weights": _bytes("model.safetensors", b"\x80\x04cos\nsystem\n."),
    "a FIFO": _replaced("config.json", os.mkfifo),
    "a FIFO for weights": _replaced("model.safetensors", os.mkfifo),
    "a folder for weights": _replaced("model.safetensors", os.mkdir),
    "a link to nothing": _replaced("model.safetensors", lambda path: path.symlink_to("nothing")),
    "weights of another type": lambda folder: save_file(
        {"network.fc.weight": torch.zeros(5, 3, dtype=torch.int8)}, folder / "model.safetensors"
    ),
}


@pytest.mark.parametrize("damage", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_folder_is_a_value_error(tmp_path, damage):
    fv.save(small_model("tiny_resnet18"), tmp_path, classes=list("abcde"))
    damage(tmp_path)
    with pytest.raises(ValueError, match=r"."):
        fv.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"freqvision": None},
        {"freqvision": {}},
        {"freqvision": {"spec": 3, "settings": {}, "classes": []}},
        {"freqvision": {"spec": {"kind": "frequency"}, "settings": [1], "classes": None}},
        {"freqvision": {"spec": {"kind": "frequency"}, "settings": {"name": "resnet18"}, "classes": None}},
        {"state_dict": None},
        {"state_dict": {"model.network.fc.weight": torch.zeros(5, 512)}},
        {"state_dict": {"model.network.fc.weight": "text"}},
    ],
)
def test_a_hostile_checkpoint_is_a_value_error(change, trained_run, tmp_path):
    checkpoint = torch.load(trained_run / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save({**checkpoint, **change}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        fv.load(tmp_path / "last.ckpt")


def test_names_of_classes_cannot_change_the_card(tmp_path):
    names = ["<script>alert(1)</script>", "a|b", "c\n# Title\n", "![x](http://x)", "e\x1b[31m\u202e"]
    fv.save(small_model("tiny_resnet18"), tmp_path, classes=names)
    card = (tmp_path / "README.md").read_text()
    (line,) = (line for line in card.splitlines() if line.startswith("| classes"))
    assert "<" not in card.split("---", 2)[2].replace("<br>", "")
    assert line.count("|") - line.count("\\|") == 3  # the cell's own
    assert "# Title" not in card.splitlines()
    assert r"\!\[x\]\(http://x\)" in line
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert fv.load(tmp_path).class_names == names


def test_a_write_that_fails_leaves_the_old_folder(tmp_path, full_disk):
    """A full disk must not leave half a file under a name that loads."""
    model = small_model("tiny_resnet18")
    fv.save(model, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(), pytest.raises(OSError, match=rf"File too large: '{tmp_path}/model\.safetensors'"):
        fv.save(model, tmp_path, classes=list("abcde"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_load_opens_checkpoints_too(trained_run):
    model = fv.load(trained_run / "checkpoints" / "last.ckpt")
    assert model.class_names
    assert not model.training
    with pytest.raises(ValueError, match=r"folder of a run: name its checkpoints/best\.ckpt"):
        fv.load(trained_run)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on the loopback, with an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_none")
        yield server


def test_a_model_goes_to_the_hub_and_comes_back(hub, tmp_path, monkeypatch):
    model = small_model("tiny_resnet18").eval()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "private.txt").write_text("stays here")
    fv.save(model, tmp_path / "model", classes=list("abcde"), push_to="me/net")
    assert hub.files.keys() == {"README.md", "config.json", "model.safetensors"}
    hub.files["pytorch_model.bin"] = b"a pickle, which nobody asks for"
    again = fv.load("hf://me/net")
    inputs = torch.randn(2, *model.spec.shape)
    assert torch.equal(again(inputs), model(inputs))
    assert again.class_names == list("abcde")
    assert not any("pytorch_model" in path for _, path in hub.asked)
    (snapshot,) = (tmp_path / "cache" / "models--me--net" / "snapshots").iterdir()
    assert {path.name for path in snapshot.iterdir()} == {"README.md", "config.json", "model.safetensors"}

    asked = len(hub.asked)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for address in ("hf://me/net@main", Path("hf://me/net"), f"hf://me/net@{snapshot.name}"):
        assert torch.equal(fv.load(address)(inputs), model(inputs))
    with pytest.raises(OSError, match="hf://me/other is not in the hub's cache"):
        fv.load("hf://me/other")
    assert len(hub.asked) == asked


@pytest.mark.parametrize("address", ["s3://bucket/best.ckpt", "s3:/bucket/model", "hf://net", "hf://a/b/c"])
def test_other_addresses_are_no_paths(address):
    with pytest.raises(ValueError, match="pass hf://OWNER/NAME"):
        fv.load(address)


@pytest.mark.parametrize("repo", ["net", "s3://me/net", "me/net@main", "../net/x"])
def test_what_is_no_repository_is_refused(repo, tmp_path):
    pytest.importorskip("huggingface_hub")
    with pytest.raises(ValueError, match="push_to is OWNER/NAME"):
        fv.save(small_model("tiny_resnet18"), tmp_path, push_to=repo)
