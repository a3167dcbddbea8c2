"""Are they the same pixels? RMS per photo, in grey levels, between ours and those of the usual libraries.

    python benchmarks/parity.py [FOLDER ...] [--like]

Ours are float32 pixels on 0 to 255, rounded; theirs are uint8. "tensors" is torchvision's decoder and its
antialiased Resize on tensors, "Pillow" is Image.resize; both resize to 256 and cut 224 out of the middle, or
resize a random box to 224. With --like: specs from `like()` against the preprocessing that they were read
from, as torchvision, timm and transformers run it on Pillow's images; of frequencies, luma put together
again.
"""

import argparse
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import models
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import freqvision as fv
from freqvision.data.folder import find_photos
from freqvision.inputs.view import random_resized_view
from freqvision.runtime import markdown, progress_bar
from freqvision.spectrum import block_idct, rgb_to_ycbcr
from freqvision.spectrum.cube import scatter

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = ("imagenet-sample/images", "clothing/validation", "coco128/images")
Compared = tuple[str, str, Callable[[str], torch.Tensor], Callable[[str], torch.Tensor]]


def tensors(path: str) -> torch.Tensor:
    """(3, H, W) of uint8, as stored."""
    return decode_image(path, ImageReadMode.RGB)


def pillow(path: str, size: int) -> torch.Tensor:
    """Resized and cropped by Pillow."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
    wide, high = (int(side * (size * 8 // 7) / min(rgb.size)) for side in rgb.size)
    resized = rgb.resize((wide, high), Image.Resampling.BILINEAR)
    return F.center_crop(torch.from_numpy(np.array(resized)).permute(2, 0, 1), [size, size])


def comparisons() -> list[Compared]:
    """What is compared: name, filter, ours and theirs."""
    found: list[Compared] = []
    for name in ("bilinear", "bicubic"):
        spec = fv.PixelSpec(256, 224, dtype="uint8", interpolation=name, orientation="stored")
        decode = fv.Decoder(spec, num_threads=1)
        theirs = v2.Compose([v2.Resize(256, v2.InterpolationMode(name), antialias=True), v2.CenterCrop(224)])
        found.append(
            (
                "tensors, whole photo",
                name,
                lambda path, decode=decode: decode([path])[0],
                lambda path, theirs=theirs: theirs(tensors(path)),
            )
        )
    spec = fv.PixelSpec(256, 224, dtype="uint8", orientation="stored")
    decode = fv.Decoder(spec, num_threads=1)

    def box(path: str) -> fv.View:
        size = fv.read_header(path).size
        generator = torch.Generator().manual_seed(sum(size))
        return random_resized_view(size, 224, (0.08, 1.0), (3 / 4, 4 / 3), 0.0, generator)

    def crop(path: str) -> torch.Tensor:
        return F.resized_crop(tensors(path), *box(path).box, size=[224, 224], antialias=True)

    found.append(("tensors, random box", "bilinear", lambda path: decode([path], [box(path)])[0], crop))
    found.append(
        ("Pillow, whole photo", "bilinear", lambda path: decode([path])[0], lambda path: pillow(path, 224))
    )
    return found


def usual() -> Iterator[tuple[str, Any, Callable[[Image.Image], torch.Tensor]]]:
    """Preprocessing of other libraries: its name, what `like()` takes, and what an image becomes."""
    import timm
    import transformers

    for name in ("ResNet50", "EfficientNet_B3", "ViT_B_16"):
        preset = models.get_model_weights(name).DEFAULT.transforms()
        yield f"torchvision {name}", preset, preset
    for name in ("resnet50", "vit_base_patch16_224", "vit_base_patch16_clip_224"):
        config = timm.data.resolve_data_config(timm.get_pretrained_cfg(name).to_dict())
        yield f"timm {name}", config, timm.data.create_transform(**config)
    for name in ("CLIP", "Siglip", "ViT", "Bit", "DINOv3ViT", "ConvNext"):
        for backend in ("", "Pil"):
            kind = getattr(transformers, f"{name}ImageProcessor{backend}", None)
            if kind is None:
                continue
            processor = kind(size={"shortest_edge": 256}) if name == "Bit" else kind()  # as DINOv2 sets it
            yield (
                kind.__name__,
                processor,
                lambda image, of=processor: of(image, return_tensors="pt")["pixel_values"][0].float(),
            )


@functools.cache
def photo(path: str) -> Image.Image:
    """As all of them read it."""
    with Image.open(path) as image:
        return image.convert("RGB")


def likes() -> Iterator[Compared]:
    """Specs read from other libraries, in gray levels."""

    def column(values: tuple[float, ...]) -> torch.Tensor:
        return torch.tensor(values)[:, None, None]

    def decoded(
        spec: fv.InputSpec, turn: Callable[[torch.Tensor], torch.Tensor]
    ) -> Callable[[str], torch.Tensor]:
        decode = fv.Decoder(spec, num_threads=1)
        return lambda path: turn(decode.each([path])[0] * column(spec.std) + column(spec.mean))

    for name, source, transform in usual():
        spec = fv.PixelSpec.like(source, orientation="stored")

        @functools.cache  # for pixels and for luma
        def theirs(path: str, transform=transform, spec=spec) -> torch.Tensor:
            return 255 * (transform(photo(path)) * column(spec.std) + column(spec.mean))

        yield name, spec.interpolation, decoded(spec, lambda pixels: 255 * pixels), theirs
        if any(side % 8 for side in spec.shape[1:]):
            continue
        luma = fv.FrequencySpec.like(spec, 1, channels=fv.ChannelSet(range(64)))
        yield (
            f"{name}, luma of frequencies",
            spec.interpolation,
            decoded(luma, lambda cube: block_idct(scatter(cube)) + 128),
            lambda path, of=theirs: rgb_to_ycbcr(of(path))[:1],
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", default=[DATA / folder for folder in FOLDERS])
    parser.add_argument("--like", action="store_true", help="specs from other libraries' preprocessing")
    options = parser.parse_args()
    photos = {"/".join(Path(folder).parts[-2:]): find_photos(folder) for folder in options.folders}
    rows = [("compared with", "filter", *(f"{len(paths)} of {name}" for name, paths in photos.items()))]
    for name, interpolation, ours, theirs in likes() if options.like else comparisons():
        results = []
        for paths in photos.values():
            errors = [
                (ours(path).float() - theirs(path).float()).square().mean().sqrt().item()
                for path in progress_bar(paths, desc=name, unit="photo")
            ]
            results.append(f"{np.mean(errors):.2f}, {max(errors):.2f}")
        rows.append((name, interpolation, *results))
        print(*rows[-1], flush=True)
    print(f"\n{markdown(rows, left=2)}")


if __name__ == "__main__":
    main()
