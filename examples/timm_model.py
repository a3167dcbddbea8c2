"""Feed a timm model from JPEG files, with the pixels that its own transforms give.

python examples/timm_model.py PHOTO.jpg …
"""

import sys

import timm
import torch

import freqvision as fv


def main(photos: list[str], name: str = "vit_base_patch16_224", pretrained: bool = True) -> torch.Tensor:
    """Print the class of each photo; returns the logits (N, classes)."""
    model = timm.create_model(name, pretrained=pretrained).eval()
    decode = fv.Decoder(fv.PixelSpec.like(timm.data.resolve_data_config(model=model)))
    with torch.inference_mode():
        logits = model(decode(photos))
    for photo, label in zip(photos, logits.argmax(1), strict=True):
        print(photo, "class", int(label))
    return logits


if __name__ == "__main__":
    main(sys.argv[1:])
