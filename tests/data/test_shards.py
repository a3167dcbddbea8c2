"""Photos in tar files: the same batches as from a folder, whoever wrote the files; and packing folders."""

import io
import json
import os
import shutil
import tarfile
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import freqvision as fv
from freqvision.cli.main import main
from freqvision.data import FrequencyFolder, PhotoLoader, PhotoShards, RandomView
from freqvision.data.shards import RECORD, Shards, find_shards, open_index, write_shard
from freqvision.inputs.packed import FINEST, ROUNDED_UP, Packer

SPEC = fv.FrequencySpec(resize=72, crop=64)


@pytest.fixture(scope="module")
def folder(photos):
    return FrequencyFolder(photos / "train", SPEC, RandomView(), seed=3, num_threads=1)


@pytest.fixture
def shards(folder, tmp_path):
    """The folder's photos in three tar files, labelled by the names of their classes."""
    samples = [
        (f"{place:05}", ".jpg", Path(path).read_bytes(), folder.classes[int(label)])
        for place, (path, label) in enumerate(zip(folder.paths, folder.labels, strict=True))
    ]
    for number in range(3):
        write_shard(tmp_path / f"train-{number}.tar", samples[8 * number : 8 * number + 8])
    return tmp_path


def test_shards_hold_what_the_folder_holds(folder, shards):
    ours = PhotoShards(shards, SPEC, RandomView(), seed=3, num_threads=1)
    assert ours.classes == folder.classes
    assert torch.equal(ours.labels, folder.labels)
    for data in (ours, folder):
        data.set_epoch(2)
    images, labels = ours.__getitems__([20, 3, 9])
    expected, truth = folder.__getitems__([20, 3, 9])
    assert torch.equal(images, expected), "random views depend on seed, epoch and index only"
    assert torch.equal(labels, truth)
    folder.set_epoch(0)


@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_take_them(shards, workers):
    data = PhotoShards(str(shards / "train-*.tar"), fv.PixelSpec(resize=40, crop=32))
    expected, truth = data.__getitems__(range(len(data)))
    mine = list(PhotoLoader(data, 7))
    theirs = list(DataLoader(data, 7, collate_fn=data.collate, num_workers=workers))
    for batches in (mine, theirs):
        assert torch.equal(torch.cat([images for images, _ in batches]), expected)
        assert torch.equal(torch.cat([labels for _, labels in batches]), truth)


def test_the_index_is_written_once_and_made_again_for_other_shards(shards):
    index, classes = open_index(find_shards(shards))
    assert isinstance(index, np.memmap), "workers share it"
    assert index.dtype == RECORD
    assert len(classes) == 6
    written = os.stat(shards / "index.npy").st_mtime_ns
    open_index(find_shards(shards))
    assert os.stat(shards / "index.npy").st_mtime_ns == written
    os.remove(shards / "train-1.tar")
    assert len(open_index(find_shards(shards))[0]) == 16
    (shards / "index.json").write_text("{")
    assert len(open_index(find_shards(shards))[0]) == 16


def test_a_million_photos_start_at_once(tmp_path):
    shard = write_shard(tmp_path / "a.tar", [("0", ".jpg", b"x", 0)])
    index = np.zeros(1_000_000, RECORD)
    np.save(tmp_path / "index.npy", index)
    about = {
        "shards": [["a.tar", os.path.getsize(shard), os.stat(shard).st_mtime_ns]],
        "photos": len(index),
        "classes": [],
    }
    (tmp_path / "index.json").write_text(json.dumps(about))
    data = PhotoShards(tmp_path, SPEC)
    assert len(data) == 1_000_000
    assert len(ForkingPickler.dumps(data)) < 100_000, "what is sent to a worker"


def test_labels_of_others_are_understood(tmp_path):
    photo = fv.pack([_jpeg()])[0]

    def shard(name, files):
        with tarfile.open(tmp_path / name, "w") as tar:
            for member, contents in files:
                info = tarfile.TarInfo(member)
                info.size = len(contents)
                tar.addfile(info, io.BytesIO(contents))

    shard(
        "a.tar",
        [
            ("d/0.jpg", _jpeg()),
            ("d/0.cls", b"2\n"),
            ("d/1.json", b'{"label": 1, "caption": "x"}'),  # before its photo
            ("d/1.seg.png", b"not looked at"),
            ("d/1.JPG", _jpeg()),
            ("d/2.txt", b"a caption only"),
            ("d/2.jpg", _jpeg()),
            ("d/3.json", b"{ damaged"),
            ("d/3.fqpk", photo),
        ],
    )
    data = PhotoShards(tmp_path, SPEC)
    assert data.labels.tolist() == [2, 1, -1, -1]
    assert data.__getitems__([0, 1, 2, 3])[0].shape == (4, 24, 8, 8)


def test_names_of_classes_that_look_like_numbers_stay_names(tmp_path):
    names = ["7", "012", " a", "b"]
    write_shard(tmp_path / "a.tar", [(str(place), ".jpg", _jpeg(), name) for place, name in enumerate(names)])
    data = PhotoShards(tmp_path, SPEC)
    assert [data.classes[label] for label in data.labels] == names


def _jpeg():
    from PIL import Image

    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "JPEG")
    return file.getvalue()


def test_a_damaged_photo_is_named_and_can_be_skipped(folder, tmp_path):
    good = Path(folder.paths[0]).read_bytes()
    write_shard(tmp_path / "a.tar", [("0", ".jpg", good, 0), ("1", ".jpg", good[:300], 0)])
    with pytest.raises(fv.JpegError, match=r"a\.tar, photo at byte \d+"):
        PhotoShards(tmp_path, SPEC).__getitems__([0, 1])
    skipping = PhotoShards(tmp_path, SPEC, damaged="skip")
    assert len(skipping.__getitems__([0, 1])[0]) == 1
    assert len(skipping.skipped()) == 1
    assert "a.tar, photo at byte" in skipping.skipped()[0]
    whole = len(good) * 2 // 3
    write_shard(tmp_path / "a.tar", [("0", ".jpg", good, 0), ("1", ".jpg", good[:whole], 0)])
    decoding = PhotoShards(tmp_path, SPEC, damaged="decode")
    assert len(decoding.__getitems__([0, 1])[0]) == 2
    assert len(decoding.skipped()) == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda folder: None, FileNotFoundError, "no shards at"),
        (lambda folder: (folder / "a.tar").write_bytes(b"no tar" * 500), ValueError, "is no tar file"),
        (lambda folder: write_shard(folder / "a.tar", []), ValueError, "no photos in 1 shards"),
        (
            lambda folder: write_shard(folder / "a.tar", [("0", ".jpg", b"", 7)]),
            ValueError,
            "label 7 is beyond",
        ),
    ],
)
def test_what_is_no_shard_of_photos_is_an_error(tmp_path, make, error, message):
    make(tmp_path)
    with pytest.raises(error, match=message):
        PhotoShards(tmp_path, SPEC, classes=["a", "b"])


def test_a_shard_cut_after_it_was_indexed(shards):
    data = PhotoShards(shards, SPEC)
    path = shards / "train-2.tar"
    contents = path.read_bytes()
    os.truncate(path, 2000)
    with pytest.raises(ValueError, match="ends before its last photos"):
        data.__getitems__([23])
    path.write_bytes(contents)
    data = PhotoShards(shards, SPEC)
    data.__getitems__([23])
    os.truncate(path, 2000)  # after it was mapped: reading it would end the process
    with pytest.raises(ValueError, match="ends before its last photos"):
        data.__getitems__([23])


def test_the_first_photo_of_a_sample_counts_and_hidden_names_do_not(tmp_path, photos):
    jpeg, png = next(photos.rglob("*.jpg")).read_bytes(), io.BytesIO()
    Image.new("L", (8, 8)).save(png, "PNG")
    names = {
        "a/0.jpg": jpeg,
        "a/0.png": png.getvalue(),
        "._a/0.jpg": jpeg,
        "a/.ipynb_checkpoints/0.jpg": jpeg,
    }
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, contents in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(contents)
            tar.addfile(member, io.BytesIO(contents))
    assert [bytes(photo) for photo in Shards(tmp_path)] == [jpeg]


def test_pack_writes_shards_that_a_stopped_run_continues(photos, folder, tmp_path, capsys):
    output = tmp_path / "packed"
    arguments = ["pack", str(photos / "train"), str(output), "--resize", "72", "--crop", "64"]
    arguments += ["--photos_per_shard", "10", "--num_threads", "1"]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "24 photos in" in printed
    assert "crops of half the area" in printed
    packed = PhotoShards(output, SPEC)
    assert packed.classes == folder.classes
    assert torch.equal(packed.labels, folder.labels)
    decode = fv.Decoder(fv.FrequencySpec(resize=72, crop=64, dtype="int8"))  # on the grid of the store
    averages = [place for place, channel in enumerate(decode.spec.channels) if channel % 64 == 0]
    scale = torch.tensor(decode.spec.scale)[:, None, None]
    lost = ROUNDED_UP * scale.clamp(min=FINEST) / scale + 1  # by steps of the store, and by int8 of both
    found = decode.each([packed.photos[index] for index in range(24)])
    for images, expected in zip(found, decode.each(folder.paths), strict=True):
        difference = (images.int() - expected.int()).abs()
        assert (difference <= lost).all()
        assert (difference[averages] != 0).float().mean() < 0.01
    contents = {path.name: path.read_bytes() for path in output.iterdir() if path.suffix != ".json"}
    os.remove(output / "photos-000001.tar")
    assert main(arguments) == 0
    assert all((output / name).read_bytes() == before for name, before in contents.items())


def test_pack_stops_at_a_damaged_photo_or_lists_it(photos, tmp_path, capsys):
    shutil.copytree(photos / "validation", tmp_path / "photos")
    victim = next(path for path in sorted((tmp_path / "photos").rglob("*")) if path.is_file())
    victim.write_bytes(victim.read_bytes()[:200])
    arguments = ["pack", str(tmp_path / "photos"), str(tmp_path / "packed"), "--resize", "72", "--crop", "64"]
    assert main(arguments) == 1
    assert str(victim) in capsys.readouterr().err
    assert not list((tmp_path / "packed").glob("*.tar"))
    assert main([*arguments, "--damaged", "skip"]) == 0
    printed = capsys.readouterr().out
    assert "11 photos in" in printed
    assert str(victim) in printed


def test_lossless_shards_give_the_very_same_batches(photos, tmp_path):
    paths = FrequencyFolder(photos / "train", SPEC).paths[:4]
    packed = Packer(codec="zstd").try_pack(paths)[0]
    write_shard(tmp_path / "a.tar", [(str(place), ".fqpk", photo, 0) for place, photo in enumerate(packed)])
    expected = fv.Decoder(SPEC)(paths)
    images, _ = PhotoShards(tmp_path, SPEC).__getitems__(range(4))
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)
