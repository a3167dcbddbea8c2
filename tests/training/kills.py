"""Kills of training at random places, on one process and on two, after which the run resumes.

    python tests/training/kills.py [--kills 20] [--seed 0]

Processes are forked from this one, talk by gloo, and are killed by SIGKILL: at a batch, before a checkpoint
is written, or at a validation. The final weights equal those of an unbroken run bit for bit on the same
number of processes; on any number, each epoch has the photos and views of an unbroken one, each once.
"""

import argparse
import os
import random
import signal
import socket
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from freqvision.data import write_synthetic_photos
from freqvision.training import Classifier, Optimisation, PhotoFolder
from freqvision.training.callbacks import EpochTable, read_table
from freqvision.training.checkpoints import LAST, AtomicCheckpoints, LastCheckpoint

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import register_tiny

EPOCHS, STEPS = 3, {1: 6, 2: 3}  # of an epoch of 24 photos in batches of 4, by the number of processes


class Watch(Callback):
    """Kills this process at a place, and writes down which photos it has trained on."""

    def __init__(self, log: Path, kill: tuple[str, int] | None) -> None:
        self.log = log
        self.kill = kill
        self.count = 0

    def _reach(self, hook: str, number: int) -> None:
        if self.kill == (hook, number):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_start(self, trainer: Trainer, *_: Any) -> None:
        with self.log.open("a") as file:
            print("start", trainer.global_step, file=file)

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        crops = " ".join(str(zlib.crc32(photo.numpy().tobytes())) for photo in batch[0])
        with self.log.open("a") as file:
            print(trainer.current_epoch, trainer.global_step, crops, file=file)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._reach("batch", trainer.global_step)

    def on_save_checkpoint(self, trainer: Trainer, *_: Any) -> None:
        self._reach("save", trainer.global_step)

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self._reach("validation", trainer.global_step)


class Ranked(Classifier):
    """Of which the loss is the number of the process."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = 0 * self(batch[0]).sum() + self.global_rank
        self.log_training({"loss": loss}, len(batch[0]))
        return loss


def train(
    photos: Path, folder: Path, world: int, rank: int, kill: tuple[str, int] | None, resume: bool
) -> None:
    """One process of a training."""
    seed_everything(7)
    log = folder / f"{len(list(folder.glob(f'{rank}-*.log')))}"
    trainer = Trainer(
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        max_epochs=EPOCHS,
        default_root_dir=folder,
        callbacks=[
            LastCheckpoint(folder, steps=2),
            EpochTable(folder / "metrics.csv"),
            Watch(folder / f"{rank}-{log.name}.log", kill),
        ],
        plugins=[AtomicCheckpoints()],
        use_distributed_sampler=False,
        logger=False,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    kind = Ranked if folder.name == "ranked" else Classifier
    module = kind("tiny", optimisation=Optimisation(lr=0.01))
    data = PhotoFolder(str(photos), resize=72, crop=64, batch_size=4, num_threads=1, scale=(0.3, 1.0))
    path = folder / LAST if resume else None
    trainer.fit(module, datamodule=data, ckpt_path=path, weights_only=True)
    if rank == 0:
        torch.save(module.state_dict(), folder / "final.pt")


def run(folder: Path, world: int, work: Callable[[int], None], limit: float = 300) -> bool:
    """Fork processes that do a work by rank; whether all came to its end. As one dies, so do the others."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    children = []
    for rank in range(world):
        child = os.fork()
        if child == 0:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(world)}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
            status = 1
            try:
                with (folder / f"{rank}.out").open("a") as output:
                    os.dup2(output.fileno(), 1)
                    os.dup2(output.fileno(), 2)
                    work(rank)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    end, good = time.monotonic() + limit, True
    while children:
        for child in list(children):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                children.remove(child)
                if status:
                    good = False
                    for other in children:
                        os.kill(other, signal.SIGKILL)
        if time.monotonic() > end:
            for other in children:
                os.kill(other, signal.SIGKILL)
            raise TimeoutError(f"{world} processes hang; see {folder}/*.out")
        time.sleep(0.01)
    return good


def seen(folder: Path, worlds: list[int]) -> dict[int, list[str]]:
    """By epoch, the views that the steps which count were trained on, over runs that resumed each other."""
    views: dict[int, list[str]] = {}
    starts = [int((folder / f"0-{number}.log").read_text().split()[1]) for number in range(1, len(worlds))]
    for number, (world, end) in enumerate(zip(worlds, [*starts, 10**9], strict=True)):
        for rank in range(world):
            for line in (folder / f"{rank}-{number}.log").read_text().splitlines():
                epoch, step, *crops = line.split()
                if epoch != "start" and int(step) <= end:
                    views.setdefault(int(epoch), []).extend(crops)
    return {epoch: sorted(found) for epoch, found in views.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    generator = random.Random(options.seed)
    register_tiny()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        write_synthetic_photos(root / "photos/train", photos_per_class=4, size=72)
        write_synthetic_photos(root / "photos/validation", photos_per_class=2, size=72, seed=100)

        def go(name: str, world: int, kill: tuple[int, str, int] | None = None, resume: bool = False) -> bool:
            folder = root / name
            folder.mkdir(exist_ok=True)
            return run(
                folder,
                world,
                lambda rank: train(
                    root / "photos",
                    folder,
                    world,
                    rank,
                    kill[1:] if kill and kill[0] == rank else None,
                    resume and (folder / LAST).exists(),
                ),
            )

        unbroken = {}
        for world in (1, 2):
            if not go(f"unbroken{world}", world):
                print((root / f"unbroken{world}/0.out").read_text())
                return 1
            folder = root / f"unbroken{world}"
            unbroken[world] = torch.load(folder / "final.pt"), seen(folder, [world]), table(folder)
        assert go("ranked", 2)
        assert {line["train/loss"] for line in table(root / "ranked")} == {"0.50000"}, "the mean is logged"
        photos = unbroken[1][1]
        assert photos == unbroken[2][1], "two processes see the photos and views of one"
        for number in range(options.kills):
            name, world = f"run{number}", 2 - number % 2
            other = 3 - world if number % 4 > 1 else world
            hook = generator.choice(("batch", "batch", "save", "validation"))
            places = range(1, EPOCHS * STEPS[world])
            if hook == "save":
                places = range(2, EPOCHS * STEPS[world], 2)
            if hook == "validation":
                places = range(STEPS[world], EPOCHS * STEPS[world] + 1, STEPS[world])
            kill = generator.randrange(world), hook, generator.choice(places)
            print(
                f"{world} processes, {kill[1]} {kill[2]} of rank {kill[0]}, then {other}",
                end=": ",
                flush=True,
            )
            assert not go(name, world, kill), "the kill came"
            resumed = (root / name / LAST).exists()
            if not go(name, other, resume=True):
                print((root / name / "0.out").read_text())
                return 1
            worlds = [world, other]
            if not resumed:  # killed before the first checkpoint: a new run
                for log in (root / name).glob("*-0.log"):
                    log.unlink()
                for log in (root / name).glob("*-1.log"):
                    log.rename(log.with_name(log.name.replace("-1", "-0")))
                worlds = [other]
            assert seen(root / name, worlds) == photos, "each photo of each epoch once, in its view"
            if other == world or not resumed:
                weights, _, expected = unbroken[other]
                final = torch.load(root / name / "final.pt")
                assert all(torch.equal(weights[key], value) for key, value in final.items())
                assert table(root / name) == expected
            print("as if unbroken", flush=True)
    return 0


def table(folder: Path) -> list[dict[str, str]]:
    """The metrics of the epochs, without their seconds."""
    return [
        {name: f"{float(value):.5f}" for name, value in line.items() if name != "seconds"}
        for line in read_table(folder / "metrics.csv")
    ]


if __name__ == "__main__":
    sys.exit(main())
