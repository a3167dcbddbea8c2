"""Runs survive kills, full disks, damage and a second run in their folder, and resume exactly at any step."""

import errno
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from types import SimpleNamespace

import pytest
import tiny_program
import torch
from conftest import fit_arguments
from lightning.pytorch import Callback, Trainer, seed_everything

from freqvision.data.folder import PhotoDataset
from freqvision.data.loader import EpochBatches
from freqvision.runtime import lock, read_table
from freqvision.training import Classifier, Optimisation, PhotoFolder
from freqvision.training.callbacks import EpochTable
from freqvision.training.checkpoints import AtomicCheckpoints, LastCheckpoint
from freqvision.training.fit import fit

pytestmark = pytest.mark.usefixtures("tiny")


class StopAt(Callback):
    """Breaks a run off after a batch, counted over all epochs, or as a validation starts."""

    def __init__(self, batch=None, validation=None):
        self.batch = batch
        self.validation = validation

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.fit_loop.total_batch_idx == self.batch:
            raise KeyError("broken off")

    def on_validation_batch_start(self, trainer, *_):
        if trainer.current_epoch == self.validation and not trainer.sanity_checking:
            raise KeyError("broken off")


def train(photos, folder, *, stop=None, resume=False, steps=1, batch_size=8, accumulate=1, **options):
    """Three epochs in `folder`; returns the module and the table of metrics."""
    seed_everything(7)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        default_root_dir=folder,
        callbacks=[
            *([stop] if stop else []),
            EpochTable(folder / "metrics.csv"),
            LastCheckpoint(folder, steps=steps),
        ],
        plugins=[AtomicCheckpoints()],
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = Classifier("tiny", optimisation=Optimisation(lr=0.01), **options)
    data = PhotoFolder(str(photos), resize=72, crop=64, batch_size=batch_size, num_threads=1)
    checkpoint = folder / "last.ckpt" if resume else None
    if stop:
        with pytest.raises(KeyError, match="broken off"):
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    else:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return module, read_table(folder / "metrics.csv")


def assert_equal(one, other):
    """The same weights, and the same metrics but for the seconds."""
    (module, table), (again, table_again) = one, other
    expected = module.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in again.state_dict().items())
    for line, line_again in zip(table, table_again, strict=True):
        for name in line.keys() - {"seconds"}:
            assert float(line[name]) == pytest.approx(float(line_again[name]), abs=2e-6), name


@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "mixup": 0.2}, {"accumulate": 2}], ids=str)
def test_a_run_killed_at_random_steps_equals_an_unbroken_one(photos, tmp_path, options):
    """9 batches of three epochs; killed twice each time, anywhere, with a checkpoint after each step."""
    unbroken = train(photos, tmp_path / "a", **options)
    assert len(unbroken[1]) == 3
    seed = int(time.time())
    print(f"seed {seed}")
    generator = random.Random(seed)
    for attempt in range(3):
        first, second = sorted(generator.sample(range(2, 9), 2))
        folder = tmp_path / f"b{attempt}"
        train(photos, folder, stop=StopAt(first), **options)
        train(photos, folder, stop=StopAt(second), resume=True, **options)
        assert_equal(unbroken, train(photos, folder, resume=True, **options))


def test_a_run_killed_in_its_first_validation_begins_with_it(photos, tmp_path):
    unbroken = train(photos, tmp_path / "a", steps=0)
    train(photos, tmp_path / "b", stop=StopAt(validation=0), steps=0)
    assert not read_table(tmp_path / "b" / "metrics.csv")
    assert_equal(unbroken, train(photos, tmp_path / "b", resume=True, steps=0))


@pytest.fixture
def seen(monkeypatch):
    """The photos that are trained on from here on, by epoch."""
    found = {}
    load = PhotoDataset.__getitems__

    def record(self, indices):
        if self.augment is not None:
            found.setdefault(int(self._epoch), []).extend(int(index) for index in indices)
        return load(self, indices)

    monkeypatch.setattr(PhotoDataset, "__getitems__", record)
    return found


def test_a_process_that_has_no_photo_of_a_resumed_epoch_trains_on(photos, tmp_path, seen, monkeypatch):
    train(photos, tmp_path, stop=StopAt(11), batch_size=2)  # two photos of the first epoch are left
    seen.clear()
    begin = EpochBatches.__init__
    third = {"rank": 2, "world_size": 3}
    monkeypatch.setattr(EpochBatches, "__init__", lambda *given, **how: begin(*given, **how | third))
    module, table = train(photos, tmp_path, resume=True, batch_size=2)
    assert {epoch: len(indices) for epoch, indices in seen.items()} == {0: 0, 1: 8, 2: 8}
    assert len(table) == 3
    assert all(weight.isfinite().all() for weight in module.parameters())


def test_a_resume_with_other_batches_sees_each_photo_once(photos, tmp_path, seen):
    """As with another number of processes, what is left of the epoch is divided anew."""
    train(photos, tmp_path, stop=StopAt(4), steps=1)  # one batch of 8 into the second epoch
    seen.clear()
    _, table = train(photos, tmp_path, resume=True, batch_size=4)
    assert [line["epoch"] for line in table] == ["1", "2", "3"]
    assert len(seen[1]) == len(set(seen[1])) == 16
    assert sorted(seen[2]) == list(range(24))
    assert float(table[-1]["lr"]) < 1e-3  # the cosine ends where the training does


def test_a_full_disk_keeps_the_checkpoint_before_and_tmpdir_does_not_matter(tmp_path, full_disk, monkeypatch):
    files = AtomicCheckpoints()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    files.save_checkpoint({"epoch": 0}, tmp_path / "last.ckpt")
    with full_disk(), pytest.raises(OSError, match=rf"File too large: '{tmp_path}/last\.ckpt'"):
        files.save_checkpoint({"epoch": 1, "weights": torch.zeros(2**15)}, tmp_path / "last.ckpt")
    assert files.load_checkpoint(tmp_path / "last.ckpt") == {"epoch": 0}
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_damaged_checkpoint_is_named_and_the_previous_one_offered(photos, tmp_path):
    output = tmp_path / "run"
    arguments = fit_arguments(photos, output)
    fit(arguments)
    last = output / "checkpoints" / "last.ckpt"
    for content in (b"", last.read_bytes()[:-1000]):
        last.write_bytes(content)
        with pytest.raises(ValueError, match=r"last\.ckpt is damaged.*of epoch 1.*previous\.ckpt"):
            fit([*arguments, "--ckpt_path", "last"])
    fit([*arguments, "--ckpt_path", str(output / "checkpoints" / "previous.ckpt")])
    assert [line["epoch"] for line in read_table(output / "metrics.csv")] == ["1", "2"]


class Exploit:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_resuming_executes_nothing(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("evil.ckpt", "wb") as file:
        pickle.dump(Exploit(), file)
    torch.save({"state_dict": Exploit()}, "evil2.ckpt")
    for name in ("evil.ckpt", "evil2.ckpt"):
        with pytest.raises(ValueError, match=f"{name} is damaged"):
            fit([*fit_arguments(photos, tmp_path / "run"), "--ckpt_path", name])
    assert not os.path.exists("executed")


def test_a_run_killed_before_its_first_checkpoint_starts_again(photos, tmp_path):
    (tmp_path / "checkpoints").mkdir(parents=True)
    (tmp_path / "config.yaml").write_text("stale")
    (tmp_path / "checkpoints" / ".last.ckpt.123.draft").write_text("half")
    fit([*fit_arguments(photos, tmp_path), "--trainer.max_epochs", "1"])
    names = {file.name for file in (tmp_path / "checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "previous.ckpt"}


def test_two_runs_do_not_share_a_folder_but_a_killed_one_gives_it_back(photos, tmp_path):
    code = (
        "import sys, time, pathlib; from freqvision.runtime import lock\n"
        "file = lock(pathlib.Path(sys.argv[1])); print('locked', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"locked\n"
            with pytest.raises(ValueError, match=rf"another run .* \(process {other.pid}\)"):
                fit(fit_arguments(photos, tmp_path))
        finally:
            other.send_signal(signal.SIGKILL)
    lock(tmp_path).close()


def test_the_lock_on_windows(tmp_path, monkeypatch):
    """The same through its own module, which stands in for here; it locks a byte beyond the text."""
    taken = []

    def locking(file: int, mode: int, count: int) -> None:
        place = os.lseek(file, 0, os.SEEK_CUR)
        if place in taken:
            raise PermissionError(errno.EACCES, "taken")
        taken.append(place)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with lock(tmp_path) as held:
        assert held.name.endswith(".lock")
        assert (tmp_path / ".lock").read_text() == str(os.getpid())
        with pytest.raises(ValueError, match=rf"another run .* \(process {os.getpid()}\)"):
            lock(tmp_path)
    assert taken == [2**20]


def test_a_loss_that_is_not_finite_stops_with_its_place_and_photos(photos, tmp_path):
    arguments = [*fit_arguments(photos, tmp_path / "run"), "--model.optimisation.lr", "1e30"]
    pattern = (
        r"not finite at step 2 \(epoch 1, batch 2\), learning rate \S+, photos (\S+\.jpg, ){7}\S+\.jpg: "
    )
    with pytest.raises(ValueError, match=pattern):
        fit([*arguments, "--model.optimisation.warmup", "0"])
    assert not (tmp_path / "run").exists()


def test_a_failed_run_leaves_nothing_that_looks_like_a_run(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    next((tmp_path / "photos" / "train" / "dots").iterdir()).write_bytes(b"\xff\xd8 no photo")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="damaged skip"):
        fit(fit_arguments(tmp_path / "photos", tmp_path / "run"))
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_a_damaged_validation_photo_costs_no_epoch(photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    bad = sorted((tmp_path / "photos" / "validation").rglob("*.jpg"))[-1]
    content = bad.read_bytes()
    bad.write_bytes(b"\xff\xd8 no photo")
    arguments = [*fit_arguments(tmp_path / "photos", tmp_path / "run"), "--trainer.num_sanity_val_steps", "0"]
    with pytest.raises(ValueError, match=bad.name):
        fit(arguments)
    bad.write_bytes(content)
    fit([*arguments, "--ckpt_path", "last"])
    assert [line["epoch"] for line in read_table(tmp_path / "run" / "metrics.csv")] == ["1", "2"]


def test_a_checkpoint_of_another_network_is_refused_by_both_names(photos, trained_run, tmp_path):
    last = str(trained_run / "checkpoints" / "last.ckpt")
    arguments = [*fit_arguments(photos, tmp_path / "run", "resnet18"), "--ckpt_path", last]
    statistics = ["--data.statistics", str(trained_run / "statistics.json"), "--trainer.max_epochs", "9"]
    with pytest.raises(ValueError, match="is of a tiny, this run trains a resnet18"):
        fit([*arguments, *statistics])


def test_a_terminated_run_continues_at_the_batch_it_had_reached(photos, tmp_path):
    arguments = [*fit_arguments(photos, tmp_path), "--trainer.max_epochs", "500"]
    command = [sys.executable, tiny_program.__file__, "fit", *arguments, "--data.batch_size", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        while process.poll() is None and not (tmp_path / "metrics.csv").exists():
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=120)[1]
    assert process.returncode == 143, output
    assert f"fit: terminated: resume with --config {tmp_path}/config.yaml --ckpt_path last" in output
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    epochs = len(read_table(tmp_path / "metrics.csv"))
    assert 12 * epochs <= checkpoint["global_step"]
