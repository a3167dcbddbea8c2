"""ConvNeXt of torchvision: the grid behind the stem is a quarter of the RGB image's side.

The stem cuts the image into patches of 4×4 pixels, and residuals run from it to the end: it stays, and its
convolution reads blocks, 1×1: (B, C, 56, 56) from photos at 448.
"""

from freqvision.models.architecture import Architecture
from freqvision.models.registry import register
from freqvision.models.surgery import Stem
from freqvision.models.torchvision_models import build_torchvision

NAMES = ("convnext_tiny", "convnext_small", "convnext_base", "convnext_large")
_STEM = Stem(conv="features.0.0", rest=("features.0.1",), stride=4, pixels=4)

for _name in NAMES:
    register(_name, Architecture(build_torchvision(_name), _STEM))
