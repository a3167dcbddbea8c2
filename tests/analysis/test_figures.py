"""Reconstruction for figures: the inverse of the pixel path, as far as the channels go."""

import pytest
import torch
from PIL import Image

import freqvision as fv
from freqvision.analysis.figures import plot_channels, reconstruct
from freqvision.data import write_synthetic_photos
from freqvision.data.synthetic import synthetic_photo


def test_all_channels_rebuild_the_photo():
    photo = synthetic_photo("rays", 64)
    spec = fv.FrequencySpec(resize=None, crop=64, channels=fv.ChannelSet.preset(192)).with_statistics(
        fv.ChannelStatistics.default()
    )
    rebuilt = reconstruct(fv.PixelTransform(spec)(photo), spec)
    left = round((photo.width - 64) / 2)
    pixels = torch.frombuffer(bytearray(photo.convert("RGB").tobytes()), dtype=torch.uint8)
    expected = pixels.view(64, photo.width, 3)[:, left : left + 64].permute(2, 0, 1) / 255
    assert (rebuilt - expected).abs().max() < 0.005


def test_fewer_channels_rebuild_it_worse():
    photo = synthetic_photo("checks", 64)
    errors = []
    exact = None
    for count in (192, 64, 24, 6):
        spec = fv.FrequencySpec(resize=None, crop=64, channels=fv.ChannelSet.preset(count))
        rebuilt = reconstruct(fv.PixelTransform(spec)(photo), spec)
        exact = rebuilt if exact is None else exact
        errors.append((rebuilt - exact).square().mean().item())
    assert errors == sorted(errors)
    assert errors[1] < errors[-1]


def test_figure_of_any_channel_set(tmp_path):
    write_synthetic_photos(tmp_path, photos_per_class=1, size=64)
    spec = fv.FrequencySpec(64, 64, fv.ChannelSet.parse("Y0-2,63+Cr9"))
    plot_channels([tmp_path / "dots" / "000.jpg"], spec, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width > 1000
    with pytest.raises(ValueError, match="crop"):
        plot_channels([tmp_path / "dots" / "000.jpg"], fv.FrequencySpec(crop=None), tmp_path / "figure.png")
