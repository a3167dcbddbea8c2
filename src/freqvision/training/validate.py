"""`freqvision validate`: accuracy or average precision of a checkpoint, which says what it needs."""

import json
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from freqvision.data.folder import PhotoDataset
from freqvision.data.opening import open_sources
from freqvision.data.sources import Sources
from freqvision.detection.sidecars import read_annotations
from freqvision.models.saved import SavedModel, read_saved
from freqvision.runtime import fastest_precision, write_text
from freqvision.training.callbacks import quieten
from freqvision.training.classifier import Classifier
from freqvision.training.coco import photos_of, same_categories, select
from freqvision.training.detector import Detector


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
    photos: Any
    if saved.task == "object-detection":
        module, photos = _detector(saved, data, annotations, num_threads)
    elif annotations is not None or results is not None:
        raise ValueError("annotations and results are of detectors; this checkpoint holds a classifier")
    else:
        root = data or saved.validation
        if root is None:
            raise ValueError("the checkpoint does not say what it was validated on: name a folder of photos")
        photos = PhotoDataset(open_sources(root, saved.names()), saved.spec, num_threads=num_threads)
        module = _restored(Classifier, saved)
    usual = 2 if isinstance(module, Detector) else 64
    loader: DataLoader = DataLoader(photos, batch_size or usual, collate_fn=photos.collate)
    metrics: Any = trainer.validate(module, loader, verbose=False)[0]
    if results is not None:
        write_text(results, json.dumps(module.results) + "\n")
    return {"photos": len(photos), **{name.removeprefix("val/"): value for name, value in metrics.items()}}


def _detector(saved: SavedModel, data: Any, annotations: Any, num_threads: int) -> tuple[Any, Any]:
    """The module, with the truth about its photos, and the photos."""
    if data is None and annotations is not None:
        raise ValueError("name both the folder of the photos and the file of their annotations, or neither")
    if data is None:
        if saved.validation is None:
            raise ValueError(
                "the checkpoint does not say what it was validated on: name photos and annotations"
            )
        outside = saved.details.get("paths_outside", False)
        coco, sources = read_annotations(saved.details["annotations"], saved.validation, outside)
        part = saved.details["photos"]
        coco = select(coco, None if part is None else (part[0], part[1]))
    else:
        coco, sources = read_annotations(annotations, data)
    names = tuple(saved.names())
    if "category_ids" in saved.details:
        trained = (names, tuple(saved.details["category_ids"]))
        same_categories(trained, (coco.class_names, coco.category_ids), f"the model and {coco.path}")
    elif names != coco.class_names:  # of a folder of fv.save, which keeps only the names
        raise ValueError(
            f"the model knows the classes {', '.join(names)}; {coco.path} has {', '.join(coco.class_names)}: "
            "the names and their order must be the same"
        )
    module = _restored(Detector, saved)
    module.truth = coco
    orientation = saved.details.get("orientation", "stored")
    shown = photos_of(coco, saved.spec, None, sources, orientation=orientation, num_threads=num_threads)
    return module, shown


def _restored(kind: type[Classifier | Detector], saved: SavedModel) -> Any:
    """The training's module, with the checkpoint's weights."""
    module = kind(**saved.hyper_parameters)
    with saved.bounded():
        module.build(saved.spec, saved.names(), name=saved.name, **saved.options)
    module.model.load_state_dict(saved.state)
    return module
