"""RegNet of torchvision: the grid behind the stem is half of the RGB image's side.

The stem (a 3×3 convolution of stride 2, normalisation, ReLU) goes; the first block's projection and first 1×1
convolution read the channels: (B, C, 112, 112) from photos at 896.
"""

from freqvision.models.architecture import Architecture
from freqvision.models.registry import register
from freqvision.models.surgery import Stem
from freqvision.models.torchvision_models import build_torchvision

NAMES = tuple(
    f"regnet_{kind}_{size}"
    for kind, sizes in {
        "x": ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf"),
        "y": ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf", "128gf"),
    }.items()
    for size in sizes
)
_FIRST_BLOCK = "trunk_output.block1.block1-0"
_STEM = Stem(
    conv="stem.0",
    rest=("stem.1", "stem.2"),
    entry=(f"{_FIRST_BLOCK}.proj.0", f"{_FIRST_BLOCK}.f.a.0"),
    stride=2,
    pixels=2,
)

for _name in NAMES:
    register(_name, Architecture(build_torchvision(_name), _STEM))
