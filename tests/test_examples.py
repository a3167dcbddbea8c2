"""The programs in examples/ run; serve_onnx.py is tested with the export it serves."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import freqvision as fv
from freqvision.data import write_synthetic_photos

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_plain_pytorch_trains(tmp_path):
    write_synthetic_photos(tmp_path / "train", 12, size=64)
    write_synthetic_photos(tmp_path / "validation", 4, size=64)
    settings = ["--data", tmp_path, "--resize", "72", "--crop", "64", "--epochs", "1", "--batch-size", "16"]
    program = EXAMPLES / "train_plain_pytorch.py"
    command = [sys.executable, program, *settings, "--output", tmp_path / "model.pth"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "72 photos to train on, 24 to validate, 6 classes" in done.stdout
    saved = torch.load(tmp_path / "model.pth", weights_only=True)
    assert fv.FrequencySpec.from_dict(saved["spec"]).crop == 64


def test_shards_are_read_whole_and_once():
    pytest.importorskip("webdataset")
    command = [sys.executable, EXAMPLES / "stream_shards.py", "--batch-size", "7"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("300 photos as (24, 16, 16) int8: ")
