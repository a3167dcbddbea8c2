"""The verdict on a whole file, whatever part of it is wanted."""

import random

import pytest
from jpeg_files import attempt, encode, photo
from jpeg_samples import random_file, samples
from jpeg_writer import write

import freqvision as fv
from freqvision import _native
from freqvision.jpeg import find_damage

ALL = 2**64 - 1


def damaged_copies(count: int):
    choose = random.Random(1)
    files = [data for _, data in samples()]
    for _ in range(count):
        data = bytearray(choose.choice(files))
        for _ in range(choose.randint(0, 2)):
            data[choose.randrange(2, len(data))] = choose.randrange(256)
        yield bytes(data[: choose.choice([len(data), choose.randint(2, len(data))])])


def test_find_damage_says_what_a_strict_read_says():
    verdicts = []
    for data in damaged_copies(1500):
        error = attempt(data, max_pixels=10**6)[1]
        found = find_damage(data, max_pixels=10**6)
        assert str(found) == str(error)
        assert getattr(found, "kind", None) == getattr(error, "kind", None)
        verdicts.append(found is None)
    assert 200 < sum(verdicts) < 1300


def test_find_damage_names_the_file(tmp_path):
    path = tmp_path / "cut.jpg"
    path.write_bytes(encode(photo(40, 40))[:-50])
    assert str(find_damage(path)).startswith(f"{path}: truncated")
    with pytest.raises(FileNotFoundError):
        find_damage(tmp_path / "none.jpg")


def rows(data: bytes, choose: random.Random, **options):
    """A random window of each component but some."""
    ranges = []
    for high, wide in fv.read_header(data).blocks:
        top, left = choose.randrange(high), choose.randrange(wide)
        window = (top, choose.randint(top + 1, high), left, choose.randint(left + 1, wide))
        ranges.append(window if choose.random() < 0.7 else (0, 0, 0, 0))
    return _native.read_rows(data, ranges, [ALL] * len(ranges), **options)


def test_every_view_of_a_file_gives_the_same_verdict():
    choose = random.Random(2)
    differing = 0
    for data in damaged_copies(400):
        try:
            fv.read_header(data)
        except fv.JpegError:
            continue
        verdicts = set()
        for whole in (True, True, True, False):
            before = choose.getstate()
            try:
                result = rows(data, choose, whole=whole)
            except fv.JpegError as error:
                if whole:
                    verdicts.add(str(error))
                continue
            if whole:
                verdicts.add("None")
                choose.setstate(before)
                for ours, theirs in zip(result, rows(data, choose), strict=True):
                    assert (ours is None) == (theirs is None)
                    assert ours is None or (ours == theirs).all()
            elif verdicts != {"None"}:
                differing += 1
        assert len(verdicts) == 1
        assert verdicts == {str(find_damage(data))}
    assert differing > 10  # views that saw nothing of the damage: what `whole` is for


@pytest.mark.parametrize("seed", range(20))
def test_sound_files_are_sound_from_every_view(seed):
    data = write(*random_file(seed))
    planes = fv.read_coefficients(data).planes
    assert find_damage(data) is None
    whole = _native.read_rows(
        data, [(0, p.shape[0], 0, p.shape[1]) for p in planes], [ALL] * len(planes), whole=True
    )
    assert all((a == b).all() for a, b in zip(whole, planes, strict=True))


def test_damaged_photos(shared):
    folder = shared / "data" / "reported"
    for name in ("damaged_in_its_last_rows", "damaged_cmyk"):
        error = find_damage(folder / f"{name}.jpg")
        assert error is not None, name
        assert error.kind == "corrupt"
        choose = random.Random(0)
        for _ in range(50):
            with pytest.raises(fv.JpegError):
                rows((folder / f"{name}.jpg").read_bytes(), choose, whole=True)
