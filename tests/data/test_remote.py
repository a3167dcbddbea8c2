"""Shards in object storage: the same photos, few requests, a bounded cache, errors that say what failed."""

import logging
import os
import pickle
import urllib.request
from pathlib import Path

import pytest
import torch
from object_server import serve
from torch.utils.data import DataLoader

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoLoader, PhotoShards, RandomView
from freqvision.data import remote as remote_files
from freqvision.data.remote import Part, Storage
from freqvision.data.shards import Shards, find_shards, open_index, write_shard

obstore = pytest.importorskip("obstore")
moto = pytest.importorskip("moto.server")
SPEC = fv.FrequencySpec(resize=72, crop=64)


@pytest.fixture(scope="module")
def server():
    """An S3 server on loopback with an empty bucket, which counts requests."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    running.address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{running.address}/bucket", method="PUT"))
    running.options = {
        "endpoint": running.address,
        "region": "us-east-1",
        "client_options": {"allow_http": True},
        "access_key_id": "a",
        "secret_access_key": "b",
        "retry_config": {"max_retries": 1},
    }
    yield running
    running.stop()


@pytest.fixture
def storage(server, tmp_path):
    return Storage(server.options, tmp_path / "cache")


@pytest.fixture(scope="module")
def folder(photos):
    return FrequencyFolder(photos / "train", SPEC, RandomView(), seed=3, num_threads=1)


@pytest.fixture(scope="module")
def local(folder, tmp_path_factory):
    """The folder's photos in three tar files with their index."""
    root = tmp_path_factory.mktemp("shards")
    samples = [
        (f"{place:05}", ".jpg", Path(path).read_bytes(), folder.classes[int(label)])
        for place, (path, label) in enumerate(zip(folder.paths, folder.labels, strict=True))
    ]
    for number in range(3):
        write_shard(root / f"train-{number}.tar", samples[8 * number : 8 * number + 8])
    open_index(find_shards(root))
    return root


@pytest.fixture(scope="module")
def bucket(server, local):
    """The same with an index (``with``) and without (``without``)."""
    store = obstore.store.from_url("s3://bucket", **server.options)
    for path in local.iterdir():
        obstore.put(store, f"with/{path.name}", path)
        if path.suffix == ".tar":
            obstore.put(store, f"without/{path.name}", path)
    return "s3://bucket"


@pytest.fixture
def requests(monkeypatch):
    """The ranges that are read without the cache or for it."""
    seen = []
    get = Storage.get
    monkeypatch.setattr(Storage, "get", lambda self, *range_: seen.append(range_) or get(self, *range_))
    return seen


@pytest.mark.parametrize("place", ["with", "without", "without/train-*.tar"])
def test_remote_shards_are_the_local_ones(place, bucket, storage, folder, requests):
    ours = PhotoShards(f"{bucket}/{place}", SPEC, RandomView(), seed=3, num_threads=1, storage=storage)
    assert ours.classes == folder.classes
    assert torch.equal(ours.labels, folder.labels)
    if place != "with":  # one look at each photo, at most, and never at all of it
        headers = [end - begin for url, begin, end in requests if url.endswith(".tar")]
        assert len(headers) <= 24 + 2 * 3
        assert max(headers) <= 4096
    requests.clear()
    images, labels = ours.__getitems__([20, 3, 9, 21])
    expected, truth = folder.__getitems__([20, 3, 9, 21])
    assert torch.equal(images, expected)
    assert torch.equal(labels, truth)
    assert len(requests) == 3, "a request for each shard, whose photos are neighbours"
    requests.clear()
    again = PhotoShards(f"{bucket}/{place}", SPEC, RandomView(), seed=3, num_threads=1, storage=storage)
    again.__getitems__(range(24))
    assert not [url for url, *_ in requests if url.endswith(".tar")], "index and photos are in the cache"


@pytest.mark.parametrize(
    ("where", "options"),
    [
        ("s3://bucket", {"endpoint": "{}", "region": "us-east-1"}),
        ("gs://bucket", {"base_url": "{}"}),
        ("az://bucket", {"endpoint": "{}", "account_name": "account"}),
        ("{}/bucket", {}),
    ],
)
def test_shards_in_every_kind_of_storage(where, options, local, folder, tmp_path, requests):
    """Each lists what it holds in a way of its own, but for https, of which the index says it."""
    with serve(local) as served:
        address = f"http://127.0.0.1:{served.server_port}"
        options = {name: value.format(address) for name, value in options.items()}
        if options:
            options["skip_signature"] = True
        options |= {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 0}}
        storage = Storage(options, tmp_path)
        ours = PhotoShards(where.format(address), SPEC, RandomView(), seed=3, num_threads=1, storage=storage)
        for got, expected in zip(ours.__getitems__(range(24)), folder.__getitems__(range(24)), strict=True):
            assert torch.equal(got, expected)
        served.shutdown()
    assert len([url for url, *_ in requests if url.endswith(".tar")]) == 3


def test_a_loader_fetches_ahead(bucket, storage, folder):
    ours = PhotoShards(f"{bucket}/with", SPEC, RandomView(), seed=3, num_threads=1, storage=storage)
    loaders = [PhotoLoader(ours, 5, shuffle=True), PhotoLoader(folder, 5, shuffle=True)]
    for (images, labels), (expected, truth) in zip(*loaders, strict=True):
        assert torch.equal(images, expected)
        assert torch.equal(labels, truth)
    folder.set_epoch(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are spawned here")
def test_a_forked_worker_reads_the_cache_and_nothing_else(bucket, storage, folder):
    ours = PhotoShards(f"{bucket}/with", SPEC, num_threads=1, storage=storage)
    loader = DataLoader(ours, 24, collate_fn=ours.collate, num_workers=1, multiprocessing_context="fork")
    with pytest.raises(RuntimeError, match="multiprocessing_context='spawn'"):
        next(iter(loader))
    expected, _ = ours.__getitems__(range(24))
    assert torch.equal(next(iter(loader))[0], expected)


def test_what_was_fetched_ahead_is_not_fetched_again(bucket, storage, requests):
    photos = Shards(f"{bucket}/with", storage=storage)
    requests.clear()
    photos.fetch(range(24))
    photos.fetch([0])
    photos.take(range(24))
    assert len(requests) == 3


def test_the_cache_is_bounded_and_keeps_what_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(remote_files, "CHUNK", 100)
    monkeypatch.setattr(Storage, "get", lambda self, url, begin, end: bytes([begin // 100]) * 100)
    storage = Storage(cache=tmp_path, cache_bytes=6400)
    for chunk in range(200):
        data = storage.read(
            [Part("s3://b/a.tar", "key/0", 100 * chunk + 50, 100), Part("s3://b/a.tar", "key/0", 0, 9)]
        )
        assert data == [bytes([chunk]) * 50 + bytes([chunk + 1]) * 50, bytes(9)]
        sizes = [path.stat().st_size for path in (tmp_path / "key").iterdir()]
        assert sum(sizes) <= 6400
    assert (tmp_path / "key/0-0").exists(), "which was read each time"
    assert not (tmp_path / "key/0-1").exists()
    with pytest.raises(ValueError, match="cache_bytes is at least"):
        Storage(cache_bytes=100)


def test_errors_name_file_range_and_cause(bucket, storage, server, tmp_path):
    with pytest.raises(FileNotFoundError, match="no shards at s3://bucket/nowhere"):
        PhotoShards(f"{bucket}/nowhere", SPEC, storage=storage)
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/gone\.tar: .*not found"):
        PhotoShards([f"{bucket}/gone.tar"], SPEC, storage=storage)
    photos = PhotoShards(f"{bucket}/with", SPEC, damaged="skip", storage=storage)
    photos.photos.shards[1] = f"{bucket}/gone.tar"
    with pytest.raises(FileNotFoundError, match=r"s3://bucket/gone\.tar, bytes 0 to 4,194,304: .*not found"):
        photos.__getitems__([9])
    closed = Storage(
        {**server.options, "endpoint": "http://127.0.0.1:9", "retry_config": {"max_retries": 0}}, tmp_path
    )
    with pytest.raises(OSError, match="s3://bucket/with"):
        PhotoShards(f"{bucket}/with", SPEC, storage=closed)


@pytest.mark.parametrize("size", [0, 100])
def test_a_chunk_that_is_too_short_is_not_kept(size, bucket, storage, server):
    photos = Shards(f"{bucket}/with", storage=storage)
    good = bytes(photos[0])
    for chunk in storage.cache.glob("*/*-0"):
        os.truncate(chunk, size)
    again = Shards(f"{bucket}/with", storage=Storage(server.options, storage.cache))
    with pytest.raises(ValueError, match=r"s3://bucket/with/train-0\.tar ends before"):
        again.take([0])
    for _ in range(3):  # as it is fetched, and then from the cache
        assert bytes(again[0]) == good


def test_options_come_from_the_environment_too(bucket, server, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert len(Shards(f"{bucket}/with")) == 24
    assert (tmp_path / "freqvision").is_dir()


def test_what_workers_get_is_small(bucket, storage):
    photos = Shards(f"{bucket}/with", storage=storage)
    photos.take([0])
    copy = pickle.loads(pickle.dumps(photos))
    assert [bytes(photo) for photo in copy.take([5])] == [bytes(photos[5])]
