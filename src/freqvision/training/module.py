"""What the Lightning modules of all tasks share: optimiser, self-contained checkpoints, exact resume."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from freqvision.data.check import find_faults
from freqvision.data.loader import PhotoLoader
from freqvision.inputs.spec import InputSpec
from freqvision.models import FrequencyModel
from freqvision.models.optimisation import Optimisation, build_optimizer, build_schedule, parameter_groups
from freqvision.models.saved import CHECKPOINT_KEY, describe, from_checkpoint

FIT_PHOTOS = 256  # on which start="fit" solves for the input layer


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Make tensors on the CPU and in float32 whatever Lightning has set: it converts models itself."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


class ModelModule(LightningModule):
    """Trains a `FrequencyModel`, which it builds once its input and its classes are known.

    These come from the data module, or from a checkpoint.

    Attributes:
        monitor: The metric by which the best checkpoint is chosen; more is better.
        gates_lr: Factor on the learning rate of gates.
    """

    monitor: str
    gates_lr = 1.0
    optimisation: Optimisation
    model: FrequencyModel
    spec: InputSpec
    class_names: list[str]

    def __init__(self) -> None:
        super().__init__()
        self._from = (0, 0.0)  # a step, and the share of the training that was done then
        self._stored_progress: dict[str, Any] | None = None
        self._sums: dict[str, tuple[Any, int]] = {}  # of losses, over the photos of this epoch
        self._before_resume: dict[str, tuple[float, int]] = {}  # their means
        self._first_bad: Tensor | None = None  # the first batch of all whose loss was not finite

    def build(self, spec: InputSpec, class_names: list[str], **options: Any) -> None:
        """Make the model; Lightning does so when training starts or a checkpoint is loaded.

        Args:
            spec: The model's input.
            class_names: Names of the model's outputs, in order.
            options: Arguments of `create_model` that replace this module's.
        """
        raise NotImplementedError

    def weights(self) -> dict[str, Any]:
        """Arguments of `create_model` for the weights that training starts from."""
        return {key: value for key, value in self.hparams.items() if key in ("weights", "weights_backbone")}

    def configure_model(self) -> None:
        """Build the model for the data module's photos, unless it is built."""
        if "model" in self._modules:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is None:
            raise ValueError(
                "the model's input comes from the data module: pass datamodule= to Trainer.fit, or call build"
            )
        options = self.weights()
        with plain_defaults():
            if self.hparams["start"] == "fit":
                photos = data.train_set.photos.spread(FIT_PHOTOS)
                faults = find_faults(photos, data.num_threads) if data.damaged == "skip" else {}
                options["photos"] = photos.chosen([i for i in range(len(photos)) if i not in faults])[:]
            self.build(data.spec, data.class_names, **options)

    def configure_optimizers(self) -> Any:
        """Optimiser, and its schedule over all steps of the training."""
        groups = parameter_groups(self.model, self.optimisation, self.model.new_layers, self.gates_lr)
        optimizer = build_optimizer(groups, self.optimisation)
        stored = self._stored_progress
        if stored:  # of other processes or batches, an epoch has another number of steps
            same = stored["steps"] == self._steps
            self._from = stored["from"] if same else (stored["step"], stored["share"])
        schedule = build_schedule(optimizer, self.optimisation, self._steps, self.progress)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def _steps(self) -> int:
        return int(self.trainer.estimated_stepping_batches)

    def progress(self, step: int | None = None) -> float:
        """Share of the training that is done after `step` optimiser steps, from 0 to 1; None is now."""
        first, share = self._from
        return share + ((self.global_step if step is None else step) - first) / max(1, self._steps)

    def log_training(self, losses: dict[str, Tensor], batch_size: int) -> None:
        """Log the mean of each loss over the photos of an epoch; stop if "loss" is not finite."""
        self._log_before_resume()
        for name, value in losses.items():
            self._log_mean(name, value.detach(), batch_size)
        self._watch(losses["loss"].detach())

    def no_loss(self) -> Tensor:
        """The loss of a batch without photos, for whose gradients the other processes wait.

        A process has one where fewer photos are left of a resumed epoch than there are processes.
        """
        self._log_before_resume()
        loss = torch.stack([0 * weight.sum() for weight in self.parameters() if weight.requires_grad]).sum()
        self._watch(loss.detach())
        return loss

    def _log_mean(self, name: str, mean: Any, count: int) -> None:
        total, counted = self._sums.get(name, (0.0, 0))
        self._sums[name] = (total + mean * count, counted + count)
        self.log(f"train/{name}", mean, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)

    def _log_before_resume(self) -> None:
        for name, (mean, count) in self._before_resume.items():
            self._log_mean(name, mean, count)
        self._before_resume = {}

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log the losses of an epoch of which only the validation was left."""
        self._log_before_resume()

    def _watch(self, loss: Tensor) -> None:
        """Stop at a loss that is not finite, in this process or in another."""
        step = self.trainer.fit_loop.total_batch_idx
        bad = torch.where(loss.isfinite(), math.inf, float(step))
        self._first_bad = bad if self._first_bad is None else torch.minimum(self._first_bad, bad)
        every = 1 if loss.device.type == "cpu" else 16  # to read a result of a GPU is to wait for it
        if step % every == 0 or self.trainer.is_last_batch:
            self._check_finite()

    def _check_finite(self) -> None:
        loop = self.trainer.fit_loop
        if self._first_bad is None:
            return
        first = self._first_bad.clone()
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(first, torch.distributed.ReduceOp.MIN)
        if not first.isfinite():
            return
        batch = loop.batch_idx - (loop.total_batch_idx - int(first))
        rates = sorted({f"{group['lr']:.3g}" for group in self.trainer.optimizers[0].param_groups})
        raise ValueError(
            f"the loss is not finite at step {int(first) // self.trainer.accumulate_grad_batches + 1} (epoch "
            f"{self.current_epoch + 1}, batch {batch + 1}), learning rate {', '.join(rates)}"
            + (self._files(batch) if self._first_bad == first else "")
            + ": lower --model.optimisation.lr, or set --trainer.gradient_clip_val 1"
        )

    def _files(self, batch: int) -> str:
        """The files of a batch of this epoch, where the loader can tell."""
        loader = self.trainer.train_dataloader
        if not isinstance(loader, PhotoLoader) or batch < 0:
            return ""
        # Counted from the end: a resumed epoch lacks batches at its beginning.
        indices = list(loader.batch_sampler)[batch - len(loader)]
        more = f" and {len(indices) - 16} more" if len(indices) > 16 else ""
        return f", photos {', '.join(loader.dataset.name(index) for index in indices[:16])}{more}"

    def on_train_start(self) -> None:
        """Let a resumed epoch end where the photos do, also if other processes or batches began it."""
        loader = self.trainer.train_dataloader
        done: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        if isinstance(loader, PhotoLoader) and done.processed:
            left = len(list(loader.batch_sampler))
            done.completed, done.processed = (
                value - done.processed + len(loader) - left for value in (done.completed, done.processed)
            )

    def on_train_epoch_start(self) -> None:
        """Let the photos' order and random views change with the epoch."""
        loader = self.trainer.train_dataloader
        part: Any
        for part in (loader, getattr(loader, "dataset", None)):
            if hasattr(part, "set_epoch"):
                part.set_epoch(self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Forget the epoch's losses, before it is saved."""
        self._sums = {}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let all that is random depend on the place in the training, so that a run resumes exactly."""
        seed = getattr(getattr(self.trainer.train_dataloader, "dataset", None), "seed", 0)
        entropy = np.random.SeedSequence([seed, self.current_epoch, batch_idx, self.global_rank])
        torch.manual_seed(int(entropy.generate_state(1)[0]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store all that is needed to use the model without its data: architecture, input, classes."""
        checkpoint[CHECKPOINT_KEY] = describe(self.model, self.class_names)
        if self._trainer is not None:
            self._check_finite()
            validation = getattr(self.trainer.datamodule, "validation_root", None)  # type: ignore[attr-defined]
            means = {name: self._mean(*sums) for name, sums in self._sums.items()}
            checkpoint[CHECKPOINT_KEY] |= {
                "validation": None if validation is None else str(validation),
                "max_epochs": self.trainer.max_epochs,
                "progress": {
                    "step": self.global_step,
                    "share": self.progress(),
                    "from": self._from,
                    "steps": self._steps,
                },
                "train_means": means,
            }

    def _mean(self, total: Any, count: int) -> tuple[float, int]:
        """The mean over the photos of all processes, and how many photos each has seen."""
        world_size = self.trainer.world_size
        if world_size > 1:
            sums = torch.tensor([float(total), count], dtype=torch.float64, device=self.device)
            torch.distributed.all_reduce(sums)
            total, count = sums.tolist()
        return float(total) / count, round(count / world_size)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the checkpoint's model, or make sure that it is the one at hand."""
        stored = from_checkpoint(checkpoint)
        if "model" not in self._modules:
            with stored.bounded():
                self.build(stored.spec, stored.names(), name=stored.name, **stored.options)
            return
        here = self.model.settings["name"]
        if stored.name != here:
            raise ValueError(
                f"the checkpoint is of a {stored.name}, this run trains a {here}: keep --model.name, or "
                "start a new run with the checkpoint as --model.weights"
            )
        if self.class_names != stored.class_names:
            raise ValueError(
                f"the checkpoint has the classes {', '.join(stored.names())}; this run's folder has "
                f"{', '.join(self.class_names)}"
            )
        if self.spec != stored.spec:
            theirs, ours = stored.spec.to_dict(), self.spec.to_dict()
            differ = sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key))
            short = [key for key in differ if not isinstance(ours.get(key), list)] or differ
            raise ValueError(
                "the checkpoint's input differs from this run's in "
                + ", ".join(f"{key} ({theirs.get(key)}, here {ours.get(key)})" for key in short)
                + ": keep the data settings, by --config of the run's config.yaml"
            )
        if self.trainer.training:
            self._resume(checkpoint)

    def _resume(self, checkpoint: dict[str, Any]) -> None:
        """Take up the place in the training, unless the run is complete or was planned for another length."""
        ours, wanted = checkpoint[CHECKPOINT_KEY], self.trainer.max_epochs or 0
        planned = ours.get("max_epochs")
        if self.optimisation.schedule != "constant" and planned != wanted:
            raise ValueError(
                f"the run was planned for {planned} epochs, which its learning rate follows, and cannot be "
                f"extended to {wanted}: keep trainer.max_epochs, or start a new run with the checkpoint as "
                "model.weights"
            )
        loop = checkpoint["loops"]["fit_loop"]
        # Below 0, steps are the limit, or nothing is.
        if 0 <= wanted <= loop["epoch_progress"]["current"]["processed"]:
            raise ValueError(f"the run is complete, with all of its {planned} epochs")
        if "progress" not in ours and not loop["epoch_loop.batch_progress"]["is_last_batch"]:
            raise ValueError(
                "the checkpoint is from the middle of an epoch and does not say which photos were left: "
                "version 0.1 of freqvision wrote it. Resume from one of the end of an epoch"
            )
        self._stored_progress = ours.get("progress")
        self._before_resume = dict(ours.get("train_means", {}))
