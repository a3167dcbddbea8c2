"""A newcomer's clock: from `pip install` to the first tensor, prediction and fine-tuned model.

    python benchmarks/newcomer.py WHEEL --weights ../shared/weights/resnet50_v1_imagenet1k.safetensors

Each step is a new process in a fresh virtual environment. The weights are copied to where torchvision keeps
its downloads. Next to the wall time stands CPU time, since other work may slow the machine.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TENSOR = """
import freqvision as fv
print(fv.Decoder(fv.FrequencySpec())(["photos/validation/dots/000.jpg"]).shape)
"""
PREDICT = """
import freqvision as fv, torch, torchvision
model = fv.Transport(torchvision.models.resnet50(weights="IMAGENET1K_V1").eval())
with torch.inference_mode():
    print(int(model(fv.Decoder(model.spec)(["photos/validation/dots/000.jpg"])).argmax()))
"""
FIT = """
import freqvision as fv
run = fv.fit(
    data={"root": "photos", "resize": 256, "crop": 224, "batch_size": 16},
    model={"name": "resnet50", "weights": "IMAGENET1K_V1", "optimisation": {"lr": 0.005}},
    trainer={"max_epochs": 1, "precision": "32-true"},
    output="run",
)
print(run.metrics["val/top1"])
"""
MATERIAL = """
import sys, torch
from pathlib import Path
from safetensors.torch import load_file
from freqvision.data import write_synthetic_photos
for part, count in (("train", 16), ("validation", 4)):
    write_synthetic_photos(f"photos/{part}", count, size=256, seed=0 if part == "train" else 1000)
Path("torch/hub/checkpoints").mkdir(parents=True)
state = {name: tensor.float() for name, tensor in load_file(sys.argv[1]).items()}
torch.save(state, "torch/hub/checkpoints/resnet50-0676ba61.pth")
"""


def clock(what: str, command: list[str | Path], folder: Path) -> None:
    """Run it, print its times and its last line."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "TORCH_HOME": str(folder / "torch")}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    last = done.stdout.strip().rpartition("\n")[2]
    print(f"{what:<28}{seconds:8.1f} s{cpu:8.1f} s of CPU   {last[:60]}", flush=True)


def main() -> None:
    """Measure all steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="of torchvision's ResNet-50, V1")
    parser.add_argument("--venv", type=Path, help="one in which the wheel is installed, to skip that step")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv = (options.venv or folder / "venv").resolve()
        python = venv / "bin" / "python"
        if options.venv is None:
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            wheel = f"freqvision[train] @ {options.wheel.resolve().as_uri()}"
            clock("pip install", [python, "-m", "pip", "install", "--quiet", wheel], folder)
        clock("(photos, weights in cache)", [python, "-c", MATERIAL, options.weights.resolve()], folder)
        clock("first tensor", [python, "-c", TENSOR], folder)
        clock("first prediction, ResNet-50", [python, "-c", PREDICT], folder)
        clock("first fine-tuned ResNet-50", [python, "-c", FIT], folder)


if __name__ == "__main__":
    main()
