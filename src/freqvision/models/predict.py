"""`freqvision predict`: the most probable classes of photos. Needs no Lightning."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from freqvision.inputs.decoder import Decoder
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.saved import load
from freqvision.runtime import choose_device

Guess = dict[str, Any]  # "class", and its "probability"


@torch.inference_mode()
def predict(
    images: Sequence[str | Path],
    checkpoint: str | Path | FrequencyModel,
    top: int = 5,
    batch_size: int = 32,
    num_threads: int = 0,
    device: str | None = None,
) -> list[dict[str, Any]]:
    """What photos show, according to a trained model.

    Args:
        images: Paths of JPEG files, or of others that Pillow reads.
        checkpoint: File that `fit` wrote, folder that `fv.save` wrote, or the model that `load` made of one.
        top: How many classes to name, the most probable first.
        batch_size: Photos in a batch.
        num_threads: Threads that decode a batch; 0 for all cores.
        device: As torch names it; None is a GPU where there is one.

    Returns:
        For each photo its "image" and "classes", a list of "class" (its number if the model knows no names)
        and "probability"; or, for a photo that cannot be read, its "error".

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is none of freqvision's, or a detector's.
    """
    model = checkpoint if isinstance(checkpoint, FrequencyModel) else load(checkpoint)
    if model.task != FrequencyModel.task:
        name = model.settings["name"]
        raise ValueError(f"{name} is a detector: find_objects takes it, predict a classifier")
    device = choose_device(device)
    model.to(device)
    decoder = Decoder(model.spec, num_threads)
    results: list[dict[str, Any]] = []
    for start in range(0, len(images), batch_size):
        paths = [str(path) for path in images[start : start + batch_size]]
        batch, errors = decoder.try_decode(paths)
        good = [place for place in range(len(paths)) if place not in errors]
        found: dict[int, dict[str, Any]] = {
            place: {"image": paths[place], "error": str(error)} for place, error in errors.items()
        }
        if good:
            logits = model(batch[good].to(device))
            for place, guesses in zip(good, most_probable(logits, model.class_names, top), strict=True):
                found[place] = {"image": paths[place], "classes": guesses}
        results += [found[place] for place in range(len(paths))]
    return results


def most_probable(logits: torch.Tensor, class_names: Sequence[str] | None, top: int = 5) -> list[list[Guess]]:
    """The most probable classes of each photo, by logits (B, classes); named by number without names.

    Example:
        >>> most_probable(torch.tensor([[0.0, 9.0]]), ["cat", "dog"], top=1)
        [[{'class': 'dog', 'probability': 0.9998...}]]
    """
    values, labels = logits.float().softmax(1).topk(min(top, logits.shape[1]))
    return [
        [
            {"class": class_names[label] if class_names else str(label), "probability": probability}
            for label, probability in zip(chosen, shares, strict=True)
        ]
        for chosen, shares in zip(labels.tolist(), values.tolist(), strict=True)
    ]
