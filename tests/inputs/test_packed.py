"""Packed photos: what was stored, seen through every view; and bytes that are no sound photo."""

import random
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from freqvision import (
    ChannelSet,
    Decoder,
    FrequencySpec,
    JpegError,
    PixelSpec,
    _native,
    pack,
    read_coefficients,
    read_header,
    unpack,
)
from freqvision.inputs.packed import FINEST, LEVELS, ROUNDED_UP, Packer
from freqvision.jpeg import find_damage
from freqvision.spectrum.dct import block_idct

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "jpeg"))
from jpeg_files import encode, photo
from jpeg_samples import samples

LOSSLESS = [
    (name, data)
    for name, data in samples()
    if read_coefficients(data, strict=False).colour_model in ("gray", "YCbCr")
]
KEPT = FrequencySpec(resize=96, crop=None)  # what most photos below are packed with
MAX_PIXELS = 2**28


@pytest.mark.parametrize("codec", sorted(LEVELS))
@pytest.mark.parametrize(("name", "data"), LOSSLESS, ids=[name for name, _ in LOSSLESS])
def test_a_photo_packed_without_a_spec_loses_nothing(name, data, codec):
    stored = read_coefficients(data)
    (packed,) = pack([data], codec=codec)
    found = unpack(packed)
    assert found.size == stored.size
    assert found.sampling_factors == stored.sampling_factors
    assert found.component_sizes == stored.component_sizes
    assert found.orientation == stored.orientation
    for mine, theirs in zip(found.planes, stored.planes, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(found.quant_tables, stored.quant_tables, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("codec", sorted(LEVELS))
@pytest.mark.parametrize("spec", [None, KEPT], ids=["lossless", "channels"])
def test_headers_and_damage_of_files_and_bytes(codec, spec, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    photos = [encode(photo(height, 131), exif=exif, quality=95) for height in (90, 700)]
    for number, (data, packed) in enumerate(zip(photos, pack(photos, spec, codec=codec), strict=True)):
        path = tmp_path / f"{number}.fqp"
        path.write_bytes(packed)
        stored = read_header(data)
        for source in (packed, path):
            header = read_header(source)
            assert header.orientation == (stored.orientation if spec is None else 1)
            assert header.colour_model == "YCbCr"
            if spec is None:
                assert (header.size, header.blocks) == (stored.size, stored.blocks)
            assert find_damage(source) is None
        with pytest.raises(JpegError) as caught:
            read_header(packed, max_pixels=50)
        assert caught.value.kind == "too-large"
        path.write_bytes(packed[:-1])
        assert find_damage(path).kind in ("corrupt", "truncated")
        assert str(path) in str(find_damage(path))
        choose = random.Random(number)
        for _ in range(50):
            changed = bytearray(packed)
            changed[choose.randrange(4, len(packed))] ^= 1 << choose.randrange(8)
            assert find_damage(changed) is not None


@pytest.mark.parametrize("spec", [FrequencySpec(resize=72, crop=64), PixelSpec(resize=40, crop=33)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_decoder_sees_the_same_in_it_as_in_the_file(spec, subsampling):
    files = [encode(photo(90, 131, seed=seed), subsampling=subsampling, quality=95) for seed in range(3)]
    files.append(encode(photo(61, 80, "L")))
    packed = pack(files)
    decode = Decoder(spec, num_threads=2)
    close = partial(torch.testing.assert_close, rtol=0, atol=1e-5)
    close(decode(packed), decode(files))
    mine, theirs = (
        decode.random_resized(sources, generator=torch.Generator().manual_seed(5))
        for sources in (packed, files)
    )
    close(mine, theirs)
    close(decode([packed[0], files[1]]), decode(files[:2]))  # both kinds in one batch


def test_values_beyond_int8_are_kept():
    blocks = np.random.default_rng(0).integers(-2047, 2048, (5, 7, 8, 8), dtype=np.int16)
    table = np.arange(1, 65, dtype=np.uint16).reshape(8, 8)
    packed = _native.pack_blocks([blocks], [table], [(1, 1)], 40, 56, 1, "lz4", 9)
    np.testing.assert_array_equal(unpack(packed).planes[0], blocks)
    (decoded,) = Decoder(FrequencySpec(None, 40, ChannelSet.preset(64)).raw(), num_threads=1)([packed])
    expected = torch.from_numpy(blocks[:, 1:6].astype(np.float32) * table).flatten(2)  # columns 8 to 48
    luma = [channel for channel in ChannelSet.preset(64) if channel < 64]
    torch.testing.assert_close(decoded[: len(luma)], expected[..., luma].movedim(-1, 0), rtol=1e-4, atol=0.5)


@pytest.mark.parametrize("isa", _native.available_isas())
def test_values_of_every_width_in_chunks_of_every_length(isa):
    """By each set of instructions; DC is packed as differences, whose widths are others."""
    random = np.random.default_rng(0)
    table = np.ones((8, 8), np.uint16)
    largest = np.minimum(2.0 ** (np.arange(64) % 16) - 1, 2**15 - 1).reshape(8, 8)
    before = _native.isa()
    _native.set_isa(isa)
    try:
        for wide in range(1, 34):
            blocks = (largest * random.uniform(-1, 1, (3, wide, 8, 8))).astype(np.int16)
            blocks[0, 0] = -largest - 1
            packed = _native.pack_blocks([blocks], [table], [(1, 1)], 24, 8 * wide, 1, "lz4", 9)
            np.testing.assert_array_equal(unpack(packed).planes[0], blocks)
    finally:
        _native.set_isa(before)


@pytest.mark.parametrize("codec", sorted(LEVELS))
def test_channels_of_centre_crops_come_back_within_the_rounding_of_their_steps(codec):
    files = [encode(photo(*size, seed=1)) for size in ((120, 170), (139, 90), (90, 131), (100, 100))]
    decode = Decoder(FrequencySpec(resize=96, crop=80).raw(), num_threads=1)
    is_ac = torch.tensor([channel % 64 > 0 for channel in KEPT.channels])[:, None, None]
    scale = torch.tensor(KEPT.with_dtype("int8").scale)[:, None, None]
    steps = torch.where(is_ac, scale.clamp(min=FINEST), scale)
    expected, found = decode(files), decode(pack(files, KEPT, codec=codec))
    inside = expected.abs() < 127 * steps
    lost = (found - expected).abs() / steps
    assert (lost <= torch.where(is_ac, ROUNDED_UP, 0.5) + 0.001)[inside].all()


@pytest.mark.parametrize("channels", [192, 24])
def test_the_edge_of_a_photo_is_no_part_of_its_padding(channels):
    """A photo of 75×100 pixels ends within its last blocks; nothing of the gray around it is ever seen."""
    white = encode(photo(150, 200).point(lambda _: 255), quality=100)
    (packed,) = pack([white], FrequencySpec(resize=75, crop=None, channels=ChannelSet.preset(channels)))
    (pixels,) = Decoder(PixelSpec(resize=64, crop=None, dtype="uint8"), num_threads=1).each([packed])
    assert pixels.shape == (3, 64, 85)
    assert pixels.min() >= 253


@pytest.mark.parametrize("size", [(75, 101), (82, 78)])
def test_blocks_at_the_edge_are_as_exact_as_others(size):
    """Blocks that a photo leaves within a pixel or seven show it with no larger error than whole ones."""
    data = encode(photo(*size, seed=3), subsampling="4:4:4", quality=98)
    (packed,) = pack([data], FrequencySpec(None, None))
    decode = Decoder(PixelSpec(None, None), num_threads=1)
    error = decode.each([packed])[0] - decode.each([data])[0]
    at_edge = torch.ones(size, dtype=torch.bool)
    at_edge[8:-8, 8:-8] = False
    assert error[:, at_edge].square().mean() < 1.2 * error[:, ~at_edge].square().mean()


def test_pixels_of_all_channels_are_those_of_the_file():
    data = encode(photo(128, 160), quality=98, subsampling="4:4:4")
    (packed,) = pack([data], FrequencySpec(None, None, ChannelSet.preset(192)))
    spec = PixelSpec(resize=64, crop=64, dtype="uint8")
    mine, theirs = (Decoder(spec, num_threads=1)([source])[0].float() for source in (packed, data))
    assert (mine - theirs).square().mean().sqrt() < 1


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_orientation(orientation):
    data = encode(photo(90, 130), exif=_exif(orientation))
    for spec in (None, KEPT, KEPT.replace(orientation="stored")):
        (packed,) = pack([data], spec)
        for shown in ("exif", "stored"):
            if spec is KEPT and shown == "stored":
                continue  # it was packed upright
            view = PixelSpec(resize=(48, 48), crop=None, orientation=shown)
            mine, theirs = (Decoder(view, num_threads=1)([source]) for source in (packed, data))
            assert (mine - theirs).square().mean().sqrt() < (0.5 if spec else 1e-6)


def _exif(orientation):
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def test_files_and_other_images(tmp_path):
    path = tmp_path / "photo.fqpk"
    path.write_bytes(pack([encode(photo(90, 130))], KEPT)[0])
    decode = Decoder(FrequencySpec(resize=64, crop=64), num_threads=1)
    assert decode([path]).shape == (1, 24, 8, 8)
    photo(90, 130).save(tmp_path / "photo.png")
    assert decode(pack([tmp_path / "photo.png"], KEPT)).shape == (1, 24, 8, 8)


def test_a_bad_photo_costs_only_itself(tmp_path):
    sources = [encode(photo(90, 130)), b"\xff\xd8nothing", tmp_path / "missing.jpg"]
    packed, errors = Packer(KEPT, num_threads=2).try_pack(sources)
    assert packed[0]
    assert packed[1:] == [b"", b""]
    assert isinstance(errors[1], JpegError)
    assert isinstance(errors[2], OSError)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"spec": PixelSpec()}, TypeError, "spec is a FrequencySpec"),
        ({"codec": "gzip"}, ValueError, "codec is lz4 or zstd"),
        ({"level": 13}, ValueError, "level of lz4 is 1 to 12"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Packer(**arguments)


def test_colours_that_are_not_ycbcr_need_a_spec():
    data = encode(photo(33, 50, "CMYK"))
    with pytest.raises(JpegError, match="CMYK"):
        pack([data])
    assert pack([data], KEPT)[0]


def test_what_a_spec_left_out_cannot_be_unpacked():
    with pytest.raises(ValueError, match="packed with a spec"):
        unpack(pack([encode(photo(90, 130))], KEPT)[0])


# Bytes that are no sound photo.


@pytest.fixture(scope="module", params=["lossless-lz4", "lossless-zstd", "channels-lz4"])
def sound(request):
    spec = None if request.param.startswith("lossless") else KEPT
    return pack([encode(photo(45, 70), quality=96)], spec, codec=request.param.split("-")[1])[0]


def test_every_cut_is_noticed(sound):
    decode = Decoder(FrequencySpec(resize=72, crop=64), num_threads=1)
    cuts = [sound[:length] for length in range(4, len(sound), 7)]
    _, errors = decode.try_decode(cuts)
    assert sorted(errors) == list(range(len(cuts)))
    assert all(isinstance(error, JpegError) for error in errors.values())


def test_every_changed_byte_is_noticed(sound):
    decode = Decoder(FrequencySpec(resize=72, crop=64), num_threads=1)
    changed = []
    for place in range(4, len(sound), 5):
        data = bytearray(sound)
        data[place] ^= 1 << place % 8
        changed.append(bytes(data))
    _, errors = decode.try_decode(changed)
    # The size of the photo it was made of, and its orientation, are not covered by the checksum.
    uncovered = [place for place in range(4, len(sound), 5) if place < 28]
    assert len(errors) >= len(changed) - len(uncovered)


def test_damage_behind_a_sound_checksum_is_an_error_or_another_photo(sound):
    """What the checksum would have caught, for those who write one that fits."""
    choose = random.Random(0)
    outcomes = set()
    for _ in range(1500):
        data = bytearray(sound)
        for _ in range(choose.randint(1, 8)):
            place = choose.randrange(4, len(data) if choose.random() < 0.5 else min(400, len(data)))
            data[place] = choose.choice([0, 1, 0x7F, 0x80, 0xFF, choose.randrange(256)])
        if choose.random() < 0.3:
            data = data[: choose.randrange(len(data))]
        try:
            outcomes.add(type(_native.unpack(bytes(data), MAX_PIXELS, False)))
        except JpegError as error:
            outcomes.add(error.kind)
    assert {"corrupt", "truncated", dict} <= outcomes


@pytest.mark.parametrize("place", [26, 27])
@pytest.mark.parametrize(("spec", "value", "match"), [(KEPT, 8, "first block"), (None, 7, "sampling factor")])
def test_a_first_pixel_elsewhere_than_packing_puts_it_is_an_error(place, spec, value, match):
    """It lies in the first block, and in its corner unless all components are of full size."""
    (packed,) = pack([encode(photo(100, 131))], spec)
    data = bytearray(packed)
    data[place] = value
    with pytest.raises(JpegError, match=match) as caught:
        _native.unpack(bytes(data), MAX_PIXELS, False)
    assert caught.value.kind == "corrupt"


def test_a_few_bytes_cannot_ask_for_much_memory(sound):
    data = bytearray(sound)
    data[8:16] = struct.pack("<II", 16000, 16000)
    with pytest.raises(JpegError, match=r"size|more data"):
        _native.unpack(bytes(data), MAX_PIXELS, False)
    data[8:16] = struct.pack("<II", 65535, 65535)
    with pytest.raises(JpegError, match="max_pixels"):
        _native.unpack(bytes(data), MAX_PIXELS, False)


def test_a_large_flat_photo_can_be_read_again():
    """zstd makes nearly nothing of it, from which no reader would take that much memory."""
    blocks = np.zeros((1200, 1200, 8, 8), dtype=np.int16)
    packed = _native.pack_blocks([blocks], [np.ones((8, 8), np.uint16)], [(1, 1)], 9600, 9600, 1, "zstd", 3)
    assert len(packed) > 150_000
    assert not unpack(packed).planes[0].any()


def test_a_later_format_is_named(sound):
    data = bytearray(sound)
    data[4] = 2
    with pytest.raises(JpegError, match="format version 2, this reads version 1"):
        unpack(bytes(data))


def test_memory_of_unpacked_planes_is_numpys():
    planes = unpack(pack([encode(photo(45, 70))])[0]).planes
    planes[0][:] = 1
    assert block_idct(torch.from_numpy(planes[0].astype(np.float32))).isfinite().all()


CHANGING = """
import ctypes, mmap, sys, threading
import numpy as np
from freqvision import JpegError, _native

photo, pages = open(sys.argv[1], "rb").read(), mmap.mmap(-1, 32 * mmap.PAGESIZE)
start = 31 * mmap.PAGESIZE - len(photo)  # nothing may be read beyond the last byte
last = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + 31 * mmap.PAGESIZE
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(last), mmap.PAGESIZE, 0) == 0
data, stop = np.frombuffer(pages, np.uint8, len(photo), start), threading.Event()
data[:] = original = np.frombuffer(photo, np.uint8)

def change():
    random = np.random.default_rng(0)
    while not stop.is_set():
        place = random.integers(150, len(photo), 20)
        data[place] = random.integers(256, size=20)
        data[:] = original

thread = threading.Thread(target=change)
thread.start()
for _ in range(2000):
    try:
        _native.unpack(data, 2**28, check=False)
    except JpegError:
        pass
stop.set()
thread.join()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's mprotect")
def test_a_buffer_that_changes_meanwhile_hurts_nothing(tmp_path):
    """What is in place as it is packed is read more than once: it crashed where sizes of chunks changed."""
    (packed,) = pack([encode(photo(200, 300), quality=96)], KEPT, codec="lz4")
    (tmp_path / "a.fqpk").write_bytes(packed)
    subprocess.run([sys.executable, "-c", CHANGING, tmp_path / "a.fqpk"], check=True)
