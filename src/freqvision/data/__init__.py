"""Photos on disk: folders of classes, objects in COCO's format, and photos of our own making."""

from freqvision.data.coco import CocoAnnotations, read_coco
from freqvision.data.detection import DetectionPhotos, RandomDetectionView
from freqvision.data.folder import FrequencyFolder, PixelFolder, RandomView
from freqvision.data.pixels import PixelDecoder, decoder_for
from freqvision.data.scenes import write_synthetic_scenes
from freqvision.data.synthetic import write_synthetic_photos

__all__ = [
    "CocoAnnotations",
    "DetectionPhotos",
    "FrequencyFolder",
    "PixelDecoder",
    "PixelFolder",
    "RandomDetectionView",
    "RandomView",
    "decoder_for",
    "read_coco",
    "write_synthetic_photos",
    "write_synthetic_scenes",
]
