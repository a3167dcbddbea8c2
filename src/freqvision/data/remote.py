"""Files in object storage, read by ranges of bytes through a cache here. The requests are obstore's."""

import io
import mmap
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from freqvision.runtime import DRAFT, address, naming_extras, replacing

CHUNK = 4 * 2**20  # bytes of a request, and of a file of the cache
REQUESTS = 32  # at once
HEADER = 4096  # bytes that are read around a header of a tar file
CACHE_BYTES = 16 * 2**30
MAPPED = 64  # chunks of the cache that are kept mapped into memory

_process: int | None = None  # the one whose threads obstore uses, which no fork survives


class Remote(NamedTuple):
    """A file in object storage: its address, its size in bytes, and what changes when it is replaced."""

    url: str
    size: int
    version: str


class Part(NamedTuple):
    """A range of bytes of a file, and the name of the file in the cache."""

    url: str
    key: str
    offset: int
    length: int


def is_remote(where: object) -> bool:
    """Whether this is an address such as ``s3://bucket/photos``, or a list of them."""
    if isinstance(where, (list, tuple)):
        return bool(where) and is_remote(where[0])
    return address(where) is not None


class Storage:
    """Reads files of object storage, many requests at once, and keeps what it read in a folder.

    The unit of requests and of the cache is a chunk of 4 MiB. Processes share the cache; the chunks that were
    not used for longest are removed when it grows beyond its size.

    Args:
        options: As obstore takes them, such as ``{"region": "eu-west-1", "skip_signature": True}`` or
            ``{"endpoint": …, "client_options": {"allow_http": True}}``; it reads the environment, too.
        cache: Folder of the cache; None is ``freqvision`` in the user's folder of caches.
        cache_bytes: Size of the cache, at least 256 MiB: those in use must fit.
    """

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if cache_bytes < 64 * CHUNK:
            raise ValueError(f"cache_bytes is at least {64 * CHUNK:,}, got {cache_bytes:,}")
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        self.options = dict(options or {})
        self.cache = Path(cache or os.path.join(home, "freqvision"))
        self.cache_bytes = cache_bytes
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("options", "cache", "cache_bytes")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def _start(self) -> None:
        self._owner = os.getpid()
        self._stores: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._coming: dict[str, Future[memoryview]] = {}  # chunks on their way to the cache
        self._mapped = lru_cache(maxsize=MAPPED)(mapped)
        self._pool: ThreadPoolExecutor | None = None
        self._written = 0  # bytes since the cache was trimmed

    def files(self, where: str | Sequence[str]) -> list[Remote]:
        """The tar files directly below an address, those that match a pattern, or those named, sorted."""
        if isinstance(where, str) and not where.endswith(".tar"):
            where = f"{where.rstrip('/')}/*.tar"
        if isinstance(where, str) and "*" in where:
            root, _, pattern = where.rpartition("/")
            found = [
                _remote(f"{root}/{entry['path']}", entry)
                for page in self._try(where, lambda store, name: list(_obstore().list(store)))
                for entry in page
                if "/" not in entry["path"] and fnmatchcase(entry["path"], pattern)
            ]
        else:
            named = [where] if isinstance(where, str) else list(where)
            ask = partial(self._try, request=lambda *file: _obstore().head(*file))
            heads = self._threads().map(ask, named)
            found = [_remote(url, head) for url, head in zip(named, heads, strict=True)]
        if not found:
            raise FileNotFoundError(f"no shards at {where}: pass an address below which .tar files are")
        return sorted(found)

    def download(self, url: str, path: Path) -> None:
        """Copy a whole file to a path."""
        with replacing(path) as draft, open(draft, "wb") as file:
            for part in self._try(url, lambda *source: _obstore().get(*source).stream()):
                file.write(part)

    def open(self, file: Remote) -> io.BufferedReader:
        """A file of which little is read, here and there."""
        return io.BufferedReader(_Ranges(self, file), HEADER)

    def read(self, parts: Sequence[Part]) -> list[bytes | memoryview]:
        """Ranges of bytes, all of whose chunks are fetched at once."""
        self.fetch(parts)
        found: list[bytes | memoryview] = []
        for part in parts:
            end = part.offset + part.length
            slices = [
                self._contents(part, chunk)[max(part.offset - chunk * CHUNK, 0) : end - chunk * CHUNK]
                for chunk in _chunks(part)
            ]
            if sum(map(len, slices)) < part.length:  # a server's mistake, or a lost disk: it is asked again
                for chunk in _chunks(part):
                    Path(self._path(part, chunk)).unlink(missing_ok=True)
                self._mapped.cache_clear()  # of files that are no longer those
            found.append(slices[0] if len(slices) == 1 else b"".join(slices))
        return found

    def fetch(self, parts: Iterable[Part]) -> None:
        """Begin to fetch the chunks of ranges of bytes, and return at once."""
        for part in parts:
            for chunk in _chunks(part):
                self._fetch(part, chunk)

    def get(self, url: str, begin: int, end: int) -> memoryview:
        """A range of a file's bytes, without the cache; shorter where the file ends."""
        return self._try(
            url,
            lambda store, name: memoryview(_obstore().get_range(store, name, start=begin, end=end)),
            f", bytes {begin:,} to {end:,}",
        )

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(REQUESTS, thread_name_prefix="storage")
        return self._pool

    def _contents(self, part: Part, chunk: int) -> memoryview:
        """A chunk: of the cache, or as it comes."""
        path = self._path(part, chunk)
        while True:
            coming = self._fetch(part, chunk)
            if coming is not None:
                return coming.result()
            with suppress(FileNotFoundError):  # removed since: it is fetched again
                os.utime(path)  # it is in use
                return self._mapped(path)

    def _fetch(self, part: Part, chunk: int) -> Future[memoryview] | None:
        """A chunk that is on its way; None if it is in the cache."""
        if self._owner != os.getpid():  # a fork has copied this object, but not its threads
            self._start()
        path = self._path(part, chunk)
        with self._lock:
            coming = self._coming.get(path)
            if coming is None and not os.path.exists(path):
                coming = self._coming[path] = self._threads().submit(self._receive, part, chunk, path)
            return coming

    def _path(self, part: Part, chunk: int) -> str:
        return os.path.join(self.cache, f"{part.key}-{chunk}")

    def _receive(self, part: Part, chunk: int, path: str) -> memoryview:
        try:
            contents = self.get(part.url, chunk * CHUNK, (chunk + 1) * CHUNK)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            draft = f"{path}.{os.getpid()}{DRAFT}"
            with open(draft, "wb") as file:
                file.write(contents)
            os.replace(draft, path)
            self._written += len(contents)
            if self._written > self.cache_bytes // 16:
                self._trim()
            return contents
        finally:
            with self._lock:
                del self._coming[path]

    def _trim(self) -> None:
        """Remove the chunks that were not used for longest."""
        self._written = 0
        chunks = []
        for path in self.cache.glob("*/*-*"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            chunks.append((status.st_mtime_ns, status.st_size, path))
        too_many = sum(size for _, size, _ in chunks) - self.cache_bytes * 7 // 8
        for _, size, path in sorted(chunks):
            if too_many <= 0:
                break
            with suppress(OSError):  # Windows keeps what is mapped
                path.unlink()
                too_many -= size

    def _try(self, url: str, request: Any, what: str = "") -> Any:
        """A request of a store and a name in it; errors name the address."""
        root, _, name = url.rpartition("/")
        try:
            if root not in self._stores:
                self._stores[root] = _obstore().store.from_url(root, **self.options)
            return request(self._stores[root], name)
        except (ImportError, RuntimeError):  # of _obstore
            raise
        except Exception as error:  # obstore has a hierarchy of its own
            kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
            cause = re.sub(r"\s*<\?xml.*|\n.*", "", str(error), flags=re.DOTALL)
            raise kind(f"{url}{what}: {cause}") from error


class _Ranges(io.RawIOBase):
    """A remote file as io's classes read it."""

    def __init__(self, storage: Storage, file: Remote) -> None:
        self.storage = storage
        self.file = file
        self.place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.place, os.SEEK_END: self.file.size}[whence]
        self.place = start + offset
        return self.place

    def readinto(self, buffer: Any) -> int:
        end = min(self.place + len(buffer), self.file.size)
        if end <= self.place:
            return 0
        contents = self.storage.get(self.file.url, self.place, end)
        buffer[: len(contents)] = contents
        self.place += len(contents)
        return len(contents)


def mapped(path: str) -> memoryview:
    """A file's bytes, in the memory that it is mapped to."""
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:  # which mmap refuses
            return memoryview(b"")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _chunks(part: Part) -> range:
    return range(part.offset // CHUNK, -(-(part.offset + part.length) // CHUNK))


def _remote(url: str, entry: Mapping[str, Any]) -> Remote:
    return Remote(url, entry["size"], entry["e_tag"] or str(entry["last_modified"]))


def _obstore() -> Any:
    """The library, in a process that can use it; an error in a fork of it."""
    global _process
    with naming_extras():
        import obstore
    if _process not in (None, os.getpid()):
        raise RuntimeError(
            "object storage cannot be read in a forked process, where obstore's threads are missing: use a "
            "PhotoLoader, or DataLoader(…, multiprocessing_context='spawn')"
        )
    _process = os.getpid()
    return obstore
