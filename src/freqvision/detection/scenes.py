"""Generated scenes for detectors: balls, boxes and tents, with annotations in COCO's format."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from freqvision.data.synthetic import checks, clouds, rings, stripes

Polygon = list[float]  # x1, y1, x2, y2, … in pixels

# Class → the pattern of its surface. Labels, and COCO's category ids, are 1, 2, 3.
SHAPES = {"ball": rings, "box": checks, "tent": stripes}
_SMOOTH = 4  # factor at which shapes are drawn, so that their edges are smooth


def synthetic_scene(
    size: tuple[int, int] = (120, 160), objects: int = 4, seed: int = 0
) -> tuple[Image.Image, list[tuple[str, Polygon]]]:
    """A photo, (height, width) in size, of shapes in front of clouds; and the shape and outline of each.

    Objects for which no free place is found are left out.

    Example:
        >>> photo, objects = synthetic_scene((96, 128), objects=2)
        >>> photo.size, [name for name, outline in objects]
        ((128, 96), ['tent', 'ball'])
    """
    rng = np.random.default_rng(seed)
    height, width = size
    photo = _surface(clouds, rng, height, width, dark=True)
    found: list[tuple[str, Polygon]] = []
    taken: list[tuple[float, float, float]] = []  # x, y, radius
    for _ in range(8 * objects):
        if len(found) == objects:
            break
        radius = rng.uniform(0.12, 0.28) * min(size)
        x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
        if any(math.hypot(x - a, y - b) < radius + r for a, b, r in taken):
            continue
        name = list(SHAPES)[rng.integers(len(SHAPES))]
        outline = _outline(name, x, y, radius, rng)
        mask = Image.new("L", (_SMOOTH * width, _SMOOTH * height))
        ImageDraw.Draw(mask).polygon([_SMOOTH * value for value in outline], fill=255)
        mask = mask.resize((width, height), Image.Resampling.BOX)
        photo.paste(_surface(SHAPES[name], rng, height, width, dark=False), mask=mask)
        taken.append((x, y, radius))
        found.append((name, [round(value, 2) for value in outline]))
    return photo, found


def write_synthetic_scenes(
    folder: str | Path, photos: int = 40, size: tuple[int, int] = (120, 160), seed: int = 0
) -> Path:
    """Write a data set for detectors: folder/images/000.jpg and so on, and folder/instances.json.

    Every third photo is in portrait format. The fifth of every eight has no objects; the sixth has a crowd,
    whose outline is run-length encoded as in COCO.

    Args:
        folder: Where to write; created if missing.
        photos: Number of photos.
        size: (height, width) of the photos in landscape format.
        seed: Of the first photo, plus one for each following one.

    Returns:
        The file of annotations.
    """
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(photos):
        height, width = size if number % 3 else size[::-1]
        objects = 0 if number % 8 == 4 else 2 + (seed + number) % 4
        photo, found = synthetic_scene((height, width), objects, seed + number)
        name = f"{number:03d}.jpg"
        photo.save(folder / "images" / name, quality=88, subsampling="4:2:0")
        images.append({"id": number + 1, "file_name": name, "height": height, "width": width})
        for place, (shape, outline) in enumerate(found):
            xs, ys = outline[::2], outline[1::2]
            crowd = number % 8 == 5 and place == 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": 1 + list(SHAPES).index(shape),
                    "bbox": [min(xs), min(ys), round(max(xs) - min(xs), 2), round(max(ys) - min(ys), 2)],
                    "area": round(_area(xs, ys), 2),
                    "iscrowd": int(crowd),
                    "segmentation": _run_lengths(outline, height, width) if crowd else [outline],
                }
            )
    categories = [{"id": 1 + number, "name": name} for number, name in enumerate(SHAPES)]
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def _outline(name: str, x: float, y: float, radius: float, rng: np.random.Generator) -> Polygon:
    corners = {"ball": 24, "box": 4, "tent": 3}[name]
    first = rng.uniform(0, 2 * math.pi)
    angles = [first + 2 * math.pi * corner / corners for corner in range(corners)]
    return [value for a in angles for value in (x + radius * math.cos(a), y + radius * math.sin(a))]


def _surface(pattern: Any, rng: np.random.Generator, height: int, width: int, *, dark: bool) -> Image.Image:
    """A whole photo of a pattern in two colours."""
    y, x = np.mgrid[0:height, 0:width] / (min(height, width) / 2) - 1
    amount = pattern(rng, x, y)[..., None]  # (H, W, 1) from 0 to 1
    low, high = (20, 110) if dark else (90, 250)
    first, second = rng.uniform(low, high, (2, 3))
    image = amount * first + (1 - amount) * second + rng.normal(0, 4, (height, width, 1))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def _area(xs: list[float], ys: list[float]) -> float:
    return abs(float(np.dot(xs, np.roll(ys, 1)) - np.dot(ys, np.roll(xs, 1)))) / 2


def _run_lengths(outline: Polygon, height: int, width: int) -> dict[str, Any]:
    """COCO's uncompressed run-length encoding: lengths of runs of 0 and 1 in turn, column by column."""
    mask = Image.new("1", (width, height))
    ImageDraw.Draw(mask).polygon(outline, fill=1)
    flat = np.asarray(mask).T.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False)) if flat.any() else np.array([], dtype=int)
    counts = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return {"size": [height, width], "counts": counts}
