"""Shards, tables, lists and specifications from strangers: a ValueError that names them, and nothing else."""

import io
import json
import os
import re
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

import freqvision as fv
from freqvision.analysis.scores import ChannelScores
from freqvision.data import PhotoCheck
from freqvision.data.shards import MAX_HEADER, Shards, open_index
from freqvision.data.sources import relabelled
from freqvision.models.weights import open_weights

DEEP = "[" * 200_000


@pytest.fixture(scope="module")
def jpeg():
    file = io.BytesIO()
    Image.new("RGB", (80, 60), "teal").save(file, "JPEG")
    return file.getvalue()


# ----------------------------------------------------------------------------------------------------- shards


def tar(*files: tuple[str, bytes]) -> bytearray:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as writer:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            writer.addfile(member, io.BytesIO(data))
    return bytearray(file.getvalue())


def header(kind: bytes, size: int, sparse: int = 0) -> bytes:
    member = tarfile.TarInfo("a.jpg")
    member.type, member.size = kind, size
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[482] = sparse  # of GNU's sparse files: more of them follow
    return signed(block)


def signed(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def negative(jpeg: bytes, size: int) -> bytes:
    """The second file's size leads back to the first one, and so round and round."""
    data = tar(("a.jpg", jpeg), ("b.jpg", jpeg))
    second = data.index(b"b.jpg")
    block = data[second : second + 512]
    block[124:136] = b"\xff" + (size % 2**88).to_bytes(11, "big")
    data[second : second + 512] = signed(block)
    return bytes(data)


def record(text: bytes) -> bytes:
    """A header of POSIX's format that says something of the next file."""
    return header(tarfile.XHDTYPE, len(text)) + text.ljust(512, b"\0")


def bad_checksum(jpeg: bytes) -> bytes:
    data = tar(("a.jpg", jpeg), ("b.jpg", jpeg))
    data[data.index(b"b.jpg") + 150] ^= 1
    return bytes(data)


SHARDS = {
    "a size below 0": lambda jpeg: negative(jpeg, -1536),
    "another size below 0": lambda jpeg: negative(jpeg, -(10**12)),
    "a size below 0 in a record": lambda jpeg: record(b"14 size=-1536\n") + tar(("a.jpg", jpeg)),
    "a size beyond all files": lambda jpeg: record(b"25 size=" + b"9" * 16 + b"\n") + tar(("a.jpg", jpeg)),
    "a sparse map of text": lambda jpeg: record(b"24 GNU.sparse.map=1,2,x\n") + tar(("a.jpg", jpeg)),
    "names of names": lambda jpeg: (header(b"L", 1) + b"a".ljust(512, b"\0")) * 2000 + tar(("a.jpg", jpeg)),
    "a sparse file without an end": lambda jpeg: header(tarfile.GNUTYPE_SPARSE, 512, 1),
    "a sparse photo": lambda jpeg: header(tarfile.GNUTYPE_SPARSE, 0) + tar(("b.jpg", jpeg)),
    "a damaged header": bad_checksum,
    "half a header": lambda jpeg: bytes(tar(("a.jpg", jpeg), ("b.jpg", jpeg)))[: 512 + 1024 + 300],
    "a label beyond all classes": lambda jpeg: tar(("a.jpg", jpeg), ("a.cls", b"2147483647")),
    "a label of many digits": lambda jpeg: tar(("a.jpg", jpeg), ("a.cls", b"9" * 9999)),
}


@pytest.mark.parametrize("make", SHARDS.values(), ids=SHARDS.keys())
def test_hostile_shards(make, jpeg, tmp_path):
    (tmp_path / "a.tar").write_bytes(make(jpeg))
    with pytest.raises(ValueError, match=r"a\.tar|labels"):
        Shards(tmp_path)


def test_headers_of_gigabytes_are_not_read(tmp_path):
    (tmp_path / "a.tar").write_bytes(header(b"L", 20 << 30))
    os.truncate(tmp_path / "a.tar", 20 << 30)  # sparse
    with pytest.raises(ValueError, match=rf"a\.tar .*a header of {20 << 30} bytes") as caught:
        Shards(tmp_path)
    assert MAX_HEADER < (20 << 30)
    assert isinstance(caught.value.__cause__, ValueError)


def about(**changes):
    def change(folder):
        values = json.loads((folder / "index.json").read_text())
        (folder / "index.json").write_text(json.dumps({**values, **changes}))

    return change


def rows(name, value):
    def change(folder):
        index = np.load(folder / "index.npy")
        index[name][1] = value
        np.save(folder / "index.npy", index)

    return change


def emptied(folder):
    np.save(folder / "index.npy", np.load(folder / "index.npy")[:0])
    about(photos=0)(folder)


def replaced(name, contents):
    def change(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name) if contents is None else (folder / name).write_bytes(contents)

    return change


INDEXES = {
    "another shard": rows("shard", 7),
    "no shard": rows("shard", -1),
    "before the shard": rows("offset", -5),
    "a length below 0": rows("length", -5),
    "behind the shard": rows("offset", 2**62),
    "longer than the shard": rows("length", 2**62),
    "no photos": emptied,
    "two dimensions": lambda folder: np.save(folder / "index.npy", np.load(folder / "index.npy")[:, None]),
    "classes that are a number": about(classes=5),
    "classes that are numbers": about(classes=[1, 2]),
    "an infinite number of photos": about(photos=float("inf")),
    "nested": replaced("index.json", DEEP.encode()),
    "a list": replaced("index.json", b"[1]"),
    "a FIFO": replaced("index.json", None),
    "a FIFO of numbers": replaced("index.npy", None),
    "nothing": replaced("index.npy", b""),
    "no archive": replaced("index.npy", b"PK\3\4"),
    "a header without an end": replaced("index.npy", b"\x93NUMPY\x01\x00\x01\x00{"),
    "a header of brackets": replaced("index.npy", b"\x93NUMPY\x01\x00\x60\xea" + b"(" * 60000),
}


@pytest.mark.parametrize("change", INDEXES.values(), ids=INDEXES.keys())
def test_a_hostile_index_is_made_again(change, jpeg, tmp_path):
    (tmp_path / "a.tar").write_bytes(tar(("a.jpg", jpeg), ("a.cls", b"0"), ("b.jpg", jpeg), ("b.cls", b"1")))
    good, _ = open_index([str(tmp_path / "a.tar")])
    good = good.copy()
    change(tmp_path)
    photos = Shards(tmp_path)
    assert np.array_equal(photos.records, good)
    assert [bytes(photo) for photo in photos] == [jpeg, jpeg]


def test_labels_are_numbers_of_classes():
    for labels in ([-7], [2**31 - 1], [2**62]):
        with pytest.raises(ValueError, match="labels are numbers of classes"):
            relabelled(torch.tensor(labels), [], None)


# ----------------------------------------------------------------------------------------------------- tables


def saved(change):
    """A folder of save_to_disk, changed."""

    def make(folder, jpeg):
        datasets = pytest.importorskip("datasets")
        datasets.disable_progress_bars()
        datasets.Dataset.from_dict({"image": [{"bytes": jpeg, "path": None}]}).save_to_disk(folder)
        change(folder)

    return make


def state(**changes):
    def change(folder):
        values = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps({**values, **changes}))

    return change


def parquet(path=None, **columns):
    def make(folder, jpeg):
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
        image = pyarrow.array([{"bytes": jpeg if path is None else None, "path": path}], kind)
        folder.mkdir()
        values = {"image": image, **{name: pyarrow.array(values) for name, values in columns.items()}}
        parquet.write_table(pyarrow.table(values), folder / "a.parquet")

    return make


def lying(folder):
    """The place where the photo's bytes end is beyond the file."""
    path = next(folder.glob("*.arrow"))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"\xff\xd9") + 2 - data.rindex(b"\xff\xd8\xff")
    place = data.rindex(np.array([0, end], "<i4").tobytes())
    data[place + 4 : place + 8] = np.int32(2**30).tobytes()
    path.write_bytes(data)


TABLES = {
    "a path to anywhere": parquet(path="/etc/passwd"),
    "a path out of the folder": parquet(path="../a.jpg"),
    "a device": parquet(path="/dev/zero"),
    "numbers for photos": parquet(image=[5]),
    "paths without bytes": parquet(image=[{"path": "/etc/passwd"}]),
    "numbers for bytes": parquet(image=[{"bytes": 5}]),
    "numbers for paths": parquet(image=[{"bytes": None, "path": 5}]),
    "lists for photos": parquet(image=[[1, 2]]),
    "a label below 0": parquet(label=[-5]),
    "a label beyond all classes": parquet(label=[2**62]),
    "a label beyond all numbers": parquet(label=np.array([2**63 + 5], dtype=np.uint64)),
    "a number for a state": saved(lambda folder: (folder / "state.json").write_text("5")),
    "a nested state": saved(lambda folder: (folder / "state.json").write_text(DEEP)),
    "no files": saved(state(_data_files=[])),
    "files elsewhere": saved(state(_data_files=[{"filename": "../../a.arrow"}])),
    "features of no kind": saved(lambda folder: (folder / "dataset_info.json").write_text('{"features": 5}')),
    "a FIFO": saved(replaced("dataset_info.json", None)),
    "a file cut off": saved(lambda folder: os.truncate(next(folder.glob("*.arrow")), 200)),
    "values that lie outside": saved(lying),
    "no Parquet": lambda folder, _: (folder.mkdir(), (folder / "a.parquet").write_bytes(b"PAR1")),
}


@pytest.mark.parametrize("make", TABLES.values(), ids=TABLES.keys())
def test_hostile_tables(make, jpeg, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from freqvision.data.table import Table

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    make(tmp_path / "table", jpeg)
    with pytest.raises(ValueError, match=f"{tmp_path / 'table'}|the column|labels|Integer value"):
        Table(tmp_path / "table")[:]


def test_labels_may_be_of_any_whole_type(jpeg, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    from freqvision.data.table import Table

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    parquet(label=np.array([3], dtype=np.uint8))(tmp_path / "table", jpeg)
    assert Table(tmp_path / "table").labels.tolist() == [3]


# --------------------------------------------------------------------------------------------- objects, lists


GOOD = {"bbox": [[0, 0, 5, 5]], "category": ["cat"]}


@pytest.mark.parametrize(
    "values",
    [
        *({"objects": objects} for objects in (5, "abc", [1], [[1, 2]], {**GOOD, "category": []})),
        *({"objects": {**GOOD, "category": [category]}} for category in ({}, None, 1.5, True, 2**70)),
        {"objects": {**GOOD, "bbox": ["x"]}},
        {"objects": GOOD, "height": "x"},
        {"objects": GOOD, "height": 10**9, "width": 10**9},
        {"objects": GOOD, "height": -1},
    ],
    ids=lambda values: str(values)[:60],
)
def test_hostile_objects_of_shards(values, jpeg, tmp_path):
    from freqvision.detection.sidecars import read_annotated

    about = json.dumps({"height": 60, "width": 80, **values}).encode()
    (tmp_path / "a.tar").write_bytes(tar(("a.jpg", jpeg), ("a.json", about)))
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))):
        read_annotated(Shards(tmp_path))


FREQUENCY = {"kind": "frequency"}
READERS = {
    "list of damaged photos": PhotoCheck.load,
    "channels": fv.ChannelSet.load,
    "statistics": fv.ChannelStatistics.load,
    "scores": ChannelScores.load,
    "specification": fv.InputSpec.load,
}
CONTENTS = [
    b"",
    b"\xff\xfe{",
    DEEP.encode(),
    *(
        json.dumps(value).encode()
        for value in (
            5,
            [],
            {},
            {"folder": 5, "checked": 1, "damaged": {}},
            {"folder": "a", "checked": float("inf"), "damaged": {}},
            {"folder": "a", "checked": "9" * 9000, "damaged": {}},
            {"Y": 5},
            {"Y": ["a"]},
            {"Y": [0.5]},
            {"channels": 5, "count": 1, "mean": [0], "variance": [1], "largest": [1]},
            {"channels": "/dev/zero.json", "count": 1, "mean": [0], "variance": [1], "largest": [1]},
            {"channels": "Y0", "count": "1", "mean": [0], "variance": [1], "largest": [1]},
            {"channels": "Y0", "count": 1, "mean": [None], "variance": [1], "largest": [1]},
            {"channels": "Y0", "count": 1, "mean": 5, "variance": [1], "largest": [1]},
            {"channels": "Y0", "count": 1, "mean": [10**400], "variance": [1], "largest": [1]},
            {"method": "a", "channels": "Y0", "scores": 5},
            {"method": "a", "channels": "Y0", "scores": ["x"]},
            {"method": "a", "channels": "Y0", "scores": [1], "classes": 5},
            {"method": "a", "channels": "Y0", "scores": [1], "unit": None},
            {"method": "a", "channels": "Y0", "scores": [1], "more": 5},
            {**FREQUENCY, "channels": "/dev/zero.json"},
            {**FREQUENCY, "channels": 5},
            {**FREQUENCY, "mean": 5},
            {**FREQUENCY, "interpolation": []},
            {**FREQUENCY, "max_size": "x"},
            {"kind": "pixel", "colour": {}},
            {"kind": "pixel", "mean": {}},
        )
    ),
]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_hostile_values(read, tmp_path):
    """No content of a file raises anything else, and none is read that is no regular file."""
    for contents in CONTENTS:
        (tmp_path / "a.json").write_bytes(contents)
        with pytest.raises(ValueError, match=r"."):
            read(tmp_path / "a.json")
    (tmp_path / "a.json").unlink()
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(OSError, match="not a regular file but a FIFO"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize("config", ["[]", "5", '{"library": "freqvision", "input": [1]}'])
def test_what_lies_next_to_weights_may_be_anything(config, tmp_path):
    from safetensors.torch import save_file

    save_file({"network.fc.weight": torch.zeros(2, 3)}, tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text(config)
    assert open_weights(tmp_path / "w.safetensors").channels is None
    (tmp_path / "config.json").write_text(DEEP)
    with pytest.raises(ValueError, match=r"config\.json, which describes w\.safetensors, is damaged"):
        open_weights(tmp_path / "w.safetensors")
