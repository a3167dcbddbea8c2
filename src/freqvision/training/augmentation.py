"""Augmentation of training batches on the device, behind the random crops and flips of the data set."""

from dataclasses import asdict, dataclass

from torch import nn

from freqvision.inputs.augment import FrequencyAugment
from freqvision.inputs.spec import FrequencySpec, InputSpec


@dataclass(frozen=True)
class Augmentation:
    """Colour and erasing, on DCT channels.

    Args:
        brightness: A factor is drawn from [max(0, 1 − brightness), 1 + brightness] for each photo.
        contrast: Likewise.
        saturation: Likewise.
        gray: Probability of a gray photo.
        erase: Probability that a rectangle of blocks is erased.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    gray: float = 0.0
    erase: float = 0.0

    def build(self, spec: InputSpec) -> nn.Module | None:
        """The module that does it; None where there is nothing to do.

        Raises:
            ValueError: A setting is out of its range, or the model reads pixels.
        """
        options = asdict(self)
        if not any(options.values()):
            return None
        if not isinstance(spec, FrequencySpec):
            raise ValueError("augmentation changes DCT channels, and this model reads pixels: leave it out")
        return FrequencyAugment(spec, **options)
