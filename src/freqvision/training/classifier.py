"""The Lightning module that trains and validates image classifiers, of frequencies or of pixels."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import Tensor
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision.transforms import v2

from freqvision.inputs.augment import Augmentation
from freqvision.inputs.spec import FrequencySpec, InputSpec
from freqvision.models import architecture, create_model
from freqvision.models.gates import Gating, expected_open, hard_open, record_gates
from freqvision.models.optimisation import Optimisation
from freqvision.spectrum.channels import COMPONENTS, FREQUENCIES
from freqvision.training.module import ModelModule


class Classifier(ModelModule):
    """A classifier and how it is trained; input and classes come from the data module or a checkpoint.

    Args:
        name: One of `fv.list_models()`.
        weights: File of pretrained RGB weights, or DEFAULT for published ones; None starts from random
            weights.
        start: "new", "slice", "fit" or "fold": what the input layers start from, see `fv.create_model`; None
            for its default.
        strides: "standard", or the variant that the weights were trained with ("v1", "released").
        rgb_size: Side in pixels of the images that the RGB network was trained on; see `fv.create_model`.
            None for its default.
        optimisation: Optimiser and schedule.
        gates: Gates that select DCT channels, and how they are trained; None for none.
        augmentation: Colour and erasing of training photos, on DCT channels.
        label_smoothing: Share of the target that is spread evenly over all classes.
        mixup: Alpha of mixup, Zhang et al., arXiv:1710.09412; 0 for none.
        cutmix: Alpha of cutmix, Yun et al., arXiv:1905.04899; 0 for none. With both, each batch gets one of
            them.
        ema: Decay of a moving average of the weights, such as 0.999, which is then validated and saved; 0 for
            none.
        channels_last: Memory format of weights and batches; faster for convolutions.
    """

    monitor = "val/top1"

    def __init__(
        self,
        name: str = "resnet50",
        weights: str | None = None,
        start: Literal["new", "slice", "fit", "fold"] | None = None,
        strides: Literal["standard", "v1", "released"] = "standard",
        rgb_size: int | None = None,
        optimisation: Optimisation = Optimisation(),  # noqa: B008  frozen
        gates: Gating | None = None,
        augmentation: Augmentation = Augmentation(),  # noqa: B008  frozen
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        ema: float = 0.0,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        architecture(name)  # before photos are measured
        if isinstance(optimisation, dict):  # from a checkpoint, which holds plain values only
            optimisation = Optimisation(**optimisation)
        if isinstance(augmentation, dict):
            augmentation = Augmentation(**augmentation)
        self.gating = Gating(**gates) if isinstance(gates, dict) else gates
        if self.gating:
            self.gates_lr = self.gating.lr
        nested: dict[str, Any] = {
            "optimisation": optimisation,
            "augmentation": augmentation,
            "gates": self.gating,
        }
        self.save_hyperparameters(ignore=list(nested))
        self.save_hyperparameters({name: asdict(value) if value else None for name, value in nested.items()})
        self.optimisation = optimisation
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.ema = ema
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def build(self, spec: InputSpec, class_names: list[str], **options: Any) -> None:
        """Make the model, its metrics and what mixes photos."""
        classes = len(class_names)
        options = {
            **{key: self.hparams[key] for key in ("name", "start", "strides", "rgb_size")},
            "gates": self.gating.options if self.gating else None,
            **options,
        }
        model = create_model(spec=spec, num_classes=classes, **options)
        self.model = model.to(memory_format=self.memory_format)
        self.spec, self.class_names = spec, list(class_names)
        self.validation_loss = MeanMetric()
        self.top1 = MulticlassAccuracy(classes, average="micro")
        self.top5 = MulticlassAccuracy(classes, average="micro", top_k=5) if classes > 5 else None
        ways = {v2.MixUp: self.hparams["mixup"], v2.CutMix: self.hparams["cutmix"]}
        mixers = [mix(alpha=alpha, num_classes=classes) for mix, alpha in ways.items() if alpha > 0]
        self.mix = v2.RandomChoice(mixers) if mixers else None
        self.augment = self.augmentation.build(spec)

    def configure_callbacks(self) -> list[Callback]:
        """The moving average of the weights, if asked for."""
        if self.ema <= 0:
            return []
        # The weights are still on the CPU when the callback is set up.
        return [EMAWeightAveraging(device=self.trainer.strategy.root_device, decay=self.ema)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, classes)` of a batch as the spec describes it."""
        return self.model(images.contiguous(memory_format=self.memory_format))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy, of mixed photos if asked for, and the penalty on open gates if there are any."""
        images, labels = batch
        if not len(labels):
            return self.no_loss()
        if self.augment is not None:
            images = self.augment(images)
        if self.gating and self.model.gates:
            self.model.gates.temperature = self.gating.temperature_at(self.progress())
        with record_gates(self.model) as log_odds:
            if self.mix is None:
                logits = self(images)
            else:
                # Integers are mixed as floats, before the model's input layer: dequantising is affine, so
                # mixing commutes with it.
                images, labels = self.mix(images if images.is_floating_point() else images.float(), labels)
                images = images.contiguous(memory_format=self.memory_format)
                logits = self.model.network(self.model.input(images))
        loss = F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        losses = {"loss": loss}
        if self.gating and log_odds:
            penalty = self.gating.penalty_at(self.progress()) * expected_open(log_odds)
            losses = {"loss": loss + penalty, "cross_entropy": loss, "gate_penalty": penalty}
            losses |= self._shares(log_odds, expected_open)
        self.log_training(losses, len(images))
        return losses["loss"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect loss, top-1 and top-5 accuracy."""
        images, labels = batch
        if len(images):  # else of the last batch, where there are fewer photos left than processes
            with record_gates(self.model) as log_odds:
                logits = self(images)
            if log_odds:
                for name, share in self._shares(log_odds, hard_open).items():
                    self.log(f"val/{name}", share, batch_size=len(images), sync_dist=True)
            self.validation_loss.update(F.cross_entropy(logits, labels, reduction="none"))
            self.top1.update(logits, labels)
            if self.top5 is not None:
                self.top5.update(logits, labels)
        self.log("val/loss", self.validation_loss, prog_bar=True)
        self.log("val/top1", self.top1, prog_bar=True)
        if self.top5 is not None:  # of five classes or fewer, it would always be 1
            self.log("val/top5", self.top5)

    def _shares(self, log_odds: list[Tensor], share: Callable[[list[Tensor]], Tensor]) -> dict[str, Tensor]:
        """Share of open gates as `share` counts them: "open" of all, "open_y" and so on of each component."""
        assert isinstance(self.spec, FrequencySpec)  # models of pixels have no gates
        every = torch.cat(log_odds)  # (B, C)
        parts = {"open": every}
        for i, name in enumerate(COMPONENTS):
            places = [place for place, index in enumerate(self.spec.channels) if index // FREQUENCIES == i]
            if places:
                parts[f"open_{name.lower()}"] = every[:, places]
        return {name: share([part]) for name, part in parts.items()}
