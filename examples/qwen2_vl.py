"""The input of Qwen2-VL's vision encoder from JPEG files: patches of photos at multiples of 28 pixels.

python examples/qwen2_vl.py PHOTO.jpg …
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from transformers import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

import freqvision as fv


def preprocess(photos: Sequence[Any], processor: Qwen2VLImageProcessor) -> tuple[torch.Tensor, torch.Tensor]:
    """pixel_values and image_grid_thw, as the processor gives them."""
    mean, std, size = tuple(processor.image_mean), tuple(processor.image_std), processor.size
    spec = fv.PixelSpec(resize=None, crop=None, mean=mean, std=std, interpolation="bicubic")
    patching = processor.patch_size, processor.merge_size, processor.temporal_patch_size

    def whole(photo_sizes: list[tuple[int, int]]) -> list[fv.View]:
        factor, limits = patching[0] * patching[1], (size["shortest_edge"], size["longest_edge"])
        shown = [smart_resize(*photo_size, factor, *limits) for photo_size in photo_sizes]
        return [fv.View((0, 0, *a), b, (0, 0, *b)) for a, b in zip(photo_sizes, shown, strict=True)]

    images = fv.Decoder(spec).each(photos, whole)
    patches = [processor.patchify(image[None], *patching) for image in images]
    grid = torch.tensor([[1, height, width] for _, height, width in patches])
    return torch.cat([flat[0] for flat, _, _ in patches]), grid


if __name__ == "__main__":
    pixel_values, image_grid_thw = preprocess(sys.argv[1:], Qwen2VLImageProcessor())
    print(tuple(pixel_values.shape), image_grid_thw.tolist())
