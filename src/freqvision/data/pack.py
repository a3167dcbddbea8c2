"""A folder of photos → shards of packed photos, and what that costs in bytes and in exactness."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from freqvision.data.folder import PACKED, evenly, find_photos, list_classes, list_photos
from freqvision.data.shards import open_index, write_shard
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.packed import Packer
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.view import View, random_resized_view
from freqvision.runtime import batches, progress_bar

# Views that a store is judged by: shares of the photo's area.
VIEWS = {"whole photo": 1.0, "crops of half the area": 0.5, "crops of a fifth": 0.2}


@dataclass
class Packing:
    """What `pack_folder` did.

    Args:
        photos: Photos that were packed, in this run or before.
        source_bytes: Their size as files.
        packed_bytes: Size of the shards.
        damaged: Cause of each photo that was left out, by its path.
    """

    photos: int = 0
    source_bytes: int = 0
    packed_bytes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def pack_folder(
    photos: str | Path,
    output: str | Path,
    packer: Packer,
    photos_per_shard: int = 1000,
    skip_damaged: bool = False,
) -> Packing:
    """Pack a folder of photos into shards; shards that are there are kept, so that a stopped run continues.

    Args:
        photos: Folder with one sub-folder for each class, or of photos without classes.
        output: Folder of the shards.
        packer: How photos are packed.
        photos_per_shard: Photos in a shard.
        skip_damaged: Leave photos out that cannot be packed, and list them, instead of stopping.

    Raises:
        FileNotFoundError, ValueError: There are no photos.
        JpegError, OSError: A photo cannot be packed; the message names it.
    """
    paths, labels = _list(Path(photos))
    done = Packing()
    with progress_bar(total=len(paths), desc="pack", unit="photo") as bar:
        for number, places in enumerate(batches(range(len(paths)), photos_per_shard)):
            shard = Path(output) / f"photos-{number:06}.tar"
            chosen = [paths[place] for place in places]
            if not shard.exists():
                samples = []
                for some in batches(places, 64):
                    packed, errors = packer.try_pack([paths[place] for place in some])
                    for place, error in errors.items():
                        if not skip_damaged:
                            raise error
                        done.damaged[paths[some[place]]] = str(error)
                    samples += [
                        (f"{place:09}", PACKED, photo, labels[place])
                        for place, photo in zip(some, packed, strict=True)
                        if photo
                    ]
                    bar.update(len(some))
                write_shard(shard, samples)
            else:
                bar.update(len(places))
            done.photos += len(chosen)
            done.source_bytes += sum(os.path.getsize(path) for path in chosen)
            done.packed_bytes += shard.stat().st_size
    done.photos -= len(done.damaged)
    open_index([str(path) for path in sorted(Path(output).glob("*.tar"))])
    return done


def _list(folder: Path) -> tuple[list[str], Sequence[str | None]]:
    """Paths of all photos, and the name of each one's class, if there are classes."""
    if any(entry.is_dir() and not entry.name.startswith(".") for entry in os.scandir(folder)):
        classes = list_classes(folder)
        paths, labels = list_photos(folder, classes)
        return paths, [classes[label] for label in labels]
    paths = find_photos(folder)
    if not paths:
        raise ValueError(f"no photos in {folder}")
    return paths, [None] * len(paths)


def measure_loss(
    paths: Sequence[str], packer: Packer, spec: FrequencySpec, count: int = 64, seed: int = 0
) -> dict[str, float]:
    """How far views of packed photos are from the same views of the files.

    Args:
        paths: Photos, of which `count` are measured, evenly spread.
        packer: How they are packed.
        spec: What a model reads.
        count: Number of photos.
        seed: Of the random crops.

    Returns:
        By the name of a kind of view, the error relative to the input: RMS of the difference over RMS of the
        input, in units of the spec's normalised channels.
    """
    sources = evenly(list(paths), count)
    decode = Decoder(spec)
    crop = spec.crop or 224
    packed, errors = packer.try_pack(sources)
    found = {}
    for name, share in VIEWS.items():
        sizes: list[tuple[int, int]] = []

        def views(shapes: list[tuple[int, int]], share: float = share, seen: list = sizes) -> list[View]:
            generator = torch.Generator().manual_seed(seed)
            seen[:] = seen or shapes
            chosen = []
            for size, original in zip(shapes, seen, strict=True):
                view = random_resized_view(original, crop, (share, share), (1.0, 1.0), 0.0, generator)
                chosen.append(_scaled(view, original, size))
            return chosen

        expected, _ = decode.try_decode(sources, views)
        shown, bad = decode.try_decode(packed, views)
        good = [place for place in range(len(sources)) if place not in errors and place not in bad]
        difference = (shown[good].float() - expected[good].float()).square().mean()
        found[name] = (difference / expected[good].float().square().mean()).sqrt().item()
    return found


def _scaled(view: View, size: tuple[int, int], to: tuple[int, int]) -> View:
    """The same view of the photo at another size."""
    factors = (to[0] / size[0], to[1] / size[1])
    begin = [min(round(view.box[axis] * factors[axis]), to[axis] - 1) for axis in (0, 1)]
    length = [
        max(1, min(round(view.box[axis + 2] * factors[axis]), to[axis] - begin[axis])) for axis in (0, 1)
    ]
    return View((begin[0], begin[1], length[0], length[1]), view.size, view.crop, view.flip)
