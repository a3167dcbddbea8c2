"""A batch that is interrupted, and an interpreter that ends amid one."""

import subprocess
import sys
import threading

import pytest
import torch

import freqvision as fv

PREPARE = """
import io, os, signal, sys, threading, time
import numpy as np
from PIL import Image
import freqvision as fv

file = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
Image.fromarray(noise).save(file, "JPEG", quality=95)
decoders = [fv.Decoder(fv.PixelSpec(), num_threads=threads) for threads in (1, 2)]
files = [file.getvalue()]
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PREPARE + code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_daemon_threads_that_decode_do_not_abort_the_process():
    code = """
def forever(decode):
    while True:
        decode(files * 40)

for decode in decoders:
    threading.Thread(target=forever, args=(decode,), daemon=True).start()
time.sleep(0.3)
"""
    done = run(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to itself")
def test_ctrl_c_ends_a_batch_long_before_it_is_done():
    """And leaves the decoder as good as new."""
    code = """
for decode in decoders:
    expected = decode(files)
    start = time.monotonic()
    decode(files * 20)
    whole = time.monotonic() - start
    threading.Timer(2 * whole, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    try:
        decode(files * 400)
    except KeyboardInterrupt:
        assert time.monotonic() - start < 10 * whole, "a twentieth of the batch, and some"
        assert (decode(files) == expected).all()
        print("stopped")
"""
    done = run(code)
    assert (done.stdout, done.stderr) == ("stopped\n" * 2, "")


def test_several_python_threads_share_a_decoder(photos):
    paths = sorted(str(path) for path in photos.rglob("*.jpg"))
    decode = fv.Decoder(fv.PixelSpec(72, 64), num_threads=2)
    expected, results = decode(paths), [None] * 4

    def work(place: int) -> None:
        for _ in range(3):
            results[place] = decode(paths)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(result, expected) for result in results)
