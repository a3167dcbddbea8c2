"""The documentation's commands and Python blocks run as they are written, on small data."""

import logging
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

import freqvision as fv
from freqvision.cli import main as command_line
from freqvision.data import write_synthetic_photos
from freqvision.detection import write_synthetic_scenes

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    "README.md",
    *(f"docs/{name}.md" for name in ("guide", "models", "selection", "detection", "scale", "cluster")),
]
PAGES += ["docs/index.md", "docs/coming_from.md"]

# Settings that make a documented training small, added after the command's own.
QUICK = [
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.precision=32-true",
    "--trainer.limit_train_batches=2",
    "--trainer.limit_val_batches=1",
    "--data.batch_size=2",
    "--data.num_threads=1",
]
CLASSIFIER = ["--data.resize=72", "--data.crop=64"]
OWN = ["--data.root=PHOTOS", "--model.weights=resnet50.pth", "--model.strides=standard"]
DETECTOR = ["--data.resize=64", "--data.max_size=96", "--model.detector.detections=5"]


def all_blocks(page: str) -> list[tuple[str, str]]:
    """Fenced blocks of a page, each with its language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def blocks(page: str, *languages: str) -> list[str]:
    """Those of one of these languages."""
    return [block for language, block in all_blocks(page) if language in languages]


def commands(page: str) -> list[list[str]]:
    """Words of each command of a page, without the prompt and comments."""
    found = commands_of("\n".join(blocks(page, "console", "")))
    if page.startswith("configs"):  # their commands are in tables
        text = (ROOT / page).read_text(encoding="utf-8")
        found += map(shlex.split, re.findall(r"`(freqvision fit [^`]*)`", text))
    return found


def commands_of(block: str) -> list[list[str]]:
    """Words of each command of a block."""
    lines = block.replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("$ ") for line in lines if re.match(r"\$ |freqvision ", line)]
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def small(words: list[str]) -> list[str]:
    """The same command, with options that let it finish within seconds."""
    _, command, *options = words
    if command == "fit" and "--ckpt_path" not in options:
        if "csv_photos.CsvPhotos" in options:
            return [command, *options, *QUICK[:-1], *CLASSIFIER]
        if "Detector" in options:
            return [command, *options, *QUICK, *DETECTOR]
        extra = [*QUICK, *CLASSIFIER]
        if "resnet50_gated.yaml" not in " ".join(options) and "new" not in options:  # 4 pixels per block
            extra.append("--model.rgb_size=32")
        if any("clothing" in word for word in options):  # as the page says of these configs
            extra += [word for word in OWN if word.split("=")[0] not in options]
        return [command, *options, *extra]
    if command == "select":
        extra = ["--allow_ties"] if "--top" in options else []  # the network has hardly been trained
        return [command, *options, *extra, *(["--photos=2"] if "sensitivity" in options else [])]
    if command == "pack":
        return [command, *options, "--crop=64", "--measure=2"]
    if "--size" in options:
        return [command, *options, "--size=[64,96]"]
    if command == "bench":
        return [command, *options, "--photos=2", "--rounds=1", "--threads=1"]
    return [command, *options]


@pytest.fixture(scope="module")
def quick_networks(small_resnets) -> Iterator[None]:
    """Small ResNets also see RGB images at an eighth of the size."""
    network = torchvision.models.ResNet
    forward = network._forward_impl

    def pooled(self: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
        large = images.shape[1] == 3 and images.shape[2] >= 224
        return forward(self, torch.nn.functional.avg_pool2d(images, 8) if large else images)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "_forward_impl", pooled)
        yield


@pytest.fixture(scope="module")
def material(tmp_path_factory, quick_networks) -> Path:
    """Files that the pages name: photos, a folder of classes, shapes in COCO's format, untrained weights."""
    folder = tmp_path_factory.mktemp("material")
    for name in ("configs", "docs", "examples", "studies", "benchmarks"):
        os.symlink(ROOT / name, folder / name)
    noise = np.random.default_rng(0)
    for name in ("cat", "dog", "photo", "photo1", "photo2"):
        Image.fromarray(noise.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(folder / f"{name}.jpg")
    for name in ("photos", "PHOTOS"):
        write_synthetic_photos(folder / name / "train", photos_per_class=2, size=64)
        write_synthetic_photos(folder / name / "validation", photos_per_class=1, size=64, seed=100)
    command_line.main(["pack", str(folder / "PHOTOS/train"), str(folder / "PACKED"), "--crop=64"])
    photos = sorted((folder / "PHOTOS").rglob("*.jpg"))
    (folder / "CSV").mkdir()
    for part in ("train", "validation"):
        found = sorted((folder / "PHOTOS" / part).rglob("*.jpg"))
        lines = [f"{photo},{photo.parent.name}" for photo in found]
        (folder / "CSV" / f"{part}.csv").write_text("\n".join(["file,label", *lines]))
    rows = [f"{photo.relative_to(folder / 'PHOTOS')},{number}" for number, photo in enumerate(photos)]
    (folder / "LABELS.csv").write_text("\n".join(["file,class_index", *rows]))
    weights = torchvision.models.resnet50(zero_init_residual=True).state_dict()  # finite after a few steps
    save_file(weights, folder / "resnet50.safetensors")
    torch.save(weights, folder / "resnet50.pth")
    cache = folder / "torch" / "hub" / "checkpoints"  # where torchvision keeps what it has downloaded
    cache.mkdir(parents=True)
    published = torchvision.models.ResNet50_Weights.DEFAULT.url.rsplit("/", 1)[1]
    os.link(folder / "resnet50.pth", cache / published)
    for part in ("train", "val"):
        annotations = write_synthetic_scenes(folder / "shapes" / part, photos=6, size=(60, 80))
        annotations.rename(folder / "shapes" / f"{part}.json")
        for photo in (folder / "shapes" / part / "images").iterdir():
            photo.rename(folder / "shapes" / part / photo.name)
    return folder


@pytest.fixture
def there(material, monkeypatch) -> Iterator[Path]:
    """The material as the working folder."""
    monkeypatch.setenv("TORCH_HOME", str(material / "torch"))
    monkeypatch.chdir(material)
    monkeypatch.syspath_prepend(ROOT / "examples")
    yield material
    logging.getLogger("freqvision").handlers.clear()  # they write to the stderr of this test


RAN: set[str] = set()  # pages share a folder, and what one has run another does not run again


def run(words: list[str], capsys) -> None:
    """Run a command, if it is one of freqvision's, else see that it could run."""
    if words[0] != "freqvision":
        check_program(words, capsys)
    elif shlex.join(words) not in RAN:
        code = command_line.main(small(words))
        errors = capsys.readouterr().err
        complete = "--ckpt_path" in words and "the run is complete" in errors  # small runs end at once
        assert code == 0 or complete, f"{shlex.join(words)}\n{errors}"
        RAN.add(shlex.join(words))


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks(page, there):
    found = blocks(page, "python")
    assert found
    names: dict[str, object] = {}
    for block in found:
        exec(compile(block, page, "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_commands(page, there, capsys):
    for words in commands(page):
        run(words, capsys)


def test_journeys(there, capsys, monkeypatch):
    """Their blocks run in order; what a journey made, the next ones may use."""
    timm = pytest.importorskip("timm")
    pytest.importorskip("transformers")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: create(name))  # no network in tests
    found = all_blocks("docs/journeys.md")
    assert len(re.findall("^## ", (ROOT / "docs/journeys.md").read_text(encoding="utf-8"), re.M)) == 8
    names: dict[str, object] = {}
    for language, block in found:
        if language == "python":
            exec(compile(block, "docs/journeys.md", "exec"), names)
        for words in commands_of(block) if language == "console" else ():
            run(words, capsys)
    assert Path("report/index.html").is_file()
    assert Path("detections/photo.jpg").is_file()
    assert fv.load("runs/selected/checkpoints/best.ckpt").channels == 24


RESULTS = sorted(
    str(path.relative_to(ROOT))
    for path in (
        *ROOT.glob("docs/results/*.md"),
        *ROOT.glob("configs/*/README.md"),
        ROOT / "docs/performance.md",
        ROOT / "docs/explore.md",  # whose command serves until it is stopped
    )
)


@pytest.mark.parametrize("page", RESULTS)
def test_commands_of_results_are_understood(page, there, capsys):
    """They take hours: their settings are parsed, as far as that goes without the files they read."""
    for words in commands(page):
        if words[:2] == ["freqvision", "fit"]:
            with pytest.raises(SystemExit) as stop:
                command_line.main([*words[1:], "--print_config"])
            assert not stop.value.code, f"{shlex.join(words)}\n{capsys.readouterr().err}"
        elif words[0] == "freqvision":
            check_options(words, ["freqvision", words[1]], capsys)
        else:
            check_program(words, capsys)


def check_program(words: list[str], capsys) -> None:
    """A command of the repository: the program is there, and knows the options."""
    program, *rest = words
    if program == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in rest), words
    elif program == "pip":
        extras = re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
        named = re.findall(r"\[(.*?)\]", " ".join(rest))
        assert {extra for group in named for extra in group.split(",")} <= set(extras), words
    elif program == "sh":
        subprocess.run(["sh", "-n", rest[0]], check=True)
    elif program == "export":
        assert re.match(r"\w+=", rest[0]), words
    elif program == "python" and rest[0] == "-c":
        subprocess.run([sys.executable, *rest], check=True)
    else:
        assert program == "python", f"nothing here runs {shlex.join(words)}"
        check_options(words, rest[:1], capsys)


def check_options(words: list[str], program: list[str], capsys) -> None:
    """The options of a command are among those that its --help lists."""
    used = {word.split("=")[0] for word in words if word.startswith("--")}
    if not used and program[0] != "freqvision":  # the program may have no --help
        compile(Path(program[0]).read_text(), program[0], "exec")
        return
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [program[0], "--help"])
        patch.syspath_prepend(str(Path(program[0]).resolve().parent))
        run = partial(runpy.run_path, program[0], run_name="__main__")
        if program[0] == "freqvision":
            run = partial(command_line.main, [*program[1:], "--help"])
        with pytest.raises(SystemExit) as stop:
            run()
    assert not stop.value.code, words
    known = set(re.findall(r"--[\w.]+", capsys.readouterr().out))
    assert used <= known, f"{shlex.join(words)}: {sorted(used - known)} unknown"


def table(path: str, first: str) -> list[dict[str, str]]:
    """The rows of the first table of a page whose line of titles starts like this."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(first))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:]]
    rows = rows[: next((number for number, row in enumerate(rows) if len(row) < 2), len(rows))]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


@pytest.mark.parametrize(
    ("page", "study", "rows"),
    [
        ("README.md", "resnet50", 2),
        ("docs/results/resnet50.md", "resnet50", 2),
        ("docs/results/inputs.md", "inputs", 14),
        ("docs/results/fold.md", "fold", 2),
        ("docs/results/scratch.md", "scratch", 4),
        ("docs/results/packed.md", "packed", 3),
    ],
)
def test_tables_are_those_of_the_studies(page, study, rows):
    measured = {row["input"]: row for row in table(f"docs/results/{study}/table.md", "| input |")}
    shown = table(page, "| input |")
    assert len(shown) == rows
    for row in shown:
        same = {title.removesuffix(", 8 bit"): value for title, value in row.items() if title != "by seed"}
        theirs = measured[row["input"]]
        assert {title: theirs[title] for title in same} == same
