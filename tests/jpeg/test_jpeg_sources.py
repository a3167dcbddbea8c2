"""Which files are opened, and what hostile ones may cost."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from jpeg_files import encode, photo
from jpeg_writer import segment

import freqvision as fv
from freqvision.jpeg import find_damage

READERS = [fv.read_coefficients, fv.read_header, find_damage]
DATA = encode(photo(40, 60))


@pytest.mark.parametrize("read", READERS)
def test_only_regular_files_are_opened(read, tmp_path):
    """… at once: a FIFO without a writer would keep its reader waiting for ever."""
    with pytest.raises(IsADirectoryError, match="not a regular file but a directory"):
        read(tmp_path)
    os.mkfifo(tmp_path / "fifo.jpg")
    with pytest.raises(OSError, match=r"not a regular file but a FIFO: .*fifo\.jpg"):
        read(tmp_path / "fifo.jpg")
    with pytest.raises(OSError, match="not a regular file but a device: '/dev/zero'"):
        read("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="/s'"):
            read(tmp_path / "s")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    with pytest.raises(OSError, match=r"loop\.jpg"):
        read(tmp_path / "loop.jpg")
    with pytest.raises(FileNotFoundError, match=r"none\.jpg") as caught:
        read(tmp_path / "none.jpg")
    assert caught.value.filename == tmp_path / "none.jpg"
    with pytest.raises(ValueError, match="null"):
        read("a\0b.jpg")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(DATA)
    path.chmod(0)
    for read in READERS:
        with pytest.raises(PermissionError, match=r"secret\.jpg"):
            read(path)


def test_links_and_odd_names(tmp_path):
    names = [b"gr\xc3\xbc\xc3\x9f.jpg", b"\xff\xfe.jpg", b" \n.jpg"]
    for name in names:
        path = os.path.join(os.fsencode(tmp_path), name)
        with open(path, "wb") as file:
            file.write(DATA)
        for spelt in (os.fsdecode(path), os.path.join(str(tmp_path), os.fsdecode(name))):
            assert fv.read_coefficients(spelt).size == (40, 60)
            assert fv.read_header(spelt).size == (40, 60)
    (tmp_path / "link.jpg").symlink_to(os.fsdecode(path))
    assert fv.read_coefficients(tmp_path / "link.jpg").size == (40, 60)


@pytest.mark.parametrize("read", [fv.read_coefficients, fv.read_header])
def test_limit_of_bytes(read, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(DATA)
    for source in (path, DATA):
        assert read(source, max_bytes=len(DATA)).size == (40, 60)
        with pytest.raises(fv.JpegError, match=rf"{len(DATA)} bytes.*{len(DATA) - 1}.*max_bytes") as caught:
            read(source, max_bytes=len(DATA) - 1)
        assert caught.value.kind == "too-large"
        for limit in (0, -5):
            with pytest.raises(ValueError, match=f"max_bytes is positive, got {limit}"):
                read(source, max_bytes=limit)
        with pytest.raises(TypeError, match="max_bytes is an integer"):
            read(source, max_bytes=None)
        assert read(source, max_bytes=10**30).size == (40, 60)
    assert find_damage(path, max_bytes=10).kind == "too-large"


@pytest.mark.parametrize("read", [fv.read_coefficients, fv.read_header])
def test_sparse_files_are_not_read(read, tmp_path):
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.write(DATA)
        file.truncate(5 << 30)
    with pytest.raises(fv.JpegError, match=r"huge\.jpg: the file has 5368709120 bytes") as caught:
        read(path)
    assert caught.value.kind == "too-large"


def test_a_buffer_that_changes_meanwhile_hurts_nothing():
    """Its coefficients are anything, or it is refused; nothing is read or written beyond it."""
    data = bytearray(encode(photo(200, 300), restart_marker_blocks=2, progressive=True))
    original, stop = bytes(data), threading.Event()

    def change():
        generator = np.random.default_rng(0)
        while not stop.is_set():
            data[int(generator.integers(2, len(data)))] = int(generator.integers(256))
            if generator.integers(50) == 0:
                data[:] = original

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(300):
            with contextlib.suppress(fv.JpegError):
                assert len(fv.read_coefficients(data, strict=False, max_pixels=10**6).planes) <= 4
    finally:
        stop.set()
        thread.join()


# ------------------------------------------------------------------------------------- what files may cost

MEASURE = """
import json, resource, sys, time
import freqvision as fv
from freqvision.jpeg import find_damage

def memory(name):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(name))

readers = {
    "strict": fv.read_coefficients,
    "lenient": lambda data: fv.read_coefficients(data, strict=False),
    "header": fv.read_header,
    "judge": find_damage,
}
fv.read_coefficients(open(sys.argv[1], "rb").read())
for path in sys.argv[2:]:
    data = open(path, "rb").read()
    for how, read in readers.items():
        open("/proc/self/clear_refs", "w").write("5")
        before, begin = memory("VmRSS"), time.process_time()
        try:
            kind = getattr(read(data), "kind", "read")
        except fv.JpegError as error:
            kind = error.kind
        spent = time.process_time() - begin
        print(json.dumps([how, kind, memory("VmHWM") - before, memory("VmRSS") - before, spent]))
"""


@dataclass
class Cost:
    how: str  # strict, lenient, header, judge
    kind: str  # of the error, or "read"
    most: float  # megabytes
    afterwards: float
    seconds: float


def costs(tmp_path, *files: bytes) -> list[Cost]:
    """Of each way to read each of the files, in a process of its own."""
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("memory is measured by Linux's /proc")
    paths = [tmp_path / f"{i}.jpg" for i in range(len(files) + 1)]
    for path, data in zip(paths, (DATA, *files), strict=True):
        path.write_bytes(data)
    run = subprocess.run([sys.executable, "-c", MEASURE, *paths], check=True, capture_output=True, text=True)
    found = [Cost(*json.loads(line)) for line in run.stdout.splitlines()]
    assert len(found) == 4 * len(files)
    return found


def bands_only(height: int, width: int, refined: bool, dc: bool = False) -> bytes:
    """A progressive file of three components whose bands are empty: 15 bits for each 32767 blocks."""
    blocks = -(-height // 8) * -(-width // 8)
    count = -(-blocks // 32767)
    bits = ("0" + "1" * 14) * count + "1" * (-15 * count % 8)
    runs = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    out = b"\xff\xd8" + segment(0xDB, bytes([0]) + bytes([1]) * 64)
    size = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    listed = b"".join(bytes([i, 0x11, 0]) for i in (1, 2, 3))
    out += segment(0xC2, b"\x08" + size + b"\x03" + listed)
    out += segment(0xC4, bytes([0x10, 1]) + bytes(15) + b"\xe0")  # code 0: a run of ends, 14 more bits
    out += segment(0xC4, bytes([0x00, 1]) + bytes(15) + b"\x00")  # code 0: no difference
    for i in (1, 2, 3):
        if dc:
            out += segment(0xDA, bytes([1, i, 0, 0, 0, 0])) + bytes(-(-blocks // 8))
        lowest = 13 if refined else 0
        out += segment(0xDA, bytes([1, i, 0, 1, 63, lowest])) + runs
        for bit in range(lowest - 1, -1, -1):
            out += segment(0xDA, bytes([1, i, 0, 1, 63, bit + 1 << 4 | bit])) + runs
    return out + b"\xff\xd9"


def test_bands_without_anything_in_them(tmp_path):
    """A kilobyte that claims 1.6 GB of coefficients; with refinements, it took 4.5 s."""
    for cost in costs(tmp_path, bands_only(4096, 65500, False), bands_only(4096, 65500, True)):
        assert cost.kind == ("read" if cost.how == "header" else "truncated")
        assert max(cost.most, cost.afterwards) < 20
        assert cost.seconds < 1


def test_refinements_of_nothing(tmp_path):
    """A bit for each block, as a file of that size has, and then 14 passes over three empty bands."""
    data = bands_only(1024, 4096, True, dc=True)
    assert not any(plane.any() for plane in fv.read_coefficients(data).planes)
    for cost in costs(tmp_path, data):
        assert cost.kind == "read"
        assert cost.seconds < 0.5


GRAY = encode(photo(40, 60, "L"))


def stuffed(filling: bytes) -> list[bytes]:
    """20 MB of something before, behind and in the place of the image data's end."""
    many = filling * (20_000_000 // len(filling))
    return [GRAY[:2] + many + GRAY[2:], GRAY[:-2] + many + b"\xff\xd9", GRAY[:-20] + many]


@pytest.mark.parametrize(
    "filling",
    [
        pytest.param(b"\xff\xc4\x00\x02", id="empty tables"),
        pytest.param(b"\xff\xc4\x00\x13\x00" + bytes(16), id="tables without codes"),
        pytest.param(b"\xff\xdd\x00\x04\x00\x00", id="restart intervals"),
        pytest.param(b"\xff\xfe\x00\x02ab", id="junk between comments"),
        pytest.param(b"\xff\xe1\x00\x00", id="segments of no length"),
        pytest.param(b"\xff", id="fill bytes"),
        pytest.param(b"\xff\x00", id="stuffing"),
        pytest.param(b"\xff\xd0\xff\xd7", id="restart markers"),
    ],
)
def test_megabytes_that_say_nothing(filling, tmp_path):
    """They are passed over: nothing of them is kept, neither meanwhile nor afterwards."""
    for cost in costs(tmp_path, *stuffed(filling)):
        assert cost.most < 60  # a copy of the data without stuffing, and its reserve
        assert cost.afterwards < 33  # glibc may keep a freed buffer of up to 32 MB
        assert cost.seconds < 2


def test_a_run_of_fill_bytes_is_read_once(tmp_path):
    """With a restart interval of 1, each of 250,000 missing intervals looked at all of them."""
    data = encode(photo(40, 60, "L"), restart_marker_blocks=1)
    side = data.index(b"\xff\xc0") + 5
    start = data.index(b"\xff\xd0")
    data = data[:side] + b"\x0f\xa0\x0f\xa0" + data[side + 4 : start] + b"\xff" * 100_000 + b"\xd5"
    for cost in costs(tmp_path, data + bytes(100)):
        assert cost.seconds < 2


def test_hostile_files(shared):
    for how in ({}, {"strict": False}):
        with pytest.raises(fv.JpegError, match="cannot hold"):
            fv.read_coefficients(shared / "data" / "hostile" / "ac_only.jpg", **how)
    with pytest.raises(fv.JpegError) as caught:
        fv.read_coefficients(shared / "data" / "hostile" / "ps.jpg")
    assert caught.value.kind == "not-jpeg"
