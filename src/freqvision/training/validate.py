"""`freqvision validate`: the accuracy of a checkpoint on a folder of photos."""

import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from freqvision.data.opening import open_photos
from freqvision.data.sources import Sources
from freqvision.models.saved import read_saved
from freqvision.runtime import fastest_precision
from freqvision.training.callbacks import quieten
from freqvision.training.classifier import Classifier


def validate(
    checkpoint: str | Path,
    data: str | Path | Sources | None = None,
    batch_size: int | None = None,
    num_threads: int = 0,
    accelerator: str = "auto",
    precision: str | None = None,
    progress: bool = True,
    annotations: str | Path | None = None,
    results: str | Path | None = None,
) -> dict[str, float]:
    """Validate a trained model; everything about it comes from the checkpoint.

    Args:
        checkpoint: File that `fit` wrote, or folder that `fv.save` wrote.
        data: Photos with labels, see `freqvision.data.opening.open_sources`, or of a detector the folder of
            its photos; None is what training validated on.
        batch_size: Photos in a batch; None is 64, or 2 of a detector.
        num_threads: Threads that decode a batch; 0 for all cores.
        accelerator: "auto", "cpu", "gpu" or another of Lightning's.
        precision: As Lightning names it; None is the fastest that keeps the accuracy.
        progress: Whether to show a progress bar.
        annotations: Of a detector, JSON file in COCO's format; None is the one that training validated on.
        results: Of a detector, JSON file to which to write all detections as COCO's results.

    Returns:
        Number of "photos", "top1" and, of more than five classes, "top5" accuracy from 0 to 1, cross-entropy
        "loss", shares of open gates if there are any; for a detector "box_ap", "box_ap50" and so on, see
        `freqvision.detection.average_precision`.

    Raises:
        FileNotFoundError: The checkpoint or the folder is not there.
        ValueError: The file is no checkpoint, the model's classes have no names, or the folder's are others.
    """
    quieten()
    saved = read_saved(checkpoint)
    try:
        trainer = Trainer(
            accelerator=accelerator,
            devices=1,
            precision=precision or fastest_precision(accelerator),  # type: ignore[arg-type]
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=progress and sys.stderr.isatty(),  # a log file would keep every state
        )
    except MisconfigurationException as error:  # which is no ValueError
        raise ValueError(f"accelerator {accelerator!r} cannot be used here: {error}") from error
    if saved.task == "object-detection":
        from freqvision.training.validate_detector import validate_detector

        return validate_detector(saved, trainer, data, annotations, results, batch_size or 2, num_threads)
    if annotations is not None or results is not None:
        raise ValueError("annotations and results are of detectors; this checkpoint holds a classifier")
    module = Classifier(**saved.hyper_parameters)
    module.build(saved.spec, saved.names(), name=saved.name, **saved.options)
    module.model.load_state_dict(saved.state)
    root = data or saved.validation
    if root is None:
        raise ValueError("the checkpoint does not say what it was validated on: name a folder of photos")
    photos = open_photos(root, module.spec, classes=module.class_names, num_threads=num_threads)
    loader: DataLoader = DataLoader(photos, batch_size or 64, collate_fn=photos.collate)
    metrics: Any = trainer.validate(module, loader, verbose=False)[0]
    return {"photos": len(photos), **{name.removeprefix("val/"): value for name, value in metrics.items()}}
