"""The compressed path: JPEG bytes → model input, without pixels."""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch.utils.data import get_worker_info

from freqvision import _native
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.transform import PixelTransform
from freqvision.inputs.view import View, random_resized_views
from freqvision.jpeg.errors import UNSUPPORTED_KINDS, JpegError
from freqvision.jpeg.read import MAX_PIXELS, Source, check_buffer, check_max_pixels

# What the reader leaves to Pillow and the pixel path.
_PIXEL_KINDS = UNSUPPORTED_KINDS | {"not-jpeg"}

MAX_THREADS = 1024  # a typing mistake must not take all threads that the system has

Choose = Callable[[list[tuple[int, int]]], Sequence[View]]  # from the photos' (height, width) to their views
Outputs = torch.Tensor | list[torch.Tensor]  # one batch, or a tensor for each photo
Allocate = Callable[[Sequence[View], Container[int]], Outputs]  # for views, some of which are of bad sources


class Decoder:
    """Turns JPEG files into the input of a model, batch by batch, on several threads.

    Entropy decoding, resizing, cropping, flipping, selection and normalisation are one native pass over the
    coefficients; no pixel is ever computed. The result is that of `PixelTransform` up to the rounding of
    pixels, and the same for any number of threads. Photos are seen as they are stored: their EXIF orientation
    is ignored, as torchvision's ImageFolder ignores it. One batch is decoded at a time: calls from several
    Python threads wait for each other.

    Args:
        spec: What the model expects.
        num_threads: Threads that share out the images; 0 means one for each core (in a worker process of a
            DataLoader: one).
        pixel_fallback: Whether PNG, CMYK and other images that the JPEG reader refuses go through Pillow and
            the pixel path (of an animation its first picture); otherwise they are errors.
        pin_memory: Whether results lie in pinned memory, ready for an asynchronous copy to a GPU.
        max_pixels: Larger photos are refused before memory is taken.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (500, 375), "teal").save(file, "JPEG")
        >>> decode = Decoder(FrequencySpec(resize=512, crop=448), num_threads=1)
        >>> decode([file.getvalue(), file.getvalue()]).shape
        torch.Size([2, 24, 56, 56])
    """

    def __init__(
        self,
        spec: FrequencySpec,
        num_threads: int = 0,
        *,
        pixel_fallback: bool = True,
        pin_memory: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if not isinstance(spec, FrequencySpec):
            raise TypeError(f"spec is an FrequencySpec, not {type(spec).__name__}")
        if not isinstance(num_threads, int) or not 0 <= num_threads <= MAX_THREADS:
            raise ValueError(
                f"num_threads is 0 (one for each core) or more, up to {MAX_THREADS}, got {num_threads!r}"
            )
        self.spec = spec
        self.num_threads = num_threads
        self.pixel_fallback = pixel_fallback
        self.pin_memory = pin_memory
        self.max_pixels = check_max_pixels(max_pixels)
        self._pixel_path = PixelTransform(spec)
        self._start()

    def __call__(self, sources: Sequence[Source], views: Sequence[View] | None = None) -> torch.Tensor:
        """Decode a batch.

        Args:
            sources: Paths, or the contents of files (bytes or any object with the buffer interface).
            views: What to see of each photo; None sees what the specification says (resize, centre crop). All
                must have the same output size.

        Returns:
            (B, C, h, w) of the specification's dtype.

        Raises:
            JpegError: A file is damaged, or refused; the message names the source.
            OSError: A file cannot be read.
            ValueError: The views do not fit the photos or each other.
        """
        batch, errors = self.try_decode(sources, views)
        for error in errors.values():
            raise error
        return batch

    def random_resized(
        self,
        sources: Sequence[Source],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        hflip: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> torch.Tensor:
        """Decode a batch for training: a random part of each photo, resized to the specification's crop.

        Args:
            sources: As for a call.
            scale: Smallest and largest share of the photo's area that is seen.
            ratio: Smallest and largest width / height of the part.
            hflip: Probability of a mirrored view.
            generator: Source of randomness; None is torch's default generator.

        Returns:
            (B, C, h, w) of the specification's dtype.

        Raises:
            JpegError, OSError, ValueError: As for a call.
        """
        crop = self.spec.crop
        if crop is None:
            raise ValueError(
                "random_resized needs a specification with a crop, the size of its result; crop is None"
            )

        def choose(sizes: list[tuple[int, int]]) -> list[View]:
            return random_resized_views(sizes, crop, scale, ratio, hflip, generator)

        batch, errors = self.try_decode(sources, choose)
        for error in errors.values():
            raise error
        return batch

    def try_decode(
        self,
        sources: Sequence[Source],
        views: Sequence[View] | Choose | None = None,
    ) -> tuple[torch.Tensor, dict[int, Exception]]:
        """Like a call, but a bad file costs only itself.

        Args:
            sources: As for a call.
            views: As for a call, or a function from the photos' (height, width) to their views; a photo that
                cannot be read has size (1, 1) there.

        Returns:
            The batch, (B, C, h, w), zero where a source failed, and the error of each that did by its index.
        """
        images, errors = self._decode(sources, views, self._batch)
        assert isinstance(images, torch.Tensor)
        return images, errors

    def each(
        self, sources: Sequence[Source], views: Sequence[View] | Choose | None = None
    ) -> list[torch.Tensor]:
        """Decode photos whose outputs differ in size, as detectors take them.

        Args:
            sources: As for a call.
            views: As for `try_decode`, of any output sizes.

        Returns:
            A tensor (C, h, w) of the specification's dtype for each source.

        Raises:
            JpegError, OSError, ValueError: As for a call.

        Example:
            >>> import io
            >>> from PIL import Image
            >>> files = [io.BytesIO(), io.BytesIO()]
            >>> Image.new("RGB", (100, 75)).save(files[0], "JPEG")
            >>> Image.new("RGB", (75, 150)).save(files[1], "JPEG")
            >>> decode = Decoder(FrequencySpec(resize=160, crop=None, max_size=266), num_threads=1)
            >>> [tuple(cube.shape) for cube in decode.each([file.getvalue() for file in files])]
            [(24, 20, 27), (24, 34, 17)]
        """
        images, errors = self._decode(sources, views, self._separate)
        for error in errors.values():
            raise error
        return list(images)

    def _chooser(self, views: Sequence[View] | Choose | None, count: int) -> Choose:
        """A function from the photos' sizes to their views."""
        if views is None:
            return self._evaluation_views
        if callable(views):
            return views
        if len(views) != count:
            raise ValueError(f"views has one View for each source: got {len(views)} for {count} sources")
        return lambda _: views

    def _batch(self, views: Sequence[View], bad: Container[int]) -> torch.Tensor:
        """Room for a batch of one output size, in which bad sources have no say."""
        grids = {view.grid for index, view in enumerate(views) if index not in bad}
        grids = grids or {view.grid for view in views}
        if len(grids) > 1:
            raise ValueError(
                f"the views of a batch have one output size, got {sorted(grids)} blocks: set the "
                "specification's crop, pass views of one size, or decode them by Decoder.each"
            )
        return self._room(len(views), *(grids.pop() if grids else self.spec.grid or (0, 0)))

    def _separate(self, views: Sequence[View], bad: Container[int]) -> list[torch.Tensor]:
        """Room for images of any size."""
        return [self._room(1, *view.grid)[0] for view in views]

    def _room(self, count: int, height: int, width: int) -> torch.Tensor:
        pinned = self.pin_memory and torch.cuda.is_available()
        shape = (count, len(self.spec.channels), height, width)
        # Native code writes there, so never on torch's default device.
        room = torch.empty(shape, dtype=self.spec.torch_dtype, device="cpu", pin_memory=pinned)
        if not pinned:
            _native.advise_huge_pages(room.data_ptr(), room.nbytes)
        return room

    def _evaluation_views(self, sizes: list[tuple[int, int]]) -> list[View]:
        views = {size: self.spec.view(size) for size in set(sizes)}  # photos of a data set share few sizes
        return [views[size] for size in sizes]

    def __repr__(self) -> str:
        return f"Decoder({self.spec!r}, num_threads={self.num_threads})"

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_native", "_lock", "_process"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        """Make ready in this process; threads start with the first batch."""
        self._native: _native.BatchDecoder | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _started(self) -> _native.BatchDecoder:
        """The native decoder.

        Made only when it is needed: a copy that is sent to a worker process arrives there before the process
        knows that it is a worker, so that each would take all cores.
        """
        if self._native is None:
            spec = self.spec
            if spec.dtype == "int8":
                gain = [1 / scale for scale in spec.scale or ()]
                bias = [0.0] * len(gain)
            else:
                with torch.device("cpu"):
                    mean, std = (values.double() for values in spec.normalisation())
                gain, bias = (1 / std).tolist(), (-mean / std).tolist()
            self._native = _native.BatchDecoder(
                list(spec.channels),
                gain,
                bias,
                spec.dtype,
                spec.interpolation,
                threads_here(self.num_threads),
                self.max_pixels,
            )
        return self._native

    def _decode(
        self, sources: Sequence[Source], views: Sequence[View] | Choose | None, allocate: Allocate
    ) -> tuple[Outputs, dict[int, Exception]]:
        if isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)):
            raise TypeError(
                f"a Decoder takes a list of sources; for a single one pass [{type(sources).__name__}]"
            )
        if not hasattr(sources, "__len__"):
            raise TypeError(
                f"a Decoder takes a list of sources; got {type(sources).__name__}: pass list(…) of it"
            )
        choose = self._chooser(views, len(sources))
        if self._process != os.getpid():  # a fork has copied this object, but not its threads
            self._start()
        with self._lock:
            native = self._started()
            try:
                return self._decode_locked(native, sources, choose, allocate)
            finally:
                native.close()

    def _decode_locked(
        self, native: _native.BatchDecoder, sources: Sequence[Source], choose: Choose, allocate: Allocate
    ) -> tuple[Outputs, dict[int, Exception]]:
        errors: dict[int, Exception] = {}
        opened = native.open([_native_source(i, source, errors) for i, source in enumerate(sources)])
        images: dict[int, Image.Image] = {}  # those that take the pixel path
        sizes = []
        for index, (height, width, failure) in enumerate(opened):
            if failure is not None and index not in errors:
                try:
                    images[index] = self._open_pixels(native.bytes, index, sources[index], failure)
                    width, height = images[index].size
                except (JpegError, OSError) as error:
                    errors[index] = _without_frames(error)
            sizes.append((1, 1) if index in errors else (height, width))
        views = choose(sizes)
        outputs = allocate(views, errors)
        addresses = []
        for index, (view, size) in enumerate(zip(views, sizes, strict=True)):
            top, left, height, width = view.box
            if (top + height > size[0] or left + width > size[1]) and index not in errors:
                raise ValueError(
                    f"{_name(index, sources[index])}: the view's box {view.box} (top, left, height, width) "
                    f"leaves the photo of {size}"
                )
            skipped = index in errors or index in images
            addresses.append(0 if skipped else outputs[index].data_ptr())
        for index, failure in enumerate(native.decode(_view_table(views), addresses)):
            if failure is not None:
                errors[index] = _exception(_name(index, sources[index]), failure)
        for index, image in images.items():
            try:
                outputs[index].copy_(self._pixels(_name(index, sources[index]), image, views[index]))
            except JpegError as error:
                errors[index] = _without_frames(error)
        for index in errors:
            outputs[index].zero_()
        return outputs, dict(sorted(errors.items()))

    def _open_pixels(
        self, contents: Callable[[int], bytes], index: int, source: Source, failure: _native.Failure
    ) -> Image.Image:
        """The image that the JPEG reader refused, opened but not yet decoded by Pillow."""
        kind, message, reason, _ = failure
        name = _name(index, source)
        if not (kind == "colour" or (kind == "jpeg" and reason in _PIXEL_KINDS)):
            raise _exception(name, failure)
        if not self.pixel_fallback:
            raise JpegError(f"{name}: {message}; pixel_fallback=True would read it through Pillow", reason, 0)
        try:
            image = Image.open(io.BytesIO(contents(index)))
        except UnidentifiedImageError as error:  # whose message is the address of the buffer
            raise JpegError(f"{name}: {message}, and no format that Pillow knows", reason, 0) from error
        except Exception as error:  # whatever its many formats' readers raise
            raise JpegError(
                f"{name}: {message}, and Pillow cannot read it either: {error}", reason, 0
            ) from error
        if math.prod(image.size) > self.max_pixels:
            raise JpegError(
                f"{name}: {image.width}×{image.height} is more than max_pixels={self.max_pixels}",
                "too-large",
                0,
            )
        return image

    def _pixels(self, name: str, image: Image.Image, view: View) -> torch.Tensor:
        """Model input by way of pixels; whatever hinders it is an error that names the source."""
        try:
            image.load()
        except Exception as error:  # whatever its many formats' readers raise
            raise JpegError(f"{name}: Pillow cannot read it: {error}", "corrupt", 0) from error
        if math.prod(view.size) > self.max_pixels:  # all of which the pixel path computes before it crops
            height, width = view.size
            raise JpegError(
                f"{name}: resized to {width}×{height}, it is more than max_pixels={self.max_pixels}",
                "too-large",
                0,
            )
        try:
            return self._pixel_path(image, view)
        except TypeError as error:  # a mode without a defined range
            raise JpegError(f"{name}: {error}", "unsupported", 0) from error


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_here(num_threads: int) -> int:
    """As asked for; 0 stands for one for each core, but one in a DataLoader's worker: there are others."""
    return num_threads or (1 if get_worker_info() else available_cores())


def _native_source(index: int, source: Source, errors: dict[int, Exception]) -> object:
    """What the native decoder takes: a path as str, or a buffer, which is empty where `errors` says why."""
    if not isinstance(source, (str, os.PathLike)):
        return check_buffer(source)
    path = os.fspath(source)
    if isinstance(path, str) and path.isprintable() and path:
        return path
    try:  # C++ would stop at a NUL, and Python alone knows how names that are not UTF-8 are spelt
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError) as error:
        errors[index] = OSError(f"{source!r}: cannot be read: {error}")
        return b""


def _name(index: int, source: Source) -> str:
    return (
        str(source) if isinstance(source, (str, os.PathLike)) else f"source {index} ({type(source).__name__})"
    )


def _without_frames(error: Exception) -> Exception:
    """An error to be kept: its tracebacks, and those of its causes, would keep the batch alive with it."""
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error


def _exception(name: str, failure: tuple[str, str, str, int]) -> Exception:
    kind, message, reason, offset = failure
    if kind == "io":
        return OSError(f"{name}: {message}")
    return JpegError(f"{name}: {message}", reason, offset)


def _view_table(views: Sequence[View]) -> np.ndarray:
    rows = [(*view.box, *view.size, *view.crop, view.flip) for view in views]
    return np.array(rows, dtype=np.int32).reshape(len(views), 11)
