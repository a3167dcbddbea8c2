"""The photos that a benchmark runs over, and variations of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from freqvision.jpeg import read_header

_TILE = 256  # pixels, side of the photos that a mosaic is made of


@dataclass(frozen=True)
class Photos:
    """JPEG files in memory and, the same ones, in a folder laid out as torchvision's ``ImageFolder``.

    Args:
        contents: Of the files.
        root: Folder that holds them as ``photos/00000.jpg`` and so on.
    """

    contents: tuple[bytes, ...]
    root: Path

    @classmethod
    def write(cls, contents: Sequence[bytes], root: str | Path) -> "Photos":
        """Put photos into a new folder."""
        photos = cls(tuple(contents), Path(root))
        (photos.root / "photos").mkdir(parents=True)
        for path, content in zip(photos.paths, contents, strict=True):
            Path(path).write_bytes(content)
        return photos

    @classmethod
    def read(cls, root: str | Path) -> "Photos":
        """Take up a folder that `write` made."""
        paths = sorted((Path(root) / "photos").iterdir())
        return cls(tuple(path.read_bytes() for path in paths), Path(root))

    def __len__(self) -> int:
        return len(self.contents)

    @property
    def paths(self) -> list[str]:
        """Of the files in `root`, in the order of `contents`."""
        return [str(self.root / "photos" / f"{number:05d}.jpg") for number in range(len(self.contents))]

    def facts(self) -> dict[str, float]:
        """Number, median sides and median size of the files."""
        sizes = [read_header(content).size for content in self.contents]
        return {
            "photos": len(self),
            "median_width": float(np.median([width for _, width in sizes])),
            "median_height": float(np.median([height for height, _ in sizes])),
            "median_kilobytes": float(np.median([len(content) for content in self.contents])) / 1000,
        }


def at_quality(contents: Sequence[bytes], quality: int) -> list[bytes]:
    """The photos, compressed anew with 4:2:0 chroma at a quality of 1 to 100."""
    return [_encode(Image.open(io.BytesIO(content)).convert("RGB"), quality) for content in contents]


def mosaics(contents: Sequence[bytes], side: int, count: int, quality: int = 90) -> list[bytes]:
    """Square photos of any size with the detail of real ones: each a mosaic of different photos' middles.

    An enlarged photo would have nearly empty blocks instead, cheaper than those of a real large photo.

    Args:
        contents: JPEG files.
        side: Of the result in pixels.
        count: How many to make.
        quality: Of the result.
    """
    images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
    tiles = [_middle(image, min(_TILE, side)) for image in images]
    across = -(-side // _TILE)
    results = []
    for number in range(count):
        canvas = Image.new("RGB", (side, side))
        for place in range(across**2):
            tile = tiles[(number * across**2 + place) % len(tiles)]
            canvas.paste(tile, (place % across * _TILE, place // across * _TILE))
        results.append(_encode(canvas, quality))
    return results


def _middle(image: Image.Image, side: int) -> Image.Image:
    """A square of the photo's own detail; only a photo that is too small is enlarged."""
    short = min(image.width, image.height, side)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    return image.crop((left, top, left + short, top + short)).resize((side, side))


def _encode(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return file.getvalue()
