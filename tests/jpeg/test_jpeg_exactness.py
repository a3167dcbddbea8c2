"""What the reader returns is what the encoder stored, bit by bit."""

import gc
import re
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from jpeg_files import attempt, encode, offset_of, oracle, photo, same_planes
from jpeg_samples import random_file
from jpeg_writer import Scan, random_picture, write

import freqvision as fv
from freqvision import _native


@pytest.fixture(params=_native.available_isas())
def isa(request):
    before = _native.isa()
    _native.set_isa(request.param)
    yield request.param
    _native.set_isa(before)


def assert_as_oracle(data: bytes | Path) -> fv.Coefficients:
    ours = fv.read_coefficients(data)
    theirs = oracle(data)
    assert theirs is not None
    assert same_planes(ours.planes, theirs)
    return ours


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [1, 10, 50, 75, 90, 96, 100])
def test_files_of_pillow(quality, subsampling, progressive):
    options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
    coefficients = assert_as_oracle(encode(photo(61, 83, seed=quality), **options, optimize=quality % 2 == 0))
    assert coefficients.progressive == progressive
    assert coefficients.warnings == ()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (7, 8), (8, 9), (16, 17), (33, 31), (2, 200), (200, 2)]
)
def test_sizes_and_modes(mode, height, width):
    coefficients = assert_as_oracle(encode(photo(height, width, mode)))
    assert coefficients.size == (height, width)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize(
    "restarts", [{"restart_marker_blocks": n} for n in (1, 2, 7)] + [{"restart_marker_rows": 1}]
)
def test_restart_intervals(restarts, progressive):
    data = encode(photo(90, 120), progressive=progressive, **restarts)
    assert assert_as_oracle(data).restart_interval > 0


@pytest.mark.parametrize("progressive", [False, True])
def test_data_of_several_pieces(progressive):
    data = encode(photo(700, 900), quality=100, subsampling="4:4:4", progressive=progressive)
    assert len(data) > 3 * 2**17  # the reader removes the stuffing from 128 KiB at a time
    assert_as_oracle(data)
    rest = fv.read_coefficients(data[: len(data) // 2], strict=False)
    assert any("truncated" in warning for warning in rest.warnings)


def test_every_instruction_set_gives_the_same(isa):
    for seed in range(6):
        picture, scans = random_file(seed)
        planes = fv.read_coefficients(write(picture, scans)).planes
        assert all(map(np.array_equal, planes, picture.planes()))
    # Long enough for the vector loops, with much byte stuffing.
    assert_as_oracle(encode(photo(200, 300), quality=100, subsampling="4:4:4"))


@pytest.mark.parametrize("seed", range(80))
def test_any_sampling_scans_and_tables(seed):
    """Sequential and progressive files of 1 to 4 components with random headers, codes and scan scripts."""
    picture, scans = random_file(seed)
    coefficients = fv.read_coefficients(write(picture, scans))
    assert coefficients.warnings == ()
    for ours, stored in zip(coefficients.planes, picture.planes(), strict=True):
        np.testing.assert_array_equal(ours, stored)
    for table, part in zip(coefficients.quant_tables, picture.parts, strict=True):
        zigzag = [*table[0, :2], table[1, 0], table[2, 0]]
        assert zigzag == list(part.quant[:4])
    assert coefficients.sampling_factors == tuple((part.v, part.h) for part in picture.parts)


@pytest.mark.parametrize("largest", [1, 2047, 32767])
def test_range_of_values(largest):
    """Beyond what 8-bit samples give: a code may carry 15 bits."""
    picture = random_picture(0, 64, 64, [(1, 1)], density=0.9, largest=largest)
    picture.parts[0].blocks[..., 0] //= 2  # a difference must fit too
    coefficients = fv.read_coefficients(write(picture, [Scan((0,))]))
    np.testing.assert_array_equal(coefficients.planes[0], picture.planes()[0])


def test_dequantised_coefficients_are_the_dct_of_the_samples():
    """Ties order and sign to pixels: a quality-100 file rebuilt by the inverse DCT is the photo."""
    image = photo(64, 80, "L")
    coefficients = fv.read_coefficients(encode(image, quality=100))
    k = np.arange(8)
    dct = np.cos((2 * k + 1) * k[:, None] * np.pi / 16) * np.where(k[:, None] == 0, np.sqrt(1 / 8), 0.5)
    blocks = dct.T @ (coefficients.planes[0] * coefficients.quant_tables[0].astype(float)) @ dct + 128
    rebuilt = blocks.transpose(0, 2, 1, 3).reshape(64, 80)  # (bh, bw, 8, 8) → (H, W)
    assert np.abs(rebuilt - np.asarray(image)).max() < 1.5


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "bytearray", "memoryview", "numpy"])
def test_sources(kind, tmp_path):
    data = encode(photo(30, 40))
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    source = {
        "path": path,
        "str": str(path),
        "bytes": data,
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "numpy": np.frombuffer(data, np.uint8),
    }[kind]
    assert same_planes(fv.read_coefficients(source).planes, oracle(data))
    assert fv.read_header(source).size == (30, 40)


@pytest.mark.parametrize("source", [None, 3, ["photo.jpg"]])
def test_other_sources_are_refused(source):
    for read in (fv.read_coefficients, fv.read_header):
        with pytest.raises(TypeError, match="path"):
            read(source)


def test_threads_read_at_the_same_time():
    files = [encode(photo(150 + 10 * i, 200, seed=i), progressive=bool(i % 2)) for i in range(6)]
    expected = [fv.read_coefficients(data).planes for data in files]
    wrong = []

    def read(start):
        for i in range(30):
            index = (start + i) % len(files)
            if not same_planes(fv.read_coefficients(files[index]).planes, expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("read", ["read_coefficients", "read_header", "read_rows"])
def test_python_code_that_runs_in_between_may_read_other_files(read):
    """A garbage collection while the result is made runs finalisers and callbacks, which may read a photo."""
    small, big = encode(photo(16, 24)), encode(photo(160, 240))

    def on_collection(phase, _):
        runs.append(fv.read_coefficients(big).size)

    def shapes():
        if read == "read_header":
            header = fv.read_header(small)
            return [header.size, header.component_sizes]
        if read == "read_rows":
            return [rows.tobytes() for rows in _native.read_rows(small, ranges, [2**64 - 1] * 3)]
        coefficients = fv.read_coefficients(small)
        return [coefficients.size, coefficients.warnings, [plane.tobytes() for plane in coefficients.planes]]

    ranges = [(0, high, 0, wide) for high, wide in fv.read_header(small).blocks]
    expected, runs, threshold = shapes(), [], gc.get_threshold()
    gc.callbacks.append(on_collection)
    gc.set_threshold(1)
    try:
        results = [shapes() for _ in range(20)]
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(on_collection)
    assert len(runs) > 20
    assert all(result == expected for result in results)


# ------------------------------------------------------------------------------------------------ ../shared


def test_photos_of_imagenet(shared):
    files = sorted((shared / "data" / "imagenet-sample" / "images").iterdir())
    assert len(files) == 200
    for file in files:
        assert assert_as_oracle(file).warnings == ()


# What a refusal's kind must show in the file itself.
SIGNS = {
    "lossless": (b"\xff\xc3",),
    "arithmetic": (b"\xff\xc9", b"\xff\xca"),
}


def opencv_reads_it_well(data: bytes, capfd) -> bool:
    """libjpeg-turbo inside OpenCV goes on where it can, and says on stderr what it met."""
    capfd.readouterr()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return False
    return image is not None and not capfd.readouterr().err


def end_of_data(data: bytes) -> int:
    """Where the data of the only scan ends."""
    scan = offset_of(data, 0xDA) + 2
    return re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]|\Z").search(data, scan).start()


def test_corpus(shared, capfd):
    """Each file is read as the oracle does, or refused for a reason that OpenCV or the file confirms."""
    root = shared / "data" / "jpeg-corpus"
    kinds: dict[str, int] = {}
    for file in sorted(p for p in root.rglob("*") if p.is_file()):
        ours, error = attempt(file)
        if error is None:
            # jpeglib gives up on files with more than 50 segments of a kind.
            if file.parent.name == "icc":
                continue
            theirs = oracle(file)
            if theirs is None:  # it goes on to read what stands in the place of the end marker
                assert any("end-of-image marker" in warning for warning in ours.warnings), file
                data = file.read_bytes()
                theirs = oracle(data[: end_of_data(data)] + b"\xff\xd9")
            assert same_planes(ours.planes, theirs), file
            continue
        kinds[error.kind] = kinds.get(error.kind, 0) + 1
        assert str(error).startswith(str(file))
        assert str(error).endswith(f"(at byte {error.offset})")
        data = file.read_bytes()
        if error.kind in SIGNS:
            assert any(sign in data for sign in SIGNS[error.kind]), file
        else:
            assert not opencv_reads_it_well(data, capfd), file
    assert kinds.pop("lossless") == 12
    assert kinds.pop("arithmetic") == 7
    assert set(kinds) == {"truncated", "corrupt", "illegal-size", "too-large", "unsupported"}
