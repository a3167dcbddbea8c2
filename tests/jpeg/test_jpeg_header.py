"""Headers: sizes, sampling, colour models, orientation."""

import struct

import pytest
from jpeg_files import encode, offset_of, photo
from jpeg_samples import random_file
from jpeg_writer import segment, write
from PIL import Image

import freqvision as fv


@pytest.mark.parametrize("seed", range(30))
def test_header_agrees_with_coefficients(seed):
    picture, scans = random_file(seed)
    data = write(picture, scans)
    header, coefficients = fv.read_header(data), fv.read_coefficients(data)
    for name in ("size", "colour_model", "sampling_factors", "component_sizes", "orientation", "progressive"):
        assert getattr(header, name) == getattr(coefficients, name)
    assert header.blocks == tuple(plane.shape[:2] for plane in coefficients.planes)
    assert header.restart_interval == picture.restart


def test_odd_sizes_round_up():
    header = fv.read_header(encode(photo(33, 51), subsampling="4:2:0"))
    assert header.size == (33, 51)
    assert header.sampling_factors == ((2, 2), (1, 1), (1, 1))
    assert header.component_sizes == ((33, 51), (17, 26), (17, 26))
    assert header.blocks == ((5, 7), (3, 4), (3, 4))


def exif(order: str, value: int, kind: int = 3) -> bytes:
    number = struct.pack(order + ("I" if kind == 4 else "HH"), *((value,) if kind == 4 else (value, 0)))
    entry = struct.pack(order + "HHI", 0x0112, kind, 1) + number
    other = struct.pack(order + "HHII", 0x0131, 2, 4, 0)
    tiff = (
        (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 2) + other + entry + bytes(4)
    )
    return b"Exif\0\0" + tiff


def with_app(data: bytes, marker: int, payload: bytes, *, bare: bool = False) -> bytes:
    """Inserts a segment first; `bare` drops the JFIF segment that Pillow writes."""
    rest = data[offset_of(data, 0xDB) :] if bare else data[2:]
    return b"\xff\xd8" + segment(marker, payload) + rest


@pytest.mark.parametrize("kind", [3, 4])  # SHORT, and LONG as some tools write it
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("value", range(10))
def test_orientation(value, order, kind):
    data = with_app(encode(photo(16, 24)), 0xE1, exif(order, value, kind))
    assert fv.read_header(data).orientation == (value if 1 <= value <= 8 else 1)
    assert fv.read_coefficients(data).orientation == fv.read_header(data).orientation


def test_orientation_as_pillow_writes_it():
    image = photo(16, 24)
    tags = Image.Exif()
    tags[0x0112] = 6
    header = fv.read_header(encode(image, exif=tags))
    assert (header.orientation, header.size) == (6, (16, 24))


def test_malformed_exif_is_ignored():
    good = exif("<", 6)
    for broken in [good[:n] for n in range(6, len(good) - 4)] + [
        good.replace(b"II", b"XX"),
        exif("<", 6, kind=9),
    ]:
        assert fv.read_header(with_app(encode(photo(16, 24)), 0xE1, broken)).orientation == 1


def test_orientation_of_photos(shared):
    for file in sorted((shared / "data" / "jpeg-corpus" / "recurser+exif-orientation-examples").iterdir()):
        with Image.open(file) as image:
            expected = image.getexif().get(0x0112, 1) or 1
        assert fv.read_header(file).orientation == expected


def renamed(data: bytes, ids: bytes) -> bytes:
    """Other component ids in frame and scan."""
    out = bytearray(data)
    for marker, first, step in ((0xC0, 10, 3), (0xDA, 5, 2)):
        at = offset_of(data, marker)
        for i, new in enumerate(ids):
            out[at + first + step * i] = new
    return bytes(out)


def test_colour_models():
    """As libjpeg decides: JFIF, then Adobe's transform, then component ids."""
    rgb, cmyk = encode(photo(16, 16)), encode(photo(16, 16, "CMYK"))
    adobe = [b"Adobe\0\x64\0\0\0\0" + bytes([transform]) for transform in (0, 1, 2)]
    bare = b"\xff\xd8" + rgb[offset_of(rgb, 0xDB) :]
    assert fv.read_header(encode(photo(16, 16, "L"))).colour_model == "gray"
    assert fv.read_header(rgb).colour_model == "YCbCr"
    assert fv.read_header(bare).colour_model == "YCbCr"
    assert fv.read_header(renamed(bare, b"RGB")).colour_model == "RGB"
    assert fv.read_header(renamed(rgb, b"RGB")).colour_model == "YCbCr"
    assert fv.read_header(with_app(rgb, 0xEE, adobe[0], bare=True)).colour_model == "RGB"
    assert fv.read_header(with_app(rgb, 0xEE, adobe[1], bare=True)).colour_model == "YCbCr"
    assert fv.read_header(with_app(rgb, 0xEE, adobe[0])).colour_model == "YCbCr"
    assert fv.read_header(cmyk).colour_model == "CMYK"
    assert fv.read_header(with_app(cmyk, 0xEE, adobe[2], bare=True)).colour_model == "YCCK"
    assert fv.read_header(with_app(cmyk, 0xFE, b"no Adobe", bare=True)).colour_model == "CMYK"


def test_a_long_header_is_read_to_its_end(tmp_path):
    """Several segments of 60 KB, as colour profiles and thumbnails make them."""
    data = encode(photo(16, 24))
    long = data[:2] + segment(0xE2, bytes(60000)) * 3 + data[2:]
    path = tmp_path / "long.jpg"
    path.write_bytes(long)
    assert fv.read_header(path).size == (16, 24)
    path.write_bytes(long[:150000])
    with pytest.raises(fv.JpegError, match=r"long\.jpg") as caught:
        fv.read_header(path)
    assert caught.value.kind == "truncated"


def test_header_needs_no_image_data():
    data = encode(photo(16, 24))
    assert fv.read_header(data[: data.index(b"\xff\xda") + 14]).size == (16, 24)
