"""A Hugging Face hub on the loopback, as far as huggingface-hub needs one to store and fetch small files."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "1" * 40


class Handler(BaseHTTPRequestHandler):
    """One repository's files, in the server's `files`; every address is asked in its `asked`."""

    server: Any

    def answer(self, code: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), "X-Repo-Commit": COMMIT, **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        lines = self.rfile.read(length).splitlines()
        self.server.asked.append(("POST", self.path))
        if self.path == "/api/repos/create":
            self.server.repo = "/".join(json.loads(lines[0])[key] for key in ("organization", "name"))
            self.answer(200, {"url": f"{self.server.address}/{self.server.repo}"})
        elif self.path.endswith("/preupload/main"):
            files = [file["path"] for file in json.loads(lines[0])["files"]]
            self.answer(
                200,
                {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]},
            )
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, lines):
                if line["key"] == "file":
                    self.server.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self.answer(
                200,
                {
                    "commitUrl": f"{self.server.address}/{self.server.repo}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                },
            )
        else:
            self.answer(200, {})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append((self.command, self.path))
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if f"/{self.server.repo}/" not in path:
            self.answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        elif "/revision/" in path:
            siblings = [{"rfilename": name} for name in self.server.files]
            self.answer(200, {"id": self.server.repo, "sha": COMMIT, "siblings": siblings})
        elif "/tree/" in path:
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": COMMIT}
                for name, content in self.server.files.items()
            ]
            self.answer(200, entries)
        elif name in self.server.files:
            self.answer(200, self.server.files[name], ETag=f'"{name}"')
        else:
            self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def hub_server() -> Iterator[Any]:
    """The running server: `address`, `files` by name, `asked`."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.repo = {}, [], ""
    server.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
