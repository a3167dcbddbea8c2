"""From a photo to a model's input: specifications, the compressed path, the pixel path, statistics."""

from freqvision.inputs.augment import FrequencyAugment, adjust_colour, erase, horizontal_flip
from freqvision.inputs.decoder import Decoder, JointDecoder
from freqvision.inputs.measure import collect_statistics
from freqvision.inputs.packed import Packer, pack, unpack
from freqvision.inputs.spec import FrequencySpec, InputSpec, PixelSpec
from freqvision.inputs.statistics import ChannelStatistics
from freqvision.inputs.transform import PixelTransform, image_to_tensor
from freqvision.inputs.view import View, random_resized_view, random_resized_views, resize_crop_view

__all__ = [
    "ChannelStatistics",
    "Decoder",
    "FrequencyAugment",
    "FrequencySpec",
    "InputSpec",
    "JointDecoder",
    "Packer",
    "PixelSpec",
    "PixelTransform",
    "View",
    "adjust_colour",
    "collect_statistics",
    "erase",
    "horizontal_flip",
    "image_to_tensor",
    "pack",
    "random_resized_view",
    "random_resized_views",
    "resize_crop_view",
    "unpack",
]
