"""Detection and instance segmentation: torchvision's detectors around backbones that read DCT channels."""

from freqvision.models.detection.architectures import finds_masks
from freqvision.models.detection.model import DetectionModel, paste_in_photo
from freqvision.models.detection.options import DetectorOptions

__all__ = ["DetectionModel", "DetectorOptions", "finds_masks", "paste_in_photo"]
