"""A batch that is interrupted, and an interpreter that ends amid one."""

import subprocess
import sys
import threading

import pytest
import torch

import freqvision as fv

PREPARE = """
import copy, io, signal, threading, time
import numpy as np
from PIL import Image
import freqvision as fv

file = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
Image.fromarray(noise).save(file, "JPEG", quality=95)
decoders = [fv.Decoder(fv.PixelSpec(), num_threads=threads) for threads in (1, 2)]
files = [file.getvalue()]
file = io.BytesIO()
Image.new("RGB", (80, 60)).save(file, "JPEG")
small = [file.getvalue()]
signal.signal(signal.SIGPROF, signal.default_int_handler)  # what Ctrl-C does
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGPROF")
def test_ctrl_c_ends_a_batch_and_daemon_threads_that_decode_do_not_abort_the_process():
    """Long before the batch is done; the decoder stays as good as new."""
    code = """
for decode in decoders:
    expected = decode(files)
    start = time.process_time()
    decode(files * 20)
    part = time.process_time() - start
    signal.setitimer(signal.ITIMER_PROF, 2 * part)  # by CPU time: whatever else the machine does
    start = time.process_time()
    try:
        decode(files * 400)
    except KeyboardInterrupt:
        assert time.process_time() - start < 10 * part, "half of the batch"
        assert (decode(files) == expected).all()
        print("stopped", flush=True)

def forever(decode, photos):
    while True:
        decode(photos)

for decode in decoders:
    for photos in (files * 40, small * 2):  # in native code most of the time, and in torch
        threading.Thread(target=forever, args=(copy.copy(decode), photos), daemon=True).start()
time.sleep(0.3)
"""
    command = [sys.executable, "-c", PREPARE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n" * 2, "")


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
