"""Files that must be refused, each with the kind and the place of what is wrong."""

import io
import pickle

import numpy as np
import pytest
import torch
from jpeg_files import encode, marker_offsets, offset_of, photo, without_segments
from jpeg_writer import segment

import freqvision as fv

BASELINE = encode(photo(40, 60), quality=90, subsampling="4:2:0")
PROGRESSIVE = encode(photo(40, 60), quality=90, progressive=True)


def with_bytes(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


def frame(data: bytes = BASELINE) -> int:
    return next(offset for marker, offset in marker_offsets(data) if marker in (0xC0, 0xC2))


SOS = offset_of(BASELINE, 0xDA)
SIDE = frame() + 5  # height, then width
COUNT = frame() + 9
DQT = offset_of(BASELINE, 0xDB)
DHT = offset_of(BASELINE, 0xC4)

SPEC = fv.FrequencySpec(resize=64, crop=64)

CASES = {
    "nothing": (b"", "not-jpeg", 0),
    "another format": (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "not-jpeg", 0),
    "something before it": (b"\0" + BASELINE, "not-jpeg", 0),
    "start only": (b"\xff\xd8", "truncated", 2),
    "no image data": (b"\xff\xd8\xff\xd9", "corrupt", 2),
    "no frame": (BASELINE[: frame()] + BASELINE[SOS:], "corrupt", frame()),
    "two frames": (BASELINE[:SOS] + BASELINE[frame() : frame() + 19] + BASELINE[SOS:], "corrupt", SOS),
    "two starts": (b"\xff\xd8" + BASELINE, "corrupt", 2),
    "lossless": (with_bytes(BASELINE, frame() + 1, b"\xc3"), "lossless", frame()),
    "hierarchical": (with_bytes(BASELINE, frame() + 1, b"\xc5"), "hierarchical", frame()),
    "hierarchical, by its own header": (with_bytes(BASELINE, frame() + 1, b"\xde"), "hierarchical", frame()),
    "arithmetic": (with_bytes(BASELINE, frame() + 1, b"\xc9"), "arithmetic", frame()),
    "progressive arithmetic": (with_bytes(BASELINE, frame() + 1, b"\xca"), "arithmetic", frame()),
    "JPEG-LS": (with_bytes(BASELINE, frame() + 1, b"\xf7"), "unsupported", frame()),
    "reserved marker": (with_bytes(BASELINE, frame() + 1, b"\x02"), "corrupt", frame()),
    "12 bits": (with_bytes(BASELINE, frame() + 4, b"\x0c"), "12-bit", frame()),
    "7 bits": (with_bytes(BASELINE, frame() + 4, b"\x07"), "corrupt", frame()),
    "no height": (with_bytes(BASELINE, SIDE, b"\0\0"), "illegal-size", frame()),
    "no width": (with_bytes(BASELINE, SIDE + 2, b"\0\0"), "illegal-size", frame()),
    "no components": (with_bytes(BASELINE, COUNT, b"\0"), "unsupported", frame()),
    "five components": (with_bytes(BASELINE, COUNT, b"\x05"), "unsupported", frame()),
    "frame too short": (with_bytes(BASELINE, COUNT, b"\x04"), "corrupt", frame()),
    "sampling factor 0": (with_bytes(BASELINE, COUNT + 2, b"\x01"), "illegal-size", frame()),
    "sampling factor 5": (with_bytes(BASELINE, COUNT + 2, b"\x15"), "illegal-size", frame()),
    "MCU of 18 blocks": (with_bytes(BASELINE, COUNT + 2, b"\x44"), "corrupt", SOS),
    "same component twice, then another": (with_bytes(BASELINE, COUNT + 4, b"\x01"), "corrupt", SOS),
    "quantisation table 4": (with_bytes(BASELINE, COUNT + 3, b"\x04"), "corrupt", frame()),
    "no quantisation table": (without_segments(BASELINE, 0xDB), "missing-table", None),
    "scan of 0 components": (with_bytes(BASELINE, SOS + 4, b"\0"), "corrupt", SOS),
    "scan of another component": (with_bytes(BASELINE, SOS + 5, b"\x09"), "corrupt", SOS),
    "scan of a component twice": (with_bytes(BASELINE, SOS + 7, b"\x01"), "corrupt", SOS),
    "Huffman table 4": (with_bytes(BASELINE, SOS + 6, b"\x40"), "corrupt", SOS),
    "Huffman table that is not there": (with_bytes(BASELINE, SOS + 6, b"\x33"), "missing-table", SOS),
    "DQT index": (with_bytes(BASELINE, DQT + 4, b"\x07"), "corrupt", DQT),
    "DQT too long": (with_bytes(BASELINE, DQT + 3, b"\x44"), "corrupt", DQT),
    "DHT class": (with_bytes(BASELINE, DHT + 4, b"\x20"), "corrupt", DHT),
    "DHT of too many codes": (with_bytes(BASELINE, DHT + 5, b"\xff\xff\xff"), "corrupt", DHT),
    "DHT that is no prefix code": (with_bytes(BASELINE, DHT + 5, b"\x03"), "corrupt", None),
    "segment without a length": (with_bytes(BASELINE, DQT + 2, b"\0\1"), "corrupt", DQT),
    "cut in a segment": (BASELINE[: DQT + 20], "truncated", DQT + 20),
    "cut in the image": (BASELINE[: SOS + 100], "truncated", SOS + 100),
    "without its last byte of data": (BASELINE[:-3], "truncated", len(BASELINE) - 3),
    "end too early": (BASELINE[: SOS + 200] + b"\xff\xd9", "truncated", None),
    "progressive table missing": (without_segments(PROGRESSIVE, 0xC4), "missing-table", None),
    "progressive, without its last byte of data": (PROGRESSIVE[:-3], "truncated", len(PROGRESSIVE) - 3),
    "progressive, without its last scan": (
        PROGRESSIVE[: PROGRESSIVE.rindex(b"\xff\xc4")],
        "truncated",
        PROGRESSIVE.rindex(b"\xff\xc4"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_kind_and_place(name):
    data, kind, offset = CASES[name]
    with pytest.raises(fv.JpegError) as caught:
        fv.read_coefficients(data)
    error = caught.value
    assert error.kind == kind, error
    if offset is not None:
        assert error.offset == offset, error
    assert f"(at byte {error.offset})" in str(error)
    assert isinstance(error, ValueError)


def test_the_cases_begin_with_sound_files():
    for data in (BASELINE, PROGRESSIVE):
        assert fv.read_coefficients(data).warnings == ()


@pytest.mark.parametrize(
    "scan",
    [
        pytest.param((0, 5, 0, 0), id="DC and AC together"),
        pytest.param((6, 5, 0, 0), id="band that ends before it begins"),
        pytest.param((1, 64, 0, 0), id="band beyond 63"),
        pytest.param((1, 5, 0, 14), id="bit 14"),
        pytest.param((1, 5, 3, 1), id="two bits at once"),
    ],
)
def test_illegal_progression(scan):
    sos = offset_of(PROGRESSIVE, 0xDA)
    length = int.from_bytes(PROGRESSIVE[sos + 2 : sos + 4], "big")
    begin, end, high, low = scan
    data = with_bytes(PROGRESSIVE, sos + 2 + length - 3, bytes([begin, end, high << 4 | low]))
    with pytest.raises(fv.JpegError, match="progression parameters") as caught:
        fv.read_coefficients(data)
    assert (caught.value.kind, caught.value.offset) == ("corrupt", sos)


def test_a_scan_twice():
    """A progressive scan that sends again what was sent, and a second scan of a sequential file."""
    for data in (PROGRESSIVE, encode(photo(40, 60, "L"))):
        sos = offset_of(data, 0xDA)
        end = sos + 4
        while data[end] != 0xFF or data[end + 1] == 0:
            end += 1
        twice = data[:end] + data[sos:]
        if data is PROGRESSIVE:
            with pytest.raises(fv.JpegError, match="does not continue") as caught:
                fv.read_coefficients(twice)
            assert caught.value.kind == "corrupt"
        else:
            assert (fv.read_coefficients(twice).planes[0] == fv.read_coefficients(data).planes[0]).all()


def test_limit_of_pixels():
    assert fv.read_coefficients(BASELINE, max_pixels=2400).size == (40, 60)
    for read in (fv.read_coefficients, fv.read_header):
        with pytest.raises(fv.JpegError, match=r"60 x 40.*2399.*max_pixels") as caught:
            read(BASELINE, max_pixels=2399)
        assert caught.value.kind == "too-large"


@pytest.mark.parametrize("read", [fv.read_coefficients, fv.read_header])
def test_limits_that_are_none(read):
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"max_pixels is positive, got {limit}"):
            read(BASELINE, max_pixels=limit)
    for limit in (None, 1.5, "9"):
        with pytest.raises(TypeError, match="max_pixels is an integer"):
            read(BASELINE, max_pixels=limit)
    assert read(BASELINE, max_pixels=10**30).size == (40, 60)
    assert read(BASELINE, max_pixels=np.int64(10**9)).size == (40, 60)


def test_strict_may_be_any_truth_value():
    assert fv.read_coefficients(BASELINE[:-3], strict=np.False_).warnings
    with pytest.raises(fv.JpegError):
        fv.read_coefficients(BASELINE[:-3], strict=1)


@pytest.mark.parametrize("read", [fv.read_coefficients, fv.read_header, lambda s: fv.Decoder(SPEC)([s])])
def test_sources_that_are_none_are_told_the_way_out(read):
    even = BASELINE[: len(BASELINE) // 2 * 2]
    for strided in (memoryview(BASELINE)[::2], np.frombuffer(even, np.uint8).reshape(2, -1).T):
        with pytest.raises(TypeError, match=r"contiguous buffer, and this .* is not: pass its \.tobytes"):
            read(strided)
    with pytest.raises(TypeError, match=r"not BytesIO; pass its \.read\(\)"):
        read(io.BytesIO(BASELINE))
    with pytest.raises(TypeError, match=r"not Tensor; pass its \.numpy\(\)"):
        read(torch.frombuffer(bytearray(BASELINE), dtype=torch.uint8))
    with pytest.raises(TypeError, match="not NoneType"):
        read(None)


def test_limit_of_scans():
    extra = PROGRESSIVE[offset_of(PROGRESSIVE, 0xDA) : -2] * 40
    with pytest.raises(fv.JpegError, match="scans") as caught:
        fv.read_coefficients(PROGRESSIVE[:-2] + extra + b"\xff\xd9", strict=False)
    assert caught.value.kind == "too-large"


@pytest.mark.parametrize("data", [BASELINE, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_few_bytes_that_claim_to_be_huge(data):
    """Refused before memory is taken: 16000 × 16000 blocks could not be in so little data."""
    at = frame(data) + 5
    with pytest.raises(fv.JpegError, match="cannot hold") as caught:
        fv.read_coefficients(with_bytes(data, at, b"\x3e\x80\x3e\x80"))
    assert caught.value.kind == "truncated"


def test_unsupported_kinds_are_told_from_damage():
    for name, (data, kind, _) in CASES.items():
        with pytest.raises(fv.JpegError) as caught:
            fv.read_coefficients(data)
        expected = kind in ("lossless", "hierarchical", "arithmetic", "12-bit", "unsupported")
        assert caught.value.unsupported == expected, name


def test_errors_name_the_file_and_can_be_pickled(tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(BASELINE[:-3])
    for read in (fv.read_coefficients, lambda p: fv.read_coefficients(p, strict=True)):
        with pytest.raises(fv.JpegError, match=r"broken\.jpg: truncated") as caught:
            read(path)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.kind, copy.offset) == (str(caught.value), "truncated", len(BASELINE) - 3)
    with pytest.raises(FileNotFoundError):
        fv.read_coefficients(tmp_path / "none.jpg")
    with pytest.raises(FileNotFoundError):
        fv.read_header(tmp_path / "none.jpg")


def test_oddities_that_lose_nothing_are_warnings():
    """libjpeg accepts all of these, and so do we; the planes are the same."""
    planes = fv.read_coefficients(BASELINE).planes
    end = len(BASELINE) - 2
    odd = {
        "junk between segments": BASELINE[:DQT] + b"\1\2\3" + BASELINE[DQT:],
        "junk behind the last block": BASELINE[:end] + b"\x12\x34\x56" + BASELINE[end:],
    }
    for name, data in odd.items():
        coefficients = fv.read_coefficients(data)
        assert len(coefficients.warnings) == 1, name
        assert all((a == b).all() for a, b in zip(coefficients.planes, planes, strict=True))
    plain = {
        "fill bytes before markers": BASELINE[:DQT] + b"\xff" * 5 + BASELINE[DQT:],
        "fill bytes before the end": BASELINE[:end] + b"\xff" * 3 + BASELINE[end:],
        "a comment": BASELINE[:DQT] + segment(0xFE, b"hello") + BASELINE[DQT:],
        "bytes behind the end": BASELINE + b"anything",
        "padding bytes": BASELINE[:end] + b"\0\0" + BASELINE[end:],
    }
    for name, data in plain.items():
        coefficients = fv.read_coefficients(data)
        assert coefficients.warnings == (), name
        assert all((a == b).all() for a, b in zip(coefficients.planes, planes, strict=True))


def test_motion_jpeg_without_huffman_tables():
    """Frames of Motion JPEG leave out the standard's tables; Pillow writes those unless it optimises."""
    bare = without_segments(BASELINE, 0xC4)
    planes = fv.read_coefficients(bare).planes
    assert all((a == b).all() for a, b in zip(planes, fv.read_coefficients(BASELINE).planes, strict=True))
