"""The programs in examples/ run; serve_onnx.py is tested with the export it serves."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

import freqvision as fv
from freqvision.cli.main import main
from freqvision.data import write_synthetic_photos

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_plain_pytorch_trains(photos, small_resnets, tmp_path, monkeypatch, capsys):
    settings = ["--resize=72", "--crop=64", "--epochs=1", "--batch-size=8"]
    settings += [f"--output={tmp_path / 'model.pth'}"]
    printed = run_example(monkeypatch, capsys, "train_plain_pytorch", f"--data={photos}", *settings)
    assert "24 photos to train on, 12 to validate, 6 classes" in printed
    saved = torch.load(tmp_path / "model.pth", weights_only=True)
    assert fv.FrequencySpec.from_dict(saved["spec"]).crop == 64


def run_example(monkeypatch, capsys, name: str, *arguments: str) -> str:
    """What a program prints."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    example(name).main()
    return capsys.readouterr().out


def test_shards_are_packed_and_read_whole_and_once(monkeypatch, capsys):
    printed = run_example(monkeypatch, capsys, "shards", "--batch-size", "7")
    assert "300 photos packed into " in printed
    assert "300 photos as (24, 16, 16) int8: " in printed


def test_hub_table_trains(monkeypatch, capsys):
    pytest.importorskip("datasets")
    printed = run_example(monkeypatch, capsys, "hub_table", "--batch-size", "40")
    assert "120 photos, 6 classes: last loss " in printed


def test_exact_resume(monkeypatch, capsys):
    printed = run_example(monkeypatch, capsys, "exact_resume")
    assert "continues in epoch 1" in printed
    assert "equal to the last bit" in printed


def test_features_find_neighbours(monkeypatch, capsys):
    printed = run_example(monkeypatch, capsys, "embed_on_ray", "--ray", "none")
    assert printed.startswith("24 photos, 1024 numbers each")
    assert printed.count("is nearest to") == 6


def test_a_data_module_of_ones_own_trains_on_the_command_line(photos, tiny, tmp_path, monkeypatch, capsys):
    for part in ("train", "validation"):
        rows = [f"{path.relative_to(photos)},{path.parent.name}" for path in (photos / part).rglob("*.jpg")]
        (tmp_path / f"{part}.csv").write_text("\n".join(["file,label", *sorted(rows)]))
        (tmp_path / part).symlink_to(photos / part)
    monkeypatch.syspath_prepend(EXAMPLES)
    settings = [
        "--data.root",
        tmp_path,
        "--data.resize",
        "72",
        "--data.crop",
        "64",
        "--output",
        tmp_path / "run",
    ]
    quick = ["--trainer.max_epochs", "1", "--trainer.accelerator", "cpu", "--data", "csv_photos.CsvPhotos"]
    assert main(["fit", *map(str, (*quick, *settings)), "--model.name", "tiny"]) == 0
    assert "24 to train on, 12 to validate, 6 classes" in capsys.readouterr().out
    assert fv.load(tmp_path / "run" / "checkpoints" / "best.ckpt").spec.crop == 64


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def two_photos(tmp_path):
    write_synthetic_photos(tmp_path, photos_per_class=1, size=300)
    return [str(path) for path in sorted(tmp_path.rglob("*.jpg"))[:2]]


def opened(photos):
    return [Image.open(photo).convert("RGB") for photo in photos]


def same_answers(ours, theirs):
    """Up to the rounding of pixels: far less than the answers of two photos differ."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).norm() < 0.1 * (theirs[0] - theirs[1]).norm()


def test_torchvision_model(two_photos):
    module = example("torchvision_model")
    torch.manual_seed(0)
    logits = module.main(two_photos, pretrained=False)
    torch.manual_seed(0)
    model, transforms = module.resnet50().eval(), module.WEIGHTS.transforms()
    with torch.inference_mode():
        same_answers(logits, model(torch.stack([transforms(image) for image in opened(two_photos)])))


def test_timm_model(two_photos):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    logits = example("timm_model").main(two_photos, "vit_tiny_patch16_224", pretrained=False)
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224").eval()
    transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
    with torch.inference_mode():
        same_answers(logits, model(torch.stack([transform(image) for image in opened(two_photos)])))


def test_transformers_model(two_photos):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_labels=7)
    model, processor = transformers.ViTForImageClassification(config), transformers.ViTImageProcessor()
    logits = example("transformers_model").classify(two_photos, model, processor)
    with torch.inference_mode():
        same_answers(logits, model(**processor(opened(two_photos), return_tensors="pt")).logits)


def test_qwen2_vl(two_photos):
    transformers = pytest.importorskip("transformers")
    processor = transformers.Qwen2VLImageProcessor()
    pixel_values, grid = example("qwen2_vl").preprocess(two_photos, processor)
    expected = processor(opened(two_photos), return_tensors="pt")
    assert torch.equal(grid, expected["image_grid_thw"])
    assert pixel_values.shape == expected["pixel_values"].shape
    rms = 255 * 0.27 * (pixel_values - expected["pixel_values"]).square().mean().sqrt()
    assert rms < 0.7  # gray levels
