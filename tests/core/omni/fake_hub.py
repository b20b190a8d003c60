# SPDX-License-Identifier: GPL-3.0-or-later
"""A model hub on 127.0.0.1: the answers that huggingface_hub asks for, and faults on demand.

Served are /api/models/REPO[/revision/REV] (file list with hashes) and /REPO/resolve/REV/FILE
(HEAD and GET, with ranges).
"""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = 100  # bytes from which a file counts as stored in LFS


@dataclass
class Repo:
    """The files of one revision. served: what is really sent, where that differs.

    older: the files of earlier commits, by commit.
    """

    files: dict[str, bytes]
    commit: str = "c" * 40
    served: dict[str, bytes] = field(default_factory=dict)
    older: dict[str, dict[str, bytes]] = field(default_factory=dict)
    status: int = 200
    error_code: str = ""


class FakeHub:
    """`with FakeHub({"owner/name": Repo(...)}) as hub:`; hub.url is its address.

    log: (method, path, range) of each request. break_after: the connection that sends a file is
    cut, once, after so many bytes. slow: a file's connection stays open until the event is set.
    """

    def __init__(self, repos: dict[str, Repo]) -> None:
        self.repos = repos
        self.log: list[tuple[str, str, str | None]] = []
        self.break_after: dict[str, int] = {}
        self.slow: dict[str, threading.Event] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for event in self.slow.values():
            event.set()
        self._server.shutdown()
        self._server.server_close()

    def fetched(self) -> list[str]:
        """Names of the files that were sent, in order; a resumed one stands twice."""
        return [
            p.rpartition("/")[2]
            for method, p, _ in self.log
            if method == "GET" and "/resolve/" in p
        ]


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path, self.headers.get("Range")))
        parts = path.strip("/").split("/")
        is_list = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if is_list else parts[:2])
        repo = self.hub.repos.get(name)
        if repo is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if repo.status != 200:
            return self._send(repo.status, b"", {"X-Error-Code": repo.error_code})
        revision = parts[5] if is_list and len(parts) > 5 else "main" if is_list else parts[3]
        if revision in repo.older:
            repo = Repo(repo.older[revision], commit=revision)
        elif revision not in ("main", repo.commit):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if is_list:
            return self._send(200, json.dumps(_listing(name, repo)).encode(), {})
        return self._send_file("/".join(parts[4:]), repo, with_body=with_body)

    def _send_file(self, file: str, repo: Repo, *, with_body: bool) -> None:
        if file not in repo.files:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = repo.served.get(file, repo.files[file])
        headers = {"ETag": f'"{_etag(repo.files[file])}"', "X-Repo-Commit": repo.commit}
        headers["Accept-Ranges"] = "bytes"
        asked = self.headers.get("Range")
        status, start = 200, 0
        if asked and with_body:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        body = data[start:]
        stop = self.hub.break_after.pop(file, None) if with_body else None
        return self._send(status, body, headers, with_body=with_body, stop=stop, file=file)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        *,
        with_body: bool = True,
        stop: int | None = None,
        file: str = "",
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        self.wfile.write(body[:stop])
        self.wfile.flush()
        if file in self.hub.slow:
            self.hub.slow[file].wait(30)
        if stop is not None:
            self.close_connection = True
            self.connection.close()


def _listing(name: str, repo: Repo) -> dict[str, Any]:
    siblings = []
    for file, data in repo.files.items():
        entry: dict[str, Any] = {"rfilename": file, "size": len(data), "blobId": git_sha1(data)}
        if len(data) >= LARGE:
            sha256 = hashlib.sha256(data).hexdigest()
            entry["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 130}
        siblings.append(entry)
    return {"id": name, "modelId": name, "sha": repo.commit, "siblings": siblings, "tags": []}


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if len(data) >= LARGE else git_sha1(data)


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
