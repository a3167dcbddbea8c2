import numpy as np
import pytest
import torch
from PIL import Image

from freqvision.spectrum.colour import rgb_to_ycbcr, ycbcr_to_rgb


def colours():
    """All combinations of 18 levels: (3, 18, 18·18)."""
    levels = torch.arange(0, 256, 15.0)
    return torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij")).reshape(3, 18, 324)


def test_round_trip():
    image = colours().double()
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(image)), image)


def test_equals_pillow_within_rounding():
    image = colours()
    array = image.permute(1, 2, 0).numpy().astype(np.uint8)
    theirs = np.asarray(Image.fromarray(array).convert("YCbCr"), dtype=np.float32)
    assert np.abs(rgb_to_ycbcr(image).permute(1, 2, 0).numpy() - theirs).max() <= 1.01


def test_gray_has_no_chroma_and_batches_work():
    gray = torch.rand(4, 1, 5, 6, dtype=torch.float64).expand(4, 3, 5, 6) * 255
    ycbcr = rgb_to_ycbcr(gray)
    torch.testing.assert_close(ycbcr[:, 0], gray[:, 0])
    torch.testing.assert_close(ycbcr[:, 1:], torch.full((4, 2, 5, 6), 128.0, dtype=torch.float64))


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match=r"\.\.\., 3, H, W"):
        rgb_to_ycbcr(torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match="floating point"):
        ycbcr_to_rgb(torch.zeros(3, 4, 4, dtype=torch.uint8))


def test_autocast_does_not_round_colours():
    rgb = 255 * torch.rand(2, 3, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        there, back = rgb_to_ycbcr(rgb), ycbcr_to_rgb(rgb)
    assert torch.equal(there, rgb_to_ycbcr(rgb))
    assert torch.equal(back, ycbcr_to_rgb(rgb))
