"""Feed a transformers model from JPEG files, with the pixels that its image processor gives.

python examples/transformers_model.py PHOTO.jpg …
"""

import sys

import torch
from transformers import AutoImageProcessor, AutoModelForImageClassification

import freqvision as fv


def classify(photos: list[str], model: torch.nn.Module, processor: object) -> torch.Tensor:
    """Logits (N, classes)."""
    decode = fv.Decoder(fv.PixelSpec.like(processor))
    with torch.inference_mode():
        return model.eval()(pixel_values=decode(photos)).logits


def main(photos: list[str], name: str = "google/vit-base-patch16-224") -> None:
    """Print the class of each photo."""
    model = AutoModelForImageClassification.from_pretrained(name)
    logits = classify(photos, model, AutoImageProcessor.from_pretrained(name))
    for photo, label in zip(photos, logits.argmax(1).tolist(), strict=True):
        print(photo, model.config.id2label[label])


if __name__ == "__main__":
    main(sys.argv[1:])
