"""The demo's photos: reproducible, all different, JPEG as from a camera, told apart by frequencies."""

import hashlib

import numpy as np
import pytest

import freqvision as fv
from freqvision.data.synthetic import PATTERNS, synthetic_photo, write_synthetic_photos


def test_same_seed_same_files_other_seed_other_files(tmp_path):
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 50)):
        write_synthetic_photos(tmp_path / name, photos_per_class=2, size=48, seed=seed)
        files = sorted((tmp_path / name).rglob("*.jpg"))
        assert len(files) == 2 * len(PATTERNS)
        digests.append([hashlib.sha256(file.read_bytes()).hexdigest() for file in files])
    assert digests[0] == digests[1]
    assert not set(digests[0]) & set(digests[2])
    assert len(set(digests[0])) == len(digests[0])


def test_photos_are_420_jpeg_files_of_the_asked_height(tmp_path):
    write_synthetic_photos(tmp_path, photos_per_class=1, size=56)
    for file in tmp_path.rglob("*.jpg"):
        coefficients = fv.read_coefficients(file)
        height, width = coefficients.size
        assert height == 56
        assert 56 <= width <= 84
        luma, chroma = coefficients.planes[0].shape, coefficients.planes[1].shape
        assert luma[0] == pytest.approx(2 * chroma[0], abs=1)


def test_clouds_have_less_high_frequency_than_checks():
    def roughness(pattern):
        photos = [np.asarray(synthetic_photo(pattern, 64, seed).convert("L"), float) for seed in range(20)]
        return np.mean([np.abs(np.diff(photo, axis=1)).mean() for photo in photos])

    assert roughness("clouds") < 0.75 * roughness("checks")


def test_unknown_pattern_lists_the_known_ones():
    with pytest.raises(ValueError, match="checks, clouds, dots"):
        synthetic_photo("zebra")
