"""Object storage on loopback: the files of a folder, as S3, Google and Azure list and serve them.

Light, so that benchmarks measure the reader; moto, which tests also use, is S3 in full.
"""

import os
import re
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "bucket"


class Handler(BaseHTTPRequestHandler):
    """GET with a range, HEAD, and the first page of a list."""

    protocol_version = "HTTP/1.1"
    root: Path
    delay = 0.0  # seconds before each answer

    def do_GET(self) -> None:
        time.sleep(self.delay)
        place = urlsplit(self.path)
        name = unquote(place.path).strip("/").removeprefix(BUCKET).strip("/")
        query = parse_qs(place.query)
        if "list-type" in query or query.get("comp") == ["list"]:
            prefix = query.get("prefix", [""])[0]
            self.answer(200, self.listed(prefix, azure="comp" in query).encode())
            return
        file = self.root / name
        if not file.is_file():
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        size = file.stat().st_size
        wanted = re.fullmatch(
            r"bytes=(\d+)-(\d+)", self.headers.get("Range", self.headers.get("x-ms-range", ""))
        )
        begin, end = (int(wanted[1]), min(int(wanted[2]) + 1, size)) if wanted else (0, size)
        with open(file, "rb") as contents:
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(end - begin))
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{size}")
            self.send_header("ETag", f'"{size}"')
            self.send_header("Last-Modified", formatdate(file.stat().st_mtime, usegmt=True))
            self.end_headers()
            self.wfile.flush()
            while begin < end and self.command == "GET":
                begin += os.sendfile(self.connection.fileno(), contents.fileno(), begin, end - begin)

    do_HEAD = do_GET  # noqa: N815

    def listed(self, prefix: str, azure: bool) -> str:
        """The answer to a list, in Azure's XML or in that of all others."""
        files = [file for file in sorted(self.root.rglob("*")) if file.is_file()]
        entry = (
            "<Blob><Name>{0}</Name><Properties><Content-Length>{1}</Content-Length><Etag>{1}</Etag><Content-Type/>"
            "<Last-Modified>Mon, 02 Nov 2026 00:00:00 GMT</Last-Modified></Properties></Blob>"
            if azure
            else "<Contents><Key>{0}</Key><Size>{1}</Size><ETag>{1}</ETag>"
            "<LastModified>2026-11-02T00:00:00.000Z</LastModified></Contents>"
        )
        names = [(str(file.relative_to(self.root)), file.stat().st_size) for file in files]
        found = "".join(entry.format(*one) for one in names if one[0].startswith(prefix))
        around = "<EnumerationResults><Blobs>{}</Blobs></EnumerationResults>" if azure else None
        return (around or "<ListBucketResult>{}</ListBucketResult>").format(found)

    def answer(self, status: int, contents: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(contents)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(contents)

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


def serve(root: Path, delay: float = 0) -> ThreadingHTTPServer:
    """Serve a folder's files from a thread; `server_port` of the result is the port."""
    handler = type("Handler", (Handler,), {"root": root, "delay": delay})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":  # python object_server.py FOLDER DELAY: prints the port, ends with its input
    print(serve(Path(sys.argv[1]), float(sys.argv[2])).server_port, flush=True)
    sys.stdin.read()
