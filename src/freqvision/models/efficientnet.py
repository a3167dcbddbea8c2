"""EfficientNet of torchvision: the grid behind the stem is half of the RGB image's side.

The first block's squeeze-and-excitation and residuals build on the stem's width: the stem stays, and its
convolution reads blocks: (B, C, 112, 112) from photos at 896 for B0.
"""

from freqvision.models.architecture import Architecture
from freqvision.models.registry import register
from freqvision.models.surgery import Stem
from freqvision.models.torchvision_models import build_torchvision

SIZES = {  # torchvision's weights are evaluated at these
    "efficientnet_b0": 224,
    "efficientnet_b1": 240,
    "efficientnet_b2": 288,
    "efficientnet_b3": 300,
    "efficientnet_b4": 380,
    "efficientnet_b5": 456,
    "efficientnet_b6": 528,
    "efficientnet_b7": 600,
    "efficientnet_v2_s": 384,
    "efficientnet_v2_m": 480,
    "efficientnet_v2_l": 480,
}
_STEM = Stem(conv="features.0.0", rest=("features.0.1", "features.0.2"), stride=2, pixels=2)

for _name, _size in SIZES.items():
    register(_name, Architecture(build_torchvision(_name), _STEM, rgb_size=_size))
