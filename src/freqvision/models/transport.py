"""Transport: an RGB model, untouched, fed with DCT channels that become small pixels on the device."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from freqvision.inputs.spec import IMAGENET_MEAN, IMAGENET_STD, FrequencySpec, PixelSpec
from freqvision.models.export import Exportable
from freqvision.models.frequency_model import FrequencyModel, check_input, input_layer
from freqvision.models.reconstruction import SmallPixels, unseen_channels
from freqvision.spectrum.channels import BLOCK

log = logging.getLogger(__name__)


class Transport(Exportable):
    """A pretrained RGB model that takes selected DCT channels: half its pixels' bytes, and no retraining.

    On the device the channels are dequantised, and a scaled inverse DCT of the low n×n frequencies of each
    block, the missing ones zero, gives an image at n/8 of the spec's crop; it is converted to RGB, clamped,
    and normalised for the model. Inverse DCT and colour are one 1×1 convolution.

    Args:
        model: Any module that takes RGB images (B, 3, H, W), normalised by mean and std: torchvision's,
            timm's, your own, or a `FrequencyModel` with a `PixelSpec`.
        spec: What the channels are.
        pixels: Side n in pixels for which a block stands, 1 to 8. None chooses it so that the image has the
            size that the model expects.
        mean: Of the RGB values on [0, 1]. None asks the model (timm's ``pretrained_cfg``, a `PixelSpec`);
            ImageNet's where it does not say.
        std: Likewise.
        image_size: Side of the image that the model expects. None asks the model, 224 where it does not say.
        clamp: Whether RGB is clamped to [0, 1], as a decoder does.

    Raises:
        ValueError: No `pixels` gives the model's image size from the spec's crop; the message says which
            crops do.

    Example:
        >>> rgb_model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        >>> spec = FrequencySpec(resize=512, crop=448)
        >>> transport = Transport(rgb_model, spec)
        >>> channels = torch.zeros(2, *spec.shape)
        >>> transport(channels).shape, transport.to_pixels(channels).shape
        (torch.Size([2, 8]), torch.Size([2, 3, 224, 224]))
    """

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        model: nn.Module,
        spec: FrequencySpec,
        *,
        pixels: int | None = None,
        mean: tuple[float, ...] | None = None,
        std: tuple[float, ...] | None = None,
        image_size: int | None = None,
        clamp: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(spec, FrequencySpec):
            raise TypeError(f"Transport takes DCT channels, so an FrequencySpec; got {type(spec).__name__}")
        if not isinstance(model, nn.Module):
            raise TypeError(f"Transport takes the model itself, a torch.nn.Module; got {model!r}")
        known = _expectations(model)
        self.spec = spec
        self.pixels = _pixels(spec, image_size or known["size"]) if pixels is None else pixels
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
        mean_, std_ = (torch.tensor(v)[:, None, None] for v in (mean or known["mean"], std or known["std"]))
        self._keep("gain", 1 / std_)  # (3, 1, 1)
        self._keep("shift", -mean_ / std_)  # (3, 1, 1)

    def _keep(self, name: str, values: torch.Tensor) -> None:
        # Not persistent: they follow from the spec, and the state dict stays the model's.
        self.register_buffer(name, values.float(), persistent=False)

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
        """What the model gives on the image made of the channels (B, C, h, w)."""
        outputs: torch.Tensor = self.model(torch.addcmul(self.shift, self.to_pixels(inputs), self.gain))
        return outputs


def _expectations(model: nn.Module) -> dict[str, Any]:
    """Image size, mean and std that a model says it expects; 224 and ImageNet's where it says nothing."""
    size, mean, std = 224, IMAGENET_MEAN, IMAGENET_STD
    if isinstance(model, FrequencyModel):
        if not isinstance(model.spec, PixelSpec) or model.spec.colour != "rgb":
            raise ValueError(
                "Transport is for models of RGB pixels; this one reads DCT channels or YCbCr already"
            )
        shape = model.spec.shape
        return {"size": shape[1] if shape else size, "mean": model.spec.mean, "std": model.spec.std}
    if isinstance(getattr(model, "image_size", None), int):  # torchvision's vision transformers
        size = int(model.image_size)  # type: ignore[arg-type]
    config = getattr(model, "pretrained_cfg", None)  # timm
    if isinstance(config, dict):
        size = config.get("input_size", (3, size, size))[-1]
        mean, std = tuple(config.get("mean", mean)), tuple(config.get("std", std))
    return {"size": size, "mean": mean, "std": std}


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
