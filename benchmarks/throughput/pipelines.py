"""Everything that can be timed, by name: ways from JPEG bytes to the tensor that a network reads."""

from __future__ import annotations

import fnmatch
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from freqvision.analysis.speed import (
    Epoch,
    Load,
    TorchvisionPil,
    TorchvisionTensors,
    decode_batches,
    load_batches,
)
from freqvision.data import FrequencyFolder
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.runtime import batches
from freqvision.spectrum.channels import ChannelSet
from throughput import libjpeg, rivals
from throughput.photos import Photos

Group = Literal["freqvision", "pixels", "released", "decode only"]

FREQVISION = "freqvision DCT-24@448"  # what everything else is compared with
FULL, FULL_RIVAL = "freqvision, RGB only", "libjpeg-turbo, RGB only"
COEFFICIENTS = "libjpeg-turbo, coefficients only"
RANDOM = "freqvision RGB-224, random crops"
TURBOLOADER_RANDOM = "TurboLoader RGB-224, random crops"
TIMED_AT = {  # rivals of `loading.py` by crop
    224: ("torchvision tensors", "torchvision PIL", "simplejpeg + OpenCV", "torchcodec"),
    448: ("torchvision tensors", "torchvision PIL"),
}
FROM_FILES = "freqvision DCT-24@448, files, bare decoder"
LOADER = "freqvision DCT-24@448, files, DataLoader"


@dataclass(frozen=True)
class Pipeline:
    """A way from JPEG bytes to a tensor.

    Args:
        name: Unique.
        group: "freqvision"; "pixels" for decoders of RGB; "released" for the paper's published code;
            "decode only" for what stops before there is a tensor.
        summary: How it is done, in one line.
        shape: Of one photo's tensor; None if there is none.
        dtype: Of that tensor.
        open: Makes ready to read `Photos` with a number of threads (or worker processes) in batches of a
            size; each call of what it returns is one pass.
        require: Raises ModuleNotFoundError, with how to get it, if something is not installed.
        default: Whether `loading.py` times it when nothing in particular is asked for.
        own_view: Whether it sees other parts of the photos than the others do.
    """

    name: str
    group: Group
    summary: str
    shape: tuple[int, ...] | None
    dtype: str | None
    open: Callable[[Photos, int, int], Epoch]
    require: Callable[[], object] = lambda: None
    default: bool = True
    own_view: bool = False

    @property
    def bytes_to_device(self) -> int | None:
        """What one photo costs on its way to the device; None where there is no tensor."""
        if self.shape is None or self.dtype is None:
            return None
        return math.prod(self.shape) * getattr(torch, self.dtype).itemsize

    def missing(self) -> str | None:
        """Why it cannot run here, and what would help; None if it can."""
        try:
            self.require()
        except ImportError as error:
            return str(error)
        return None


@functools.cache
def pipelines() -> dict[str, Pipeline]:
    """All of them by name, whether installed or not."""
    every = [
        *_freqvision(),
        *_our_pixels(),
        *_pixels(),
        *_loaders(),
        *_released(),
        *_decode_only(),
        *_full_size(),
    ]
    return {pipeline.name: pipeline for pipeline in every}


def choose(patterns: Sequence[str] = ()) -> list[Pipeline]:
    """Pipelines whose name matches a pattern (``*`` stands for anything); without patterns the usual ones.

    Raises:
        ValueError: A pattern matches nothing.

    Example:
        >>> [pipeline.name for pipeline in choose(["libjpeg-turbo*"])]
        ['libjpeg-turbo, coefficients only', 'libjpeg-turbo, RGB only']
    """
    every = pipelines()
    for pattern in patterns:
        if not any(fnmatch.fnmatch(name.lower(), pattern.lower()) for name in every):
            raise ValueError(f"no pipeline is called {pattern!r}; there are: {'; '.join(every)}")
    return [
        pipeline
        for pipeline in every.values()
        if any(fnmatch.fnmatch(pipeline.name.lower(), pattern.lower()) for pattern in patterns)
        or (not patterns and pipeline.default)
    ]


def frequency_spec(channels: int, dtype: str = "float32") -> FrequencySpec:
    """What freqvision's pipelines produce: a preset of channels at 448, normalised."""
    return FrequencySpec(resize=512, crop=448, channels=ChannelSet.preset(channels), dtype=dtype)


def decoder_pipeline(channels: int, dtype: str = "float32", default: bool = True) -> Pipeline:
    """The compressed path, for a preset of channels."""
    spec = frequency_spec(channels, dtype)

    def open_decoder(photos: Photos, threads: int, batch: int) -> Epoch:
        return decode_batches(spec, photos.contents, threads, batch)

    suffix = "" if dtype == "float32" else f" {dtype}"
    return Pipeline(
        f"freqvision DCT-{channels}@448{suffix}",
        "freqvision",
        f"Decoder, as resize 512 and crop 448, {channels} channels",
        spec.shape,
        dtype,
        open_decoder,
        default=default,
    )


def _freqvision() -> Iterator[Pipeline]:
    for channels in (24, 64, 192):
        yield decoder_pipeline(channels)
        for dtype in ("bfloat16", "int8"):
            yield decoder_pipeline(channels, dtype, default=channels == 24)
    spec = frequency_spec(24)

    def open_files(photos: Photos, threads: int, batch: int) -> Epoch:
        return decode_batches(spec, photos.paths, threads, batch)

    def open_loader(photos: Photos, threads: int, batch: int) -> Epoch:
        folder = FrequencyFolder(photos.root, spec, num_threads=threads)
        loader: DataLoader = DataLoader(folder, batch_size=batch, collate_fn=folder.collate)
        return lambda: iter(loader)

    yield Pipeline(FROM_FILES, "freqvision", "the same, given paths", spec.shape, "float32", open_files)
    yield Pipeline(
        LOADER,
        "freqvision",
        "FrequencyFolder in torch's DataLoader, labels too",
        spec.shape,
        "float32",
        open_loader,
    )


def _pixels() -> Iterator[Pipeline]:
    for resize, crop in ((256, 224), (512, 448)):
        shape = (3, crop, crop)
        steps = f"resize {resize}, crop {crop}, normalise"
        for name, how, load in (
            ("torchvision tensors", "torchvision.io.decode_jpeg and transforms.v2", TorchvisionTensors),
            ("torchvision PIL", "Pillow and transforms.v2", TorchvisionPil),
            ("simplejpeg + OpenCV", "simplejpeg, cv2.resize, numpy", rivals.SimplejpegOpencv),
            (
                "simplejpeg scaled + OpenCV",
                "simplejpeg with min_height, cv2.resize, numpy",
                rivals.SimplejpegScaled,
            ),
            ("kornia-rs", "kornia-rs, numpy", rivals.Kornia),
            ("torchcodec", "torchcodec's decode_jpeg and torchvision's transforms.v2", rivals.Torchcodec),
        ):
            yield Pipeline(
                f"{name} RGB-{crop}",
                "pixels",
                f"{how}: {steps}",
                shape,
                "float32",
                _for_each(load, resize, crop),
                load.require,
                default=name in TIMED_AT.get(crop, ()),
            )
        yield Pipeline(
            f"DALI CPU RGB-{crop}",
            "pixels",
            f"nvidia.dali without a GPU: {steps}",
            shape,
            "float32",
            functools.partial(rivals.open_dali, resize=resize, crop=crop),
            rivals.require_dali,
            default=crop == 224,
        )
    for name, load in (
        ("torchvision tensors", TorchvisionTensors),
        ("torchcodec", rivals.Torchcodec),
    ):
        yield Pipeline(
            f"{name} RGB-224 uint8",
            "pixels",
            "as above, normalised on the device",
            (3, 224, 224),
            "uint8",
            _for_each(load, 256, 224, "uint8"),
            load.require,
            default=name.startswith("torchvision"),
        )


def _our_pixels() -> Iterator[Pipeline]:
    for crop, dtype in ((224, "uint8"), (224, "float32"), (448, "float32")):
        spec = PixelSpec.for_crop(crop, dtype=dtype)
        name = f"freqvision RGB-{crop}" + (" uint8" if dtype == "uint8" else "")

        def open_pixels(photos: Photos, threads: int, batch: int, spec: PixelSpec = spec) -> Epoch:
            return decode_batches(spec, photos.contents, threads, batch)

        summary = f"Decoder: resize {spec.resize}, crop {crop}"
        yield Pipeline(name, "freqvision", summary, spec.shape, dtype, open_pixels, default=False)
    spec = PixelSpec.for_crop(224)

    def open_random(photos: Photos, threads: int, batch: int) -> Epoch:
        decode = Decoder(spec, num_threads=threads)
        return lambda: (decode.random_resized(chunk) for chunk in batches(photos.contents, batch))

    summary = "Decoder.random_resized"
    yield Pipeline(
        RANDOM, "freqvision", summary, spec.shape, "float32", open_random, default=False, own_view=True
    )


def _loaders() -> Iterator[Pipeline]:
    """Rivals that read files on their own, at 224 pixels only."""
    for name, options in (
        ("TurboLoader RGB-224", {"antialias": True}),  # the whole photo, squeezed to a square
        (TURBOLOADER_RANDOM, {"train_aug": True}),
    ):
        yield Pipeline(
            name,
            "pixels",
            f"its DataLoader with {', '.join(f'{key}={value}' for key, value in options.items())}",
            (3, 224, 224),
            "float32",
            functools.partial(rivals.open_turboloader, **options),
            rivals.require_turboloader,
            default=False,
            own_view=True,
        )


def _released() -> Iterator[Pipeline]:
    for channels in (24, 192):
        spec = frequency_spec(channels)
        yield Pipeline(
            f"released pipeline DCT-{channels}@448",
            "released",
            "decode, resize 512, crop 448, enlarge twofold, encode both as JPEG, read the coefficients again",
            spec.shape,
            "float32",
            _for_each(rivals.Released, spec),
            rivals.Released.require,
            default=channels == 24,
        )


def _decode_only() -> Iterator[Pipeline]:
    for name, how, read in (
        (COEFFICIENTS, "jpeg_read_coefficients", libjpeg.read_coefficients),
        (FULL_RIVAL, "jpeg_read_scanlines", libjpeg.decode_rgb),
    ):

        def open_libjpeg(
            photos: Photos, threads: int, batch: int, read: Callable[[Sequence[bytes]], None] = read
        ) -> Epoch:
            libjpeg.load()
            if threads == 1:
                return lambda: map(read, batches(photos.contents, batch))
            pool = ThreadPoolExecutor(threads)  # ctypes lets go of the GIL
            share = max(1, batch // (4 * threads))
            return lambda: pool.map(read, batches(photos.contents, share))

        yield Pipeline(
            name, "decode only", f"{how} and nothing else, in C", None, None, open_libjpeg, libjpeg.load
        )


def _full_size() -> Iterator[Pipeline]:
    """Photos as they are, to uint8 RGB, which the benchmark drops one by one."""
    spec = PixelSpec(resize=None, crop=None, dtype="uint8", orientation="stored")

    def open_ours(photos: Photos, threads: int, batch: int) -> Epoch:
        decode = Decoder(spec, num_threads=threads, memory_format=torch.channels_last)
        return lambda: (_drop(decode.each(chunk)) for chunk in batches(photos.contents, batch))

    def open_torchcodec(photos: Photos, threads: int, batch: int) -> Epoch:
        decode = rivals.Torchcodec(256, 224).decode
        files = [torch.frombuffer(content, dtype=torch.uint8) for content in photos.contents]
        return lambda: (_drop(decode(file)) for file in files)

    ours = "Decoder.each, (H, W, 3) in memory"
    yield Pipeline(FULL, "decode only", ours, None, None, open_ours, default=False)
    yield Pipeline(
        "torchcodec, RGB only",
        "decode only",
        "decode_jpeg, (3, H, W)",
        None,
        None,
        open_torchcodec,
        rivals.Torchcodec.require,
        default=False,
    )


def _drop(_: object) -> None:
    """Nothing, so that results do not pile up."""


def _for_each(make: Callable[..., Load], *arguments: Any) -> Callable[[Photos, int, int], Epoch]:
    return lambda photos, threads, batch: load_batches(make(*arguments), photos.contents, threads, batch)
