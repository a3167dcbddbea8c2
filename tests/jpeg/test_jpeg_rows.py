"""The row interface that the pipeline reads through: windows, order, frequencies, early end."""

import random

import numpy as np
import pytest
from jpeg_files import encode, photo
from jpeg_samples import random_file
from jpeg_writer import write

import freqvision as fv
from freqvision import _native

ALL = 2**64 - 1


def read_rows(data, ranges, frequencies=None, **options):
    return _native.read_rows(data, ranges, frequencies or [ALL] * len(ranges), **options)


def random_ranges(planes, choose):
    """A window for each component; some components get none."""
    ranges = []
    for plane in planes:
        high, wide = plane.shape[:2]
        top, left = choose.randrange(high), choose.randrange(wide)
        window = (top, choose.randint(top + 1, high), left, choose.randint(left + 1, wide))
        ranges.append(window if choose.random() < 0.8 else (0, 0, 0, 0))
    return ranges


@pytest.mark.parametrize("seed", range(40))
def test_windows_are_parts_of_the_planes(seed):
    choose = random.Random(seed)
    data = write(*random_file(seed))
    planes = fv.read_coefficients(data).planes
    for isa in _native.available_isas():
        _native.set_isa(isa)
        ranges = random_ranges(planes, choose)
        transposed = choose.random() < 0.5
        for ours, plane, window in zip(
            read_rows(data, ranges, transposed=transposed), planes, ranges, strict=True
        ):
            top, bottom, left, right = window
            if top == bottom:
                assert ours is None
                continue
            expected = plane[top:bottom, left:right]
            np.testing.assert_array_equal(ours, expected.swapaxes(2, 3) if transposed else expected)


@pytest.mark.parametrize("seed", range(1, 40, 2))
def test_wanted_frequencies_of_progressive_files_are_complete(seed):
    choose = random.Random(seed)
    data = write(*random_file(seed))
    planes = fv.read_coefficients(data).planes
    wanted = [choose.sample(range(64), choose.choice([1, 4, 16])) for _ in planes]
    masks = [sum(1 << k for k in chosen) for chosen in wanted]
    ranges = [(0, plane.shape[0], 0, plane.shape[1]) for plane in planes]
    for ours, plane, chosen in zip(read_rows(data, ranges, masks), planes, wanted, strict=True):
        for k in chosen:
            np.testing.assert_array_equal(ours[..., k // 8, k % 8], plane[..., k // 8, k % 8])


def test_scans_without_wanted_frequencies_are_left_out():
    """Whoever wants only DC coefficients does not wait for the others: damage in their scans goes unseen."""
    data = encode(photo(64, 64, "L"), progressive=True, quality=95)
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    first_ac = next(at for at in scans if data[at + 2 + 3 + 2] != 0)
    end = data.index(b"\xff", first_ac + 12)
    broken = data[: first_ac + 12] + b"\x55" * (end - first_ac - 12) + data[end:]
    plane = fv.read_coefficients(data).planes[0]
    with pytest.raises(fv.JpegError):
        fv.read_coefficients(broken)
    (rows,) = read_rows(broken, [(0, 8, 0, 8)], [1])
    np.testing.assert_array_equal(rows[..., 0, 0], plane[..., 0, 0])


def test_scan_is_left_after_the_last_wanted_row():
    """Damage below the window goes unseen, but a missing end does not."""
    data = encode(photo(160, 64), subsampling="4:4:4", quality=90)
    planes = fv.read_coefficients(data).planes
    late = len(data) - 60
    broken = data[:late] + b"\xff\xd0" + data[late + 2 :]
    with pytest.raises(fv.JpegError):
        fv.read_coefficients(broken)
    window = [(0, 4, 0, 8), (0, 4, 2, 3), (1, 2, 0, 8)]
    for ours, plane, (top, bottom, left, right) in zip(
        read_rows(broken, window), planes, window, strict=True
    ):
        np.testing.assert_array_equal(ours, plane[top:bottom, left:right])
    with pytest.raises(fv.JpegError) as caught:
        read_rows(data[:late], window)
    assert caught.value.kind == "truncated"
    assert len(read_rows(data[:late], window, strict=False)) == 3


def test_windows_outside_the_image_are_refused():
    data = encode(photo(40, 40, "L"))
    for window in [(0, 6, 0, 5), (0, 5, 0, 6), (-1, 5, 0, 5), (0, 5, -1, 5)]:
        with pytest.raises(ValueError, match="outside component 0, which has 5 x 5 blocks"):
            read_rows(data, [window])


@pytest.fixture(autouse=True)
def _best_instruction_set():
    yield
    _native.set_isa(_native.available_isas()[-1])
