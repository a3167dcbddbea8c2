"""From a photo to a model's input: specifications, the compressed path, the pixel path, statistics."""

from freqvision.pipeline.augment import FrequencyAugment, adjust_colour, erase, horizontal_flip
from freqvision.pipeline.decoder import Decoder
from freqvision.pipeline.geometry import View, random_resized_view, random_resized_views, resize_crop_view
from freqvision.pipeline.pixels import PixelTransform, image_to_tensor
from freqvision.pipeline.spec import InputSpec, PixelSpec, load_spec, spec_from_dict
from freqvision.pipeline.statistics import ChannelStatistics, collect_statistics

__all__ = [
    "ChannelStatistics",
    "Decoder",
    "FrequencyAugment",
    "InputSpec",
    "PixelSpec",
    "PixelTransform",
    "View",
    "adjust_colour",
    "collect_statistics",
    "erase",
    "horizontal_flip",
    "image_to_tensor",
    "load_spec",
    "random_resized_view",
    "random_resized_views",
    "resize_crop_view",
    "spec_from_dict",
]
