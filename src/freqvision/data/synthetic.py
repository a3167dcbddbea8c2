"""Generated photos: six classes of patterns that differ in frequency content or shape."""

import math
from collections.abc import Callable
from colorsys import hsv_to_rgb
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

Array = np.ndarray
Pattern = Callable[[np.random.Generator, Array, Array], Array]


def stripes(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Straight waves in any direction."""
    angle = rng.uniform(0, math.pi)
    return _edge(
        np.sin(rng.uniform(4, 9) * math.pi * (x * math.cos(angle) + y * math.sin(angle)) + rng.uniform(0, 6)),
        rng,
    )


def checks(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """A turned chess board."""
    angle, waves = rng.uniform(0, math.pi / 2), rng.uniform(3, 6) * math.pi
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    return _edge(np.sin(waves * u) * np.sin(waves * v), rng)


def rings(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Waves around a centre."""
    a, b = rng.uniform(-0.4, 0.4, 2)
    return _edge(np.sin(rng.uniform(5, 10) * math.pi * np.hypot(x - a, y - b) + rng.uniform(0, 6)), rng)


def rays(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Sectors around a centre."""
    a, b = rng.uniform(-0.4, 0.4, 2)
    return _edge(np.sin(rng.integers(5, 11) * np.arctan2(y - b, x - a) + rng.uniform(0, 6)), rng)


def dots(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Round spots at random places."""
    field = np.zeros_like(x)
    for _ in range(rng.integers(9, 18)):
        a, b = rng.uniform(-1, 1, 2)
        field = np.maximum(field, np.clip((rng.uniform(0.1, 0.22) - np.hypot(x - a, y - b)) * 25, 0, 1))
    return field


def clouds(rng: np.random.Generator, x: Array, y: Array) -> Array:
    """Smooth noise, strongest at low frequencies."""
    height, width = x.shape
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]) * max(height, width)
    spectrum = np.fft.rfft2(rng.standard_normal((height, width))) / np.maximum(radius, 1.5) ** rng.uniform(
        1.8, 2.2
    )
    field = np.fft.irfft2(spectrum, (height, width))
    return (field - field.min()) / np.ptp(field)


PATTERNS: dict[str, Pattern] = {
    pattern.__name__: pattern for pattern in (checks, clouds, dots, rays, rings, stripes)
}


def synthetic_photo(pattern: str, size: int = 160, seed: int = 0) -> Image.Image:
    """One photo: a pattern in two random colours, uneven light, a little blur and noise.

    Its shorter side has `size` pixels, and the longer one is up to 1.5 times as long.

    Example:
        >>> synthetic_photo("rings", size=64).height
        64
    """
    if pattern not in PATTERNS:
        raise ValueError(f"there is no pattern {pattern!r}; patterns: {', '.join(PATTERNS)}")
    rng = np.random.default_rng([seed, sorted(PATTERNS).index(pattern)])
    height, width = size, round(size * rng.uniform(1, 1.5))
    y, x = np.mgrid[0:height, 0:width] / (size / 2) - 1  # the shorter side runs from −1 to 1
    amount = PATTERNS[pattern](rng, x, y)[..., None]  # (H, W, 1) from 0 to 1
    hue = rng.uniform()
    first = hsv_to_rgb(hue, rng.uniform(0.45, 0.85), rng.uniform(0.55, 0.95))
    second = hsv_to_rgb(hue + rng.uniform(0.2, 0.8), rng.uniform(0.1, 0.7), rng.uniform(0.15, 0.5))
    if rng.uniform() < 0.5:
        first, second = second, first
    angle = rng.uniform(0, 2 * math.pi)
    light = 1 + 0.25 * (x * math.cos(angle) + y * math.sin(angle))[..., None]  # (H, W, 1)
    image = (amount * first + (1 - amount) * second) * light  # (H, W, 3) from 0 to about 1
    image = image + rng.normal(0, rng.uniform(0.01, 0.05), image.shape)
    photo = Image.fromarray((255 * image.clip(0, 1)).astype(np.uint8))
    return photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))


def write_synthetic_photos(
    folder: str | Path, photos_per_class: int = 100, size: int = 160, seed: int = 0, quality: int = 85
) -> None:
    """Write a data set that can be learnt: folder/PATTERN/000.jpg and so on, 4:2:0 as from a camera.

    Args:
        folder: Folder to write to; made if needed.
        photos_per_class: Number of photos of each of the six patterns.
        size: Shorter side of the photos in pixels.
        seed: Seed of the first photo of each class; each next photo adds 1.
        quality: JPEG quality, 1 to 95.
    """
    for pattern in PATTERNS:
        target = Path(folder) / pattern
        target.mkdir(parents=True, exist_ok=True)
        for number in range(photos_per_class):
            photo = synthetic_photo(pattern, size, seed + number)
            photo.save(target / f"{number:03d}.jpg", quality=quality, subsampling="4:2:0")


def _edge(wave: Array, rng: np.random.Generator) -> Array:
    """A wave of −1 to 1 as a pattern of 0 to 1, with edges from soft to hard."""
    return 0.5 + 0.5 * np.tanh(wave * rng.uniform(1, 5))
