"""Photos made up for tests of inputs."""

import io

import numpy as np
from PIL import Image


def photo(height: int, width: int, seed: int = 0, margin: int = 0, noise: float = 20) -> Image.Image:
    """Smooth colours with noise on top: energy at all frequencies. A margin keeps most from being clipped."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(margin, 256 - margin, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return Image.fromarray((smooth + generator.normal(0, noise, smooth.shape)).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, **options) -> bytes:
    """The file."""
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()
