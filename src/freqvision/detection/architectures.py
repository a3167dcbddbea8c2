"""Faster R-CNN, Mask R-CNN, RetinaNet and FCOS on ResNets with a feature pyramid, as torchvision builds them.

The backbone is one of this library's classifiers; its stem is gone or reads blocks before the detector is
built around it.
"""

from collections.abc import Sequence
from functools import partial

from torch import nn

from freqvision.detection.create import Detector
from freqvision.detection.options import DetectorOptions
from freqvision.models.registry import register

BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101")
RGB_SIZE = (800, 1333)  # shorter side of the RGB networks' images, and the most that the longer one may have


def _pyramid(network: nn.Module, stages: Sequence[int], top: nn.Module) -> nn.Module:
    """The classifier's stages with a feature pyramid on top."""
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    width: int = network.inplanes // 8  # type: ignore[operator,assignment]  # of stage 1
    return BackboneWithFPN(
        network,
        return_layers={f"layer{stage}": str(level) for level, stage in enumerate(stages)},
        in_channels_list=[width * 2 ** (stage - 1) for stage in stages],
        out_channels=256,
        extra_blocks=top,
    )


def _assemble(kind: str, network: nn.Module, num_classes: int, options: DetectorOptions) -> nn.Module:
    from torchvision.models import detection
    from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

    in_two_stages = kind.endswith("RCNN")
    if in_two_stages:
        pyramid = _pyramid(network, (1, 2, 3, 4), LastLevelMaxPool())
    else:
        pyramid = _pyramid(network, (2, 3, 4), LastLevelP6P7(256, 256))
    arguments = options.arguments("box_" if in_two_stages else "")
    detector: nn.Module = getattr(detection, kind)(pyramid, num_classes, **arguments)
    return detector


_BOX = ("roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred")
_MASK = "roi_heads.mask_predictor.mask_fcn_logits"
_LOGITS = ("head.classification_head.cls_logits",)

# Name → torchvision's class, the layers whose shape follows the number of classes, and the
# epsilon of torchvision's weights (overwrite_eps in its source).
DETECTORS = {
    "fasterrcnn": ("FasterRCNN", _BOX, 0.0),
    "maskrcnn": ("MaskRCNN", (*_BOX, _MASK), 0.0),
    "retinanet": ("RetinaNet", _LOGITS, 0.0),
    "fcos": ("FCOS", _LOGITS, 1e-5),
}

for _name, (_kind, _heads, _epsilon) in DETECTORS.items():
    for _backbone in BACKBONES:
        register(
            f"{_name}_{_backbone}_fpn",
            Detector.around(
                _backbone,
                assemble=partial(_assemble, _kind),
                heads=_heads,
                image_size=RGB_SIZE,
                published_epsilon=_epsilon if _backbone == "resnet50" else None,
            ),
        )
