"""COCO's average precision of boxes and masks, from results in COCO's format."""

import contextlib
import importlib
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from freqvision.detection.coco import CocoAnnotations
from freqvision.runtime import naming_extras

KINDS = {"bbox": "box", "segm": "mask"}  # COCO's name → ours
# COCOeval's first six statistics.
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")

Results = list[dict[str, Any]]


def coco_results(found: Mapping[str, torch.Tensor], image_id: int, category_ids: Sequence[int]) -> Results:
    """Detections in a photo, see `paste_in_photo`, as COCO's results, with run-length encoded masks.

    Example:
        >>> box = {"boxes": torch.tensor([[1.0, 2, 4, 8]]), "labels": torch.tensor([1])}
        >>> coco_results({**box, "scores": torch.tensor([0.5])}, image_id=7, category_ids=[0, 18])
        [{'image_id': 7, 'category_id': 18, 'bbox': [1.0, 2.0, 3.0, 6.0], 'score': 0.5}]
    """
    parts = (found[key].tolist() for key in ("boxes", "labels", "scores"))
    results: Results = [
        {
            "image_id": image_id,
            "category_id": category_ids[label],
            "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(score, 6),
        }
        for (x1, y1, x2, y2), label, score in zip(*parts, strict=True)
    ]
    for result, mask in zip(results, found.get("masks", ()), strict="masks" in found):
        result["segmentation"] = encode_mask(mask)
    return results


def encode_mask(mask: torch.Tensor) -> dict[str, Any]:
    """A mask (H, W) of bool as COCO's compressed run lengths, which JSON can hold."""
    encoded = _package("core.mask").encode(np.asfortranarray(mask.numpy().astype(np.uint8)))
    counts = encoded["counts"]
    return {
        "size": [int(side) for side in encoded["size"]],
        "counts": counts.decode() if isinstance(counts, bytes) else counts,
    }


def average_precision(
    annotations: CocoAnnotations, results: Results, image_ids: Sequence[int], masks: bool = True
) -> dict[str, float]:
    """COCO's metrics of `coco_results` over the photos of some ids, of boxes and perhaps of masks.

    Returns:
        "box_ap" (mean over IoU 0.50 to 0.95), "box_ap50", "box_ap75", "box_ap_small", "box_ap_medium" and
        "box_ap_large", and the same of "mask"; from 0 to 1, or nan where the truth holds no such object.
    """
    package = _package()
    truth = package.COCO(annotations.truth(set(image_ids), masks))
    metrics: dict[str, float] = {}
    for kind, ours in KINDS.items():
        if kind == "segm" and not masks:
            continue
        # Areas of objects follow from what the results hold: boxes are measured without their masks.
        other = "bbox" if kind == "segm" else "segmentation"
        found = [{key: value for key, value in result.items() if key != other} for result in results]
        # Without any detection loadRes fails; sizes of which the truth holds no object are nan all the same.
        none = {key: truth.dataset[key] for key in ("images", "categories")} | {"annotations": []}
        detected = truth.loadRes(found) if found else package.COCO(none)
        evaluation = package.COCOeval_faster(truth, detected, kind)
        evaluation.params.imgIds = sorted(image_ids)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        values = [float(value) for value in evaluation.stats[: len(NAMES)]]
        for name, value in zip(NAMES, values, strict=True):
            metrics[f"{ours}_{name}"] = math.nan if value < 0 else value
    return metrics


def _package(module: str = "") -> Any:
    with naming_extras():
        return importlib.import_module(f"faster_coco_eval.{module}".rstrip("."))
