# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests of raters' browsers in, those that pass the gates out, and answers back.

Every answer carries a strict content policy and nothing about the machine. No address of a rater,
no token and no query string is ever logged.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final
from urllib.parse import urlsplit

from exomni_core.errors import InputError, WorkerError
from exomni_core.http.peer import Peer, Refusal, Route
from exomni_core.server.protocol import json_bytes
from render_jobs.study.serving.media import TYPES, span_of
from render_jobs.study.serving.posts import MAX_BODY_BYTES, NotYoursError, OtherTabError, read_body

if TYPE_CHECKING:
    from render_jobs.study.serving.server import StudyServer

LOG: Final = logging.getLogger("exomni.study")
HEAD_S: Final = 10.0  # for a whole request to arrive
IDLE_S: Final = 20.0  # for a connection to be kept without a request
_PIECE: Final = 256 << 10
_TOKEN: Final = re.compile(r"(?<=/)(r|admin|join)/[^/]+")
POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex, nofollow",
}


class Gate(Peer):
    """One connection; `routes`: method, pattern of the path, answer."""

    server: StudyServer
    routes: ClassVar[tuple[Route, ...]] = ()
    server_version = "study"

    def handle_one_request(self) -> None:
        """As the base class, with a limit on how long a request may take to arrive."""
        self.server.watch(self.connection, IDLE_S)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """The first line is here: the rest must follow soon."""
        self._started, self._status, self._unread = time.monotonic(), 0, True
        self.server.watch(self.connection, HEAD_S)
        return super().parse_request()

    def do_GET(self) -> None:
        """Answer."""
        try:
            self._serve()
        except Refusal as refusal:
            self._refuse(refusal.status, refusal.body)
        except OtherTabError as error:
            self._refuse(HTTPStatus.CONFLICT, {"error": str(error), "reason": "other_tab"})
        except NotYoursError as error:
            self._refuse(HTTPStatus.FORBIDDEN, {"error": str(error), "reason": "not_yours"})
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, {"error": str(error), "reason": "input"})
        except WorkerError as error:
            LOG.error("%s", error)  # noqa: TRY400 (the disk is full; where that was noticed is clear)
            self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, {
                "error": "your answer can't be stored just now; it is tried again"})  # fmt: skip
        except OSError:  # the peer has gone, or takes nothing any more
            self.close_connection = True
        except Exception:
            LOG.exception("a request failed")
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the server has a fault"})
        self._tell()

    do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_GET  # noqa: N815

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        allowed = set()
        for method, pattern, answer in self.routes:
            found = pattern.fullmatch(path)
            if found is None:
                continue
            if method == self.command or (method == "GET" and self.command == "HEAD"):
                if method == "GET":
                    self._no_body()
                answer(self, *found.groups())
                return
            allowed.add(method)
        if allowed:
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "that is not possible here")
        raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    def _no_body(self) -> None:
        if self._may_have_body():
            raise Refusal(HTTPStatus.BAD_REQUEST, "this request must be empty")
        self._arrived()

    def _read_json(self) -> dict[str, Any]:
        """The body of a post from our own page; anything else is refused before it is read."""
        self._check_origin()
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON")
        lengths = self.headers.get_all("Content-Length") or []
        if self.headers.get("Transfer-Encoding") is not None or len(lengths) != 1:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "send the request with a Content-Length")
        if not re.fullmatch(r"\d{1,15}", lengths[0].strip()):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the Content-Length is no number")
        size = int(lengths[0])
        if size > MAX_BODY_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{MAX_BODY_BYTES} bytes at most")
        body = self._body_of(size)
        self._arrived()
        return read_body(body)

    def _check_origin(self) -> None:
        """Only pages that we served ourselves may post."""
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(HTTPStatus.FORBIDDEN, "another site can't post here")
        origin = self.headers.get("Origin")
        if origin is None:
            return
        host = urlsplit(origin).netloc.lower()
        own = {self.headers.get("Host", "").lower(), self.server.public_host}
        if not host or host not in own:
            raise Refusal(HTTPStatus.FORBIDDEN, "another site can't post here")

    def _arrived(self) -> None:
        self._unread = False
        self.server.unwatch(self.connection)

    def _head(self, status: HTTPStatus, kind: str, size: int, **headers: str) -> None:
        self._status = status
        self.send_response_only(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        for name, value in ({"Cache_Control": "no-store"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_bytes(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK,
                    **headers: str) -> None:  # fmt: skip
        self._head(status, kind, len(body), **headers)
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_json(self, data: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send_bytes(json_bytes(data), "application/json", status)

    def _send_tagged(self, body: bytes, kind: str, tag: str) -> None:
        """A file of the page: asked for anew each time, sent only when it changed."""
        if self.headers.get("If-None-Match") == f'"{tag}"':
            self._send_bytes(b"", kind, HTTPStatus.NOT_MODIFIED, ETag=f'"{tag}"',
                             Cache_Control="no-cache")  # fmt: skip
        else:
            self._send_bytes(body, kind, ETag=f'"{tag}"', Cache_Control="no-cache")

    def _send_sound(self, body: bytes) -> None:
        """A small file in memory, whole or the part that is asked for."""
        span = span_of(self.headers.get("Range"), len(body))
        if span is None:
            self._unsatisfiable(len(body))
            return
        more = {"Content_Range": span.content_range} if span.partial else {}
        self._send_bytes(body[span.start : span.end], TYPES[".wav"],
                         HTTPStatus.PARTIAL_CONTENT if span.partial else HTTPStatus.OK,
                         Accept_Ranges="bytes", **more)  # fmt: skip

    def _send_video(self, path: Path) -> None:
        """A video, whole or the part that is asked for; never changes, so it is kept for good."""
        with open(path, "rb") as source:
            size = path.stat().st_size
            span = span_of(self.headers.get("Range"), size)
            if span is None:
                self._unsatisfiable(size)
                return
            status = HTTPStatus.PARTIAL_CONTENT if span.partial else HTTPStatus.OK
            more = {"Content_Range": span.content_range} if span.partial else {}
            self._head(status, TYPES[path.suffix], span.end - span.start, Accept_Ranges="bytes",
                       Cache_Control="private, max-age=31536000, immutable", **more)  # fmt: skip
            if self.command != "HEAD":
                self._pump(source, span.start, span.end)

    def _pump(self, source: BinaryIO, start: int, end: int) -> None:
        source.seek(start)
        while start < end:
            piece = source.read(min(_PIECE, end - start))
            if not piece:
                raise OSError("the file became shorter")
            self.wfile.write(piece)
            start += len(piece)

    def _unsatisfiable(self, size: int) -> None:
        self._send_bytes(b"", "application/octet-stream",
                         HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, Accept_Ranges="bytes",
                         Content_Range=f"bytes */{size}")  # fmt: skip

    def _send_refusal(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        wants_page = "text/html" in self.headers.get("Accept", "")
        if wants_page and self.command in ("GET", "HEAD") and status == HTTPStatus.NOT_FOUND:
            self._send_bytes(self.server.page.body("missing.html"), TYPES[".html"], status)
        else:
            self._send_json(body, status)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests so broken that they reach no method: JSON instead of a page."""
        del message, explain
        self.close_connection = True
        self.command = getattr(self, "command", None) or "?"
        with contextlib.suppress(OSError):
            self._send_json({"error": "the request can't be read"}, HTTPStatus(code))
        self._tell()

    def _tell(self) -> None:
        LOG.info("%s", self._told(_TOKEN))
