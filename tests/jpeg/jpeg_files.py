"""Files for the tests of the reader, and the oracle's answer to them."""

import io
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import freqvision as fv

ORACLE_VERSION = "turbo210"


def photo(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    """Something with smooth parts, edges and noise."""
    generator = np.random.default_rng(seed)
    bands = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    y, x = np.mgrid[:height, :width]
    planes = []
    for band in range(bands):
        waves = 60 * np.sin(x / (9 + 4 * band)) + 50 * np.cos(y / (13 - 2 * band))
        edges = 40 * ((x // 17 + y // 23 + band) % 2)
        noise = generator.normal(0, 12, (height, width)) * (x > width // 2)
        planes.append(np.clip(100 + waves + edges + noise, 0, 255).astype(np.uint8))
    return Image.fromarray(planes[0] if bands == 1 else np.stack(planes, -1), mode)


def encode(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def oracle(source: bytes | Path) -> list[np.ndarray] | None:
    """libjpeg-turbo's coefficients, with whatever padding it keeps; None if it refuses.

    For sound files only: on damaged ones jpeglib itself may corrupt the memory of the process.
    """
    import jpeglib  # which the quick tests of a wheel do without

    if isinstance(source, bytes):
        with tempfile.NamedTemporaryFile(suffix=".jpg", delete=False) as file:
            file.write(source)
        try:
            return oracle(Path(file.name))
        finally:
            os.unlink(file.name)
    jpeglib.version.set(ORACLE_VERSION)
    try:
        jpeg = jpeglib.read_dct(str(source))
        planes = [jpeg.Y, jpeg.Cb, jpeg.Cr, jpeg.K]
    except (OSError, RuntimeError):
        return None
    return [plane for plane in planes if plane is not None]


def attempt(source, **options) -> tuple[fv.Coefficients | None, fv.JpegError | None]:
    """What `read_coefficients` returns, or what it raises."""
    try:
        return fv.read_coefficients(source, **options), None
    except fv.JpegError as error:
        return None, error


def same_planes(ours: tuple[np.ndarray, ...], theirs: list[np.ndarray]) -> bool:
    """Equal, apart from padding blocks of the oracle."""
    return len(ours) == len(theirs) and all(
        np.array_equal(a, b[: a.shape[0], : a.shape[1]]) for a, b in zip(ours, theirs, strict=True)
    )


def marker_offsets(data: bytes) -> list[tuple[int, int]]:
    """(marker, offset) of each segment up to the first scan."""
    found, at = [], 2
    while True:
        marker = data[at + 1]
        found.append((marker, at))
        if marker == 0xDA:
            return found
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def offset_of(data: bytes, marker: int) -> int:
    return next(offset for found, offset in marker_offsets(data) if found == marker)


def without_segments(data: bytes, marker: int) -> bytes:
    out = bytearray(data)
    for found, offset in reversed(marker_offsets(data)):
        if found == marker:
            del out[offset : offset + 2 + int.from_bytes(data[offset + 2 : offset + 4], "big")]
    return bytes(out)
