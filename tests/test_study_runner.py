"""studies/run.py: what it plans, trains and gathers."""

import csv
import math
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import numpy as np
import pytest
import yaml
from PIL import Image

from freqvision.cli.main import main
from freqvision.data import write_synthetic_photos

STUDIES = Path(__file__).parents[1] / "studies"


@pytest.fixture
def runner(monkeypatch):
    """The program's names; it is a folder of modules, not a package."""
    monkeypatch.syspath_prepend(STUDIES)
    import preparation
    import run
    import study
    import summary

    return SimpleNamespace(**{**vars(preparation), **vars(summary), **vars(study), **vars(run)})


def write(path: Path, **changes) -> Path:
    study = {
        "title": "A study",
        "arguments": {"trainer": {"max_epochs": 2}, "model": {"name": "resnet18"}},
        "inputs": {
            "a": {"label": "A", "arguments": {"data": {"crop": 64}}},
            "b": {"label": "B", "arguments": {"model": {"start": "new"}}},
        },
        "seeds": [3, 4],
        "learning_rates": [0.1, 0.2],
        **changes,
    }
    path.write_text(yaml.safe_dump({key: value for key, value in study.items() if value is not None}))
    return path


def pretend(runner, run, top1, loss):
    """Let a run's results be there, as if another machine had made them."""
    row = {"run": run.folder.name, "input": run.input, "seed": run.seed, "lr": run.rate, "chosen": 0}
    runner.keep(run.results, {**row, "top1": f"{100 * top1:.2f}", "val_loss": f"{loss:.4f}"}, run.arguments)


def test_options_of_a_run(runner, tmp_path):
    study = runner.Study.load(write(tmp_path / "study.yaml"))
    run = study.run("b", 4, 0.1)
    assert run.arguments == {
        "trainer": {"max_epochs": 2},
        "model": {"name": "resnet18", "start": "new", "optimisation": {"lr": 0.1}},
        "seed_everything": 4,
    }
    assert study.arguments["model"] == {"name": "resnet18"}


def test_rate_is_chosen_once_all_were_tried(runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = runner.Study.load(write(tmp_path / "study.yaml"))
    pretend(runner, study.run("a", 3, 0.1), 0.5, 1.0)
    assert study.chosen_rate("a") is None
    pretend(runner, study.run("a", 3, 0.2), 0.5, 0.9)
    assert study.chosen_rate("a") == 0.2
    pretend(runner, study.run("b", 3, 0.1), 0.6, 0.8)
    pretend(runner, study.run("b", 3, 0.2), 0.61, 0.9)  # right once more, and worse
    assert study.chosen_rate("b") == 0.1


def test_what_another_machine_trained_counts_if_its_settings_are_the_same(runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "study.yaml")
    run = runner.Study.load(path).run("a", 3, 0.1)
    pretend(runner, run, 0.5, 1.0)
    assert run.row["top1"] == "50.00"
    pretend(runner, run, 0.7, 1.0)  # in the place of the older line
    assert run.row["top1"] == "70.00"
    changed = runner.Study.load(write(path, arguments={"trainer": {"max_epochs": 3}}))
    assert changed.run("a", 3, 0.1).row is None


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_recorded_runs_have_the_settings_of_their_study(runner, path):
    study = runner.Study.load(path)
    planned = {name: runner.fingerprint(arguments) for name, arguments in study.planned().items()}
    table = STUDIES.parent / study.results / "runs.csv"
    if not table.exists():
        pytest.skip("nothing of it is recorded yet")
    with open(table, newline="") as file:
        recorded = {row["run"]: row["settings"] for row in csv.DictReader(file)}
    assert recorded
    assert recorded.items() <= planned.items()


def test_interval_of_the_mean(runner):
    group = runner.Group("A", [{"top1": "80.0"}, {"top1": "82.0"}, {"top1": "84.0"}])
    assert group.mean("top1") == 82
    assert group.interval("top1") == pytest.approx(4.303 * 2 / math.sqrt(3))
    assert runner.Group("A", [{"top1": "80.0"}]).interval("top1") is None


def test_bootstrapped_interval_is_that_of_the_normal_distribution(runner):
    values = np.random.default_rng(7).normal(3, 2, (1, 400))
    mean, low, high = runner.bootstrap(values)
    half = 1.96 * values.std() / 20
    assert (mean, low, high) == pytest.approx((values.mean(), mean - half, mean + half), abs=0.03)
    shared = np.array([[0.0], [1.0], [2.0]])  # photos agree, seeds do not
    assert runner.bootstrap(shared.repeat(50, 1))[1:] == pytest.approx((0, 2), abs=0.34)


def test_noise_of_a_band_stays_in_it(runner, tmp_path, monkeypatch):
    import robustness

    Image.new("RGB", (512, 512), (128, 128, 128)).save(tmp_path / "gray.png")
    monkeypatch.setattr(robustness, "saved", lambda image, quality: np.asarray(image, dtype=float)[..., 0])
    noise = robustness.noisy(32, 64, tmp_path / "gray.png") - 128
    assert noise.std() == pytest.approx(robustness.NOISE, rel=0.01)
    radius = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.fftfreq(512)[None]) * 512
    power = np.abs(np.fft.fft2(noise)) ** 2
    assert power[(radius >= 32) & (radius < 64)].sum() > 0.999 * power.sum()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": None}, "has the keys arguments, inputs, learning_rates, seeds, title; got"),
        ({"seeds": []}, "seeds is empty"),
        ({"inputs": {"a": {"label": "A"}}}, "input 'a' has the keys label and either arguments or transport"),
        (
            {"inputs": {"a": {"label": "A", "transport": {"of": "b", "channels": 24, "scale": 2}}}},
            "transport of input 'a' has the keys of .a trained input., channels and scale",
        ),
    ],
)
def test_broken_studies(runner, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        runner.Study.load(write(tmp_path / "study.yaml", **changes))


def test_no_photos_to_time(runner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = runner.Study.load(write(tmp_path / "study.yaml", arguments={"data": {"root": "nowhere"}}))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        runner.time_preparation(study)


def test_trains_and_gathers(runner, tiny, tmp_path, monkeypatch, capsys):
    def here(command: list[str], stdout: IO[str], stderr: IO[str], env: dict[str, str]) -> SimpleNamespace:
        """The command that a study starts, without the seconds that a process of its own takes to import."""
        assert command[:3] == [sys.executable, "-m", "freqvision.cli.main"]
        assert env["OMP_NUM_THREADS"] == "1"
        with redirect_stdout(stdout), redirect_stderr(stderr):
            return SimpleNamespace(returncode=main(command[3:]))

    monkeypatch.setattr("study.subprocess.run", here)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    monkeypatch.chdir(tmp_path)
    write_synthetic_photos(tmp_path / "photos" / "train", 4, size=64)
    write_synthetic_photos(tmp_path / "photos" / "validation", 2, size=64)
    arguments = {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "precision": "32-true"},
        "model": {"name": tiny},
        "data": {"root": "photos", "resize": 64, "crop": 64, "batch_size": 12},
    }
    inputs = {
        "dct": {"label": "DCT-24", "arguments": {"data": {"dtype": "int8"}}},
        "rgb": {"label": "RGB", "arguments": {"data": {"input": "rgb", "dtype": "uint8"}}},
        "sent": {"label": "RGB, sent as DCT-24", "transport": {"of": "rgb", "channels": 24, "scale": 2}},
    }
    path = write(tmp_path / "tiny.yaml", arguments=arguments, inputs=inputs, seeds=[0], learning_rates=[0.01])
    study = runner.Study.load(path)
    runner.execute(study, study.inputs, 1)
    run = study.run("dct", 0, 0.01)
    assert run.trained
    checkpoint = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(checkpoint[:1000])  # as while the last epoch's is being written
    assert not run.trained
    run.checkpoint.write_bytes(checkpoint)
    before = (run.folder / "log.txt").stat().st_size
    runner.execute(study, study.inputs, 1)  # complete: nothing to train
    assert (run.folder / "log.txt").stat().st_size == before
    results = tmp_path / "docs" / "results" / "tiny"
    with open(results / "runs.csv", newline="") as file:
        row, rgb, sent = csv.DictReader(file)
    assert (row["dtype"], row["bytes"], row["chosen"]) == ("int8", str(24 * 8 * 8), "1")
    assert (rgb["dtype"], rgb["bytes"]) == ("uint8", str(3 * 64 * 64))
    assert (sent["dtype"], sent["bytes"], sent["parameters"]) == (
        "int8",
        str(24 * 16 * 16),
        rgb["parameters"],
    )
    assert int(sent["macs"]) == int(rgb["macs"]) + 16 * 16 * 24 * 3 * 4 * 4
    assert abs(float(sent["top1"]) - float(rgb["top1"])) < 50
    assert f"{float(row['top1']):.1f}" in (results / "table.md").read_text()
    assert (results / "table.md").read_text().endswith("| – |\n")  # nothing was timed yet
    runner.time_preparation(study, rounds=2)
    runner.gather(study)
    with open(results / "preparation.csv", newline="") as file:
        timed, *others = csv.DictReader(file)
    assert [other["input"] for other in others] == ["rgb", "sent"]
    assert (timed["input"], timed["photos"], timed["rounds"]) == ("dct", "12", "2")
    assert 0 < float(timed["ms_q25"]) <= float(timed["ms"]) <= float(timed["ms_q75"])
    assert f"| {float(timed['ms']):.2f} |\n" in (results / "table.md").read_text()
    monkeypatch.setattr("sys.argv", ["run.py", str(path), "--settings", row["run"]])
    capsys.readouterr()
    runner.main()
    saved = yaml.safe_load(capsys.readouterr().out)
    assert saved["model"]["optimisation"]["lr"] == 0.01
    assert saved == yaml.safe_load((run.folder / "study.yaml").read_text())  # what it was trained with
    assert row["settings"] == runner.fingerprint(saved)
    assert sent["settings"] != rgb["settings"]
    assert (results / "figure.png").stat().st_size > 10_000
