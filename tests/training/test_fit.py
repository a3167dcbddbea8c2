"""Training: what a run writes, that it goes on exactly where it stopped, and that its checkpoint says all."""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import tiny_program
import torch
from conftest import fit_arguments
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint

import freqvision as fv
from freqvision.analysis.figures import plot_training
from freqvision.analysis.report.load import Run
from freqvision.data import FrequencyFolder
from freqvision.models import load
from freqvision.runtime import read_table
from freqvision.training import Augmentation, Classifier, Optimisation, PhotoFolder, data_module
from freqvision.training.callbacks import EpochTable
from freqvision.training.fit import fit
from freqvision.training.validate import validate


class StopBefore(Callback):
    """Breaks a run off before an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            raise KeyError("broken off")


pytestmark = pytest.mark.usefixtures("tiny", "small_resnets")


def run(photos, folder, *, stop=None, checkpoint=None, workers=0, data=None, **options):
    """Train three epochs in `folder`, perhaps broken off before one, or going on from a checkpoint."""
    seed_everything(7)
    last = ModelCheckpoint(
        folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        default_root_dir=folder,
        callbacks=[last] if stop is None else [last, StopBefore(stop)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Classifier("tiny", optimisation=Optimisation(lr=0.01), **options)
    photos = PhotoFolder(
        str(photos), resize=72, crop=64, batch_size=8, num_threads=1, num_workers=workers, **(data or {})
    )
    if stop is None:
        trainer.fit(module, datamodule=photos, ckpt_path=checkpoint)
    else:
        with pytest.raises(KeyError, match="broken off"):
            trainer.fit(module, datamodule=photos, ckpt_path=checkpoint)
    return module


def test_a_run_writes_settings_metrics_statistics_logs_and_checkpoints(trained_run):
    for name in (
        "config.yaml",
        "metrics.csv",
        "statistics.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    ):
        assert (trained_run / name).is_file(), name
    assert list(trained_run.glob("events.out.tfevents.*"))
    table = read_table(trained_run / "metrics.csv")
    assert [line["epoch"] for line in table] == ["1", "2"]
    for line in table:
        assert 0 <= float(line["val/top1"]) <= float(line["val/top5"]) <= 1
        assert float(line["train/loss"]) > 0
        assert float(line["seconds"]) > 0


def test_a_saved_config_repeats_the_run(trained_run, tmp_path):
    fit(["--config", str(trained_run / "config.yaml"), "--output", str(tmp_path / "again")])
    ours, theirs = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (trained_run, tmp_path / "again")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_run_does_not_overwrite_another(photos, trained_run):
    with pytest.raises(ValueError, match="--ckpt_path last"):
        fit(fit_arguments(photos, trained_run))


def test_a_refused_resume_leaves_the_settings_alone(photos, trained_run):
    before = (trained_run / "config.yaml").read_text()
    arguments = [*fit_arguments(photos, trained_run), "--ckpt_path", "last", "--data.crop", "40"]
    with pytest.raises(ValueError, match=r"differs from this run's in crop \(64, here 40\)"):
        fit(arguments)
    assert (trained_run / "config.yaml").read_text() == before
    assert "ckpt_path: null" in before


def test_what_a_failed_run_measured_is_measured_again(photos, tmp_path):
    arguments = fit_arguments(photos, tmp_path)
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        fit([*arguments, "--model.weights", "nowhere.pth"])
    fit([*arguments, "--data.crop", "40", "--trainer.max_epochs", "1"])
    assert "crop 40" in fv.ChannelStatistics.load(tmp_path / "statistics.json").about


def test_mistakes_are_told_before_anything_is_measured(photos, tmp_path):
    arguments = fit_arguments(photos, tmp_path / "run")
    for mistake, message in (
        (["--data.validation", "nowhere"], "nowhere"),
        (["--data.batch_size", "0"], "batch_size is 1 or more photos, got 0"),
        (["--model.name", "resnet500"], "resnet500"),
        (["--model", "Detector"], "use --data CocoPhotos"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            fit([*mistake, *arguments] if mistake[0] == "--model" else [*arguments, *mistake])
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_says_so_and_how_it_goes_on(photos, tmp_path):
    arguments = [*fit_arguments(photos, tmp_path), "--trainer.max_epochs", "1000"]
    command = [sys.executable, tiny_program.__file__, "fit", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None and not (tmp_path / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=180)[1]
    assert process.returncode == 130
    assert (
        f"freqvision fit: interrupted: resume with --config {tmp_path}/config.yaml --ckpt_path last" in output
    )


def test_a_complete_run_does_not_go_on(photos, trained_run):
    with pytest.raises(ValueError, match="complete"):
        fit([*fit_arguments(photos, trained_run), "--ckpt_path", "last"])
    with pytest.raises(ValueError, match="planned for 2 epochs"):
        fit([*fit_arguments(photos, trained_run), "--ckpt_path", "last", "--trainer.max_epochs", "3"])


@pytest.mark.parametrize(
    ("workers", "options"),
    [
        (0, {"channels_last": False, "label_smoothing": 0.1}),
        (2, {"mixup": 0.2, "cutmix": 1.0}),
        (0, {"ema": 0.9, "augmentation": Augmentation(brightness=0.4, saturation=0.4, erase=0.5)}),
    ],
    ids=["plain", "workers-mixing", "ema-augmentation"],
)
def test_a_resumed_run_equals_an_unbroken_one(photos, tmp_path, workers, options):
    unbroken = run(photos, tmp_path / "a", workers=workers, **options)
    run(photos, tmp_path / "b", stop=2, workers=workers, **options)
    resumed = run(photos, tmp_path / "b", checkpoint=tmp_path / "b" / "last.ckpt", workers=workers, **options)
    expected = unbroken.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in resumed.state_dict().items())


def test_the_average_of_the_weights_is_what_is_kept(photos, tmp_path):
    run(photos, tmp_path, ema=0.5)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    average, current = checkpoint["state_dict"], checkpoint["current_model_state"]
    assert not torch.equal(average["model.network.fc.weight"], current["model.network.fc.weight"])
    model = load(tmp_path / "last.ckpt")
    assert torch.equal(model.network.fc.weight, average["model.network.fc.weight"])


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_mixup_and_cutmix_train(photos, tmp_path, dtype):
    module = run(photos, tmp_path, mixup=0.2, cutmix=1.0, data={"dtype": dtype})
    assert all(value.isfinite().all() for value in module.parameters())


def test_augmentation_of_channels_is_refused_for_pixels():
    with pytest.raises(ValueError, match="pixels"):
        Augmentation(erase=0.5).build(fv.PixelSpec())
    assert Augmentation().build(fv.PixelSpec()) is None


@pytest.mark.parametrize("kind", ["rgb", "ycbcr"])
def test_models_of_pixels_train_alike(photos, tmp_path, kind):
    run(photos, tmp_path, data={"input": kind})
    model = load(tmp_path / "last.ckpt")
    names = model.class_names
    assert model.spec.colour == kind
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, len(names))


def test_a_checkpoint_says_all(photos, trained_run):
    """Input with statistics, classes and network come from the file alone, and give the run's own metrics."""
    path = trained_run / "checkpoints" / "last.ckpt"
    model = load(path)
    names = model.class_names
    assert names == sorted(folder.name for folder in (photos / "train").iterdir())
    statistics = fv.ChannelStatistics.load(trained_run / "statistics.json")
    assert model.spec == fv.FrequencySpec(72, 64).with_statistics(statistics)
    metrics = validate(path, progress=False, accelerator="cpu", precision="32-true")
    logged = read_table(trained_run / "metrics.csv")[-1]
    assert metrics["photos"] == 12
    assert metrics["top1"] == pytest.approx(float(logged["val/top1"]), abs=1e-5)
    assert metrics["loss"] == pytest.approx(float(logged["val/loss"]), rel=1e-4)
    again = validate(path, photos / "validation", 5, progress=False, precision="32-true")
    assert metrics == pytest.approx(again, rel=1e-5)


def test_a_trained_model_starts_another_run(photos, trained_run, tmp_path):
    weights = str(trained_run / "checkpoints" / "last.ckpt")
    fit([*fit_arguments(photos, tmp_path / "run"), "--model.weights", weights])


def test_files_that_are_no_checkpoints_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nothing\.ckpt"):
        load(tmp_path / "nothing.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(ValueError, match="is no checkpoint"):
        load(tmp_path / "text.ckpt")
    (tmp_path / "best.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="is an export: name the checkpoint"):
        load(tmp_path / "best.onnx")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="not written by freqvision"):
        load(tmp_path / "other.ckpt")


def test_unreadable_photos_can_be_skipped_and_are_listed(photos, tmp_path, capsys):
    import shutil

    shutil.copytree(photos, tmp_path / "photos")
    bad = tmp_path / "photos" / "train" / "dots" / "000.jpg"
    bad.write_bytes(bad.read_bytes()[:700])
    arguments = fit_arguments(tmp_path / "photos", tmp_path / "run")
    with pytest.raises(fv.JpegError, match=r"dots/000\.jpg"):
        fit(arguments)
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    fit([*arguments, "--data.damaged", "skip"])
    assert "1 of 24 photos" in (output := capsys.readouterr().out)
    assert "dots/000.jpg" in output.split("skipped")[-1]


def test_the_start_fit_passes_over_unreadable_photos_too(photos, tmp_path):
    import shutil

    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "train" / "dots" / "000.jpg").write_bytes(b"no photo")
    torch.save(fv.create_model("resnet18", fv.PixelSpec(), 5).network.state_dict(), tmp_path / "rgb.pth")
    arguments = [
        *fit_arguments(tmp_path / "photos", tmp_path / "run", "resnet18"),
        *("--model.weights", str(tmp_path / "rgb.pth"), "--model.start", "fit"),
        *("--trainer.max_epochs", "1", "--data.damaged", "skip"),
    ]
    fit(arguments)
    assert len(read_table(tmp_path / "run" / "metrics.csv")) == 1


def test_models_are_built_on_the_cpu_in_float32_whatever_lightning_has_set(photos, tmp_path):
    """Lightning builds inside its strategy's device, and under bf16-true with another default type."""
    torch.save(fv.create_model("resnet18", fv.PixelSpec(), 5).network.state_dict(), tmp_path / "rgb.pth")
    data = PhotoFolder(str(photos), resize=72, crop=64, damaged="skip", num_threads=1)
    data.train_set = FrequencyFolder(photos / "train", data.spec)
    module = Classifier("resnet18", weights=str(tmp_path / "rgb.pth"), start="fit", mixup=0.2)
    module._trainer = SimpleNamespace(datamodule=data)
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            module.configure_model()
    finally:
        torch.set_default_dtype(torch.float32)
    assert {(tensor.device.type, tensor.dtype) for tensor in module.model.parameters()} == {
        ("cpu", torch.float32)
    }


@pytest.mark.parametrize(
    "options", [("--trainer.precision", "bf16-true", "--model.mixup", "0.2"), ("--trainer.logger", "false")]
)
def test_runs_in_other_ways(photos, tmp_path, options):
    fit([*fit_arguments(photos, tmp_path), "--trainer.max_epochs", "1", *options])
    assert len(read_table(tmp_path / "metrics.csv")) == 1


def test_epochs_that_are_not_validated_have_no_validation(photos, tmp_path):
    fit(
        [
            *fit_arguments(photos, tmp_path),
            *("--trainer.max_epochs", "3", "--trainer.check_val_every_n_epoch", "2"),
        ]
    )
    table = read_table(tmp_path / "metrics.csv")
    assert [bool(line["val/top1"]) for line in table] == [False, True, False]
    assert all(line["train/loss"] for line in table)
    assert not any(name.startswith("lr-") for name in table[0])
    plot_training(tmp_path / "metrics.csv", tmp_path / "curve.png")
    run = Run.load(tmp_path)
    assert run.accuracy == float(table[1]["val/top1"])
    assert run.epochs == 2


def test_metrics_keep_their_columns_when_an_epoch_lacks_some(tmp_path):
    table = EpochTable(tmp_path / "table.csv")
    trainer = SimpleNamespace(
        is_global_zero=True,
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.1}])],
        callback_metrics={"val/top1": 0.5},
        current_epoch=0,
    )
    table.on_validation_epoch_end(trainer, None)
    table.on_train_epoch_end(trainer, None)
    trainer.callback_metrics, trainer.current_epoch = {"train/loss": 1.0}, 1
    table.on_train_epoch_end(trainer, None)
    first, second = read_table(tmp_path / "table.csv")
    assert (first["val/top1"], first["train/loss"]) == ("0.5", "")
    assert (second["val/top1"], second["train/loss"]) == ("", "1.0")


def test_statistics_of_some_photos_are_of_all_classes(photos, tmp_path, monkeypatch):
    """20 of 24 photos, four of each class: a step of one and the first 20 would leave out the last class."""
    measured = []
    monkeypatch.setattr(
        data_module,
        "collect_statistics",
        lambda paths, *_, **__: measured.extend(paths) or fv.ChannelStatistics.default(),
    )
    data = PhotoFolder(
        str(photos), resize=72, crop=64, statistics=str(tmp_path / "new.json"), statistics_photos=20
    )
    data.prepare_data()
    assert len(set(measured)) == 20
    assert {os.path.basename(os.path.dirname(path)) for path in measured} == set(data.class_names)


def test_a_process_without_photos_left_validates_none(photos):
    """In the last batch of a validation there may be fewer photos than processes."""
    folder = FrequencyFolder(photos / "validation", fv.FrequencySpec(40, 32))
    images, labels = folder.__getitems__([])
    assert len(images) == len(labels) == 0
    module = Classifier("resnet18")
    module.build(folder.spec, folder.classes)
    module.log = lambda *_, **__: None
    module.eval().validation_step((images, labels), 0)
    module.validation_step(folder.__getitems__([0, 1]), 1)
    module.validation_step((images, labels), 2)
    assert module.validation_loss.weight == 2


def test_two_processes_train_together(photos, tmp_path):
    """Each sees its share, the loss is the mean over both, and each of the 11 photos counts once."""
    shutil.copytree(photos, tmp_path / "photos")
    next((tmp_path / "photos" / "validation" / "dots").iterdir()).unlink()
    command = [
        *(sys.executable, tiny_program.__file__, "fit", "--model", "tiny_program.Ranked"),
        *fit_arguments(tmp_path / "photos", tmp_path / "run"),
        *("--data.batch_size", "4", "--trainer.devices", "2", "--trainer.strategy", "ddp"),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    subprocess.run(command, check=True, timeout=900, env=environment)
    table = read_table(tmp_path / "run" / "metrics.csv")
    assert [line["epoch"] for line in table] == ["1", "2"]
    for line in table:
        right = float(line["val/top1"]) * 11
        assert right == pytest.approx(round(right), abs=1e-4)
        assert float(line["train/loss"]) == 0.5
    checkpoint = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * 3  # 24 photos, 2 processes, batches of 4


def test_a_call_in_python_does_what_the_command_does(photos, trained_run, tmp_path):
    settings = {
        "data": {"root": photos, "resize": 72, "crop": 64, "batch_size": 8, "num_threads": 1},
        "model": {"name": "tiny", "optimisation": {"lr": 0.01}},
        "trainer": {"max_epochs": 2, "accelerator": "cpu"},
    }
    result = fv.fit(**settings, output=tmp_path / "run")
    assert result.checkpoint == tmp_path / "run" / "checkpoints" / "best.ckpt"
    expected = load(trained_run / "checkpoints" / "best.ckpt").state_dict()
    assert all(torch.equal(expected[name], value) for name, value in result.model.state_dict().items())
    best = max(read_table(trained_run / "metrics.csv"), key=lambda line: float(line["val/top1"]))
    assert (
        result.metrics.items()
        >= {name: float(value) for name, value in best.items() if name != "seconds"}.items()
    )
    again = fv.fit(tmp_path / "run" / "config.yaml", trainer={"max_epochs": 1}, output=tmp_path / "again")
    assert again.metrics["epoch"] == 1
    for wrong, message in (
        ({"data": {"root": photos, "cropp": 64}}, "'cropp' is not accepted: did you mean 'crop'"),
        ({"data": photos, "model": "tiny", "output": tmp_path / "run"}, "holds a run already"),
        ({"model": "tiny"}, "required: root"),
    ):
        with pytest.raises(ValueError, match=message):
            fv.fit(**wrong)
