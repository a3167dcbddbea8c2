"""Checkpoints that survive kills, full disks and damage."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import distributed

from freqvision.runtime import replacing

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class AtomicCheckpoints(TorchCheckpointIO):
    """Replaces checkpoint files as a whole, and reads them without executing code from them.

    Lightning's own writer goes through TMPDIR, and a kill while it copies to another file system loses both
    the old and the new checkpoint.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; the last one's predecessor is kept as `previous.ckpt`."""
        path = Path(path)
        with replacing(path) as draft:
            torch.save(checkpoint, draft)
            if path.name == LAST and path.exists():
                with suppress(OSError):  # of file systems without hard links
                    path.with_name(PREVIOUS).unlink(missing_ok=True)
                    os.link(path, path.with_name(PREVIOUS))

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: Any = True
    ) -> dict[str, Any]:
        """Read a checkpoint, to the CPU; of several processes the first reads, others may be elsewhere."""
        if not distributed.is_initialized():
            return self._load(path)
        box: list[Any] = [None]
        if distributed.get_rank() == 0:
            try:
                box = [self._load(path)]
            except Exception as error:  # or the others would wait for it
                box = [error]
        distributed.broadcast_object_list(box)
        if isinstance(box[0], Exception):
            raise box[0]
        return box[0]

    def _load(self, path: Any) -> dict[str, Any]:
        try:
            return _read(path)
        except Exception as error:
            others = [other for other in checkpoints(Path(path).parent) if other != Path(path)]
            for other in sorted(others, key=lambda file: file.stat().st_mtime, reverse=True):
                with suppress(Exception):
                    epoch = _read(other)["epoch"] + 1
                    way_out = f"resume from the previous one, of epoch {epoch}, by --ckpt_path {other}"
                    break
            else:
                way_out = "there is no other one in its folder: start again with another --output"
            cause = str(error).partition("\n")[0]
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {cause}): {way_out}") from error


def _read(path: Any) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return checkpoint


def checkpoints(folder: Path) -> list[Path]:
    """All checkpoints in a folder."""
    return sorted(folder.glob("*.ckpt"))


class LastCheckpoint(Checkpoint):
    """Writes `last.ckpt` after each epoch, before the first validation, and at SIGTERM.

    Args:
        folder: Folder of the checkpoints.
        steps: Write one after this many optimiser steps, too; 0 for not.
        minutes: Write one after this many minutes, too; 0 for not.
    """

    def __init__(self, folder: str | Path, steps: int = 0, minutes: float = 0) -> None:
        self.path = str(Path(folder) / LAST)
        self.steps = steps
        self.minutes = minutes
        self._has_validated = False
        self._before_validation = False
        self._saved = (0, time.monotonic())

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count steps and minutes from here."""
        self._saved = (trainer.global_step, time.monotonic())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write one if it is time. The end of an epoch writes its own."""
        if (
            not trainer.is_last_batch
            and self._is_due(trainer, batch_idx)
            and _has_stepped(trainer, batch_idx)
        ):
            self._save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write one before the first validation, lest a damaged photo there cost the epoch."""
        if trainer.sanity_checking or self._has_validated:
            return
        self._has_validated = self._before_validation = True
        self._save(trainer)
        self._before_validation = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write one."""
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write one at SIGTERM, which Lightning answers between two batches."""
        # With several processes, Lightning stops each at a place of its own.
        between = isinstance(exception, SIGTERMException) and trainer.world_size == 1
        if between and _has_stepped(trainer, trainer.fit_loop.epoch_loop.batch_idx):
            self._save(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a run that resumes before a validation begin with it, which Lightning would skip."""
        if self._before_validation:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            for part in ("total", "current"):
                progress[part].update(ready=1, started=1, processed=0, completed=0)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = (trainer.global_step, time.monotonic())

    def _is_due(self, trainer: Trainer, batch_idx: int) -> bool:
        step, moment = self._saved
        if self.steps and trainer.global_step - step >= self.steps:
            return True
        late = self.minutes > 0 and time.monotonic() - moment >= 60 * self.minutes
        if trainer.world_size > 1 and self.minutes > 0:  # all processes have to agree, which costs a message
            late = batch_idx % 16 == 0 and trainer.strategy.broadcast(late)
        return late


def _has_stepped(trainer: Trainer, batch_idx: int) -> bool:
    """Whether no gradients are accumulated, which a checkpoint would lose."""
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0
