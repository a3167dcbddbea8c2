"""Packed photos: coefficients without the Huffman code, which every decoder here reads like a JPEG file."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from itertools import product

import numpy as np
import torch

from freqvision import _native
from freqvision.inputs.decoder import Decoder
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.view import BLOCK, View, resize_crop_view, whole_blocks
from freqvision.jpeg.coefficients import Coefficients
from freqvision.jpeg.errors import JpegError
from freqvision.jpeg.read import (
    MAX_PIXELS,
    Source,
    check_buffer,
    check_limits,
    read_coefficients,
    read_header,
)
from freqvision.runtime import threads_here
from freqvision.spectrum.channels import FREQUENCIES, ChannelSet
from freqvision.spectrum.dct import dct_matrix

# Smaller is faster to write and larger on disk; all read at the same speed.
LEVELS = {"lz4": 9, "zstd": 17}
MAX_LEVELS = {"lz4": 12, "zstd": 19}

# Of AC: the least step, and the part of a step from which a magnitude is rounded up. What this loses is far
# below what a view off the store's grid misses: see docs/decisions.md.
FINEST = 5.0
ROUNDED_UP = 0.6
# Of blocks that are partly outside the photo: how smooth they are there, against how exact within.
SMOOTHNESS = 0.01


class Packer:
    """Packs photos on several threads; see `pack`.

    Args:
        spec: Which channels are kept, at which size, and in which steps (the spec's int8 steps, of AC none
            finer than 5); None keeps all coefficients as they are stored.
        codec, level, num_threads: As for `pack`.

    Raises:
        TypeError: `spec` is no FrequencySpec.
        ValueError: An argument is out of its range, or the spec has no int8 steps.
    """

    def __init__(
        self,
        spec: FrequencySpec | None = None,
        *,
        codec: str = "lz4",
        level: int | None = None,
        num_threads: int = 0,
    ) -> None:
        if spec is not None and not isinstance(spec, FrequencySpec):
            raise TypeError(
                "pack keeps DCT channels, so spec is a FrequencySpec, or None to keep all of the photo; "
                f"got {spec!r}"
            )
        if codec not in LEVELS:
            raise ValueError(f"codec is {' or '.join(LEVELS)}; got {codec!r}")
        self.level = LEVELS[codec] if level is None else level
        if not 1 <= self.level <= MAX_LEVELS[codec]:
            raise ValueError(f"level of {codec} is 1 to {MAX_LEVELS[codec]}; got {level}")
        self.spec = spec
        if spec is not None:
            is_ac = np.array(spec.channels.indices) % FREQUENCIES != 0
            steps = np.array(spec.with_dtype("int8").scale, dtype=np.float32)
            self._steps = np.where(is_ac, steps.clip(FINEST), steps)
            self._added = np.where(is_ac, 1 - ROUNDED_UP, 0.5).astype(np.float32)[:, None, None]
        self.codec = codec
        self.num_threads = num_threads
        self._of_thread = threading.local()

    def __reduce__(self) -> tuple:
        # To worker processes, which have threads of their own.
        return partial(Packer, codec=self.codec, level=self.level, num_threads=self.num_threads), (self.spec,)

    def __call__(self, sources: Sequence[Source]) -> list[bytes]:
        """Pack photos: paths, or the bytes of files.

        Raises:
            JpegError: A photo is damaged, or cannot be packed; the message names it.
            OSError: A file cannot be read.
        """
        packed, errors = self.try_pack(sources)
        for error in errors.values():
            raise error
        return packed

    def try_pack(self, sources: Sequence[Source]) -> tuple[list[bytes], dict[int, Exception]]:
        """The same, where a bad photo costs only itself: it is ``b""``, and the dictionary has its error."""

        def one(source: Source) -> bytes | Exception:
            try:
                return self._lossless(source) if self.spec is None else self._channels(source, self.spec)
            except (JpegError, OSError) as error:
                return error

        with ThreadPoolExecutor(threads_here(self.num_threads)) as pool:
            results = list(pool.map(one, sources))
        errors = {place: one for place, one in enumerate(results) if isinstance(one, Exception)}
        return [b"" if isinstance(one, Exception) else one for one in results], errors

    def _channels(self, source: Source, spec: FrequencySpec) -> bytes:
        if not hasattr(self._of_thread, "decode"):  # since a decoder takes one batch at a time
            self._of_thread.decode = Decoder(spec.raw(), num_threads=1)
        shown: list[tuple[tuple[int, int], View]] = []

        def choose(sizes: list[tuple[int, int]]) -> list[View]:
            shown.extend((size, _centred(spec, size)) for size in sizes)
            return [view for _, view in shown]

        (coefs,) = self._of_thread.decode.each([source], choose)  # (C, h, w)
        (size, view) = shown[0]
        if spec.crop is None:
            _continue_outside(coefs, spec.channels, view)
        values = coefs.numpy()  # whose operators take no threads from the other photos
        values /= self._steps[:, None, None]
        planes = np.copysign(np.floor(np.abs(values) + self._added), values).clip(-128, 127)
        # What lies around the resized photo in its outer blocks is no part of it.
        origin = (0, 0) if spec.crop else (-view.crop[0], -view.crop[1])
        height, width = (min(a, b) for a, b in zip(view.size, view.crop[2:], strict=True))
        return _native.pack_planes(
            planes.astype(np.int8),
            list(spec.channels),
            self._steps,
            height,
            width,
            *origin,
            *size,
            _orientation(source) if spec.orientation == "stored" else 1,
            self.codec,
            self.level,
        )

    def _lossless(self, source: Source) -> bytes:
        photo = read_coefficients(source)
        if photo.colour_model not in ("gray", "YCbCr"):
            name = source if isinstance(source, str) else type(source).__name__
            raise JpegError(
                f"{name}: its planes are {photo.colour_model}; gray and YCbCr can be packed without loss, "
                "others with a spec",
                "unsupported",
                0,
            )
        return _native.pack_blocks(
            [np.ascontiguousarray(plane) for plane in photo.planes],
            [np.ascontiguousarray(table) for table in photo.quant_tables],
            list(photo.sampling_factors),
            *photo.size,
            photo.orientation,
            self.codec,
            self.level,
        )


def _centred(spec: FrequencySpec, size: tuple[int, int]) -> View:
    """The spec's view; of a whole photo, on the grid of blocks that its centre crops are on.

    Crops with sides that are multiples of 16 are then whole stored blocks and miss none of their frequencies.
    """
    view = spec.view(size)
    if spec.crop is not None:
        return view
    height, width = view.size
    centre = resize_crop_view(view.size, crop=2 * BLOCK, centring=spec.centring)
    top, left = (-start % BLOCK for start in centre.crop[:2])
    return replace(view, crop=(-top, -left, whole_blocks(height + top), whole_blocks(width + left)))


def _continue_outside(coefs: torch.Tensor, channels: ChannelSet, view: View) -> None:
    """Fit the blocks at the photo's borders to what they show of it, in place of an edge to gray.

    A few frequencies cannot hold that edge, and what they miss of it would be errors within the photo.
    """
    vertical, horizontal = (
        [
            (blocks, (max(0, -begin - BLOCK * blocks.start), min(BLOCK, size - begin - BLOCK * blocks.start)))
            for blocks in (slice(0, 1), slice(1, count - 1), slice(max(1, count - 1), count))
            if blocks.start < blocks.stop
        ]
        for begin, size, count in zip(view.crop, view.size, coefs.shape[1:], strict=False)
    )
    for (rows, inside_rows), (columns, inside_columns) in product(vertical, horizontal):
        if inside_rows != (0, BLOCK) or inside_columns != (0, BLOCK):
            part = coefs[:, rows, columns]
            fit = _least_squares(channels, inside_rows, inside_columns)
            part.copy_((fit @ part.flatten(1)).view_as(part))


@lru_cache(maxsize=256)  # there are 224 kinds of blocks, and one more for each photo within a block
def _least_squares(channels: ChannelSet, rows: tuple[int, int], columns: tuple[int, int]) -> torch.Tensor:
    """From a block's channels with gray around some rows and columns to those that fit these best.

    What they leave open is settled by a small weight of (u² + v²) · c².
    """
    indices = torch.tensor(channels.indices)
    component, u, v = indices // FREQUENCIES, indices % FREQUENCIES // BLOCK, indices % BLOCK
    normal = (component[:, None] == component).double()
    for wanted, (begin, end) in ((u, rows), (v, columns)):
        cosines = dct_matrix(BLOCK, torch.float64)[wanted, begin:end]  # (C, samples)
        normal *= cosines @ cosines.T
    return torch.linalg.inv(normal + SMOOTHNESS * (u**2 + v**2).diag()).float()


def _orientation(source: Source) -> int:
    """The EXIF orientation of a JPEG file; 1 of other images, whose orientation is not looked for."""
    try:
        return read_header(source).orientation
    except JpegError:
        return 1


def pack(
    sources: Sequence[Source],
    spec: FrequencySpec | None = None,
    *,
    codec: str = "lz4",
    level: int | None = None,
    num_threads: int = 0,
) -> list[bytes]:
    """Pack photos, so that a `Decoder` reads them without undoing a Huffman code.

    With a spec, a photo is resized once, and only the channels of the spec are kept, as int8 in steps of its
    own (`Packer`): every view of it is then a view of that smaller photo. Without one, all coefficients are
    kept as the file stores them.

    Args:
        sources: Paths, or the bytes of files.
        spec: Such as ``FrequencySpec(resize=512, crop=None)``; None for no loss.
        codec: "lz4" is read fastest, "zstd" is smallest.
        level: Of the codec, 1 to 12 (lz4) or 19 (zstd); None is 9 or 17.
        num_threads: As for `Decoder`.

    Returns:
        The bytes of each photo, which `Decoder` takes in place of a JPEG file's.

    Raises:
        JpegError: A photo is damaged, or cannot be packed; the message names it.
        OSError: A file cannot be read.
        TypeError, ValueError: An argument is out of its range.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (500, 375), "teal").save(file, "JPEG")
        >>> packed = pack([file.getvalue()], FrequencySpec(resize=256, crop=None))
        >>> Decoder(FrequencySpec(resize=256, crop=224), num_threads=1)(packed).shape
        torch.Size([1, 24, 28, 28])
    """
    return Packer(spec, codec=codec, level=level, num_threads=num_threads)(sources)


def unpack(photo: bytes, *, max_pixels: int = MAX_PIXELS) -> Coefficients:
    """The coefficients of a photo that was packed without loss, equal to what `read_coefficients` gives.

    Args:
        photo: Bytes that `pack` gave.
        max_pixels: Larger photos are refused before memory is taken.

    Raises:
        JpegError: The bytes are damaged, or no packed photo.
        ValueError: The photo was packed with a spec: a `Decoder` reads what it holds.
    """
    found = _native.unpack(check_buffer(photo), check_limits(max_pixels)[0])
    if not found.pop("exact"):
        raise ValueError(
            "this photo was packed with a spec, so that it holds some channels only, of another size: read "
            "it by Decoder; unpack is for photos packed without a spec"
        )
    tables = tuple(np.array(steps, dtype=np.uint16).reshape(8, 8) for steps in found["steps"])
    return Coefficients(
        size=found["size"],
        colour_model="gray" if len(tables) == 1 else "YCbCr",
        sampling_factors=found["sampling_factors"],
        component_sizes=found["component_sizes"],
        orientation=found["orientation"],
        progressive=False,
        restart_interval=0,
        planes=found["planes"],
        quant_tables=tables,
        warnings=(),
    )
