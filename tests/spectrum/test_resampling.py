from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from freqvision.spectrum.dct import block_dct
from freqvision.spectrum.resampling import Resampling

RATIOS = [Fraction(1), Fraction(1, 2), Fraction(1, 4), Fraction(2, 3)]


@st.composite
def resamplings(draw, ratios=tuple(RATIOS)):
    photo = draw(st.integers(1, 150))
    box_length = draw(st.integers(1, photo))
    size = draw(st.integers(1, 200))
    crop_length = 8 * draw(st.integers(1, 20))
    return Resampling(
        photo=photo,
        box_start=draw(st.integers(0, photo - box_length)),
        box_length=box_length,
        size=size,
        crop_start=draw(st.integers(1 - crop_length, size - 1)),
        crop_length=crop_length,
        samples_per_pixel=draw(st.sampled_from(ratios)),
        flip=draw(st.booleans()),
        interpolation=draw(st.sampled_from(["bilinear", "bicubic"])),
    )


def with_torch(samples, resampling):
    """The same by torch's antialiased resize, for luma: (rows, photo) to (rows, crop_length)."""
    r = resampling
    box = samples[None, None, :, r.box_start : r.box_start + r.box_length]
    resized = box
    if r.size != r.box_length:
        resized = F.interpolate(box, (box.shape[2], r.size), mode=r.interpolation, antialias=True)
    window = F.pad(resized, (-r.crop_start, r.crop_start + r.crop_length - r.size))[0, 0]
    return window.flip(-1) if r.flip else window


@settings(deadline=None, max_examples=150)
@given(resamplings(ratios=(Fraction(1),)), st.integers(0, 2**31))
def test_luma_is_torchs_antialiased_resize(resampling, seed):
    samples = torch.randn(
        2, resampling.photo, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    padded = F.pad(samples, (0, 8 * resampling.blocks - resampling.photo), value=1e6)  # padding has no weight
    ours = padded @ resampling.pixel_matrix().T
    torch.testing.assert_close(ours, with_torch(samples, resampling), atol=1e-9, rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(resamplings(), st.integers(0, 2**31))
def test_on_coefficients_it_is_the_same_map(resampling, seed):
    generator = torch.Generator().manual_seed(seed)
    samples = torch.randn(8 * resampling.blocks, 8, dtype=torch.float64, generator=generator)
    columns = torch.eye(8, dtype=torch.float64)  # leave the other axis alone
    shown = resampling.pixel_matrix() @ samples
    through = resampling.coefficient_matrix() @ block_dct(samples) @ columns
    torch.testing.assert_close(through, block_dct(shown), atol=1e-9, rtol=1e-9)


@settings(deadline=None, max_examples=100)
@given(resamplings())
def test_rows_sum_to_one_inside_and_zero_outside(resampling):
    matrix = resampling.pixel_matrix()
    pixels = resampling.crop_start + torch.arange(resampling.crop_length)
    inside = ((pixels >= 0) & (pixels < resampling.size)).double()
    inside = inside.flip(0) if resampling.flip else inside
    torch.testing.assert_close(matrix.sum(dim=1), inside)
    assert matrix[:, resampling.samples :].count_nonzero() == 0


@settings(deadline=None, max_examples=100)
@given(resamplings())
def test_the_band_holds_every_weight(resampling):
    matrix = resampling.coefficient_matrix().unflatten(0, (-1, 8)).unflatten(2, (-1, 8))
    for row, (first, end) in enumerate(resampling.band()):
        outside = matrix[row].clone()
        outside[:, first:end] = 0
        assert outside.abs().max() < 1e-12


@settings(deadline=None, max_examples=100)
@given(resamplings(), st.floats(-1, 1), st.floats(-100, 100))
def test_chroma_is_sampled_where_luma_is(resampling, slope, level):
    """A ramp over the photo, stored at any sampling, comes out as the same ramp away from the box's edges."""
    r = resampling
    ratio = float(r.samples_per_pixel)
    stored = level + slope * (torch.arange(8 * r.blocks, dtype=torch.float64) + 0.5) / ratio
    pixels = r.crop_start + torch.arange(r.crop_length, dtype=torch.float64)
    centres = r.box_start + (pixels + 0.5) * r.box_length / r.size
    width = 2 * max(r.box_length / r.size, 1 / ratio) + 1 / ratio  # reach of the filter, in luma pixels
    safe = (centres - width >= r.box_start) & (centres + width <= r.box_start + r.box_length)
    safe &= (pixels >= 0) & (pixels < r.size)
    shown = r.pixel_matrix() @ stored
    shown = shown.flip(0) if r.flip else shown
    # A triangle sampled at a fractional scale has a small bias of its first moment.
    tolerance = 0.2 * abs(slope) * max(r.box_length / r.size, 1 / ratio) + 1e-6
    assert ((shown - (level + slope * centres)).abs()[safe] <= tolerance).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("photo", "ratio"), [(48, Fraction(1, 2)), (60, Fraction(1, 2)), (64, Fraction(1, 4))]
)
def test_half_size_chroma_at_its_own_resolution_is_untouched(photo, ratio, interpolation):
    """Resizing a photo to its chroma's resolution leaves chroma as it is stored."""
    size = int(photo * ratio)
    length = 8 * -(-size // 8)
    same = Resampling(photo, 0, photo, size, 0, length, samples_per_pixel=ratio, interpolation=interpolation)
    expected = torch.eye(length, 8 * same.blocks, dtype=torch.float64)
    expected[size:] = 0
    torch.testing.assert_close(same.pixel_matrix(), expected)


def test_chroma_upsampling_is_centred():
    """4:2:0 to full size: the classic weights ¾ and ¼, the edge sample alone at the border."""
    matrix = Resampling(16, 0, 16, 16, 0, 16, samples_per_pixel=Fraction(1, 2)).pixel_matrix()
    assert matrix[0, :2].tolist() == [1.0, 0.0]
    assert matrix[1, :2].tolist() == [0.75, 0.25]
    assert matrix[2, :2].tolist() == [0.25, 0.75]
    assert matrix[15, 6:8].tolist() == [0.0, 1.0]


def test_odd_sides_keep_the_exact_ratio():
    """15 luma pixels have 8 chroma samples; pixel 13 still lies at 13.5 / 2 of them."""
    matrix = Resampling(15, 0, 15, 15, 0, 16, samples_per_pixel=Fraction(1, 2)).pixel_matrix()
    assert matrix[13, 6:8].tolist() == [0.75, 0.25]
    assert matrix[15].count_nonzero() == 0


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="not inside the photo's 10"):
        Resampling(10, 5, 6, 8, 0, 8)
    with pytest.raises(ValueError, match="multiples of 8"):
        Resampling(10, 0, 6, 8, 0, 9).coefficient_matrix()
    with pytest.raises(ValueError, match="bilinear or bicubic"):
        Resampling(10, 0, 6, 8, 0, 8, interpolation="lanczos")
