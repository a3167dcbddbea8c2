"""The native pass: JPEG bytes → model input, frequencies or pixels."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from freqvision import _native
from freqvision.inputs.fallback import image_in_view, open_image
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.view import View, random_resized_views
from freqvision.jpeg.errors import UNSUPPORTED_KINDS, JpegError
from freqvision.jpeg.read import MAX_BYTES, MAX_PIXELS, Source, check_buffer, check_max_pixels

# What the reader leaves to Pillow.
_PIXEL_KINDS = UNSUPPORTED_KINDS | {"not-jpeg"}

MAX_THREADS = 1024  # a typing mistake must not take all threads that the system has

Choose = Callable[[list[tuple[int, int]]], Sequence[View]]  # from the photos' (height, width) to their views
Outputs = torch.Tensor | list[torch.Tensor]  # one batch, or a tensor for each photo
Allocate = Callable[[Sequence[View], Container[int]], Outputs]  # for views, some of which are of bad sources


class Decoder:
    """Turns JPEG files into the input of a model, batch by batch, on several threads.

    Entropy decoding, resizing, cropping, flipping, selection and normalisation are one native pass over the
    coefficients, and the result is the same for any number of threads. Frequencies (`FrequencySpec`) are
    those of `PixelTransform` up to the rounding of pixels; pixels (`PixelSpec`) are those of torchvision's
    decoder, antialiased ``Resize`` and crop up to the rounding of what lies between these steps, with chroma
    upsampled as libjpeg does it. Photos are seen as they are stored: their EXIF orientation is ignored, as
    torchvision's ImageFolder ignores it. One batch is decoded at a time: calls from several Python threads
    wait for each other.

    Args:
        spec: What the model expects.
        num_threads: Threads that share out the images; 0 means one for each core (in a worker process of a
            DataLoader: one).
        pixel_fallback: Whether PNG, CMYK and other images that the JPEG reader refuses go through Pillow (of
            an animation its first picture); otherwise they are errors.
        pin_memory: Whether results lie in pinned memory, ready for an asynchronous copy to a GPU.
        max_pixels: Larger photos, and photos of which more would be made, are refused before memory is taken.
        memory_format: `torch.channels_last` lays a batch of pixels out as (B, H, W, C) in memory, as
            convolutions on GPUs prefer it.

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
        >>> Decoder(PixelSpec(resize=256, crop=224), num_threads=1)([file.getvalue()]).shape
        torch.Size([1, 3, 224, 224])
    """

    def __init__(
        self,
        spec: InputSpec,
        num_threads: int = 0,
        *,
        pixel_fallback: bool = True,
        pin_memory: bool = False,
        max_pixels: int = MAX_PIXELS,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        if not isinstance(spec, InputSpec):
            raise TypeError(f"spec is a FrequencySpec or a PixelSpec, not {type(spec).__name__}")
        formats = (torch.contiguous_format, torch.channels_last)
        if memory_format not in formats or (
            memory_format is torch.channels_last and not isinstance(spec, PixelSpec)
        ):
            raise ValueError(
                f"memory_format is torch.contiguous_format or, for a PixelSpec, torch.channels_last; got "
                f"{memory_format} for a {type(spec).__name__}"
            )
        if not isinstance(num_threads, int) or not 0 <= num_threads <= MAX_THREADS:
            raise ValueError(
                f"num_threads is 0 (one for each core) or more, up to {MAX_THREADS}, got {num_threads!r}"
            )
        self.spec = spec
        self.num_threads = num_threads
        self.pixel_fallback = pixel_fallback
        self.pin_memory = pin_memory
        self.max_pixels = check_max_pixels(max_pixels)
        self.memory_format = memory_format
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
        shapes = {self.spec.output_shape(view) for index, view in enumerate(views) if index not in bad}
        shapes = shapes or {self.spec.output_shape(view) for view in views}
        if len(shapes) > 1:
            sizes = sorted(shape[1:] for shape in shapes)
            raise ValueError(
                f"the views of a batch have one output size, got (height, width) {sizes}: set the "
                "specification's crop, pass views of one size, or decode them by Decoder.each"
            )
        shape = shapes.pop() if shapes else self.spec.shape or (self.spec.num_channels, 0, 0)
        return self._room(len(views), shape)

    def _separate(self, views: Sequence[View], bad: Container[int]) -> list[torch.Tensor]:
        """Room for images of any size."""
        nothing = (self.spec.num_channels, 0, 0)
        shapes = (nothing if i in bad else self.spec.output_shape(view) for i, view in enumerate(views))
        return [self._room(1, shape)[0] for shape in shapes]

    def _room(self, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        pinned = self.pin_memory and torch.cuda.is_available()
        # Native code writes there, so never on torch's default device.
        room = torch.empty(
            (count, *shape),
            dtype=self.spec.torch_dtype,
            device="cpu",
            pin_memory=pinned,
            memory_format=self.memory_format,
        )
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
        self._lock = threading.RLock()
        self._process = os.getpid()

    def _new_native(self) -> _native.BatchDecoder:
        """A native decoder.

        Made only when it is needed: a copy that is sent to a worker process arrives there before the process
        knows that it is a worker, so that each would take all cores.
        """
        spec = _native_spec(self.spec, self.memory_format is torch.channels_last)
        return _native.BatchDecoder([spec], threads_here(self.num_threads), self.max_pixels, False)

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
            # Python may run a finaliser or a signal's handler amid a batch, and that may decode with this
            # object too: it gets a native decoder of its own.
            native, self._native = self._native or self._new_native(), None
            try:
                return self._decode_locked(native, sources, choose, allocate)
            finally:
                native.close()
                self._native = native

    def _decode_locked(
        self, native: _native.BatchDecoder, sources: Sequence[Source], choose: Choose, allocate: Allocate
    ) -> tuple[Outputs, dict[int, Exception]]:
        errors: dict[int, Exception] = {}
        opened = native.open([_native_source(i, source, errors) for i, source in enumerate(sources)])
        images: dict[int, Image.Image] = {}  # those that go through Pillow
        sizes = []
        for index, (height, width, failure) in enumerate(opened):
            if failure is not None and index not in errors:
                try:
                    images[index] = self._open_image(native.bytes, index, sources[index], failure)
                    width, height = images[index].size
                except (JpegError, OSError) as error:
                    errors[index] = _without_frames(error)
            sizes.append((1, 1) if index in errors else (height, width))
        views = choose(sizes)
        for index, view in enumerate(views):
            if index not in errors and (refused := self._too_large(_name(index, sources[index]), view)):
                errors[index] = refused
        outputs = allocate(views, errors)
        jobs, addresses = [], []
        for index, (view, size) in enumerate(zip(views, sizes, strict=True)):
            if index in errors:
                continue
            top, left, height, width = view.box
            if top + height > size[0] or left + width > size[1]:
                raise ValueError(
                    f"{_name(index, sources[index])}: the view's box {view.box} (top, left, height, width) "
                    f"leaves the photo of {size}"
                )
            if index not in images:
                jobs.append((index, 0, *view.box, *view.size, *view.crop, view.flip))
                addresses.append(outputs[index].data_ptr())
        table = np.array(jobs, dtype=np.int32).reshape(len(jobs), 13)
        for index, failure in enumerate(native.decode(table, addresses)):
            if failure is not None:
                errors[index] = _exception(_name(index, sources[index]), failure)
        for index in list(images):
            image = images.pop(index)  # the decoded images of a batch are never in memory together
            try:
                outputs[index].copy_(
                    image_in_view(
                        image, self.spec, views[index], self.max_pixels, _name(index, sources[index])
                    )
                )
            except JpegError as error:
                errors[index] = _without_frames(error)
        for index in errors:
            outputs[index].zero_()
        return outputs, dict(sorted(errors.items()))

    def _too_large(self, name: str, view: View) -> JpegError | None:
        """The error of an output that is refused before memory is taken for it."""
        height, width = view.crop[2:]
        if height * width <= self.max_pixels:
            return None
        return JpegError(
            f"{name}: what is made of it, {width}×{height}, is more than max_pixels={self.max_pixels}; set "
            "the specification's crop, or max_size for photos of extreme shape",
            "too-large",
            0,
        )

    def _open_image(
        self, contents: Callable[[int], bytes], index: int, source: Source, failure: _native.Failure
    ) -> Image.Image:
        """The image that the JPEG reader refused, opened but not yet decoded by Pillow."""
        kind, message, reason, _ = failure
        name = _name(index, source)
        if not (kind == "colour" or (kind == "jpeg" and reason in _PIXEL_KINDS)):
            raise _exception(name, failure)
        if not self.pixel_fallback:
            raise JpegError(f"{name}: {message}; pixel_fallback=True would read it through Pillow", reason, 0)
        return open_image(contents(index), self.max_pixels, f"{name}: {message}", reason)


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
        return _native.read_file(path, MAX_BYTES, MAX_BYTES)
    except JpegError as error:
        errors[index] = JpegError(f"{source!r}: {error}", error.kind, error.offset)
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


def _native_spec(spec: InputSpec, interleaved: bool) -> dict[str, Any]:
    """What native/bindings_pipeline.cpp takes."""
    matrix: list[list[float]] = []
    fill: list[float] = []
    channels: list[int] = []
    with torch.device("cpu"):
        mean, std = (values.double() for values in spec.normalisation())
    gain, bias = 1 / std, -mean / std
    if isinstance(spec, PixelSpec):
        matrix = spec.colour_matrix().tolist()
        if spec.dtype == "uint8":
            fill = (255 * mean).round().tolist()
            gain, bias = torch.ones_like(mean), torch.zeros_like(mean)
        else:
            fill = [0.0] * len(mean)
            gain = gain / 255
    else:
        assert isinstance(spec, FrequencySpec)
        channels = list(spec.channels)
        if spec.dtype == "int8":
            gain = 1 / torch.tensor(spec.scale, dtype=torch.float64, device="cpu")
            bias = torch.zeros_like(gain)
    return {
        "channels": channels,
        "matrix": matrix,
        "gain": gain.tolist(),
        "bias": bias.tolist(),
        "fill": fill,
        "interleaved": interleaved,
        "dtype": spec.dtype,
        "interpolation": spec.interpolation,
    }
