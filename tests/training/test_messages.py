"""What `freqvision fit` prints: one screen of help, mistakes and remedies, the plan, lines per epoch."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import fit_arguments
from PIL import Image

from freqvision.cli.fit import COMMON, RUN
from freqvision.cli.main import main
from freqvision.data.folder import PACKED
from freqvision.inputs.packed import pack
from freqvision.models import load
from freqvision.runtime import read_table
from freqvision.training.fit import fit

pytestmark = pytest.mark.usefixtures("tiny")


def test_help_is_one_screen_and_imports_neither_torch_nor_lightning():
    code = (
        "from freqvision.cli.main import main\nimport sys\n"
        "try: main(['fit', '--help'])\nexcept SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'lightning', 'jsonargparse'} & {name.split('.')[0] for name in sys.modules}"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    lines = result.stdout.splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) <= 110
    assert "…" not in result.stdout
    for prefix, _, _, fields in COMMON:
        for field in fields.split():
            assert re.search(rf"^  --{re.escape(prefix + field)} .*[a-z]{{3}}", result.stdout, re.M), field
    assert all(name in result.stdout for name, _, _ in RUN)
    assert re.search(r"--model\.optimisation\.lr +0\.02 ", result.stdout)


def test_all_settings_are_in_the_help_of_all(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help_all"])
    printed = capsys.readouterr().out
    for setting in ("--trainer.gradient_clip_val", "--checkpoint_minutes", "--ckpt_path"):
        assert setting in printed


@pytest.mark.parametrize(
    ("yaml", "meant"),
    [
        ("model: {init_args: {nam: resnet18}}", "'nam' is not accepted: did you mean 'name'?"),
        ("modle: {name: resnet18}", "'modle.name' is not accepted: did you mean 'model'?"),
        ("model: {optimisation: {lr: 0.1, warm_up: 0.3}}", "did you mean 'warmup'?"),
        ("trainer: {max_epoch: 3}", "did you mean 'max_epochs'?"),
        ("data: {crop: large}", "crop: expected int"),
        ("model: {start: folded}", "start: expected 'new', 'slice', 'fit', 'fold'"),
    ],
)
def test_a_misspelt_key_is_named_with_what_was_meant(yaml, meant, photos, tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(yaml)
    with pytest.raises(SystemExit) as stop:
        fit(["--data.root", str(photos), "--config", str(tmp_path / "config.yaml")])
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert meant in printed
    assert len(printed.splitlines()) <= 2
    assert not re.search("Union|Subtypes|NoneType|NestedArg", printed)


def test_a_validation_folder_of_another_name_is_suggested(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    for name in ("val", "valid", "test"):
        found = next(path for path in (tmp_path / "photos").iterdir() if path.name != "train")
        found.rename(tmp_path / "photos" / name)
        with pytest.raises(FileNotFoundError, match=rf"--data\.validation {name}"):
            fit(fit_arguments(tmp_path / "photos", tmp_path / "run"))


@pytest.mark.parametrize("root", ["s3://bucket", "s3:/bucket"])
def test_an_address_keeps_its_slashes_and_leads_to_shards(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^s3://bucket/train is no folder .*--data PhotoShards"):
        fit(["--data.root", root, "--output", str(tmp_path / "run")])
    with pytest.raises(ValueError, match=r"^s3://bucket/best\.ckpt is no address of a saved model"):
        load(f"{root}/best.ckpt")


def test_a_single_class_has_its_own_message(photos, tmp_path):
    for part in ("train", "validation"):
        shutil.copytree(photos / part / "dots", tmp_path / "photos" / part / "dots")
    with pytest.raises(ValueError, match="has one class, 'dots': a classifier needs two"):
        fit(fit_arguments(tmp_path / "photos", tmp_path / "run"))


def test_the_plan_names_what_is_odd_about_the_photos_and_epochs_have_a_line(
    photos, tmp_path, monkeypatch, capsys
):
    """A class without validation, formats that are left out, PNGs but not packed photos, unchecked photos."""
    copied = shutil.copytree(photos, tmp_path / "photos")
    shutil.rmtree(copied / "validation" / "dots")
    for name in ("a.heif", "b.heic", "c.jxl"):
        (copied / "train" / "rings" / name).write_bytes(b"")
    source = copied / "train" / "rings" / "000.jpg"
    Image.open(source).save(source.with_suffix(".png"))
    source.unlink()
    source = copied / "train" / "rings" / "001.jpg"
    source.with_suffix(PACKED).write_bytes(*pack([source]))
    source.unlink()
    for name, value in (("GROUP_WORLD_SIZE", "2"), ("TORCHELASTIC_USE_AGENT_STORE", "True")):
        monkeypatch.setenv(name, value)
    fit(fit_arguments(copied, tmp_path / "run"))
    lines = capsys.readouterr().out.splitlines()
    printed = "\n".join(lines)
    assert "no photos to validate 1 of the classes: dots" in printed
    assert "1 .heic, 1 .heif, 1 .jxl" in printed
    assert "1 are no JPEGs: Pillow decodes them" in printed
    assert "one that fails cannot come back: set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in printed
    assert "34 were not checked for damage: see freqvision check" in printed
    epochs = [line for line in lines if line.startswith("epoch")]
    assert [line.split()[:2] for line in epochs] == [["epoch", "1"], ["epoch", "2"]]
    assert all(len(line) <= 80 and "train/loss" in line and "val/top1" in line for line in epochs)


def test_two_classes_have_no_top5(photos, tmp_path, capsys):
    for part in ("train", "validation"):
        for name in ("dots", "rings"):
            shutil.copytree(photos / part / name, tmp_path / "photos" / part / name)
    fit([*fit_arguments(tmp_path / "photos", tmp_path / "run"), "--trainer.max_epochs", "1"])
    assert "val/top5" not in read_table(tmp_path / "run" / "metrics.csv")[0]
    capsys.readouterr()
    assert main(["validate", "--checkpoint", str(tmp_path / "run" / "checkpoints" / "last.ckpt")]) == 0
    printed = capsys.readouterr().out
    assert "top-1" in printed
    assert "top-5" not in printed


def test_learning_rates_have_their_own_columns_and_the_best_is_said_at_the_end(photos, tmp_path, capsys):
    """Gates come first in the model, but theirs is not the learning rate; with an own ModelCheckpoint."""
    fit(
        [
            *fit_arguments(photos, tmp_path / "run"),
            *("--model.gates.lr", "30", "--model.optimisation.schedule", "constant"),
            *("--model.optimisation.warmup", "0", "--trainer.callbacks+=ModelCheckpoint"),
            f"--trainer.callbacks.dirpath={tmp_path / 'own'}",
        ]
    )
    for line in read_table(tmp_path / "run" / "metrics.csv"):
        assert float(line["lr"]) == pytest.approx(0.01)
        assert float(line["lr_gates"]) == pytest.approx(0.3)
    assert list((tmp_path / "own").glob("*.ckpt"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(rf"best val/top1 0\.\d{{4}}: {tmp_path}/run/checkpoints/best\.ckpt", last)


class Terminal:
    """A stderr that says it is a terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_the_bar_is_of_the_running_epoch_counted_from_1_and_80_columns_wide(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    fit([*fit_arguments(photos, tmp_path / "run"), "--data.batch_size", "4"])
    states = [state for state in re.split(r"[\r\n]", terminal.text) if state.startswith(("epoch", "valid"))]
    assert {state[: len("epoch 1 of 2")] for state in states} >= {"epoch 1 of 2", "epoch 2 of 2"}
    assert max(map(len, states)) <= 80
    assert not any(state.startswith("epoch 0") for state in states)
