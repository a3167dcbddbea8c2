"""Are they the same pixels? RMS per photo, in grey levels, between ours and those of the usual libraries.

    python benchmarks/parity.py [FOLDER ...]

Ours are float32 pixels on 0 to 255, rounded; theirs are uint8. "tensors" is torchvision's decoder and its
antialiased Resize on tensors, "Pillow" is Image.resize; both resize to 256 and cut 224 out of the middle, or
resize a random box to 224.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import freqvision as fv
from freqvision.data.folder import find_photos
from freqvision.inputs.view import random_resized_view
from freqvision.runtime import markdown, progress_bar

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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", default=[DATA / folder for folder in FOLDERS])
    options = parser.parse_args()
    rows = [("photos", "compared with", "filter", "mean", "worst", "worst photo")]
    for folder in options.folders:
        paths = find_photos(folder)
        for name, interpolation, ours, theirs in comparisons():
            errors = []
            for path in progress_bar(paths, desc=f"{folder}", unit="photo"):
                difference = ours(path).float() - theirs(path).float()
                errors.append(difference.square().mean().sqrt().item())
            worst = max(range(len(errors)), key=errors.__getitem__)
            label = "/".join(Path(folder).parts[-2:])
            rows.append(
                (
                    f"{len(paths)} of {label}",
                    name,
                    interpolation,
                    f"{np.mean(errors):.2f}",
                    f"{errors[worst]:.2f}",
                    Path(paths[worst]).name,
                )
            )
            print(*rows[-1], flush=True)
    print(f"\n{markdown(rows, left=3)}")


if __name__ == "__main__":
    main()
