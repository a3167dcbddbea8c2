"""The pixel path: any image to a model's input, in pure PyTorch. The reference for the compressed path."""

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional as F

from freqvision.inputs.encoding import encode
from freqvision.inputs.spec import FrequencySpec
from freqvision.inputs.view import View
from freqvision.spectrum.channels import FREQUENCIES, NUM_CHANNELS
from freqvision.spectrum.colour import GRAY, apply_matrix, rgb_to_ycbcr_matrix
from freqvision.spectrum.cube import gather
from freqvision.spectrum.dct import block_dct

_SIXTEEN_BIT = 257.0  # 65535 / 255


class PixelTransform(nn.Module):
    """Any image to a model's input; the last step of a ``torchvision.transforms.v2.Compose``.

    Resizes with antialiasing in floating point (nothing is rounded to 8 bits on the way), crops, converts to
    YCbCr, subtracts 128, and then: block DCT, gather, select, normalise, cast. `Decoder` gives the same
    tensor from a JPEG file, up to the rounding of pixels.

    Args:
        spec: The model's input.

    Example:
        >>> transform = PixelTransform(FrequencySpec(resize=64, crop=64))
        >>> transform(torch.zeros(3, 100, 80, dtype=torch.uint8)).shape
        torch.Size([24, 8, 8])
        >>> transform(Image.new("RGB", (80, 100), "orange")).shape
        torch.Size([24, 8, 8])
    """

    def __init__(self, spec: FrequencySpec) -> None:
        super().__init__()
        if not isinstance(spec, FrequencySpec):
            raise TypeError(f"PixelTransform takes a FrequencySpec, got {type(spec).__name__}")
        self.spec = spec

    def forward(self, image: Image.Image | torch.Tensor, view: View | None = None) -> torch.Tensor:
        """Turn one image, or a batch of equal size, into model input.

        Args:
            image: A PIL image of any mode that `image_to_tensor` knows, or a tensor (..., 3, H, W) or (...,
                1, H, W) in RGB or gray: uint8, uint16, or floating point from 0 to 1.
            view: Which part to see; None is the spec's resize and centre crop.

        Returns:
            (C, h, w), or (..., C, h, w) for a batch; the type is the spec's.

        Raises:
            TypeError: `image` is neither, or of a type or mode that has no defined range.
            ValueError: A tensor that is no image: a DCT cube, or values outside [0, 1].
        """
        if view is not None and not isinstance(view, View):
            raise TypeError(
                f"the second argument is a View, got {type(view).__name__}; a transform for images only goes "
                "into the data set's transform=, not into one that gets the label too"
            )
        if isinstance(image, Image.Image) and self.spec.orientation == "exif":
            image = ImageOps.exif_transpose(image)
        pixels = image_to_tensor(image)
        if view is None:
            view = self.spec.view((pixels.shape[-2], pixels.shape[-1]))
        return encode(pixels_to_cube(pixels, view, self.spec.interpolation), self.spec)

    def extra_repr(self) -> str:
        """Show the spec when the module is printed."""
        return repr(self.spec)


def image_to_tensor(image: Image.Image | torch.Tensor) -> torch.Tensor:
    """Floating-point pixels (..., 3, H, W) or, of a gray image, (..., 1, H, W), from 0 to 255.

    PIL images: ``1``, ``L`` and ``LA`` are gray; ``I;16`` and ``I`` are 16-bit gray; all other modes (``P``,
    ``CMYK``, ``YCbCr``, …) go through PIL's own conversion to RGB. Transparency is dropped, as
    ``convert("RGB")`` drops it, and the EXIF orientation is left to the caller.

    Args:
        image: A PIL image, or a tensor with 1 or 3 channels: uint8, uint16, or floating point from 0 to 1.

    Raises:
        TypeError: `image` is neither, or of a type or mode that has no defined range.
        ValueError: A tensor that is no image: not 1 or 3 channels, or values outside [0, 1].

    Example:
        >>> image_to_tensor(Image.new("L", (8, 4), 7)).shape
        torch.Size([1, 4, 8])
    """
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if not isinstance(image, torch.Tensor):
        kind = type(image).__name__
        hint = "; arrays (H, W, 3) become images by PIL.Image.fromarray" if kind == "ndarray" else ""
        raise TypeError(f"an image is a PIL image or a tensor (..., 3 or 1, H, W), got {kind}{hint}")
    image = image.as_subclass(torch.Tensor)  # not torchvision's Image: what comes out of here is none
    if image.ndim < 3 or image.shape[-3] not in (1, 3) or not image.numel():
        raise ValueError(
            f"an image tensor is (..., 3, H, W) or (..., 1, H, W), got {tuple(image.shape)}; a DCT cube must "
            "not pass here again: PixelTransform comes last, and FrequencyAugment augments cubes"
        )
    if image.dtype == torch.uint8:
        return image.float()
    if image.dtype == torch.uint16:
        return image.float() / _SIXTEEN_BIT
    if not image.is_floating_point():
        raise TypeError(f"an image tensor is uint8, uint16 or floating point, got {image.dtype}")
    if not torch.compiler.is_compiling():
        # Bicubic filters overshoot a little; normalised images, those of 0 to 255, and coefficients a lot.
        low, high = (bound.item() for bound in image.aminmax())
        if not (low > -0.5 and high < 1.5):
            raise ValueError(
                f"a floating-point image lies in [0, 1], this one in [{low:.4g}, {high:.4g}]; divide 0…255 "
                "by 255, leave out Normalize (the FrequencySpec does it), and do not pass a DCT cube"
            )
    return (image if image.dtype == torch.float64 else image.float()) * 255


def eight_bits(image: Image.Image) -> Image.Image:
    """16-bit gray with 8 bits a value, which Pillow itself would cut off at 255; other images as they are.

    Raises:
        TypeError: The mode has no defined range, as floating-point numbers.

    Example:
        >>> eight_bits(Image.new("I;16", (8, 4), 257 * 7)).getpixel((0, 0))
        7
    """
    if not image.mode.startswith(("I", "F")):
        return image
    return Image.fromarray(image_to_tensor(image)[0].round().byte().numpy())


def pixels_to_cube(pixels: torch.Tensor, view: View, interpolation: str = "bilinear") -> torch.Tensor:
    """The whole DCT cube (..., 192, h, w) of what a view shows of an image; of a gray one the chroma is 0.

    Pixels are what `image_to_tensor` gives.
    """
    # Without 128 before the window adds margins, so that those are gray; chroma, whose weights sum to zero,
    # does not notice. Not earlier: a large photo would be in memory twice.
    planes = _window(_show(pixels, view, interpolation) - GRAY, view)
    if planes.shape[-3] == 3:
        planes = apply_matrix(rgb_to_ycbcr_matrix(planes.dtype), planes)  # (..., 3, H, W)
    cube = gather(block_dct(planes))  # (..., 64 or 192, h, w)
    if cube.shape[-3] == FREQUENCIES:
        cube = F.pad(cube, (0, 0, 0, 0, 0, NUM_CHANNELS - FREQUENCIES))
    return cube


def _show(pixels: torch.Tensor, view: View, interpolation: str) -> torch.Tensor:
    """Cut out the view's box and resize it: (..., K, H, W) to (..., K, height, width) of `view.size`."""
    top, left, height, width = view.box
    if top + height > pixels.shape[-2] or left + width > pixels.shape[-1]:
        raise ValueError(
            f"the view's box (top, left, height, width) = {view.box} reaches beyond the image of "
            f"{pixels.shape[-2]} x {pixels.shape[-1]} pixels"
        )
    pixels = pixels[..., top : top + height, left : left + width]
    if view.size == (height, width):
        return pixels
    batch = pixels.reshape(-1, *pixels.shape[-3:])  # (N, K, H, W)
    resized = F.interpolate(batch, view.size, mode=interpolation, align_corners=False, antialias=True)
    return resized.reshape(*pixels.shape[:-2], *view.size)  # (..., K, height, width)


def _window(planes: torch.Tensor, view: View) -> torch.Tensor:
    """Crop (with 0 beyond the edges) and flip: (..., K, *view.size) to (..., K, *view.crop[2:])."""
    top, left, height, width = view.crop
    bottom, right = top + height - planes.shape[-2], left + width - planes.shape[-1]
    # Negative padding crops.
    window = F.pad(planes, (-left, right, -top, bottom))
    return window.flip(-1) if view.flip else window


def _from_pil(image: Image.Image) -> torch.Tensor:
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.array(image).astype(np.float32)
        if values.size and not 0 <= values.min() <= values.max() <= 65535:
            raise TypeError(
                f"a PIL image of mode {image.mode} holds 16-bit gray, this one {values.min()}…{values.max()}"
            )
        return torch.from_numpy(values / _SIXTEEN_BIT)[None]
    if image.mode == "F":
        raise TypeError("a PIL image of mode F has no defined range; convert it to L (0 to 255) first")
    if image.mode in ("1", "L", "LA", "La"):
        return torch.from_numpy(np.array(image.convert("L"), dtype=np.float32))[None]
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.convert("RGBA")  # straight to RGB, PIL warns
    array = np.array(image.convert("RGB"))  # (H, W, 3)
    return torch.from_numpy(array).permute(2, 0, 1).float()  # (3, H, W)
