"""What a GPU shows, in one run of at most 25 minutes: loading, training steps, inference, a fine-tune.

    python benchmarks/gpu.py --output runs/gpu
    python benchmarks/gpu.py --rehearse            every stage on the CPU, with a few photos

Stages, each with its limit in minutes; one that overruns is stopped, and what it had written stays:

    loader      photos/s into the device, and the share of time it waits: PhotoLoader, and torchcodec in a
                DataLoader's workers; without a model and with steps of ResNet-50 → loader.csv
    steps       training steps of ResNet-50 and ViT-B, RGB-224 and DCT-24 → steps-*.json
    transport   from files to classes, Transport and fold among them → inference.json
    fine-tune   RGB-224, DCT-24 and DCT-48, five seeds each (studies/gpu.yaml) → docs/results/gpu

Needs ../shared, or --photos and, for the fine-tune, the data that studies/gpu.yaml names.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from throughput.rivals import Torchcodec
from torch.utils.data import DataLoader, Dataset
from training import Trainer

import freqvision as fv
from freqvision.analysis.speed import TorchvisionTensors
from freqvision.data import PhotoLoader
from freqvision.data.folder import find_photos
from freqvision.runtime import available_cores, markdown

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {"loader": 5, "steps": 4, "transport": 3, "fine-tune": 12}
FIELDS = ("input", "loader", "photos/s, loader only", "photos/s, step only", "photos/s, both", "device waits")


@dataclass(frozen=True)
class Setup:
    """How large the run is."""

    device: str
    photos: list[str]
    batch: int
    batches: int
    workers: int
    output: Path
    rehearse: bool


class Ours(Dataset[Any]):
    """Photos, read a batch at a time by the native pass."""

    def __init__(self, paths: list[str], spec: fv.InputSpec) -> None:
        self.paths = paths
        self.decode = fv.Decoder(spec)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        return self.decode([self.paths[index] for index in indices])


class Theirs(Dataset[torch.Tensor]):
    """Photos, one at a time by torchcodec, or by torchvision where it is not installed."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths
        try:
            Torchcodec.require()
            self.name, self.load = "torchcodec", Torchcodec(256, 224, "uint8")
        except (ImportError, RuntimeError):
            self.name, self.load = "torchvision", TorchvisionTensors(256, 224, "uint8")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.load(Path(self.paths[index]).read_bytes())


def loaders(setup: Setup) -> Iterator[tuple[str, str, fv.InputSpec, Iterable[torch.Tensor]]]:
    """Name of the input, name of the loader, its spec, and the loader."""
    rgb, dct = fv.PixelSpec(dtype="uint8"), fv.FrequencySpec(resize=512, crop=448, dtype="int8")
    paths = setup.photos * -(-setup.batch * (setup.batches + 2) // len(setup.photos))
    for name, spec in (("RGB-224 uint8", rgb), ("DCT-24@448 int8", dct)):
        yield name, "PhotoLoader", spec, PhotoLoader(Ours(paths, spec), setup.batch, device=setup.device)
    theirs = Theirs(paths)
    plain = DataLoader(
        theirs, setup.batch, num_workers=setup.workers, pin_memory=setup.device != "cpu", prefetch_factor=4
    )
    yield "RGB-224 uint8", f"{theirs.name}, {setup.workers} workers", rgb, plain


def rate(setup: Setup, loader: Iterable[torch.Tensor], trainer: Trainer | None) -> float:
    """Photos per second into the device, without the first two batches."""
    started, seen = 0.0, 0
    for count, batch in enumerate(loader):
        if count == 2:
            started = time.perf_counter()
        there = batch.to(setup.device, non_blocking=True)
        if trainer is not None:
            trainer.step(there)
        seen += len(batch) if count >= 2 else 0
        if count == setup.batches + 1:
            break
    if setup.device != "cpu":
        torch.accelerator.synchronize()
    return seen / (time.perf_counter() - started)


def stage_loader(setup: Setup) -> None:
    """Loading into the device, alone and while it trains."""
    rows = []
    for name, how, spec, loader in loaders(setup):
        trainer = Trainer("resnet18" if setup.rehearse else "resnet50", spec, setup.device, "bfloat16")
        alone = rate(setup, loader, None)
        ready = next(iter(loader)).to(setup.device)
        step = rate(setup, [ready] * (setup.batches + 2), trainer)
        both = rate(setup, loader, trainer)
        waits = f"{100 * max(0.0, 1 - both / step):.0f} %"
        rows.append((name, how, f"{alone:.0f}", f"{step:.0f}", f"{both:.0f}", waits))
        with open(setup.output / "loader.csv", "w", newline="") as file:
            csv.writer(file).writerows([FIELDS, *rows])
    print(markdown([list(FIELDS), *map(list, rows)]))


def command(stage: str, setup: Setup) -> list[list[str]]:
    """The commands of a stage that is another script."""
    size = ["--photos", str(len(setup.photos)), "--batch", str(setup.batch), "--device", setup.device]
    size += ["--precision", "bfloat16", "--rounds", "1" if setup.rehearse else "5"]
    folder = str(Path(setup.photos[0]).parent)
    if stage == "steps":
        names = ["resnet18"] if setup.rehearse else ["resnet50", "timm/vit_base_patch16_224"]
        files = {name: str(setup.output / f"steps-{name.split('/')[-1]}.json") for name in names}
        script = ["benchmarks/training.py", folder, *size]
        return [[*script, "--network", name, "--output", files[name]] for name in names]
    if stage == "transport":
        output = ["--output", str(setup.output / "inference.json")]
        return [["benchmarks/inference.py", folder, "--networks", "resnet50", *size, *output]]
    study = ROOT / "studies" / "gpu.yaml"
    if setup.rehearse:
        settings = yaml.safe_load(study.read_text())
        settings["arguments"]["trainer"] |= {
            "max_epochs": 1,
            "limit_train_batches": 1,
            "limit_val_batches": 1,
        }
        settings["arguments"]["data"]["batch_size"] = 4
        study = setup.output / "gpu-rehearsal.yaml"
        study.write_text(yaml.safe_dump(settings | {"seeds": [0]}))
    return [["studies/run.py", str(study), "--jobs", "1" if setup.rehearse else "5"]]


def main() -> None:
    """Run the stages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, default=ROOT / "../shared/data/imagenet-sample/images")
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"), help="folder for the results")
    parser.add_argument("--stages", nargs="+", default=list(LIMITS), choices=list(LIMITS))
    parser.add_argument("--workers", type=int, default=available_cores(), help="of the DataLoader")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU, with a few photos")
    options = parser.parse_args()
    if not options.rehearse and not torch.cuda.is_available():
        parser.error("no GPU is here; --rehearse goes through all stages on the CPU")
    photos = find_photos(options.photos)[: 4 if options.rehearse else None]
    setup = Setup(
        device="cpu" if options.rehearse else "cuda",
        photos=photos,
        batch=2 if options.rehearse else 128,
        batches=2 if options.rehearse else 60,
        workers=1 if options.rehearse else options.workers,
        output=options.output.resolve(),
        rehearse=options.rehearse,
    )
    setup.output.mkdir(parents=True, exist_ok=True)
    failed = []
    for stage in options.stages:
        print(f"\n# {stage}", flush=True)
        started = time.monotonic()
        if stage == "loader":
            stage_loader(setup)
        else:
            for arguments in command(stage, setup):
                left = 60 * LIMITS[stage] - (time.monotonic() - started)
                try:
                    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, timeout=max(left, 1))
                    failed += [stage] if done.returncode else []
                except subprocess.TimeoutExpired:
                    failed.append(f"{stage} (stopped after {LIMITS[stage]} minutes)")
        print(f"{stage}: {time.monotonic() - started:.0f} s", flush=True)
    if setup.rehearse:
        shutil.rmtree(ROOT / "docs" / "results" / "gpu-rehearsal", ignore_errors=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
