"""The native pass: JPEG bytes → model input, frequencies or pixels."""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np
import torch
from PIL import Image

from freqvision import _native
from freqvision.inputs.encoding import padding, value_map
from freqvision.inputs.ending import ending
from freqvision.inputs.fallback import image_in_view, load_image, open_image, shown_size
from freqvision.inputs.spec import InputSpec, PixelSpec
from freqvision.inputs.view import View, random_resized_views
from freqvision.jpeg.errors import UNSUPPORTED_KINDS, JpegError
from freqvision.jpeg.read import MAX_BYTES, MAX_PIXELS, Source, check_buffer, check_limits, find_damage
from freqvision.runtime import threads_here

# What the reader leaves to Pillow.
_PIXEL_KINDS = UNSUPPORTED_KINDS | {"not-jpeg"}

DAMAGED = ("error", "skip", "decode")
_DAMAGE_KINDS = ("truncated", "corrupt", "missing-table")

MAX_REMEMBERED = 2**21  # names of sound photos: some 200 MB; others are judged each time
MAX_KEPT = 2**28  # bytes of dropped results that a decoder keeps for the next ones
MAX_THREADS = 1024  # a typing mistake must not take all threads that the system has

Size = tuple[int, int]
Choose = Callable[[list[Size]], Sequence[View]]  # from the photos' (height, width) to their views
ChooseSeveral = Callable[[list[Size]], Sequence[Sequence[View]]]  # the same with several views of each photo
Shots = list[list[tuple[int, View]]]  # of each source what to make of it: by which spec, in which view
Errors = dict[int, Exception]
# Room for shots, of which those of bad sources may be anything: a tensor for each.
Allocate = Callable[[Shots, Container[int]], list[list[torch.Tensor]]]


class _Memory:
    """The memory of results that were dropped, for the next ones of about their size.

    The kernel clears fresh memory page by page, which costs a decoding thread up to a sixth of its time.
    """

    def __init__(self) -> None:
        # By address, with their sizes; the one that was dropped last is at the end.
        self._free: dict[int, tuple[int, torch.Tensor]] = {}
        self._lent: dict[int, weakref.ref[np.ndarray]] = {}

    def take(self, size: int) -> torch.UntypedStorage:
        """Bytes that no one else holds; they come back when no tensor holds them any more."""
        # Other threads may drop and take results meanwhile: a copy, and pop() decides who has it.
        for address, piece in reversed(self._free.copy().items()):
            if size <= piece[0] <= size * 5 // 4 and self._free.pop(address, None) is not None:
                break
        else:
            piece = size, torch.empty(size, dtype=torch.uint8, device="cpu")
            address = piece[1].data_ptr()
            _native.advise_huge_pages(address, size)
        loan = piece[1].numpy()[:size]  # an object of this loan only, which the storage holds
        key = id(loan)

        def give_back(_: Any) -> None:
            with ending:  # amid torch's release of the tensor
                del self._lent[key]
                self._free[address] = piece
                while sum([kept for kept, _ in self._free.copy().values()]) > MAX_KEPT:
                    self._free.pop(next(iter(self._free.copy()), 0), None)

        self._lent[key] = weakref.ref(loan, give_back)
        return torch.from_numpy(loan).untyped_storage()


class _NativePass:
    """What `Decoder` and `JointDecoder` share: one native pass from sources to the outputs of some specs."""

    def __init__(
        self,
        specs: Sequence[InputSpec],
        num_threads: int = 0,
        *,
        pixel_fallback: bool = True,
        pin_memory: bool = False,
        max_pixels: int = MAX_PIXELS,
        max_bytes: int = MAX_BYTES,
        memory_format: torch.memory_format = torch.contiguous_format,
        damaged: str = "error",
    ) -> None:
        if damaged not in DAMAGED:
            raise ValueError(f"damaged is one of {', '.join(DAMAGED)}; got {damaged!r}")
        for spec in specs:
            if not isinstance(spec, InputSpec):
                raise TypeError(f"spec is a FrequencySpec or a PixelSpec, not {type(spec).__name__}")
        if len({spec.orientation for spec in specs}) != 1:
            raise ValueError("there is at least one spec, and all have the same orientation")
        formats = (torch.contiguous_format, torch.channels_last)
        pixels = all(isinstance(spec, PixelSpec) for spec in specs)
        if memory_format not in formats or (memory_format is torch.channels_last and not pixels):
            raise ValueError(
                "memory_format is torch.contiguous_format or, for a PixelSpec, torch.channels_last; got "
                f"{memory_format} for a {type(specs[0]).__name__}"
            )
        if not isinstance(num_threads, int) or not 0 <= num_threads <= MAX_THREADS:
            raise ValueError(
                f"num_threads is 0 (one for each core) or more, up to {MAX_THREADS}, got {num_threads!r}"
            )
        self.num_threads = num_threads
        self.pixel_fallback = pixel_fallback
        self.pin_memory = pin_memory
        self.max_pixels, self.max_bytes = check_limits(max_pixels, max_bytes)
        self.memory_format = memory_format
        self.damaged = damaged
        self.damage: dict[str, str] = {}
        self._sound: set[str] = set()
        self.specs = tuple(specs)
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_native", "_lock", "_process", "_memory"):
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
        self._memory = _Memory()

    def _new_native(self) -> _native.BatchDecoder:
        # Made only when it is needed: a copy that is sent to a worker process arrives there before the
        # process knows that it is a worker, so that each would take all cores.
        interleaved = self.memory_format is torch.channels_last
        return _native.BatchDecoder(
            specs=[_native_spec(spec, interleaved) for spec in self.specs],
            threads=threads_here(self.num_threads),
            max_pixels=self.max_pixels,
            max_bytes=self.max_bytes,
            upright=self.specs[0].orientation == "exif",
            lenient=self.damaged == "decode",
        )

    def _run(
        self, sources: Sequence[Source], choose: Callable[[list[Size]], Shots], allocate: Allocate
    ) -> Errors:
        """Decode a batch into what `allocate` returns; errors by source, whose outputs are zero."""
        if isinstance(sources, (str, bytes, bytearray, memoryview, os.PathLike)):
            raise TypeError(
                f"a Decoder takes a list of sources; for a single one pass [{type(sources).__name__}]"
            )
        if not hasattr(sources, "__len__"):
            raise TypeError(
                f"a Decoder takes a list of sources; got {type(sources).__name__}: pass list(…) of it"
            )
        if self._process != os.getpid():  # a fork has copied this object, but not its threads
            self._start()
        with self._lock:
            # Python may run a finaliser or a signal's handler amid a batch, and that may decode with this
            # object too: it gets a native decoder of its own.
            native, self._native = self._native or self._new_native(), None
            try:
                with ending:
                    return self._run_locked(native, sources, choose, allocate)
            finally:
                native.close()
                self._native = native

    def _run_locked(
        self,
        native: _native.BatchDecoder,
        sources: Sequence[Source],
        choose: Callable[[list[Size]], Shots],
        allocate: Allocate,
    ) -> Errors:
        def name(index: int) -> str:
            return source_name(index, sources[index])

        errors: Errors = {}
        lasting = [lasting_name(source) for source in sources]
        opened = ending.outside(
            native.open,
            [_native_source(i, source, self.max_bytes, errors) for i, source in enumerate(sources)],
        )
        images: dict[int, Image.Image] = {}  # those that go through Pillow
        sizes: list[Size] = []
        for index, (height, width, failure) in enumerate(opened):
            if failure is not None and index not in errors:
                try:
                    images[index] = self._open_image(native.bytes, index, sources[index], failure)
                    height, width = shown_size(images[index], self.specs[0])
                except (JpegError, OSError) as error:
                    errors[index] = _without_frames(error)
            sizes.append((1, 1) if index in errors else (height, width))
        shots = choose(sizes)
        for index, several in enumerate(shots):
            for _, view in several:
                if index not in errors and math.prod(view.crop[2:]) > self.max_pixels:
                    errors[index] = self._too_large(name(index), view)
        outputs = allocate(shots, errors)
        jobs, addresses = [], []
        for index, (several, size) in enumerate(zip(shots, sizes, strict=True)):
            if index in errors:
                continue
            # What has been judged once is not again: a random view then costs no more than what it shows.
            # Without a name it is known by its bytes.
            known = lasting[index]
            judge = 2 if known is None else int(known not in self._sound)
            if self.damaged == "decode":
                judge = 0
            for (spec, view), output in zip(several, outputs[index], strict=True):
                top, left, height, width = view.box
                if top + height > size[0] or left + width > size[1]:
                    raise ValueError(
                        f"{name(index)}: the view's box {view.box} (top, left, height, width) leaves the "
                        f"photo of {size}"
                    )
                if index not in images:
                    jobs.append((index, spec, *view.box, *view.size, *view.crop, view.flip, judge))
                    addresses.append(output.data_ptr())
        exact = np.array(jobs).reshape(len(jobs), 14)
        table = exact.astype(np.int32)
        if (table != exact).any():
            raise ValueError("views have whole numbers of pixels, below 2³¹")
        for index, failure in enumerate(ending.outside(native.decode, table, addresses)):
            if failure is None:
                known = lasting[index]
                judged = index not in errors and index not in images
                if judged and known is not None and len(self._sound) < MAX_REMEMBERED:
                    self._sound.add(known)
            elif failure[0] == "damage":
                self.damage[name(index)] = failure[1]
            else:
                errors[index] = _exception(name(index), failure)
        for index in list(images):
            image = images.pop(index)  # the decoded images of a batch are never in memory together
            try:
                image, damage = load_image(image, name(index), lenient=self.damaged == "decode")
                if damage is not None:
                    self.damage[name(index)] = damage
                for (spec, view), output in zip(shots[index], outputs[index], strict=True):
                    output.copy_(image_in_view(image, self.specs[spec], view, self.max_pixels, name(index)))
            except JpegError as error:
                errors[index] = _without_frames(error)
        for index, cause in errors.items():
            if self.damaged == "skip" and _is_damage(cause):
                self.damage[name(index)] = str(cause)
            for output in outputs[index]:
                output.zero_()
        return dict(sorted(errors.items()))

    def _batches(
        self, sources: Sequence[Source], choose: Callable[[list[Size]], Shots], errors: Errors | None = None
    ) -> list[torch.Tensor]:
        """A batch of the first views of all photos, one of the second ones, and so on.

        The first error is raised, unless `errors` takes them all.
        """
        batches: list[torch.Tensor] = []

        def allocate(shots: Shots, bad: Container[int]) -> list[list[torch.Tensor]]:
            counts = {len(several) for several in shots} or {len(self.specs)}
            if len(counts) > 1:
                raise ValueError(
                    f"each photo has as many views, got {sorted(counts)}: decode them by Decoder.each"
                )
            for place in range(counts.pop()):
                spec = shots[0][place][0] if shots else place
                batches.append(self._batch(spec, [several[place][1] for several in shots], bad))
            return [[batch[index] for batch in batches] for index in range(len(shots))]

        found = self._run(sources, choose, allocate)
        if errors is None:
            self._raise_first(found)
        else:
            errors |= found
        return batches

    def _raise_first(self, errors: Errors) -> None:
        """Raise what ends a call: any error, but for damage that is skipped."""
        for error in errors.values():
            if not (self.damaged == "skip" and _is_damage(error)):
                raise error

    def _too_large(self, name: str, view: View) -> JpegError:
        """The error of an output that is refused before memory is taken for it."""
        height, width = view.crop[2:]
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
        name = source_name(index, source)
        if not (kind == "colour" or (kind == "jpeg" and reason in _PIXEL_KINDS)):
            raise _exception(name, failure)
        if not self.pixel_fallback:
            raise JpegError(f"{name}: {message}; pixel_fallback=True would read it through Pillow", reason, 0)
        data = contents(index)
        if kind == "colour" and self.damaged == "decode":  # which Pillow would decode without a word
            damage = find_damage(data, max_pixels=self.max_pixels, max_bytes=self.max_bytes)
            if damage is not None:
                self.damage[name] = str(damage)
        return open_image(data, self.max_pixels, f"{name}: {message}", reason)

    def _batch(self, spec: int, views: Sequence[View], bad: Container[int]) -> torch.Tensor:
        """Room for a batch of one output size, in which bad sources have no say."""
        what = self.specs[spec]
        shapes = {what.output_shape(view) for index, view in enumerate(views) if index not in bad}
        fitting = (view for view in views if math.prod(view.crop[2:]) <= self.max_pixels)
        shapes = shapes or {what.output_shape(view) for view in fitting}
        if len(shapes) > 1:
            sizes = sorted(shape[1:] for shape in shapes)
            raise ValueError(
                f"the views of a batch have one output size, got (height, width) {sizes}: set the "
                "specification's crop, pass views of one size, or decode them by Decoder.each"
            )
        return self._room(
            spec, len(views), shapes.pop() if shapes else what.shape or (what.num_channels, 0, 0)
        )

    def _room(self, spec: int, count: int, shape: tuple[int, int, int]) -> torch.Tensor:
        dtype = self.specs[spec].torch_dtype
        if self.pin_memory and torch.cuda.is_available():  # torch reuses pinned memory itself
            size = (count, *shape)
            return torch.empty(
                size, dtype=dtype, device="cpu", memory_format=self.memory_format, pin_memory=True
            )
        channels, height, width = shape
        strides = (height * width, width, 1)
        if self.memory_format is torch.channels_last:
            strides = (1, width * channels, channels)
        storage = self._memory.take(count * math.prod(shape) * dtype.itemsize)
        empty = torch.empty(0, dtype=dtype, device="cpu")  # never on torch's default device
        return empty.set_(storage, 0, (count, *shape), (math.prod(shape), *strides))

    def _evaluation_views(self, spec: int, sizes: list[Size]) -> list[View]:
        views = {size: self.specs[spec].view(size) for size in set(sizes)}  # data sets have few sizes
        return [views[size] for size in sizes]


class Decoder(_NativePass):
    """Turns JPEG files into the input of a model, batch by batch, on several threads.

    Entropy decoding, resizing, cropping, flipping, selection and normalisation are one native pass over the
    coefficients, and the result is the same for any number of threads. Frequencies (`FrequencySpec`) are
    those of `PixelTransform` up to the rounding of pixels; pixels (`PixelSpec`) are those of torchvision's
    decoder, antialiased ``Resize`` and crop up to the rounding of what lies between these steps, with chroma
    upsampled as libjpeg does it. One batch is decoded at a time: calls from several Python threads wait for
    each other.

    Args:
        spec: What the model expects.
        num_threads: Threads that share out the images; 0 means one for each core (in a worker process of a
            DataLoader: one).
        pixel_fallback: Whether PNG, CMYK and other images that the JPEG reader refuses go through Pillow (of
            an animation its first picture); otherwise they are errors.
        pin_memory: Whether results lie in pinned memory, ready for an asynchronous copy to a GPU.
        max_pixels: Larger photos, and photos of which more would be made, are refused before memory is taken.
        max_bytes: Larger files are refused before they are read.
        memory_format: `torch.channels_last` lays a batch of pixels out as (B, H, W, C) in memory, as
            convolutions on GPUs prefer it.
        damaged: What becomes of photos that are truncated or corrupt: "error" raises, "skip" leaves zeros and
            raises nothing (`try_decode` gives the error in either case); both judge the whole file, whatever
            part is seen. "decode" shows what is there, gray where nothing is. What was skipped or decoded is
            listed in `damage`.

    Attributes:
        damage: Of "skip" and "decode", by name the cause of each damaged source so far.

    Raises:
        ValueError: An argument is out of its range.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from freqvision import FrequencySpec
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
        max_bytes: int = MAX_BYTES,
        memory_format: torch.memory_format = torch.contiguous_format,
        damaged: str = "error",
    ) -> None:
        super().__init__(
            [spec],
            num_threads,
            pixel_fallback=pixel_fallback,
            pin_memory=pin_memory,
            max_pixels=max_pixels,
            max_bytes=max_bytes,
            memory_format=memory_format,
            damaged=damaged,
        )
        self.spec = spec

    def __repr__(self) -> str:
        return f"Decoder({self.spec!r}, num_threads={self.num_threads})"

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
        (batch,) = self._batches(sources, self._shots(views))
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
        crop = _crop_of(self.spec)

        def choose(sizes: list[Size]) -> list[View]:
            return random_resized_views(sizes, crop, scale, ratio, hflip, generator)

        (batch,) = self._batches(sources, self._shots(choose))
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
        errors: Errors = {}
        (batch,) = self._batches(sources, self._shots(views), errors)
        return batch, errors

    def multi_view(
        self, sources: Sequence[Source], views: Sequence[Sequence[View]] | ChooseSeveral
    ) -> list[torch.Tensor]:
        """Decode several views of each photo, of which it is read once: multi-crop, ten-crop, tiles.

        Args:
            sources: As for a call.
            views: The views of each photo, as many of each, or a function from the photos' (height, width)
                to them. The first views of all photos have one output size, so have the second ones, and so
                on.

        Returns:
            A batch (B, C, h, w) of the first views, one of the second views, and so on.

        Raises:
            JpegError, OSError, ValueError: As for a call.

        Example:
            >>> import io
            >>> from PIL import Image
            >>> file = io.BytesIO()
            >>> Image.new("RGB", (500, 375)).save(file, "JPEG")
            >>> whole = View((0, 0, 375, 500), (224, 299), (0, 37, 224, 224))
            >>> part = View((100, 100, 150, 150), (96, 96), (0, 0, 96, 96))
            >>> decode = Decoder(PixelSpec(), num_threads=1)
            >>> [tuple(batch.shape) for batch in decode.multi_view([file.getvalue()], [[whole, part]])]
            [(1, 3, 224, 224), (1, 3, 96, 96)]
        """
        return self._batches(sources, self._shots(views))

    @overload
    def each(
        self, sources: Sequence[Source], views: Sequence[View] | Choose | None = None
    ) -> list[torch.Tensor]: ...

    @overload
    def each(
        self, sources: Sequence[Source], views: Sequence[Sequence[View]] | ChooseSeveral
    ) -> list[list[torch.Tensor]]: ...

    def each(self, sources: Sequence[Source], views: Any = None) -> Any:
        """Decode photos whose outputs differ in size, as detectors take them.

        Args:
            sources: As for a call.
            views: As for `try_decode`, of any output sizes; or several views of each photo, as for
                `multi_view`, of any number and sizes.

        Returns:
            A tensor (C, h, w) of the specification's dtype for each source; of several views, a list of them.

        Raises:
            JpegError, OSError, ValueError: As for a call.

        Example:
            >>> import io
            >>> from PIL import Image
            >>> from freqvision import FrequencySpec
            >>> files = [io.BytesIO(), io.BytesIO()]
            >>> Image.new("RGB", (100, 75)).save(files[0], "JPEG")
            >>> Image.new("RGB", (75, 150)).save(files[1], "JPEG")
            >>> decode = Decoder(FrequencySpec(resize=160, crop=None, max_size=266), num_threads=1)
            >>> [tuple(cube.shape) for cube in decode.each([file.getvalue() for file in files])]
            [(24, 20, 27), (24, 34, 17)]
        """
        outputs: list[list[torch.Tensor]] = []
        entries: list[Any] = []

        def allocate(shots: Shots, bad: Container[int]) -> list[list[torch.Tensor]]:
            for index, several in enumerate(shots):
                shapes = (self.spec.output_shape(view) for _, view in several if index not in bad)
                outputs.append([self._room(0, 1, shape)[0] for shape in shapes])
            return outputs

        self._raise_first(self._run(sources, self._shots(views, entries), allocate))
        single = all(isinstance(entry, View) for entry in entries)
        return [several[0] for several in outputs] if single else outputs

    def _shots(self, views: Any, entries: list[Any] | None = None) -> Callable[[list[Size]], Shots]:
        """From the photos' sizes to the view of each, or its views; `entries` receives them as given."""

        def choose(sizes: list[Size]) -> Shots:
            chosen = self._evaluation_views(0, sizes) if views is None else views
            chosen = chosen(sizes) if callable(chosen) else chosen
            if len(chosen) != len(sizes):
                raise ValueError(
                    f"views has one View for each source: got {len(chosen)} for {len(sizes)} sources"
                )
            if entries is not None:
                entries.extend(chosen)
            several = ((entry,) if isinstance(entry, View) else entry for entry in chosen)
            return [[(0, view) for view in views] for views in several]

        return choose


class JointDecoder(_NativePass):
    """Decodes each photo once for several specs: frequencies and pixels of the same view, for comparisons.

    Args:
        specs: What to make of each photo; their orientation is the same.
        num_threads, pixel_fallback, pin_memory, max_pixels, max_bytes, memory_format, damaged: As for
            `Decoder`.

    Raises:
        ValueError: An argument is out of its range, or the specs' orientations differ.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from freqvision import FrequencySpec
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (500, 375)).save(file, "JPEG")
        >>> decode = JointDecoder([FrequencySpec(), PixelSpec()], num_threads=1)
        >>> [tuple(batch.shape) for batch in decode.random_resized([file.getvalue()])]
        [(1, 24, 56, 56), (1, 3, 224, 224)]
    """

    def __repr__(self) -> str:
        return f"JointDecoder({list(self.specs)!r}, num_threads={self.num_threads})"

    def __call__(
        self,
        sources: Sequence[Source],
        views: Sequence[Sequence[View]] | ChooseSeveral | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Decode a batch.

        Args:
            sources: As for `Decoder`.
            views: Of each photo one view for each spec, or a function from the photos' (height, width) to
                them; None sees what each spec says (resize, centre crop).

        Returns:
            For each spec (B, C, h, w) of its dtype.

        Raises:
            JpegError, OSError, ValueError: As for `Decoder`.
        """

        def choose(sizes: list[Size]) -> Shots:
            if views is None:
                each = [self._evaluation_views(spec, sizes) for spec in range(len(self.specs))]
                return [list(enumerate(several)) for several in zip(*each, strict=True)]
            chosen = views(sizes) if callable(views) else views
            if len(chosen) != len(sizes) or any(len(several) != len(self.specs) for several in chosen):
                raise ValueError(f"views has {len(self.specs)} views, one for each spec, of each source")
            return [list(enumerate(several)) for several in chosen]

        return tuple(self._batches(sources, choose))

    def random_resized(
        self,
        sources: Sequence[Source],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        hflip: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Like `Decoder.random_resized`, with the same random part of a photo for each spec."""
        crops = [_crop_of(spec) for spec in self.specs]

        def choose(sizes: list[Size]) -> list[list[View]]:
            drawn = random_resized_views(sizes, crops[0], scale, ratio, hflip, generator)
            return [[replace(view, size=crop, crop=(0, 0, *crop)) for crop in crops] for view in drawn]

        return self(sources, choose)


def _crop_of(spec: InputSpec) -> Size:
    """(height, width) of a spec's crop, which random views are resized to."""
    if spec.crop is None:
        raise ValueError(
            "random_resized needs a specification with a crop, the size of its result; crop is None"
        )
    return (spec.crop, spec.crop) if isinstance(spec.crop, int) else spec.crop


def _is_damage(error: Exception) -> bool:
    return isinstance(error, JpegError) and error.kind in _DAMAGE_KINDS


def _native_source(index: int, source: Source, max_bytes: int, errors: dict[int, Exception]) -> object:
    """What the native decoder takes: a path as str, or a buffer, which is empty where `errors` says why."""
    if not isinstance(source, (str, os.PathLike)):
        return check_buffer(source)
    path = os.fspath(source)
    if isinstance(path, str) and path.isprintable() and path:
        return path
    try:  # C++ would stop at a NUL, and Python alone knows how names that are not UTF-8 are spelt
        return _native.read_file(path, max_bytes, max_bytes)
    except JpegError as error:
        errors[index] = JpegError(f"{source!r}: {error}", error.kind, error.offset)
    except (OSError, ValueError) as error:
        errors[index] = OSError(f"{source!r}: cannot be read: {error}")
    return b""


def source_name(index: int, source: Source) -> str:
    """What messages call a source: its path, the name that a buffer may have, or its place in the batch."""
    return lasting_name(source) or f"source {index} ({type(source).__name__})"


def lasting_name(source: Source) -> str | None:
    """The name by which a photo is known in other batches, too."""
    if type(source) is bytes:
        return None
    return str(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)


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
    """What native/bindings_pipeline.cpp takes: stored = value · gain + bias, of pixels from 0 to 255."""
    gain, offset = value_map(spec)
    matrix = spec.colour_matrix().tolist() if isinstance(spec, PixelSpec) else []
    unit = 255 if matrix else 1
    return {
        "channels": list(spec.channels or ()),
        "matrix": matrix,
        "gain": [1 / (unit * number) for number in gain],
        "bias": [-shift / number for number, shift in zip(gain, offset, strict=True)],
        "fill": padding(spec).double().tolist() if matrix else [],
        "interleaved": interleaved,
        "dtype": spec.dtype,
        "interpolation": spec.interpolation,
    }
