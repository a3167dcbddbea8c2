"""Transport: an RGB model, untouched, fed with DCT channels that become small pixels on the device."""

import logging
from typing import Any

import torch
from torch import nn

from freqvision.inputs.spec import FrequencySpec, PixelSpec
from freqvision.models.export import Exportable
from freqvision.models.frequency_model import FrequencyModel, check_input, input_layer
from freqvision.models.reconstruction import SmallPixels, unseen_channels
from freqvision.spectrum.channels import BLOCK

log = logging.getLogger(__name__)


class Transport(Exportable):
    """A pretrained RGB model that takes DCT channels: half the bytes of its pixels, and no retraining.

    On the device the channels are dequantised, and a scaled inverse DCT of the low n×n frequencies of each
    block, the missing ones zero, gives an image at n/8 of the spec's crop; it is converted to RGB, clamped,
    and normalised for the model. Inverse DCT and colour are one 1×1 convolution.

    Args:
        model: Any module that takes RGB images (B, 3, H, W), normalised by mean and std: torchvision's,
            timm's, your own, or a `FrequencyModel` with a `PixelSpec`.
        spec: What the channels are. None is DCT-24 in int8, of photos at twice the size that the model
            expects: half the bytes of its uint8 pixels.
        transforms: What the model's pixels were prepared by: a `PixelSpec`, or what `PixelSpec.like` takes,
            such as torchvision's ``weights.transforms()``. None asks the model (timm's ``pretrained_cfg``,
            the spec of a `FrequencyModel`, the ``image_size`` of torchvision's ViT); where it does not say,
            images are 224 pixels a side, with ImageNet's mean and std.
        pixels: Side n in pixels that a block stands for, 1 to 8. None chooses it so that the image has the
            size that the model expects.
        mean: Mean of the RGB values on [0, 1], instead of that of `transforms`.
        std: Likewise.
        image_size: Side of the image that the model expects, instead of that of `transforms`.
        clamp: Whether RGB is clamped to [0, 1], as a decoder does.

    Raises:
        ValueError: No `pixels` gives the model's image size from the spec's crop; the message says which
            crops do.
        TypeError: The model is no module, the spec not one of DCT channels, or the transforms are unknown.

    Example:
        >>> rgb_model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> transport = Transport(rgb_model)
        >>> transport.spec.shape, transport.spec.dtype, transport.spec.bytes_per_image
        ((24, 56, 56), 'int8', 75264)
        >>> channels = torch.zeros(2, *transport.spec.shape, dtype=torch.int8)
        >>> transport(channels).shape, transport.to_pixels(channels).shape
        (torch.Size([2, 8]), torch.Size([2, 3, 224, 224]))
    """

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        spec: FrequencySpec | None = None,
        *,
        transforms: Any = None,
        pixels: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        image_size: int | None = None,
        clamp: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(f"Transport takes the model itself, a torch.nn.Module; got {model!r}")
        known = _expected(model, transforms)
        if image_size is not None:
            known = PixelSpec.for_crop(image_size, mean=known.mean, std=known.std)
        spec = _at_twice(known) if spec is None else spec
        if not isinstance(spec, FrequencySpec):
            raise TypeError(f"Transport takes DCT channels, so a FrequencySpec; got {type(spec).__name__}")
        self.spec = spec
        self.pixels = _pixels(spec, _side(known)) if pixels is None else pixels
        self.clamp = clamp
        self.input = input_layer(spec)
        self.model = model.network if isinstance(model, FrequencyModel) else model
        self.class_names = getattr(model, "class_names", None)

        unseen = int(unseen_channels(spec, self.pixels).sum())
        if unseen:
            log.info(
                "%d of %d channels are beyond the lowest %d frequencies of an axis, which the image shows",
                unseen,
                len(spec.channels),
                self.pixels,
            )
        self.small_pixels = SmallPixels(spec, self.pixels)
        mean_, std_ = (torch.tensor(v)[:, None, None] for v in (mean or known.mean, std or known.std))
        # Not persistent: they follow from the spec, and the state dict stays the model's.
        self.register_buffer("gain", (1 / std_).float(), persistent=False)  # (3, 1, 1)
        self.register_buffer("shift", (-mean_ / std_).float(), persistent=False)  # (3, 1, 1)

    def to_pixels(self, inputs: torch.Tensor) -> torch.Tensor:
        """The image that the model sees, before normalisation.

        Args:
            inputs: (B, C, h, w), as `Decoder` or `PixelTransform` makes them by the spec.

        Returns:
            RGB on [0, 1], (B, 3, h · n, w · n).

        Raises:
            ValueError: The number of channels or the type is not the spec's.
        """
        check_input(inputs, self.spec, "Transport")
        rgb: torch.Tensor = self.small_pixels(self.input(inputs))
        return rgb.clamp(0, 1) if self.clamp else rgb

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The model's output on the image that the channels (B, C, h, w) make."""
        outputs: torch.Tensor = self.model(torch.addcmul(self.shift, self.to_pixels(inputs), self.gain))
        return outputs


def _expected(model: nn.Module, transforms: Any) -> PixelSpec:
    """The pixels that a model expects; 224 a side and ImageNet's statistics where nothing says."""
    if transforms is not None:
        return transforms if isinstance(transforms, PixelSpec) else PixelSpec.like(transforms)
    if isinstance(model, FrequencyModel):
        if not isinstance(model.spec, PixelSpec) or model.spec.colour != "rgb":
            raise ValueError(
                "Transport is for models of RGB pixels; this one reads DCT channels or YCbCr already"
            )
        return model.spec
    if isinstance(getattr(model, "pretrained_cfg", None), dict):  # timm
        return PixelSpec.like(model)
    size = getattr(model, "image_size", None)  # torchvision's vision transformers
    return PixelSpec.for_crop(size if isinstance(size, int) else 224)


def _side(known: PixelSpec) -> int:
    return known.shape[1] if known.shape else 224


def _at_twice(known: PixelSpec) -> FrequencySpec:
    """The default input: DCT-24 in int8 of photos at twice the size."""
    side = _side(known)
    if side % 4:
        raise ValueError(
            f"the model expects images of {side} pixels, which blocks of 4 pixels do not make: pass "
            f"image_size={side // 4 * 4} if it takes any size, or spec= and pixels="
        )
    return FrequencySpec.like(known, dtype="int8")


def _pixels(spec: FrequencySpec, size: int) -> int:
    if spec.grid is None:
        raise ValueError(
            "the spec leaves the image's size open (crop=None): pass pixels=, 4 for half its size"
        )
    pixels, rest = divmod(size, spec.grid[0])
    if rest or pixels not in range(1, BLOCK + 1):
        crops = ", ".join(str(size * BLOCK // n) for n in (8, 4, 2, 1) if size % n == 0)
        raise ValueError(
            f"crop {spec.crop} has {spec.grid[0]} rows of blocks, which do not make an image of {size} "
            f"pixels at 1 to {BLOCK} pixels a block; use crop {crops}, or pass pixels= (4 for half "
            "the size) for a model that takes any size"
        )
    return pixels
