# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests of raters' browsers in, those that pass the gates out, and answers back.

Every answer carries a strict content policy and nothing about the machine. No address of a rater,
no token and no query string is ever logged.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final
from urllib.parse import urlsplit

from exomni_core.errors import InputError, WorkerError
from exomni_core.http.peer import Peer, Refusal
from render_jobs.study.serving.context import StudyContext
from render_jobs.study.serving.media import TYPES, Span, span_of
from render_jobs.study.serving.posts import (
    MAX_BODY_BYTES,
    NotYoursError,
    OtherTabError,
    TooManyChangesError,
    read_body,
)

LOG: Final = logging.getLogger("exomni.study")
_PIECE: Final = 256 << 10
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


class Gate(Peer[StudyContext]):
    """One connection of a rater's browser."""

    server_version = "study"
    takes_head: ClassVar[bool] = True
    fixed_headers: ClassVar[Mapping[str, str]] = HEADERS
    idle_s: ClassVar[float] = 20.0
    head_s: ClassVar[float] = 10.0
    secret: ClassVar[re.Pattern[str] | None] = re.compile(r"(?<=/)(r|admin|join)/[^/]+")

    def _check_peer(self) -> None:
        """A question has no body."""
        if self.command in ("GET", "HEAD"):
            if self._may_have_body():
                raise Refusal(HTTPStatus.BAD_REQUEST, "this request must be empty")
            self._arrived()

    def _refusal_of(self, error: Exception) -> Refusal | None:
        if isinstance(error, OtherTabError):
            return Refusal(HTTPStatus.CONFLICT, str(error), reason="other_tab")
        if isinstance(error, TooManyChangesError):
            return Refusal(HTTPStatus.FORBIDDEN, str(error), reason="changes")
        if isinstance(error, NotYoursError):
            return Refusal(HTTPStatus.FORBIDDEN, str(error), reason="not_yours")
        if isinstance(error, InputError):
            return Refusal(HTTPStatus.BAD_REQUEST, str(error), reason="input")
        if isinstance(error, WorkerError):
            LOG.error("%s", error)  # the disk is full; where that was noticed is clear
            return Refusal(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "your answer can't be stored just now; it is tried again",
            )
        return None

    def _read_json(self) -> dict[str, Any]:
        """The body of a post from our own page; anything else is refused before it is read."""
        self._check_origin()
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send JSON")
        return read_body(self._read_body(MAX_BODY_BYTES, needed=True))

    def _check_origin(self) -> None:
        """Only pages that we served ourselves may post."""
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(HTTPStatus.FORBIDDEN, "another site can't post here")
        origin = self.headers.get("Origin")
        if origin is None:
            return
        try:
            host = urlsplit(origin).netloc.lower()
        except ValueError:
            host = ""
        own = {self.headers.get("Host", "").lower(), self.shared.public_host}
        if not host or host not in own:
            raise Refusal(HTTPStatus.FORBIDDEN, "another site can't post here")

    def _send_tagged(self, body: bytes, kind: str, tag: str) -> None:
        """A file of the page: asked for anew each time, sent only when it changed."""
        headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
        if self.headers.get("If-None-Match") == f'"{tag}"':
            self._send_bytes(b"", kind, HTTPStatus.NOT_MODIFIED, headers)
        else:
            self._send_bytes(body, kind, headers=headers)

    def _send_sound(self, body: bytes) -> None:
        """A small file in memory, whole or the part that is asked for."""
        span = self._span(len(body))
        if span is not None:
            part = body[span.start : span.end]
            self._send_bytes(part, TYPES[".wav"], _status_of(span), _range_headers(span))

    def _send_video(self, path: Path) -> None:
        """A video, whole or the part that is asked for; never changes, so it is kept for good."""
        with open(path, "rb") as source:
            span = self._span(path.stat().st_size)
            if span is None:
                return
            self._head(
                _status_of(span),
                TYPES[path.suffix],
                {
                    "Content-Length": str(span.end - span.start),
                    "Cache-Control": "private, max-age=31536000, immutable",
                    **_range_headers(span),
                },
            )
            if self.command != "HEAD":
                self._pump(source, span.start, span.end)

    def _span(self, size: int) -> Span | None:
        """The part of a file that is asked for; None where it lies beyond, which is answered."""
        span = span_of(self.headers.get("Range"), size)
        if span is None:
            headers = {"Accept-Ranges": "bytes", "Content-Range": f"bytes */{size}"}
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            self._send_bytes(b"", "application/octet-stream", status, headers)
        return span

    def _pump(self, source: BinaryIO, start: int, end: int) -> None:
        source.seek(start)
        while start < end:
            piece = source.read(min(_PIECE, end - start))
            if not piece:
                raise OSError("the file became shorter")
            self.wfile.write(piece)
            start += len(piece)

    def _send_refusal(self, refusal: Refusal) -> None:
        wants_page = "text/html" in self.headers.get("Accept", "")
        is_missing = refusal.status == HTTPStatus.NOT_FOUND
        if wants_page and is_missing and self.command in ("GET", "HEAD"):
            self._send_bytes(self.shared.page.body("missing.html"), TYPES[".html"], refusal.status)
        else:
            super()._send_refusal(refusal)


def _status_of(span: Span) -> HTTPStatus:
    return HTTPStatus.PARTIAL_CONTENT if span.partial else HTTPStatus.OK


def _range_headers(span: Span) -> dict[str, str]:
    told = {"Content-Range": span.content_range} if span.partial else {}
    return {"Accept-Ranges": "bytes", **told}
