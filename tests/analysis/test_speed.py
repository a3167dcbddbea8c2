"""What `freqvision bench` measures, and on which photos."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from freqvision.analysis.speed import measure_speed, sound_photos


def photo(seed: int, mode: str = "RGB") -> bytes:
    """A random picture of 40×30 pixels as a JPEG file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", quality=92)
    return file.getvalue()


def test_sound_photos_are_what_every_library_reads(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    good = [photo(seed) for seed in range(3)]
    (tmp_path / "a.JPG").write_bytes(good[0])
    (tmp_path / "deep" / "b.jpeg").write_bytes(good[1])
    (tmp_path / "deep" / "er" / "c.jpg").write_bytes(good[2])
    (tmp_path / "cmyk.jpg").write_bytes(photo(3, "CMYK"))
    (tmp_path / "cut.jpg").write_bytes(good[0][:300])
    (tmp_path / "notes.txt").write_text("no photo")
    contents, left_out = sound_photos(tmp_path, 10)
    assert sorted(contents) == sorted(good)
    assert left_out == 2
    with pytest.raises(FileNotFoundError, match="no folder"):
        sound_photos(tmp_path / "nowhere", 10)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no JPEG photos below"):
        sound_photos(tmp_path / "empty", 10)


def test_speeds_of_both_libraries_stand_next_to_each_other():
    before = torch.get_num_threads()
    speeds, missing = measure_speed([photo(seed) for seed in range(3)], threads=2, rounds=2, progress=False)
    assert torch.get_num_threads() == before
    names = [speed.name for speed in speeds]
    assert names[:2] == ["freqvision DCT-24@448 float32", "freqvision DCT-24@448 int8"]
    assert len(names) + len(missing) == 4
    assert [speed.bytes_per_image for speed in speeds[:2]] == [4 * 24 * 56 * 56, 24 * 56 * 56]
    assert speeds[0].ratio.median == 1
    assert all(speed.ms.median > 0 and speed.ms_threads.median > 0 for speed in speeds)
