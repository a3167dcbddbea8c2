"""Photos as pixels, as torchvision would prepare them: what frequency models are compared with."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from freqvision.inputs.decoder import Decoder, threads_here
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.transform import eight_bits
from freqvision.inputs.view import View

# What Pillow raises at damaged files: whatever its parsers stumble over, RuntimeError and TypeError too.
_FAULTS = Exception

Result = TypeVar("Result")
Views = Sequence[View] | Callable[[list[tuple[int, int]]], Sequence[View]]


class PixelDecoder:
    """Turns photos into batches of pixels with Pillow and torchvision; the counterpart of `Decoder`.

    Args:
        spec: What the model expects.
        num_threads: Threads that share out the photos; 0 means one for each core (in a worker process of a
            DataLoader: one).
    """

    def __init__(self, spec: PixelSpec, num_threads: int = 0) -> None:
        if not isinstance(spec, PixelSpec):
            raise TypeError(f"spec is a PixelSpec, not {type(spec).__name__}; Decoder takes an FrequencySpec")
        self.spec = spec
        self.num_threads = num_threads

    def __call__(self, sources: Sequence[Any], views: Views | None = None) -> Tensor:
        """Decode a batch `(B, 3, H, W)`; see `try_decode`.

        Raises:
            ValueError: A photo cannot be read; the message names it. Or their sizes differ, without a crop.
        """
        batch, errors = self.try_decode(sources, views)
        for error in errors.values():
            raise error
        return batch

    def try_decode(
        self, sources: Sequence[Any], views: Views | None = None
    ) -> tuple[Tensor, dict[int, Exception]]:
        """Decode a batch in which a bad file costs only itself.

        Args:
            sources: Paths or open files.
            views: What to see of each photo, or a function from the photos' (height, width) to it: box and
                flip count, the size is always the spec's crop. None is the spec's resize and centre crop.

        Returns:
            `(B, 3, H, W)` of the spec's dtype, with zeros where a source failed, and by its index the error
            of each that did.
        """
        if callable(views):
            sizes = [_try_read(source, _size) for source in sources]
            views = views([(1, 1) if isinstance(size, ValueError) else size for size in sizes])
        chosen = views

        def finish(place: int) -> Tensor | ValueError:
            view = None if chosen is None else chosen[place]
            return _try_read(sources[place], to_pixels, self.spec, view)

        with ThreadPoolExecutor(threads_here(self.num_threads)) as pool:
            found = list(pool.map(finish, range(len(sources))))
        errors: dict[int, Exception] = {
            place: one for place, one in enumerate(found) if isinstance(one, ValueError)
        }
        shapes = {tuple(one.shape) for one in found if isinstance(one, Tensor)}
        if len(shapes) > 1:
            raise ValueError(
                f"the photos of a batch have one size, got {sorted(shapes)}: set the spec's crop, or decode "
                "them by PixelDecoder.each"
            )
        shape = shapes.pop() if shapes else self.spec.shape or (3, 1, 1)
        batch = torch.zeros(len(found), *shape, dtype=self.spec.torch_dtype)
        for place, one in enumerate(found):
            if isinstance(one, Tensor):
                batch[place] = one
        return batch, errors

    def each(self, sources: Sequence[Any], views: Views | None = None) -> list[Tensor]:
        """Decode photos whose outputs differ in size, as detectors take them.

        Args:
            sources: Paths or open files.
            views: What to see of each photo, or a function from the photos' (height, width) to it. None is
                the spec's resize and centre crop.

        Returns:
            A tensor (3, H, W) of the spec's dtype for each source, see `pixels_in_view` and `to_pixels`.

        Raises:
            ValueError: A photo cannot be read; the message names it.
        """
        if callable(views):
            views = views([_read(source, _size) for source in sources])
        chosen = views

        def finish(place: int) -> Tensor:
            if chosen is None:
                return _read(sources[place], to_pixels, self.spec)
            return _read(sources[place], pixels_in_view, self.spec, chosen[place])

        with ThreadPoolExecutor(threads_here(self.num_threads)) as pool:
            return list(pool.map(finish, range(len(sources))))


def decoder_for(spec: InputSpec, num_threads: int = 0) -> Decoder | PixelDecoder:
    """`Decoder` or `PixelDecoder`, whichever the spec asks for."""
    if isinstance(spec, PixelSpec):
        return PixelDecoder(spec, num_threads)
    assert isinstance(spec, FrequencySpec)
    return Decoder(spec, num_threads)


def to_pixels(image: Image.Image, spec: PixelSpec, view: View | None = None) -> Tensor:
    """One PIL image as a model of pixels takes it.

    Args:
        image: Of any mode.
        spec: Resize, crop, colour, normalisation, type.
        view: Its box is resized to the spec's crop and flipped if it says so; None is the spec's resize and
            centre crop.

    Returns:
        `(3, H, W)`.

    Example:
        >>> to_pixels(Image.new("RGB", (500, 375)), PixelSpec()).shape
        torch.Size([3, 224, 224])
    """
    mode = v2.InterpolationMode(spec.interpolation)
    crop = [spec.crop] * 2 if isinstance(spec.crop, int) else spec.crop
    image = _in_colour(image, spec)
    if view is not None:
        if crop is None:
            raise ValueError("a random view needs a size: set the spec's crop")
        image = F.resized_crop(image, *view.box, size=list(crop), interpolation=mode, antialias=True)
        image = F.horizontal_flip(image) if view.flip else image
    else:
        if spec.resize is not None:
            size = [spec.resize] if isinstance(spec.resize, int) else list(spec.resize)
            image = F.resize(image, size, interpolation=mode, max_size=spec.max_size, antialias=True)
        image = image if crop is None else F.center_crop(image, list(crop))
    pixels = F.pil_to_tensor(image)
    if spec.dtype != "uint8":
        pixels = F.normalize(pixels.float() / 255, list(spec.mean), list(spec.std))
    return pixels.to(spec.torch_dtype)


def pixels_in_view(image: Image.Image, spec: PixelSpec, view: View) -> Tensor:
    """One PIL image as a view shows it to a model of pixels; what lies outside the photo is the mean colour.

    Args:
        image: Of any mode.
        spec: Colour, normalisation, type, interpolation.
        view: Which part.

    Returns:
        `(3, height, width)` of the view's crop.

    Example:
        >>> view = View(box=(0, 0, 375, 500), size=(300, 400), crop=(0, 0, 304, 400))
        >>> pixels_in_view(Image.new("RGB", (500, 375)), PixelSpec(), view).shape
        torch.Size([3, 304, 400])
    """
    image = _in_colour(image, spec)
    mode = v2.InterpolationMode(spec.interpolation)
    image = F.resized_crop(image, *view.box, size=list(view.size), interpolation=mode, antialias=True)
    pixels = F.pil_to_tensor(image)
    mean = torch.tensor(spec.mean)
    fill = (255 * mean).round().to(torch.uint8) if spec.dtype == "uint8" else torch.zeros(3)
    if spec.dtype != "uint8":
        pixels = F.normalize(pixels.float() / 255, list(spec.mean), list(spec.std))
    top, left, height, width = view.crop
    window = fill[:, None, None].repeat(1, height, width)  # (3, height, width)
    seen = pixels[:, max(top, 0) : top + height, max(left, 0) : left + width]
    window[:, max(-top, 0) :, max(-left, 0) :][:, : seen.shape[1], : seen.shape[2]] = seen
    return (window.flip(-1) if view.flip else window).to(spec.torch_dtype)


def _in_colour(image: Image.Image, spec: PixelSpec) -> Image.Image:
    return eight_bits(image).convert("RGB" if spec.colour == "rgb" else "YCbCr")


def _size(image: Image.Image) -> tuple[int, int]:
    return image.height, image.width


def _read(source: Any, make: Callable[..., Result], *arguments: Any) -> Result:
    """What `make` gives of a photo, which is open meanwhile alone; a damaged file's fault names the file."""
    try:
        with Image.open(source) as image:
            return make(image, *arguments)
    except _FAULTS as error:
        raise _named(source, error) from error


def _try_read(source: Any, make: Callable[..., Result], *arguments: Any) -> Result | ValueError:
    """The same, with the fault returned."""
    try:
        return _read(source, make, *arguments)
    except ValueError as error:
        return error


def _named(source: Any, error: Exception) -> ValueError:
    cause = "no image of a known format" if isinstance(error, UnidentifiedImageError) else str(error)
    return ValueError(f"{source}: {cause}")
