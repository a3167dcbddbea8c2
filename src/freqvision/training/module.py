"""What the Lightning modules of all tasks share: optimiser, checkpoints that say all, exact resume."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule

from freqvision.data.folder import evenly, readable
from freqvision.inputs.spec import InputSpec
from freqvision.models import FrequencyModel
from freqvision.models.saved import CHECKPOINT_KEY, describe, from_checkpoint
from freqvision.training.optimisation import Optimisation, build_optimizer, build_schedule, parameter_groups

FIT_PHOTOS = 256  # on which start="fit" solves for the input layer


@contextmanager
def plain_defaults() -> Iterator[None]:
    """Tensors are made on the CPU and in float32, whatever Lightning has set: it converts models itself."""
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
    """

    monitor: str
    optimisation: Optimisation
    model: FrequencyModel
    spec: InputSpec
    class_names: list[str]

    def build(self, spec: InputSpec, class_names: list[str], **options: Any) -> None:
        """Make the model; Lightning does so when training starts or a checkpoint is loaded.

        Args:
            spec: The model's input.
            class_names: Of the model's outputs, in their order.
            options: More arguments of `create_model`, instead of this module's.
        """
        raise NotImplementedError

    def weights(self) -> dict[str, Any]:
        """Arguments of `create_model` that say which weights training starts from."""
        return {"weights": self.hparams["weights"]}

    @property
    def is_built(self) -> bool:
        """Whether there is a model yet."""
        return "model" in self._modules

    def configure_model(self) -> None:
        """Build the model for the data module's photos, unless it stands already."""
        if self.is_built:
            return
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data is None:
            raise ValueError(
                "the model's input comes from the data module: pass datamodule= to Trainer.fit, or call build"
            )
        options = self.weights()
        with plain_defaults():
            if self.hparams["start"] == "fit":
                paths = evenly(data.train_set.paths, FIT_PHOTOS)
                options["photos"] = readable(paths, data.num_threads) if data.damaged == "skip" else paths
            self.build(data.spec, data.class_names, **options)

    def configure_optimizers(self) -> Any:
        """Optimiser, and its schedule over all steps of the training."""
        groups = parameter_groups(self.model, self.optimisation, self.model.new_layers, self.gates_lr)
        optimizer = build_optimizer(groups, self.optimisation)
        schedule = build_schedule(optimizer, self.optimisation, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @property
    def gates_lr(self) -> float:
        """Factor on the learning rate of gates."""
        return 1.0

    def on_train_epoch_start(self) -> None:
        """Let the photos' random views change with the epoch."""
        photos = self._training_photos()
        if hasattr(photos, "set_epoch"):
            photos.set_epoch(self.current_epoch)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let all that is random depend on the place in the training, so that a run can go on exactly."""
        seed = getattr(self._training_photos(), "seed", 0)
        entropy = np.random.SeedSequence([seed, self.current_epoch, batch_idx, self.global_rank])
        torch.manual_seed(int(entropy.generate_state(1)[0]))

    def _training_photos(self) -> Any:
        loader: Any = self.trainer.train_dataloader
        return loader.dataset

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store all that is needed to use the model without its data: architecture, input, classes."""
        checkpoint[CHECKPOINT_KEY] = describe(self.model, self.class_names)
        if self._trainer is not None:
            validation = getattr(self.trainer.datamodule, "validation_root", None)  # type: ignore[attr-defined]
            checkpoint[CHECKPOINT_KEY]["validation"] = None if validation is None else str(validation)
            checkpoint[CHECKPOINT_KEY]["max_epochs"] = self.trainer.max_epochs

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the checkpoint's model, or make sure that it is the one at hand."""
        stored = from_checkpoint(checkpoint)
        if not self.is_built:
            self.build(stored.spec, stored.names(), name=stored.name, **stored.options)
            return
        if self.class_names != stored.class_names:
            known, here = ", ".join(stored.names()), ", ".join(self.class_names)
            raise ValueError(f"the checkpoint knows the classes {known}; this run's folder holds {here}")
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
            self._check_resume(checkpoint)

    def _check_resume(self, checkpoint: dict[str, Any]) -> None:
        planned, wanted = checkpoint[CHECKPOINT_KEY].get("max_epochs"), self.trainer.max_epochs or 0
        if self.optimisation.schedule != "constant" and planned != wanted:
            raise ValueError(
                f"the run was planned for {planned} epochs, which its learning rate follows, and cannot go "
                f"on to {wanted}: keep trainer.max_epochs, or start anew with the checkpoint as model.weights"
            )
        if wanted >= 0 and checkpoint["epoch"] + 1 >= wanted:  # below 0, steps are the limit, or nothing is
            raise ValueError(f"the run is complete, with all of its {planned} epochs")
