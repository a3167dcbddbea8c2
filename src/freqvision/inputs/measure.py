"""Photos → statistics: mean and deviation of every DCT channel, in one pass."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, reduce
from typing import Any

from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import InputSpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.jpeg.read import Source
from freqvision.parts import Part, map_parts, split
from freqvision.runtime import batches
from freqvision.spectrum.channels import NUM_CHANNELS, ChannelSet

PART = 32  # batches


def collect_statistics(
    sources: Sequence[Source],
    spec: InputSpec,
    progress: bool = True,
    num_threads: int = 0,
    about: str | None = None,
    damaged: str = "error",
    damage: list[str] | None = None,
    ray: str | None = None,
) -> ChannelStatistics:
    """Statistics of all 192 channels over photos, in one pass, in the spec's view of evaluation.

    Args:
        sources: Paths or contents of the photos.
        spec: Resize, crop and interpolation; its channels, statistics and type have no influence.
        progress: Show a progress bar.
        num_threads: Threads that decode, see `freqvision.runtime.threads_here`.
        about: What was measured, for people; None says how many photos at what size.
        damaged: "error" raises at a photo that cannot be decoded, "skip" leaves it out, "decode" measures
            what is there.
        damage: Filled with a line for each photo that was left out or measured in part, with its cause.
        ray: Address of a Ray cluster to measure on, see `freqvision.parts.map_parts`. The statistics are the
            same to the last bit, on machines of one kind.

    Raises:
        ValueError: There is no photo, or none that can be decoded.
        JpegError, OSError: With "error", a photo cannot be decoded; the message names it.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from freqvision import FrequencySpec
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (80, 60), "teal").save(file, "JPEG")
        >>> spec = FrequencySpec(resize=64, crop=64)
        >>> collect_statistics([file.getvalue()], spec, progress=False).count
        64
    """
    if not len(sources):
        raise ValueError("there is no photo to collect statistics of")
    found: list[str] = [] if damage is None else damage
    spec = spec.raw(ChannelSet.preset(NUM_CHANNELS))
    # A batch's photos have one size; 8 million coefficients are 32 MB.
    size = 1 if spec.shape is None else max(1, 8_000_000 // math.prod(spec.shape))
    num_threads = num_threads if ray is None else max(1, num_threads)
    work = partial(_measure_part, sources, spec, size, num_threads, damaged)
    parts = split(len(sources), PART * size)
    measured = map_parts(work, parts, ray=ray, cpus=num_threads, desc="statistics", progress=progress)
    of_parts: list[ChannelStatistics] = []
    for of_part, lines in measured:
        of_parts += of_part
        found.extend(lines)
    if not of_parts:
        raise ValueError(f"none of the {len(sources)} photos can be decoded: {found[0]}")
    count = len(sources) if damaged == "decode" else len(sources) - len(found)
    about = about or f"{count} photos, resize {spec.resize}, crop {spec.crop}, {spec.interpolation}"
    return replace(reduce(ChannelStatistics.merge, of_parts), about=about)


def _measure_part(
    sources: Sequence[Source],
    spec: InputSpec,
    size: int,
    num_threads: int,
    damaged: str,
    part: Part,
    count: Callable[[int], Any],
) -> tuple[list[ChannelStatistics], list[str]]:
    """Statistics of some of the photos, none where all are damaged, and a line for each damaged one."""
    decoder = Decoder(spec, num_threads, damaged=damaged)
    of_batches: list[ChannelStatistics] = []
    lines: list[str] = []
    for photos in batches(sources[slice(*part)], size):
        cubes, errors = decoder.try_decode(photos)
        if errors and damaged != "skip":
            raise errors[min(errors)]
        lines += map(str, errors.values())
        good = [place for place in range(len(photos)) if place not in errors]
        if good:
            of_batches.append(ChannelStatistics.of(cubes[good] if errors else cubes))
        count(len(photos))
    if damaged == "decode":
        lines += [f"{name}: {cause}" for name, cause in decoder.damage.items()]
    return [reduce(ChannelStatistics.merge, of_batches)] if of_batches else [], lines
