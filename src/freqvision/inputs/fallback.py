"""Images that the JPEG reader leaves to Pillow: other formats, and JPEGs coded in other ways."""

import io
import math

import torch
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError

from freqvision.inputs.encoding import padding, store
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.transform import PixelTransform, eight_bits
from freqvision.inputs.view import View
from freqvision.jpeg.errors import JpegError

# Pillow knows more, and hands some of them to other programs, as PostScript to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "PPM", "GIF", "AVIF", "JPEG2000")

_GRAY: dict[str, float | tuple[float, ...]] = {
    "L": 128,
    "LA": (128, 255),
    "RGB": (128, 128, 128),
    "RGBA": (128, 128, 128, 255),
    "CMYK": (0, 0, 0, 127),
    "YCbCr": (128, 128, 128),
}
_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def open_image(contents: bytes, max_pixels: int, what: str, reason: str) -> Image.Image:
    """An image opened but not yet decoded, so that its size can be checked.

    Raises:
        JpegError: The image is of no format of `FORMATS`, damaged (then of kind `reason`), or too large; the
            message begins with `what`: the name, and why the JPEG reader refused it.
    """
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        image = Image.open(io.BytesIO(contents), formats=formats)
    except UnidentifiedImageError as error:  # whose message is the address of the buffer
        raise JpegError(f"{what}, and none of the formats {', '.join(formats)} either", reason, 0) from error
    except Exception as error:  # whatever its many formats' readers raise
        raise JpegError(f"{what}, and Pillow cannot read it either: {error}", reason, 0) from error
    if math.prod(image.size) > max_pixels:
        raise JpegError(
            f"{what}; {image.width}×{image.height} is more than max_pixels={max_pixels}", "too-large", 0
        )
    return image


def shown_size(image: Image.Image, spec: InputSpec) -> tuple[int, int]:
    """(height, width) of an opened image as the spec's orientation shows it."""
    turned = spec.orientation == "exif" and image.format != "TIFF"  # which Pillow turns as it reads it
    # Without loading the image, as PNG's own method does to find an orientation after the pixels.
    turned = turned and Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return image.size if turned else image.size[::-1]


def load_image(image: Image.Image, name: str, *, lenient: bool = False) -> tuple[Image.Image, str | None]:
    """Decode what `open_image` gave; returns the image, and the cause of damage or None.

    Lenient, a damaged image keeps what Pillow has decoded until it found out; the rest is gray.
    """
    try:
        image.load()
        return image, None
    except Exception as error:  # whatever its many formats' readers raise
        cause = JpegError(f"{name}: Pillow cannot read it: {error}", "corrupt", 0)
        if not lenient or not isinstance(image, ImageFile.ImageFile) or image.fp is None:
            raise cause from error
    try:
        # LOAD_TRUNCATED_IMAGES would do, but is one setting for all of the process. Pillow decodes into the
        # memory that it finds.
        again = Image.open(image.fp, formats=[image.format or ""])
        again.im = Image.new(again.mode, again.size, _GRAY.get(again.mode, 0)).im
    except Exception:  # the same
        raise cause from None
    try:
        again.load()
    except Exception:
        if not again.tile:
            raise cause from None
        again.tile = []
    return again, str(cause)


def image_in_view(
    image: Image.Image, spec: InputSpec, view: View, max_pixels: int, name: str
) -> torch.Tensor:
    """Model input (C, h, w) of what a view shows of a decoded image; `name` begins its errors."""
    if math.prod(view.size) > max_pixels:  # all of which is computed before it is cropped
        height, width = view.size
        raise JpegError(
            f"{name}: resized to {width}×{height}, it is more than max_pixels={max_pixels}", "too-large", 0
        )
    try:
        if isinstance(spec, PixelSpec):
            return to_pixels(image, spec, view)
        assert isinstance(spec, FrequencySpec)
        return PixelTransform(spec)(image, view)  # which turns it
    except TypeError as error:  # a mode without a defined range
        raise JpegError(f"{name}: {error}", "unsupported", 0) from error


def to_pixels(image: Image.Image, spec: PixelSpec, view: View | None = None) -> torch.Tensor:
    """One PIL image as a model of pixels takes it.

    Args:
        image: Of any mode.
        spec: Resize, crop, colour, normalisation, type.
        view: Which part to see; None is the spec's resize and centre crop. What lies outside the photo has
            the mean colour.

    Returns:
        ``(C, height, width)`` of the view's crop.

    Example:
        >>> to_pixels(Image.new("RGB", (500, 375)), PixelSpec()).shape
        torch.Size([3, 224, 224])
        >>> view = View(box=(0, 0, 375, 500), size=(300, 400), crop=(0, 0, 304, 400))
        >>> to_pixels(Image.new("RGB", (500, 375)), PixelSpec(), view).shape
        torch.Size([3, 304, 400])
    """
    if spec.orientation == "exif":
        image = ImageOps.exif_transpose(image)
    if view is None:
        view = spec.view((image.height, image.width))
    mode = {"gray": "L", "ycbcr": "YCbCr"}.get(spec.colour, "RGB")
    top, left, height, width = view.box
    image = eight_bits(image)
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    image = image.convert(mode)
    if view.box != (0, 0, image.height, image.width):
        image = image.crop((left, top, left + width, top + height))
    if view.size != (height, width):
        image = image.resize(view.size[::-1], _RESAMPLING[spec.interpolation])
    data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    pixels = data.reshape(*view.size, -1).permute(2, 0, 1)  # (C, *view.size)
    if spec.colour == "bgr":
        pixels = pixels.flip(0)
    if spec.dtype != "uint8":
        pixels = store(pixels.float() / 255, spec)
    top, left, height, width = view.crop
    window = padding(spec)[:, None, None].repeat(1, height, width)
    seen = pixels[:, max(top, 0) : top + height, max(left, 0) : left + width]
    window[:, max(-top, 0) :, max(-left, 0) :][:, : seen.shape[1], : seen.shape[2]] = seen
    return window.flip(-1) if view.flip else window
