"""Detection and instance segmentation: torchvision's detectors around backbones that read DCT channels."""

from freqvision.detection.coco import CocoAnnotations
from freqvision.detection.coco_file import read_coco
from freqvision.detection.create import create_detector, find_detector
from freqvision.detection.model import DetectionModel, paste_in_photo
from freqvision.detection.options import DetectorOptions
from freqvision.detection.photos import DetectionPhotos, RandomDetectionView
from freqvision.detection.scenes import write_synthetic_scenes

__all__ = [
    "CocoAnnotations",
    "DetectionModel",
    "DetectionPhotos",
    "DetectorOptions",
    "RandomDetectionView",
    "create_detector",
    "find_detector",
    "paste_in_photo",
    "read_coco",
    "write_synthetic_scenes",
]
