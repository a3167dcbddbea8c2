"""Detectors in an ONNX runtime."""

import json

import numpy as np
import pytest
import torch

import freqvision as fv
from freqvision.cli.main import main
from freqvision.detection import create_detector
from freqvision.detection.export import export_size
from freqvision.inputs.encoding import padding
from freqvision.inputs.spec import InputSpec
from freqvision.models import create_model, export_onnx, export_pt2

SPEC = fv.FrequencySpec(
    resize=192, crop=None, max_size=256, mean=(5.0,) * 24, std=(50.0,) * 24, scale=(2.0,) * 24
)
PIXELS = fv.PixelSpec(resize=96, crop=None, max_size=128, dtype="uint8")
pytestmark = pytest.mark.usefixtures("small_resnets")
CLASSES = ["background", "ball", "box", "tent"]
KEEN = {"norm": "frozen", "score_threshold": 0.0, "detections": 15}  # an untrained network is unsure of all


def detector(name, spec=SPEC):
    torch.manual_seed(2)
    model = create_detector(f"{name}_resnet18_fpn", spec, len(CLASSES), options=KEEN)
    for layer, parameter in model.named_parameters():
        if layer.endswith(("cls_logits.weight", "cls_score.weight")):
            torch.nn.init.normal_(parameter, std=0.1)  # scores that differ, so that their order is certain
    return model.eval()


def random_image(model, height, width, seed=0):
    image = torch.randn(model.channels, height, width, generator=torch.Generator().manual_seed(seed))
    if model.spec.dtype == "float32":
        return image
    return (32 * image + (128 if model.spec.dtype == "uint8" else 0)).to(model.spec.torch_dtype)


def session_of(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("name", "spec", "grid"),
    [
        ("maskrcnn", SPEC, (24, 32)),
        ("fasterrcnn", SPEC.with_dtype("int8"), (24, 32)),
        ("retinanet", SPEC, (24, 32)),
        ("fcos", PIXELS, (96, 128)),
    ],
    ids=["maskrcnn", "fasterrcnn-int8", "retinanet", "fcos-pixels"],
)
def test_onnxruntime_finds_the_same(name, spec, grid, tmp_path):
    pytest.importorskip("onnxscript")
    model = detector(name, spec)
    before = model.network.transform
    path = export_onnx(model.train(), tmp_path / "model.onnx", CLASSES)
    assert model.training  # as it was
    assert model.network.transform is before
    session = session_of(path)
    assert session.get_inputs()[0].shape == [model.channels, *grid]
    metadata = session.get_modelmeta().custom_metadata_map
    assert InputSpec.from_dict(json.loads(metadata["freqvision.spec"])) == spec
    assert json.loads(metadata["freqvision.classes"]) == CLASSES
    assert json.loads(metadata["freqvision.padding"]) == pytest.approx(padding(spec).tolist())
    names = [output.name for output in session.get_outputs()]
    assert names == ["boxes", "labels", "scores", "masks"][: 4 if name == "maskrcnn" else 3]
    for seed in range(2):
        image = random_image(model, *grid, seed)
        with torch.no_grad():
            (expected,) = model.eval().detect([image])
        found = dict(zip(names, session.run(None, {"input": image.numpy()}), strict=True))
        assert 0 < len(found["scores"]) == len(expected["scores"])
        assert (found["labels"] == expected["labels"].numpy()).all()
        for key in set(names) - {"labels"}:
            np.testing.assert_allclose(found[key], expected[key].numpy(), atol=2e-3, rtol=1e-4, err_msg=key)


def test_smaller_photos_are_padded_by_the_metadata(tmp_path):
    """A photo in the corner of a padded input is found as the model finds it beside a larger one."""
    pytest.importorskip("onnxscript")
    model = detector("fcos")
    session = session_of(export_onnx(model, tmp_path / "model.onnx", CLASSES, size=(96, 96)))
    small, large = random_image(model, 15, 21), random_image(model, 24, 24, 1)
    values = json.loads(session.get_modelmeta().custom_metadata_map["freqvision.padding"])
    canvas = torch.tensor(values)[:, None, None].repeat(1, 24, 24)
    canvas[:, :15, :21] = small
    batch, _ = model.network.transform([small, large])
    torch.testing.assert_close(batch.tensors[0], canvas)
    with torch.no_grad():
        (expected,) = model.detect([canvas])
    boxes, _, scores = session.run(None, {"input": canvas.numpy()})
    np.testing.assert_allclose(boxes, expected["boxes"].numpy(), atol=2e-3)
    np.testing.assert_allclose(scores, expected["scores"].numpy(), atol=1e-4)


def test_sizes():
    assert export_size(fv.FrequencySpec(resize=1600, crop=None, max_size=2666)) == (800, 1344)
    assert export_size(fv.PixelSpec(resize=800, crop=None, max_size=1333)) == (800, 1344)
    assert export_size(SPEC, (64, 640)) == (64, 640)
    with pytest.raises(ValueError, match=r"multiples of 32 such as \(800, 1344\); got \(800, 1333\)"):
        export_size(SPEC, (800, 1333))
    with pytest.raises(ValueError, match="an export has one: name it"):
        export_size(fv.FrequencySpec(resize=None, crop=None))


def test_padding_is_what_the_model_pads_with():
    for spec in (SPEC, SPEC.with_dtype("int8"), PIXELS, fv.PixelSpec(resize=96, crop=None)):
        model = detector("fcos", spec)
        value = padding(spec)[:, None, None]
        normalised = model.input(value[None])[0]
        # uint8 has no value for the mean itself
        torch.testing.assert_close(normalised, model.network.transform.fill, atol=0.01, rtol=0)


def test_what_cannot_be_exported_says_what_can(tmp_path):
    model = detector("retinanet")
    with pytest.raises(NotImplementedError, match=r"retinanet_resnet18_fpn has no archive.*--to onnx"):
        export_pt2(model, tmp_path / "model.pt2")
    with pytest.raises(ValueError, match="size is for detectors"):
        export_onnx(create_model("resnet18", num_classes=2), tmp_path / "model.onnx", size=(64, 64))


def test_command(tmp_path, capsys):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    fv.save(detector("fcos"), tmp_path / "model", CLASSES)
    assert main(["export", str(tmp_path / "model"), "--to", "onnx", "--size", "[64,96]"]) == 0
    output = capsys.readouterr().out
    assert "images of 64×96 pixels" in output
    assert int(output.split(" boxes found")[0].split()[-1]) > 0
    assert float(output.split("in noise: ")[1].split()[0]) < 0.01
    assert (tmp_path / "model.onnx").is_file()
    assert main(["export", str(tmp_path / "model"), "--to", "pt2"]) == 1
    assert "what is supported: ONNX" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "model"), "--to", "onnx", "--size", "[50,96]"]) == 1
    assert "multiples of 32" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "model"), "--to", "hub", "--size", "[64,96]"]) == 1
    assert "--size is for detectors and onnx; this is fcos_resnet18_fpn for hub" in capsys.readouterr().err
