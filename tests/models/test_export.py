"""Exported models in other runtimes."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from model_families import small_model, small_spec
from PIL import Image

from freqvision.cli.export import main as export
from freqvision.cli.main import main
from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.models import FrequencyModel, Transport, create_model, export_onnx, export_pt2, save

EXAMPLE = Path(__file__).parents[2] / "examples" / "serve_onnx.py"


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory):
    """An int8 MobileNetV2 as ONNX, and the model it was made of."""
    pytest.importorskip("onnxscript")
    torch.manual_seed(0)
    spec = small_spec("tiny_mobilenet_v2", dtype="int8", scale=tuple(1.0 + i for i in range(24)))
    model = small_model("tiny_mobilenet_v2", spec)
    model.train()(torch.randint(-100, 100, (8, *spec.shape)).to(torch.int8))
    model.class_names = ["ant", "bee", "cat", "dog", "eel"]
    path = export_onnx(model.eval(), tmp_path_factory.mktemp("onnx") / "model.onnx")
    return path, model


@pytest.mark.parametrize("write", [export_onnx, export_pt2])
def test_models_of_others_are_refused(write, tmp_path):
    with pytest.raises(TypeError, match=r"fv\.create_model.*got Linear"):
        write(torch.nn.Linear(2, 2), tmp_path / "model")


@pytest.mark.parametrize("batch", [1, 5])
def test_onnxruntime_gives_the_same_for_any_batch(onnx_file, batch):
    onnxruntime = pytest.importorskip("onnxruntime")
    path, model = onnx_file
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = torch.randint(
        -128, 128, (batch, *model.spec.shape), generator=torch.Generator().manual_seed(batch)
    )
    inputs = inputs.to(torch.int8)
    with torch.no_grad():
        expected = model(inputs).numpy()
    (logits,) = session.run(["logits"], {"input": inputs.numpy()})
    np.testing.assert_allclose(logits, expected, atol=1e-4 * np.abs(expected).max())


def test_onnx_metadata_are_all_that_a_server_needs(onnx_file):
    onnxruntime = pytest.importorskip("onnxruntime")
    path, model = onnx_file
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert InputSpec.from_dict(json.loads(metadata["freqvision.spec"])) == model.spec
    assert json.loads(metadata["freqvision.classes"]) == model.class_names


def test_example_serves_jpeg_bytes(onnx_file, tmp_path, capsys):
    pytest.importorskip("freqvision._native")
    path, model = onnx_file
    pixels = np.random.default_rng(0).integers(0, 256, (140, 150, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=95)
    module_spec = importlib.util.spec_from_file_location("serve_onnx", EXAMPLE)
    example = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(example)
    answer = example.Classifier(str(path))([(tmp_path / "photo.jpg").read_bytes()])[0]
    from freqvision import Decoder

    with torch.no_grad():
        expected = model(Decoder(model.spec)([tmp_path / "photo.jpg"])).softmax(1)[0]
    assert set(answer) == set(model.class_names)
    for name, share in answer.items():
        assert share == pytest.approx(float(expected[model.class_names.index(name)]), abs=1e-3)


def test_photos_of_any_size_export(tmp_path):
    model = create_model("tiny_resnet18", FrequencySpec(resize=None, crop=None), 5).eval()
    exported = torch.export.load(export_pt2(model, tmp_path / "model.pt2")).module()
    inputs = torch.randn(1, 24, 20, 33)
    with torch.no_grad():
        torch.testing.assert_close(exported(inputs), model(inputs), rtol=1e-4, atol=1e-4)


def test_pt2_carries_the_spec_and_the_mode_stays(tmp_path):
    model = small_model("tiny_resnet18").train()
    path = export_pt2(model, tmp_path / "model.pt2", classes=list("abcde"))
    assert model.training
    extra = {"freqvision.spec": "", "freqvision.classes": ""}
    torch.export.load(path, extra_files=extra)
    assert FrequencySpec.from_json(extra["freqvision.spec"]) == model.spec
    assert json.loads(extra["freqvision.classes"]) == list("abcde")


def test_transport_exports_too(tmp_path):
    rgb = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten()).eval()
    spec = FrequencySpec(resize=64, crop=64, dtype="int8", scale=(4.0,) * 24)
    transport = Transport(rgb, spec, pixels=4)
    exported = torch.export.load(export_pt2(transport, tmp_path / "model.pt2")).module()
    inputs = torch.randint(-128, 128, (3, *spec.shape)).to(torch.int8)
    with torch.no_grad():
        torch.testing.assert_close(exported(inputs), transport(inputs))


def test_bfloat16_has_no_onnx_runtime(tmp_path):
    model = small_model("tiny_resnet18", small_spec("tiny_resnet18", dtype="bfloat16"))
    with pytest.raises(ValueError, match="float16 or float32"):
        export_onnx(model, tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", ["onnx", "pt2", "hub"])
def test_a_full_disk_is_one_line_and_leaves_no_file(tmp_path, full_disk, capfd, monkeypatch, kind):
    if kind == "onnx":
        pytest.importorskip("onnxscript")
    network = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(24, 2000)
    )
    model = FrequencyModel(
        network, FrequencySpec(resize=64, crop=64), {"name": "resnet18", "num_classes": 2000}
    )
    monkeypatch.setattr("freqvision.models.load", lambda path: model)
    output = tmp_path / f"model.{kind}"
    with full_disk():
        assert main(["export", "model", "--to", kind, "--output", str(output)]) == 1
    *_, printed = capfd.readouterr().err.splitlines()
    assert re.fullmatch(rf"freqvision export: \[Errno 27\] File too large: '{output}.*'", printed)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["onnx", "hub"])
def test_where_nothing_can_be_written_nothing_is_loaded(kind, tmp_path, capsys):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "folder" / "m"
    assert main(["export", "nowhere.ckpt", "--to", kind, "--output", str(output)]) == 1
    assert capsys.readouterr().err == f"freqvision export: [Errno 20] Not a directory: '{output}'\n"


def test_command_exports_a_folder(tmp_path, capsys):
    save(small_model("tiny_resnet18"), tmp_path / "model", classes=list("abcde"))
    export([str(tmp_path / "model"), "--to", "hub", "--output", str(tmp_path / "copy")])
    assert (tmp_path / "copy" / "model.safetensors").is_file()
    export([str(tmp_path / "model"), "--to", "pt2"])
    assert (tmp_path / "model.pt2").is_file()
    assert "largest difference of a logit: 0" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_command_writes_to_any_name(tmp_path, capsys, monkeypatch, kind):
    save(small_model("tiny_resnet18"), tmp_path / "model")
    monkeypatch.chdir(tmp_path / "model")
    output = tmp_path / (
        "exported.pt2" if kind == "pt2" else "exported"
    )  # torch.export insists on its suffix
    export([".", "--to", kind, "--output", str(output)])
    assert output.is_file()
    assert "largest difference of a logit" in capsys.readouterr().out
