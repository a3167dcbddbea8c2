"""Truncated and damaged files: an error, or with strict=False all that was there."""

import random

import numpy as np
import pytest
from jpeg_files import attempt, encode, offset_of, photo, same_planes
from jpeg_samples import random_file, samples
from jpeg_writer import write

import freqvision as fv

PLACES = 200


def check_truncation(data: bytes, seed: int) -> None:
    """Cut at random places: an error that says so, or the beginning of the image and zeros."""
    whole = fv.read_coefficients(data)
    image_data = data.index(b"\xff\xda")
    for place in random.Random(seed).sample(range(2, len(data) - 2), min(PLACES, len(data) - 4)):
        cut = data[:place]
        with pytest.raises(fv.JpegError) as caught:
            fv.read_coefficients(cut)
        assert caught.value.kind == "truncated", (place, caught.value)
        rest, error = attempt(cut, strict=False)
        if rest is None:
            assert error.kind == "truncated"
            assert place < image_data + 20  # nothing but the header was there
            continue
        assert rest.warnings
        for ours, full in zip(rest.planes, whole.planes, strict=True):
            if not whole.progressive:
                blocks = (ours == full).all((2, 3)) | (ours == 0).all((2, 3))
                assert blocks.all(), place
            else:
                # Bits arrive from the highest down, so that nothing is too large or of the other sign.
                ac = np.s_[..., np.arange(64).reshape(8, 8) > 0]
                assert (np.abs(ours[ac]) <= np.abs(full[ac])).all(), place
                assert (ours[ac] * full[ac].astype(np.int32) >= 0).all(), place
                assert (ours[..., 0, 0] <= np.maximum(full[..., 0, 0], 0)).all(), place


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 5])
def test_truncated_files_of_pillow(progressive, restart):
    data = encode(photo(60, 90), quality=90, progressive=progressive, restart_marker_blocks=restart)
    check_truncation(data, seed=1)


@pytest.mark.parametrize("seed", range(8))
def test_truncated_files_of_any_kind(seed):
    check_truncation(write(*random_file(seed)), seed)


def test_truncated_photos(shared):
    files = sorted((shared / "data" / "imagenet-sample" / "images").iterdir(), key=lambda p: p.stat().st_size)
    for i, file in enumerate(files[:3]):
        check_truncation(file.read_bytes(), seed=i)


def test_truncation_keeps_all_complete_rows():
    """Half of the data is about half of the rows, not nothing."""
    image = photo(160, 80, seed=3)
    whole = encode(image, quality=90, subsampling="4:4:4")
    start = whole.index(b"\xff\xda")
    cut = fv.read_coefficients(whole[: (start + len(whole)) // 2], strict=False)
    full = fv.read_coefficients(whole)
    for ours, all_of_it in zip(cut.planes, full.planes, strict=True):
        same = (ours == all_of_it).all((2, 3)).all(1)
        complete = int(np.argmin(same))
        assert 6 <= complete <= 14
        assert not ours[complete + 1 :].any()


def damaged_interval(data: bytes, marker: int, replacement: bytes | None = None, keep: bool = True) -> bytes:
    """Replaces the interval before a restart marker; drops its marker too unless `keep`."""
    at = data.index(bytes([0xFF, marker]), data.index(b"\xff\xda"))
    before = data.rindex(b"\xff", 0, at - 1)
    while not 0xD0 <= data[before + 1] <= 0xD7:
        before = data.rindex(b"\xff", 0, before)
    interval = data[before + 2 : at] if replacement is None else replacement
    return data[: before + 2] + interval + data[at if keep else at + 2 :]


@pytest.mark.parametrize("damage", ["empty", "garbage", "missing"])
def test_restart_markers_confine_damage(damage):
    """One interval is lost, all others stay where they are."""
    data = encode(photo(64, 64, "L"), quality=90, restart_marker_rows=1)
    full = fv.read_coefficients(data).planes[0]
    if damage == "missing":  # interval 3 with the marker before it
        at = data.index(b"\xff\xd2")
        broken = data[:at] + data[data.index(b"\xff\xd3") :]
    else:
        broken = damaged_interval(data, 0xD3, b"" if damage == "empty" else b"\x5a" * 4)
    with pytest.raises(fv.JpegError):
        fv.read_coefficients(broken)
    coefficients = fv.read_coefficients(broken, strict=False)
    assert coefficients.warnings
    rows = (coefficients.planes[0] == full).all((1, 2, 3))
    assert list(np.flatnonzero(~rows)) == [3]
    assert damage == "garbage" or not coefficients.planes[0][3].any()


def test_a_superfluous_interval_is_passed_over():
    data = encode(photo(64, 64, "L"), quality=90, restart_marker_rows=1)
    full = fv.read_coefficients(data).planes[0]
    begin, end = data.index(b"\xff\xd2"), data.index(b"\xff\xd3")
    coefficients = fv.read_coefficients(data[:end] + data[begin:end] + data[end:], strict=False)
    assert coefficients.warnings
    assert (coefficients.planes[0] == full).all((1, 2, 3)).sum() >= 7


def test_damaged_bits_never_crash_and_strict_agrees_with_lenient():
    """Where a strict read succeeds, the lenient one returns the same."""
    choose = random.Random(0)
    files = [data for _, data in samples()]
    errors = 0
    for _ in range(1500):
        data = bytearray(choose.choice(files))
        for _ in range(choose.randint(1, 4)):
            data[choose.randrange(2, len(data))] = choose.randrange(256)
        strict, error = attempt(bytes(data), max_pixels=10**6)
        lenient, _ = attempt(bytes(data), strict=False, max_pixels=10**6)
        errors += error is not None
        assert error is None or error.offset <= len(data)
        if lenient is None:
            assert strict is None
            continue
        if strict is None:
            assert lenient.warnings
        else:
            assert same_planes(strict.planes, lenient.planes)
    assert 300 < errors < 1450


def test_a_reader_remembers_nothing_of_the_file_before():
    """The same thread reads a file without quantisation tables right after one that has them."""
    good = encode(photo(24, 24))
    at = offset_of(good, 0xDB)
    bad = good[:at] + good[at + 2 + int.from_bytes(good[at + 2 : at + 4], "big") :]
    fv.read_coefficients(good)
    with pytest.raises(fv.JpegError) as caught:
        fv.read_coefficients(bad)
    assert caught.value.kind == "missing-table"
