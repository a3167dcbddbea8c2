import io
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from freqvision import ChannelSet, ChannelStatistics, FrequencySpec, PixelTransform
from freqvision.inputs.encoding import decode, encode
from freqvision.inputs.measure import collect_statistics
from freqvision.inputs.statistics import DC_SCALE, MIN_SCALE, MIN_STD
from freqvision.spectrum.dct import block_dct

DEFAULT = ChannelStatistics.default()


def assert_same(first, second):
    assert first.channels == second.channels
    assert first.count == second.count
    for name in ("mean", "variance", "largest"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 2**31), st.floats(-1e4, 1e4))
def test_merging_parts_gives_the_statistics_of_the_whole(sizes, seed, offset):
    generator = torch.Generator().manual_seed(seed)
    channels = ChannelSet((1, 70, 191))
    parts = [torch.randn(n, 3, 2, n, generator=generator, dtype=torch.float64) * n + offset for n in sizes]
    merged = ChannelStatistics.of(parts[0], channels)
    for part in parts[1:]:
        merged = merged.merge(ChannelStatistics.of(part, channels))
    samples = torch.cat([part.transpose(0, 1).flatten(1) for part in parts], dim=1).numpy()
    assert merged.count == samples.shape[1]
    np.testing.assert_allclose(merged.mean, samples.mean(axis=1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(merged.variance, samples.var(axis=1), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(merged.largest, np.abs(samples).max(axis=1))


def test_order_of_merging_does_not_matter():
    parts = [ChannelStatistics.of(torch.randn(1, 192, 3, 3) * scale) for scale in (1, 10, 0.1)]
    results = [a.merge(b).merge(c) for a, b, c in itertools.permutations(parts)]
    for result in results[1:]:
        assert_same(result, results[0])


def test_saves_loads_and_selects(tmp_path):
    DEFAULT.save(tmp_path / "statistics.json")
    assert ChannelStatistics.load(tmp_path / "statistics.json") == DEFAULT
    channels = ChannelSet((3, 64, 190))
    chosen = DEFAULT.select(channels)
    assert chosen.mean == tuple(DEFAULT.mean[i] for i in channels)
    assert chosen.select(ChannelSet((64,))).std == (DEFAULT.std[64],)
    with pytest.raises(ValueError, match="not in the set"):
        chosen.select(ChannelSet((0,)))


def test_normalising_with_a_data_sets_statistics_gives_zero_mean_and_unit_deviation(tmp_path):
    photos = [photo(seed) for seed in range(6)]
    spec = FrequencySpec(resize=64, crop=64, channels=ChannelSet.preset(24))
    statistics = collect_statistics(photos, spec, progress=False, num_threads=1)
    assert statistics.count == 6 * 64
    transform = PixelTransform(spec.with_statistics(statistics))
    out = torch.stack([transform(Image.open(io.BytesIO(data))) for data in photos])
    variance, mean = torch.var_mean(out, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(mean, torch.zeros(24), atol=0.02, rtol=0)
    torch.testing.assert_close(variance, torch.ones(24), atol=0.1, rtol=0)


def test_collecting_equals_the_statistics_of_all_cubes_together():
    photos = [photo(seed, height=40 + 9 * seed) for seed in range(5)]
    spec = FrequencySpec(resize=None, crop=None)  # photos of their own sizes
    statistics = collect_statistics(photos, spec, progress=False, num_threads=1)
    transform = PixelTransform(spec.raw(ChannelSet.preset(192)))
    blocks = torch.cat([transform(Image.open(io.BytesIO(data))).flatten(1) for data in photos], dim=1)
    whole = ChannelStatistics.of(blocks[:, None])
    assert statistics.count == whole.count
    np.testing.assert_allclose(statistics.mean, whole.mean, atol=0.2)
    np.testing.assert_allclose(statistics.std, whole.std, atol=0.2)
    assert "5 photos" in statistics.about
    with pytest.raises(ValueError, match="no photo"):
        collect_statistics([], spec)


def test_defaults_are_those_of_photos():
    """As natural images have it: power falls with frequency, luma has more than chroma, AC has no mean."""
    std = torch.tensor(DEFAULT.std).reshape(3, 8, 8)
    assert (std[:, 0, 1:] < std[:, 0, :-1]).all()
    assert (std[:, 1:, 0] < std[:, :-1, 0]).all()
    assert (std[0, :4, :4] > std[1:, :4, :4]).all()
    mean = torch.tensor(DEFAULT.mean).reshape(3, 64)
    assert mean[:, 1:].abs().max() < 2
    assert len(DEFAULT.channels) == 192


def test_int8_steps():
    scale = torch.tensor(DEFAULT.scale_of(ChannelSet.preset(192)))
    assert (scale[[0, 64, 128]] == DC_SCALE).all()
    assert (scale >= MIN_SCALE).all()
    # No step is wider than the reach of 8-bit samples needs, found here by the samples that attain it.
    signs = torch.sign(
        block_dct(torch.eye(64).reshape(64, 8, 8))
    )  # sign of each pixel's share in each frequency
    extreme = block_dct(signs.permute(1, 2, 0).reshape(8, 8, 8, 8) * 128)  # (u, v, 8, 8)
    reach = torch.stack([extreme[u, v, u, v] for u in range(8) for v in range(8)])
    ac = torch.arange(192) % 64 != 0
    assert (scale.reshape(3, 64) * 127 <= reach.clamp(min=MIN_SCALE * 127) + 1e-3).reshape(-1)[ac].all()


def test_a_channel_that_holds_nothing_stays_harmless():
    flat = ChannelStatistics.of(torch.zeros(1, 192, 2, 2))
    spec = FrequencySpec(channels=ChannelSet.preset(192)).with_statistics(flat)
    assert set(spec.std) == {MIN_STD}
    assert encode(torch.zeros(192, 2, 2), spec).abs().max() == 0


def test_int8_loses_nothing_visible(shared):
    """24 channels of photos: an error of 5 % of a channel's deviation, DC exact to half a gray level."""
    paths = sorted((shared / "data" / "coco128" / "images").iterdir())[::12]
    spec = FrequencySpec(channels=ChannelSet.preset(24)).with_statistics(DEFAULT).with_dtype("int8")
    plain = PixelTransform(spec.raw())
    errors, clipped = [], []
    for path in paths:
        coefficients = plain(Image.open(path))
        quantised = encode_selected(coefficients, spec)
        errors.append(decode(quantised, spec) - coefficients)
        reach = 127.5 * torch.tensor(spec.scale)[:, None, None]
        clipped.append((coefficients.abs() > reach).double().mean())
    rms = torch.stack(errors).square().mean(dim=(0, 2, 3)).sqrt()
    relative = rms / torch.tensor(spec.std)
    print("relative error", relative.mean().item(), "clipped", torch.stack(clipped).mean().item())
    assert relative.mean() < 0.05
    assert torch.stack(clipped).mean() < 1e-4
    dc = torch.stack(errors)[:, spec.channels.positions(ChannelSet((0, 64, 128)))]
    assert dc.abs().max() <= DC_SCALE / 2 + 1e-3


def encode_selected(coefficients, spec):
    whole = coefficients.new_zeros(192, *coefficients.shape[1:])
    whole[list(spec.channels)] = coefficients
    return encode(whole, spec)


def photo(seed, height=70, width=90):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 6, generator=generator) * 130 + 60
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0]
    noisy = smooth + 5 * torch.randn(smooth.shape, generator=generator)
    file = io.BytesIO()
    array = noisy.clamp(0, 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(array).save(file, "JPEG", quality=95, subsampling=0)
    return file.getvalue()


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="192, h, w"):
        ChannelStatistics.of(torch.zeros(2, 24, 4, 4))
    with pytest.raises(ValueError, match="do not merge"):
        DEFAULT.merge(DEFAULT.select(ChannelSet((0,))))
    with pytest.raises(ValueError, match="2 channels; got 1"):
        ChannelStatistics(ChannelSet((0, 1)), 1, (0,), (1, 1), (1, 1))
    with pytest.raises(ValueError, match="none negative"):
        ChannelStatistics(ChannelSet((0,)), 1, (0,), (-1,), (1,))
    with pytest.raises(ValueError, match="at least one block"):
        ChannelStatistics(ChannelSet((0,)), 0, (0,), (1,), (1,))
    with pytest.raises(ValueError, match="channels, count"):
        ChannelStatistics.from_json("{}")
