"""What a JPEG file holds."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Header:
    """What a JPEG file says about itself before its image data.

    Attributes:
        size: Height and width in pixels, as stored (before any EXIF rotation).
        colour_model: `gray`, `YCbCr`, `RGB`, `CMYK`, `YCCK`, or `unknown` (two components), as libjpeg
            decides.
        sampling_factors: For each component (vertical, horizontal), 1 to 4.
        component_sizes: For each component its real height and width in samples.
        orientation: EXIF orientation, 1 to 8; 1 if the file gives none.
        progressive: Whether it is a progressive file.
        restart_interval: MCUs between restart markers; 0 if there are none.
    """

    size: tuple[int, int]
    colour_model: str
    sampling_factors: tuple[tuple[int, int], ...]
    component_sizes: tuple[tuple[int, int], ...]
    orientation: int
    progressive: bool
    restart_interval: int

    @property
    def blocks(self) -> tuple[tuple[int, int], ...]:
        """For each component its number of blocks (high, wide), without the padding of MCUs."""
        return tuple((-(-height // 8), -(-width // 8)) for height, width in self.component_sizes)


@dataclass(frozen=True, eq=False)
class Coefficients(Header):
    """The quantised DCT coefficients of a JPEG file, bit by bit as the encoder stored them.

    `planes[i] * quant_tables[i]` is the orthonormal 8×8 DCT-II of (sample − 128).

    Attributes:
        planes: For each component int16 (blocks_high, blocks_wide, 8, 8): a block's rows are vertical, its
            columns horizontal frequencies. The blocks are those that cover the component, without the padding
            of MCUs.
        quant_tables: For each component uint16 (8, 8), in the same order.
        warnings: What is odd about the file; with `strict=False` also what is damaged. Empty if it is sound.
    """

    planes: tuple[np.ndarray, ...] = field(repr=False)
    quant_tables: tuple[np.ndarray, ...] = field(repr=False)
    warnings: tuple[str, ...]
