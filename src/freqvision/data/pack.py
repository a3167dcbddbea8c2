"""Photos → shards of packed photos, and what that costs in bytes and in exactness."""

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from freqvision.data.folder import PACKED
from freqvision.data.shards import open_index, write_shard
from freqvision.data.sources import Sources
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.packed import Packer
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.view import View, random_resized_view
from freqvision.jpeg.read import Source, read_header
from freqvision.parts import Part, map_parts, recorded, same_settings, split

# Views that a store is judged by: shares of the photo's area.
VIEWS = {"whole photo": 1.0, "crops of half the area": 0.5, "crops of a fifth": 0.2}
# Boxes of crops are whole pixels of the file and of the store; edges move so far to where both nearly are.
NEAR = 8
BATCH = 64
Size = tuple[int, int]


@dataclass
class Packing:
    """What `pack_photos` did."""

    photos: int = 0  # that were packed, in this run or before
    source_bytes: int = 0  # their size as files
    packed_bytes: int = 0  # size of the shards
    damaged: dict[str, str] = field(default_factory=dict)  # cause of each photo left out, by its name


def pack_photos(
    photos: Sources,
    output: str | Path,
    packer: Packer,
    photos_per_shard: int = 1000,
    skip_damaged: bool = False,
    ray: str | None = None,
) -> Packing:
    """Pack photos into shards; those that are there are kept, so that a stopped run continues.

    Next to each shard a JSON file says how many photos it holds, of what size they were, and which were
    damaged and left out, by `skip_damaged`. For `ray` see `freqvision.parts.map_parts`.

    Raises:
        ValueError: The folder was begun with other photos or settings.
        JpegError, OSError: A photo cannot be packed; the message names it.
    """
    output = Path(output)
    settings = {"names": digest(photos), "photos": len(photos), "photos_per_shard": photos_per_shard}
    spec = None if packer.spec is None else packer.spec.to_dict()
    same_settings(
        output / "_pack.json", {**settings, "spec": spec, "codec": packer.codec, "level": packer.level}
    )
    work = partial(_pack_part, photos, output, packer, photos_per_shard, skip_damaged)
    done = Packing()
    parts = split(len(photos), photos_per_shard)
    for record in map_parts(work, parts, ray=ray, cpus=max(1, packer.num_threads), desc="pack"):
        done.photos += record["photos"]
        done.source_bytes += record["source_bytes"]
        done.packed_bytes += record["packed_bytes"]
        done.damaged |= record["damaged"]
    open_index([str(path) for path in sorted(output.glob("*.tar"))])
    return done


def digest(photos: Sources) -> str:
    """Twelve hex digits that stand for the photos' names, in their order, but for the folder they share."""
    names = [photos.name(place) for place in range(len(photos))]
    shared = len(os.path.commonpath([min(names), max(names)]))
    text = "\0".join(name[shared:] for name in names)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _pack_part(
    photos: Sources,
    output: Path,
    packer: Packer,
    photos_per_shard: int,
    skip_damaged: bool,
    part: Part,
    count: Callable[[int], Any],
) -> dict[str, Any]:
    """Write one shard, unless it is there, and say what it holds."""
    shard = output / f"photos-{part[0] // photos_per_shard:06}.tar"

    def write() -> dict[str, Any]:
        samples = []
        size = 0
        damaged: dict[str, str] = {}
        for start in range(*part, BATCH):
            sources = photos[start : min(start + BATCH, part[1])]
            packed, errors = packer.try_pack(sources)
            for place, (source, photo) in enumerate(zip(sources, packed, strict=True), start):
                error = errors.get(place - start)
                if error is not None and not skip_damaged:
                    raise error
                if error is not None:
                    damaged[photos.name(place)] = str(error)
                    continue
                size += os.path.getsize(source) if isinstance(source, str) else len(source)
                label = int(photos.labels[place])
                samples.append((f"{place:09}", PACKED, photo, photos.classes[label] if label >= 0 else None))
            count(len(sources))
        write_shard(shard, samples)
        found = {"photos": len(samples), "source_bytes": size, "packed_bytes": shard.stat().st_size}
        return {**found, "damaged": damaged}

    return recorded(shard, write)


@dataclass(frozen=True)
class Loss:
    """How far views of packed photos are from the same views of the files."""

    error: float  # RMS of the difference over RMS of the input, in units of the spec's normalised channels
    equal: float | None = None  # share of the photos to which a model gives the same answer
    before: float | None = None  # share that it classifies correctly from the files, if they have labels
    after: float | None = None  # likewise from packed photos


@torch.inference_mode()
def measure_loss(
    sources: Sequence[Source],
    packer: Packer,
    spec: FrequencySpec,
    model: nn.Module | None = None,
    labels: Sequence[int] | None = None,
    seed: int = 0,
) -> dict[str, Loss]:
    """What packing costs, by the name of a kind of view.

    The spec is what a model reads, in float32; its own view is the "whole photo", and crops are random. The
    model gives logits for it, such as a `Transport`; `labels` are the photos' classes among the model's.
    """
    decode = Decoder(spec)
    truth = None if labels is None else torch.tensor(labels)
    sums = {name: torch.zeros(2, dtype=torch.float64) for name in VIEWS}
    answers: dict[str, list[torch.Tensor]] = {name: [] for name in VIEWS}
    for start in range(0, len(sources), BATCH // 2):
        some = sources[start : start + BATCH // 2]
        packed, errors = packer.try_pack(some)
        good = [place for place in range(len(some)) if place not in errors]
        if not good:
            continue
        packed = [packed[place] for place in good]
        for name, share in VIEWS.items():
            seeds = [seed + start + place for place in good]
            views = partial(_views, spec, share, seeds, [read_header(photo).size for photo in packed], [])
            expected, _ = decode.try_decode([some[place] for place in good], views)
            shown, _ = decode.try_decode(packed, views)
            sums[name] += torch.stack([(shown - expected).square().sum(), expected.square().sum()]).double()
            if model is not None:
                found = [model(inputs).argmax(1) for inputs in (expected, shown)]
                known = found[0] if truth is None else truth[[start + place for place in good]]
                answers[name].append(torch.stack([*found, known]))  # (3, B)
    losses = {}
    for name, (difference, size) in ((name, total.tolist()) for name, total in sums.items()):
        if not size:
            raise ValueError(f"none of the {len(sources)} photos can be packed")
        shares: list[float | None] = [None] * 3
        if model is not None:
            before, after, known = torch.cat(answers[name], 1)
            pairs = [(before, after)] + [(one, known) for one in (before, after) if truth is not None]
            shares[: len(pairs)] = [(one == other).double().mean().item() for one, other in pairs]
        losses[name] = Loss(math.sqrt(difference / size), *shares)
    return losses


def _views(
    spec: FrequencySpec,
    share: float,
    seeds: list[int],
    stored: list[Size],
    of: list[Size],
    sizes: list[Size],
) -> list[View]:
    """The same views of files, and of photos of sizes `stored`; `of` remembers those of the first call."""
    of[:] = of or sizes
    if share == 1:
        return [spec.view(size) for size in sizes]
    views = []
    for size, original, other, seed in zip(sizes, of, stored, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        view = random_resized_view(original, spec.crop or 224, (share, share), (1.0, 1.0), 0.0, generator)
        views.append(_scaled(_whole_pixels(view, original, other), original, size))
    return views


def _whole_pixels(view: View, size: Size, to: Size) -> View:
    """Nearly the same view, whose box has nearly whole pixels at the other size, too.

    Half a pixel would count more than what packing loses.
    """

    def moved(axis: int) -> tuple[int, int]:
        """Begin and length of the box."""
        factor = to[axis] / size[axis]

        def nearest(place: int, low: int, high: int) -> int:
            edges = range(max(low, place - NEAR), min(high, place + NEAR) + 1)
            return min(edges, key=lambda edge: (abs(edge * factor - round(edge * factor)), abs(edge - place)))

        begin = nearest(view.box[axis], 0, size[axis] - 1)
        return begin, nearest(view.box[axis] + view.box[axis + 2], begin + 1, size[axis]) - begin

    (top, height), (left, width) = moved(0), moved(1)
    return replace(view, box=(top, left, height, width))


def _scaled(view: View, size: tuple[int, int], to: tuple[int, int]) -> View:
    """The same view of the photo at another size."""
    factors = (to[0] / size[0], to[1] / size[1])
    begin = [min(round(view.box[axis] * factors[axis]), to[axis] - 1) for axis in (0, 1)]
    length = [
        max(1, min(round(view.box[axis + 2] * factors[axis]), to[axis] - begin[axis])) for axis in (0, 1)
    ]
    return View((begin[0], begin[1], length[0], length[1]), view.size, view.crop, view.flip)
