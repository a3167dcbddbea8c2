"""The Lightning module that trains and validates detectors, of frequencies or of pixels."""

from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor

from freqvision.detection import (
    DetectionModel,
    DetectorOptions,
    create_detector,
    find_detector,
    paste_in_photo,
)
from freqvision.detection.average_precision import Results, average_precision, coco_results
from freqvision.detection.coco import CocoAnnotations
from freqvision.detection.targets import in_truth
from freqvision.inputs.spec import InputSpec
from freqvision.models.optimisation import Optimisation
from freqvision.models.saved import CHECKPOINT_KEY
from freqvision.training.module import ModelModule

Batch = tuple[list[Tensor], list[dict[str, Any]]]


class Detector(ModelModule):
    """A detector, and how it is trained.

    Its input and its classes come from the data module, or from a checkpoint.

    Args:
        name: One of `fv.list_models("*_fpn")`.
        weights: Of a whole detector: "DEFAULT" for torchvision's on COCO, or a file, RGB (torchvision's
            names) or ours.
        weights_backbone: Of a classifier, for the backbone: "DEFAULT" or another name of torchvision's, or a
            file, RGB or ours.
        start: How the input layers begin: "new", "slice", "fit" or "fold", see `fv.create_model`; None for
            its default.
        strides: "standard", or the variant that the backbone's weights were trained with ("v1", "released").
        optimisation: Optimiser and schedule.
        detector: Normalisation of the backbone and thresholds.
        channels_last: Memory format of weights and batches; speeds up convolutions.
    """

    monitor = "val/box_ap"
    model: DetectionModel

    def __init__(
        self,
        name: str = "maskrcnn_resnet50_fpn",
        weights: str | None = None,
        weights_backbone: str | None = None,
        start: Literal["new", "slice", "fit", "fold"] | None = None,
        strides: Literal["standard", "v1", "released"] = "standard",
        optimisation: Optimisation = Optimisation(schedule="steps"),  # noqa: B008  frozen
        detector: DetectorOptions = DetectorOptions(),  # noqa: B008  frozen
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(optimisation, dict):  # from a checkpoint, which holds plain values only
            optimisation = Optimisation(**optimisation)
        if isinstance(detector, dict):
            detector = DetectorOptions(**detector)
        self.save_hyperparameters(ignore=["optimisation", "detector"])
        self.save_hyperparameters({"optimisation": asdict(optimisation), "detector": asdict(detector)})
        self.optimisation = optimisation
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.has_masks = find_detector(name).has_masks
        self.truth: CocoAnnotations | None = None  # None is the data module's
        self.results: Results = []
        self.seen: list[int] = []

    def build(self, spec: InputSpec, class_names: list[str], **options: Any) -> None:
        """Make the model; the first of the classes is the background."""
        options = {**{key: self.hparams[key] for key in ("name", "start", "strides", "detector")}, **options}
        settings = options.pop("detector")
        model = create_detector(spec=spec, num_classes=len(class_names), options=settings, **options)
        self.model = model.to(memory_format=self.memory_format)
        self.has_masks = model.has_masks
        self.spec, self.class_names = spec, list(class_names)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The sum of the detector's losses."""
        images, targets = batch
        if not images:  # all of them damaged
            return self.no_loss()
        losses = self.model(images, targets)
        assert isinstance(losses, dict)
        loss = torch.stack(list(losses.values())).sum()
        parts = {name.removeprefix("loss_"): value for name, value in losses.items()}
        self.log_training({**parts, "loss": loss}, len(images))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget earlier results."""
        self.results, self.seen = [], []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the detections as COCO's results."""
        images, targets = batch
        if not images:  # all of them damaged, or none left for this process
            return
        found = self.model.detect(images)
        category_ids = self._truth().category_ids
        for detections, target in zip(found, targets, strict=True):
            size = tuple(target["orig_size"].tolist())
            in_photo = paste_in_photo(detections, self.spec.view(size), size, self.spec)
            in_photo = in_truth(in_photo, target, size)
            self.results += coco_results(in_photo, target["image_id"], category_ids)
            self.seen.append(target["image_id"])

    def on_validation_epoch_end(self) -> None:
        """Average precision over the photos of all processes."""
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, (self.results, self.seen))
            self.results = [result for results, _ in gathered for result in results]
            self.seen = [image_id for _, seen in gathered for image_id in seen]
        metrics = average_precision(self._truth(), self.results, self.seen, self.has_masks)
        for name, value in metrics.items():
            # Every process has worked out the same; Lightning warns where nothing is to be averaged.
            self.log(f"val/{name}", value, prog_bar=name.endswith("_ap"), sync_dist=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store all that is needed to use the model without its data, and what it was validated on."""
        super().on_save_checkpoint(checkpoint)
        data: Any = None if self._trainer is None else self.trainer.datamodule  # type: ignore[attr-defined]
        if data is not None:
            photos = data.validation_range
            checkpoint[CHECKPOINT_KEY]["detection"] = {
                "annotations": data.validation_coco.path if data.validation_photos is None else None,
                "photos": None if photos is None else list(photos),
                "category_ids": list(data.validation_coco.category_ids),
                "orientation": data.orientation,
                "paths_outside": data.hparams["paths_outside"],
            }

    def _truth(self) -> CocoAnnotations:
        """The annotations that are validated on."""
        return self.truth or self.trainer.datamodule.validation_coco  # type: ignore[attr-defined]
