"""Files that everything else opens: what libjpeg-turbo reads without loss is read here, bit by bit."""

import random

import numpy as np
import pytest
from jpeg_files import attempt, encode, offset_of, oracle, photo
from jpeg_samples import random_file
from jpeg_writer import ZIGZAG, Picture, Scan, random_picture, segment, write

import freqvision as fv
from freqvision import _native

SIZES = [(1, 1), (1, 1), (1, 1)]
SAMPLED = [(2, 2), (1, 1), (1, 1)]


def picture(seed: int, sampling=SAMPLED, **options) -> Picture:
    return random_picture(seed, 45, 37, sampling, **options)


def scans_only(data: bytes) -> bytes:
    """The Huffman tables and scans of a file of the tests' own writer."""
    return data[offset_of(data, 0xC4) : -2]


def assert_planes(data: bytes, expected: list[np.ndarray]) -> fv.Coefficients:
    for strict in (True, False):
        coefficients = fv.read_coefficients(data, strict=strict)
        assert len(coefficients.planes) == len(expected)
        for ours, stored in zip(coefficients.planes, expected, strict=True):
            np.testing.assert_array_equal(ours, stored)
    return coefficients


# -------------------------------------------------------------------------------------------- component ids


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("ids", [(1, 1, 1), (0, 0, 0), (1, 2, 2), (5, 5, 9), (7, 7, 7, 7), (3, 3)])
def test_components_that_share_an_id(ids, progressive):
    """The scan's i-th entry is the frame's i-th component, if it has that id; real cameras write 1, 1, 1."""
    file = picture(1, SAMPLED[: len(ids)] + [(1, 1)] * (len(ids) - 3), progressive=progressive)
    everything = tuple(range(len(ids)))
    if progressive:
        scans = [Scan(everything, 0, 0)]
        for part in file.parts:
            part.blocks[..., 1:] = 0
    else:
        scans = [Scan(everything)]
    for part, new in zip(file.parts, ids, strict=True):
        part.id = new
    assert assert_planes(write(file, scans), file.planes()).warnings == () or progressive


# ------------------------------------------------------------------------------------------ bogus lengths


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("marker", [0xFE, 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xDC, 0xFD])
def test_segments_of_no_length(marker, length):
    """Comments and the like that claim to be shorter than their own length field hold nothing."""
    bogus = bytes([0xFF, marker, 0, length])
    for options in ({}, {"progressive": True}):
        data = encode(photo(40, 60), **options)
        planes = list(fv.read_coefficients(data).planes)
        last_scan = data.rindex(b"\xff\xda")
        tables = data.rindex(b"\xff\xc4", 0, last_scan)
        for place in (2, offset_of(data, 0xDB), tables, last_scan, len(data) - 2):
            assert_planes(data[:place] + bogus + data[place:], planes)
        assert fv.read_header(data[:2] + bogus + data[2:]).size == (40, 60)


# ----------------------------------------------------------------------------------------- no end marker


def trailers() -> dict[str, bytes]:
    choose = random.Random(0)
    return {
        "nothing": b"",
        "zeros": bytes(4096),
        "ones": b"\xff" * 300,
        "text": b"\0\0\1\n\x0e\0\0\0Image_UTC_Data1234567890SEFHk\0\0\0\1\0\0\0SEFT",
        "noise": choose.randbytes(5000).replace(b"\xff\xd9", b"\xff\x00"),
        "noise with an end": choose.randbytes(2000) + b"\xff\xd9" + choose.randbytes(2000),
        "another photo": encode(photo(24, 24)),
        "another photo without its end": encode(photo(24, 24))[:-2],
        "a cut segment": b"\xff\xe2\xff\xff" + bytes(20),
        "half a marker": b"\xff",
        "a table": segment(0xDB, bytes([0x0F]) + bytes(64)),
        "half a scan": segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")[:-3],
        "a scan of nothing": segment(0xDA, b"\x00\x00\x3f\x00") + bytes(50),
    }


FILES = {
    "baseline": encode(photo(40, 60), quality=90),
    "gray": encode(photo(40, 60, "L")),
    "CMYK": encode(photo(40, 60, "CMYK")),
    "restarts": encode(photo(64, 90), restart_marker_blocks=3),
    "progressive": encode(photo(40, 60), progressive=True),
    "progressive restarts": encode(photo(64, 90), progressive=True, restart_marker_rows=1),
    "several scans": write(*random_file(8)),
    "own progressive": write(*random_file(5)),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("trailer", trailers())
def test_complete_files_without_their_end(name, trailer):
    """All coefficients are there: what follows them changes nothing, whatever it is."""
    data = FILES[name]
    planes = list(fv.read_coefficients(data).planes)
    coefficients = assert_planes(data[:-2] + trailers()[trailer], planes)
    if b"\xff\xd9" not in trailers()[trailer]:
        assert any("end-of-image marker" in warning for warning in coefficients.warnings)


@pytest.mark.parametrize("name", FILES)
def test_files_that_miss_coefficients_are_truncated(name):
    """… and so are those that miss their last bytes of data, or a scan, with and without an end marker."""
    data = FILES[name]
    for missing in (1, 2, 5, 20):
        _, error = attempt(data[: -2 - missing])
        assert getattr(error, "kind", None) == "truncated", missing
        _, error = attempt(data[: -2 - missing] + b"\xff\xd9")
        assert error is not None, missing
    if data.count(b"\xff\xda") > 1:
        for cut in (data.rindex(b"\xff\xda"), data.rindex(b"\xff\xc4")):
            _, error = attempt(data[:cut])
            assert getattr(error, "kind", None) == "truncated", cut


def test_every_byte_of_data_counts():
    """Cut byte by byte from the end on: sound as long as only the end marker is missing."""
    data = encode(photo(16, 16, "L"), quality=95)
    planes = list(fv.read_coefficients(data).planes)
    for cut in range(len(data) - 30, len(data) + 1):
        ours, error = attempt(data[:cut])
        assert (error is None) == (cut >= len(data) - 2)
        if ours is not None:
            np.testing.assert_array_equal(ours.planes[0], planes[0])


# ------------------------------------------------------------------------- scans that are not one for each


def missing(planes: list[np.ndarray], *indices: int) -> list[np.ndarray]:
    return [np.zeros_like(plane) if i in indices else plane for i, plane in enumerate(planes)]


@pytest.mark.parametrize("sampling", [SIZES, SAMPLED])
@pytest.mark.parametrize(
    "scans", [[(0,)], [(1,)], [(0,), (2,)], [(0, 1)], [(1, 2)]], ids=lambda scans: str(scans)
)
@pytest.mark.parametrize("progressive", [False, True])
def test_components_that_no_scan_carries(sampling, scans, progressive):
    """… are zero, as in libjpeg."""
    file = picture(3, sampling, progressive=progressive)
    if progressive:
        for part in file.parts:
            part.blocks[..., 1:] = 0
    data = write(file, [Scan(parts, 0, 0 if progressive else 63) for parts in scans])
    carried = {i for parts in scans for i in parts}
    absent = [i for i in range(3) if i not in carried]
    coefficients = assert_planes(data, missing(file.planes(), *absent))
    for i in absent:
        assert f"no scan carries component {i + 1}" in coefficients.warnings
        assert coefficients.quant_tables[i].shape == (8, 8)
    _, error = attempt(data[:-2])  # without the end marker there might have been more
    assert getattr(error, "kind", None) == "truncated"


def over(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """A sequential block decoded over another: its DC coefficient, and all others that are not zero."""
    result = np.where(above != 0, above, below)
    result[..., 0, 0] = above[..., 0, 0]
    return result


@pytest.mark.parametrize("sampling", [SIZES, SAMPLED])
@pytest.mark.parametrize("first", [[(0, 1, 2)], [(0,), (1,), (2,)], [(0, 1), (2,)]], ids=lambda s: str(s))
@pytest.mark.parametrize("second", [(0,), (2,), (0, 1), (0, 1, 2)], ids=lambda s: str(s))
def test_components_that_two_scans_carry(sampling, first, second):
    """The later scan is decoded over the earlier one, as libjpeg's coefficient buffer has it."""
    one, two = picture(4, sampling), picture(5, sampling)
    for a, b in zip(one.parts, two.parts, strict=True):
        b.quant = a.quant
    data = write(one, [Scan(parts) for parts in first])[:-2]
    data += scans_only(write(two, [Scan(second)])) + b"\xff\xd9"
    expected = [
        over(a, b) if i in second else a
        for i, (a, b) in enumerate(zip(one.planes(), two.planes(), strict=True))
    ]
    assert assert_planes(data, expected).warnings == ()


@pytest.mark.parametrize("sampling", [SIZES, SAMPLED])
def test_components_that_two_scans_of_a_progressive_file_carry(sampling):
    """First bits may be sent again once all bits have been."""
    one, two = (picture(seed, sampling, progressive=True) for seed in (6, 7))
    for a, b in zip(one.parts, two.parts, strict=True):
        b.quant = a.quant
    first = [Scan((0, 1, 2), 0, 0), *(Scan((i,), 1, 63) for i in range(3))]
    data = write(one, first)[:-2] + scans_only(write(two, [Scan((0, 1, 2), 0, 0), Scan((1,), 1, 63)]))
    expected = [plane.copy() for plane in one.planes()]
    expected[1] = over(expected[1], two.planes()[1])
    for plane, new in zip(expected, two.planes(), strict=True):
        plane[..., 0, 0] = new[..., 0, 0]
    assert_planes(data + b"\xff\xd9", expected)


def test_equal_ids_in_scans_of_one_component():
    """Each such scan means the first component, as in libjpeg: it is sent three times, the others never."""
    file = picture(8, SIZES)
    for part in file.parts:
        part.id = 1
        part.quant = file.parts[0].quant
    data = write(file, [Scan((0,)), Scan((1,)), Scan((2,))])
    planes = file.planes()
    assert_planes(data, missing([over(over(planes[0], planes[1]), planes[2]), *planes[1:]], 1, 2))


# ------------------------------------------------------------------------------------ runs that are too long


@pytest.mark.parametrize("sampling", [SIZES, SAMPLED])
@pytest.mark.parametrize("seed", range(3))
def test_runs_that_leave_their_block(seed, sampling):
    """A value is put in the last place."""
    file = picture(seed, sampling, density=0.6, overlong_runs="block")
    for part in file.parts:
        part.blocks[::2, :, 63] = 5 - 7 * seed
    assert assert_planes(write(file, [Scan((0, 1, 2))]), file.planes()).warnings == ()


@pytest.mark.parametrize("cut", [1, 5, 30, 55])
@pytest.mark.parametrize("low", [0, 1])
def test_runs_that_leave_their_band(low, cut):
    """A value goes where the run leads, over what earlier scans have put there."""
    file = picture(cut, progressive=True, density=0.6, overlong_runs="band")
    everything = (0, 1, 2)
    bands = [(1, cut), (cut + 1, 63)]
    bits = [(0, 1), (1, 0)] if low else [(0, 0)]
    for order in (-1,) if low else (1, -1):  # a refinement depends on the values before it
        scans = [
            Scan(everything, 0, 0),
            *(Scan((i,), *b, *s) for s in bits for i in (1, 0, 2) for b in bands[::order]),
        ]
        data = write(file, scans)
        planes = oracle(data)
        assert planes is not None
        coefficients = assert_planes(
            data, [p[: o.shape[0], : o.shape[1]] for p, o in zip(planes, file.planes(), strict=True)]
        )
        # A view of some frequencies reads the scans that may have put something there.
        ranges = [(0, high, 0, wide) for high, wide in coefficients.blocks]
        for k in (cut, cut + 1, min(cut + 15, 63), 63):
            rows = _native.read_rows(data, ranges, [1 << ZIGZAG[k]] * 3)
            for ours, plane in zip(rows, coefficients.planes, strict=True):
                place = (..., *divmod(ZIGZAG[k], 8))
                np.testing.assert_array_equal(ours.reshape(plane.shape)[place], plane[place])


# -------------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize("precision", [1, 2, 3, 8, 15])
def test_any_precision_but_0_is_16_bits(precision):
    file = picture(9, wide_quant=True)
    data = bytearray(write(file, [Scan((0, 1, 2))]))
    for i, (part, table) in enumerate(zip(file.parts, fv.read_coefficients(data).quant_tables, strict=True)):
        at = data.index(bytes([0xFF, 0xDB, 0, 131, 0x10 | i]))
        data[at + 4] = precision << 4 | i
        assert list(table[0, :2]) == list(part.quant[:2])
    changed = assert_planes(bytes(data), file.planes())
    for ours, part in zip(changed.quant_tables, file.parts, strict=True):
        assert list(ours[0, :2]) == list(part.quant[:2])


# ------------------------------------------------------------------------------------------------ ../shared


def test_reported_files(shared):
    folder = shared / "data" / "reported"
    names = ["equal_component_ids_111", "comment_length_0", "exif_orientation_long"]
    names += [f"complete_without_eoi{end}" for end in ("", "_zero_padded", "_samsung_trailer")]
    expected = None
    for name in names:
        coefficients = fv.read_coefficients(folder / f"{name}.jpg")
        assert fv.read_header(folder / f"{name}.jpg").orientation == coefficients.orientation
        assert (coefficients.orientation > 1) == (name == "exif_orientation_long")
        assert bool(coefficients.warnings) == ("eoi" in name)
        expected = expected or coefficients.planes
        for ours, theirs in zip(coefficients.planes, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
