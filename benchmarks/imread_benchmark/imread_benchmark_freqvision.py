"""freqvision as a decoder of imread_benchmark: full-size RGB, uint8 (H, W, 3)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from imread_benchmark.decoders import BaseDecoder

if TYPE_CHECKING:
    import numpy as np

    import freqvision as fv


@functools.cache
def decoder() -> fv.Decoder:
    """One decoder for each process, which is fastest once it is warm."""
    import torch

    import freqvision as fv

    # As stored: the benchmark's reference, Pillow, does not turn photos either.
    spec = fv.PixelSpec(resize=None, crop=None, dtype="uint8", orientation="stored")
    return fv.Decoder(spec, num_threads=1, memory_format=torch.channels_last)


class FreqvisionDecoder(BaseDecoder):
    """Pixels from freqvision's own reader, chroma upsampled as libjpeg does it."""

    name = "freqvision"
    package_name = "freqvision"

    def decode(self, data: bytes) -> np.ndarray:
        """A file as RGB, uint8 (H, W, 3)."""
        (pixels,) = decoder().each([data])
        return pixels.permute(1, 2, 0).numpy()  # contiguous: the decoder writes rows of RGB

    def decode_path(self, path: str) -> np.ndarray:
        """A file as RGB, uint8 (H, W, 3)."""
        return self.decode(path)  # type: ignore[arg-type]  # the decoder opens paths itself
