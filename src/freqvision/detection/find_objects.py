"""`freqvision predict` for detectors: the objects in photos. Needs no Lightning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageOps

from freqvision.detection import DetectionModel, paste_in_photo
from freqvision.detection.average_precision import coco_results
from freqvision.detection.drawing import draw_objects
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.view import View
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.saved import load
from freqvision.runtime import choose_device


@torch.inference_mode()
def find_objects(
    images: Sequence[str | Path],
    checkpoint: str | Path | FrequencyModel,
    output: str | Path | None = None,
    min_score: float = 0.5,
    batch_size: int = 1,
    num_threads: int = 0,
    device: str | None = None,
) -> list[dict[str, Any]]:
    """Find objects in photos with a trained detector.

    Args:
        images: Paths of JPEG files, or of others that Pillow reads.
        checkpoint: File that `fit` wrote, folder that `fv.save` wrote, or the model that `load` made of one.
        output: Folder for a copy of each photo with the objects drawn on it; None draws nothing.
        min_score: Objects with lower scores are left out.
        batch_size: Photos in a batch.
        num_threads: Threads that decode; 0 for all cores.
        device: As torch names it; None is a GPU where there is one.

    Returns:
        For each photo its "image", "size" (height, width), the "picture" that was drawn, and "objects", the
        surest first: "class", "score", "category_id" (COCO's; from a folder, which does not store it, the
        label), "bbox" (x, y, width, height in pixels of the photo) and, from a model with masks,
        "segmentation" in COCO's run lengths. Or, for a photo that cannot be read, its "error".

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is not one of freqvision's, or not a detector's.
    """
    model: Any = checkpoint if isinstance(checkpoint, FrequencyModel) else load(checkpoint)
    if model.task != DetectionModel.task:
        name = model.settings["name"]
        raise ValueError(f"{name} is a classifier: predict takes it, find_objects a detector")
    device = choose_device(device)
    model.to(device)
    decoder = Decoder(model.spec, num_threads)
    class_names = model.class_names or [str(label) for label in range(model.settings["num_classes"])]
    category_ids = model.details.get("category_ids", range(len(class_names)))
    names = picture_names(images)
    results: list[dict[str, Any]] = []
    for start in range(0, len(images), batch_size):
        batch: list[torch.Tensor] = []
        seen: list[tuple[dict[str, Any], View, str]] = []
        for path, name in zip(images[start : start + batch_size], names[start:], strict=False):
            result: dict[str, Any] = {"image": str(path)}
            results.append(result)
            views: list[View] = []

            def choose(sizes: list[tuple[int, int]], views: list[View] = views) -> list[View]:
                views.append(model.spec.view(sizes[0]))
                return views

            try:
                batch += decoder.each([str(path)], choose)
            except (ValueError, OSError) as error:
                result["error"] = str(error)
            else:
                seen.append((result, views[0], name))
        found = model.detect([image.to(device) for image in batch]) if batch else []
        for detections, (result, view, name) in zip(found, seen, strict=True):
            size = view.box[2:]
            keep = detections["scores"] >= min_score
            certain = {key: value[keep] for key, value in detections.items()}
            in_photo = paste_in_photo(certain, view, size, model.spec)
            entries = coco_results(in_photo, 0, category_ids)
            result["size"] = list(size)
            result["objects"] = [
                {"class": class_names[label], **{key: entry[key] for key in entry if key != "image_id"}}
                for label, entry in zip(in_photo["labels"].tolist(), entries, strict=True)
            ]
            if output is not None:
                target = Path(output) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(result["image"]) as photo:
                    shown = ImageOps.exif_transpose(photo) if model.spec.orientation == "exif" else photo
                    draw_objects(shown, in_photo, class_names).save(target, quality=92)
                result["picture"] = str(target)
    return results


def picture_names(paths: Sequence[str | Path]) -> list[str]:
    """A file name for the picture of each photo; photos of the same name get a number.

    Example:
        >>> picture_names(["a/dog.png", "b/dog.jpg", "cat.jpg"])
        ['dog.jpg', 'dog-2.jpg', 'cat.jpg']
    """
    taken: dict[str, None] = {}
    for path in paths:
        stem, number = Path(path).stem, 1
        name = f"{stem}.jpg"
        while name in taken:
            number += 1
            name = f"{stem}-{number}.jpg"
        taken[name] = None
    return list(taken)
