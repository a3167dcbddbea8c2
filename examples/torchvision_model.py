"""Feed a torchvision model from JPEG files, with the pixels that its own transforms give.

python examples/torchvision_model.py PHOTO.jpg …
"""

import sys

import torch
from torchvision.models import ResNet50_Weights, resnet50

import freqvision as fv

WEIGHTS = ResNet50_Weights.DEFAULT


def main(photos: list[str], pretrained: bool = True) -> torch.Tensor:
    """Print the class of each photo; returns the logits (N, classes)."""
    model = resnet50(weights=WEIGHTS if pretrained else None).eval()
    decode = fv.Decoder(fv.PixelSpec.like(WEIGHTS.transforms()))
    with torch.inference_mode():
        logits = model(decode(photos))
    for photo, label in zip(photos, logits.argmax(1), strict=True):
        print(photo, WEIGHTS.meta["categories"][label])
    return logits


if __name__ == "__main__":
    main(sys.argv[1:])
