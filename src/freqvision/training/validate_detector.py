"""`freqvision validate` for detectors: average precision of a checkpoint on photos with annotations."""

import json
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from freqvision.data.sources import Sources
from freqvision.detection.sidecars import read_annotations
from freqvision.models.saved import SavedModel
from freqvision.runtime import write_text
from freqvision.training.coco import photos_of, same_categories, select
from freqvision.training.detector import Detector


def validate_detector(
    saved: SavedModel,
    trainer: Trainer,
    data: str | Path | Sources | None = None,
    annotations: str | Path | None = None,
    results: str | Path | None = None,
    batch_size: int = 2,
    num_threads: int = 0,
) -> dict[str, float]:
    """Validate a trained detector; everything about it comes from the checkpoint.

    Args:
        saved: From `read_saved`.
        trainer: Lightning's, with one device.
        data: Folder of the photos, or a table or shards with annotations; None takes what training had.
        annotations: JSON file in COCO's format, likewise.
        results: JSON file for all detections, as COCO's results.
        batch_size: Photos in a batch.
        num_threads: Threads that decode a batch; 0 for all cores.

    Returns:
        The number of "photos", and the metrics of `average_precision`.

    Raises:
        FileNotFoundError: A file or a photo is missing.
        ValueError: Only one of folder and annotations is named, or the categories are not the model's.
    """
    if data is None and annotations is not None:
        raise ValueError("name both the folder of the photos and the file of their annotations, or neither")
    if data is None:
        if saved.validation is None:
            raise ValueError(
                "the checkpoint does not say what it was validated on: name photos and annotations"
            )
        outside = saved.details.get("paths_outside", False)
        coco, sources = read_annotations(saved.details["annotations"], saved.validation, outside)
        photos = saved.details["photos"]
        coco = select(coco, None if photos is None else (photos[0], photos[1]))
    else:
        coco, sources = read_annotations(annotations, data)
    names = tuple(saved.names())
    if "category_ids" in saved.details:
        trained = (names, tuple(saved.details["category_ids"]))
        same_categories(trained, (coco.class_names, coco.category_ids), f"the model and {coco.path}")
    elif names != coco.class_names:  # of a folder of fv.save, which keeps the names alone
        raise ValueError(
            f"the model knows the classes {', '.join(names)}; {coco.path} has {', '.join(coco.class_names)}: "
            "the names and their order must be the same"
        )

    module = Detector(**saved.hyper_parameters)
    module.build(saved.spec, saved.names(), name=saved.name, **saved.options)
    module.model.load_state_dict(saved.state)
    module.truth = coco
    orientation = saved.details.get("orientation", "stored")
    shown = photos_of(coco, module.spec, None, sources, orientation=orientation, num_threads=num_threads)
    loader: DataLoader = DataLoader(shown, batch_size, collate_fn=shown.collate)
    metrics: Any = trainer.validate(module, loader, verbose=False)[0]
    if results is not None:
        write_text(results, json.dumps(module.results) + "\n")
    return {"photos": len(shown), **{name.removeprefix("val/"): value for name, value in metrics.items()}}
