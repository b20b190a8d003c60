# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection of a peer that we don't know in, whole requests and plain answers out.

What the engine process and a study's page have in common; the standard library alone, because the
engine process also runs in Blender's own Python. Every refusal is JSON with one sentence, and no
page of another origin may read an answer: there are no CORS headers.
"""

from __future__ import annotations

import contextlib
import hmac
import http.client
import re
import socket
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Final, Generic, TypeVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from exomni_core.http.serving import Server
from exomni_core.storage.documents import json_bytes

_PATIENCE_S: Final = 30.0  # for a peer that sends or takes nothing
_LINGER_S: Final = 1.0
_MAX_HEAD_BYTES: Final = 64 << 10  # of all lines after the first
_NO_HEADERS: Final[Mapping[str, str]] = {}
Route = tuple[str, re.Pattern[str], Callable[..., None]]
Shared = TypeVar("Shared")


class Refusal(Exception):  # noqa: N818 (an answer, no fault of ours)
    """Ends a request with a status and a sentence; fields: more of the JSON answer."""

    def __init__(self, status: HTTPStatus, sentence: str, **fields: Any) -> None:
        super().__init__(sentence)
        self.status, self.body = status, {"error": sentence, **fields}


def nothing_here() -> Refusal:
    """For an address without an answer."""
    return Refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")


def same_token(given: str, known: str) -> bool:
    """Whether they are equal, in a time that tells nothing about `known`."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), known.encode())


class Peer(BaseHTTPRequestHandler, Generic[Shared]):
    """One connection. A subclass names its `routes` and turns its errors into refusals.

    routes: method, pattern of the path, the method that answers. takes_head: whether HEAD is
    answered as GET without a body. fixed_headers: of every answer. idle_s, head_s: how long a
    connection is kept without a request, and how long a whole request may take to arrive.
    body_bytes_s: how fast a body must come on average, where bodies are large; they then have
    `head_s` more. secret: what no log may hold of a path; its first group may.
    `_status` is what was answered, 0 before; `_unread` whether a body may still be on its way.
    """

    server: Server[Shared]
    protocol_version = "HTTP/1.1"
    sys_version = ""
    timeout = _PATIENCE_S
    disable_nagle_algorithm = True
    routes: ClassVar[tuple[Route, ...]] = ()
    takes_head: ClassVar[bool] = False
    fixed_headers: ClassVar[Mapping[str, str]] = {}
    idle_s: ClassVar[float] = 20.0
    head_s: ClassVar[float] = 10.0
    body_bytes_s: ClassVar[float | None] = None
    secret: ClassVar[re.Pattern[str] | None] = None
    _started, _status, _unread = 0.0, 0, True  # for requests too broken to be parsed

    @property
    def shared(self) -> Shared:
        """What all connections use."""
        return self.server.shared

    # ------------------------------------------------------------------------- what a subclass says

    def _check_peer(self) -> None:
        """Raise a Refusal for a request that no route may see."""

    def _refusal_of(self, error: Exception) -> Refusal | None:
        """The answer to an error that a route raised; None for a fault of ours."""
        raise NotImplementedError

    def _send_refusal(self, refusal: Refusal) -> None:
        self._send_json(refusal.body, refusal.status)

    # ------------------------------------------------------------------------- requests

    def handle_one_request(self) -> None:
        """As the base class, with a limit on how long the next request may take to come."""
        self.server.watch(self.connection, self.idle_s)
        super().handle_one_request()

    def parse_request(self) -> bool:
        """The first line is here: the rest must follow soon."""
        self._started, self._status, self._unread = time.monotonic(), 0, True
        self.server.watch(self.connection, self.head_s)
        whole = self.rfile
        head: Any = _Head(whole)  # has all that the base class needs
        self.rfile = head
        try:
            if not super().parse_request():
                return False
        finally:
            self.rfile = whole
        sentence = self._fault()
        if sentence:
            self.close_connection = True
            self.request_version = self.protocol_version  # else the answer would have no status
            self._refuse(Refusal(HTTPStatus.BAD_REQUEST, sentence))
            self._tell()
        return not sentence

    def _fault(self) -> str:
        """What makes the head unusable, though it could be read; "" for nothing."""
        if self.request_version == "HTTP/0.9":
            return "the request names no version of HTTP; send HTTP/1.1"
        if _split(self.path) is None:
            return "the address in the request can't be read; ask for a path such as /health"
        if self.headers.defects or self.headers.get_payload():
            return "the headers of the request can't be read; send one 'Name: value' a line"
        return ""

    def handle_expect_100(self) -> bool:
        """Wait with "100 Continue" until the request has passed the gates."""
        return True

    def do_GET(self) -> None:
        """Answer."""
        self._serve()

    do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_GET  # noqa: N815

    def _serve(self) -> None:
        """Answer; every error becomes a refusal."""
        try:
            self._check_peer()
            self._route()
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:
            gone = isinstance(error, OSError)  # the peer, or it takes nothing any more
            self.close_connection = self.close_connection or gone
            refusal_or_none = self._refusal_of(error)
            if refusal_or_none is None and not gone:
                self.server.log.exception("a request failed: %s", self._told())
                fault = f"the server has a fault ({type(error).__name__}); see its log"
                refusal_or_none = Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, fault)
            if refusal_or_none is not None:
                self._refuse(refusal_or_none)
        self._tell()

    def _route(self) -> None:
        parts = _split(self.path)
        if parts is None:
            raise nothing_here()
        self._query = parse_qs(parts.query, keep_blank_values=True)
        allowed = []
        wanted = "GET" if self.command == "HEAD" and self.takes_head else self.command
        for method, pattern, answer in self.routes:
            found = pattern.fullmatch(parts.path)
            if found and method == wanted:
                answer(self, *found.groups())
                return
            if found:
                allowed.append(method)
        if allowed:
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{self.command} is not possible here; use {' or '.join(allowed)}",
            )
        raise nothing_here()

    def _length(self, limit: int, *, needed: bool) -> int:
        """How long the body is, as its head says; a Refusal if that is too much, or unclear."""
        lengths = self.headers.get_all("Content-Length") or []
        unclear = self.headers.get("Transfer-Encoding") is not None
        if unclear or (needed and not lengths):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "send the request with a Content-Length")
        if not lengths:
            return 0
        if len(lengths) > 1 or not re.fullmatch(r"\d{1,15}", lengths[0].strip()):
            raise Refusal(HTTPStatus.BAD_REQUEST, "the Content-Length is no number")
        size = int(lengths[0])
        if size > limit:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"this is {size} bytes; {limit} are the most that is taken, send less",
                kind="InputError",
            )
        return size

    def _read_body(self, limit: int, *, needed: bool = False) -> bytes:
        """The request's body, once it has passed the gates."""
        size = self._length(limit, needed=needed)
        self._continue(size)
        body = self.rfile.read(size) if size else b""
        if len(body) < size:
            raise ConnectionError("the request ended early")
        self._arrived()
        return body

    def _continue(self, size: int) -> None:
        """The gates are passed: let a body of so many bytes come, in due time."""
        if self.body_bytes_s is not None:
            seconds = self.head_s + size / self.body_bytes_s
            self.server.watch(self.connection, seconds, known=True)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            super().end_headers()

    def _arrived(self) -> None:
        """The whole request is here."""
        self._unread = False
        self.server.watch(self.connection, None, known=True)

    def _may_have_body(self) -> bool:
        return (
            self.headers.get("Content-Length", "0").strip() != "0"
            or self.headers.get("Transfer-Encoding") is not None
        )

    # ------------------------------------------------------------------------- answers

    def _head(
        self, status: HTTPStatus, kind: str, headers: Mapping[str, str] = _NO_HEADERS
    ) -> None:
        self._status = status
        self.send_response_only(status)
        plain = {
            "Content-Type": kind,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        }
        for name, value in (plain | dict(self.fixed_headers) | dict(headers)).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_bytes(
        self,
        body: bytes,
        kind: str,
        status: HTTPStatus = HTTPStatus.OK,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> None:
        self._head(status, kind, {"Content-Length": str(len(body)), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_json(self, data: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send_bytes(json_bytes(data), "application/json", status)

    def _refuse(self, refusal: Refusal) -> None:
        """Send an error; whatever of the request is unread makes the connection unusable."""
        if self._status:  # the answer has begun: all that is left is to break it off
            self.close_connection = True
            return
        if self._unread and self._may_have_body():
            self.close_connection = True
        with contextlib.suppress(OSError):
            self._send_refusal(refusal)
            if self.close_connection:
                self._linger()

    def _linger(self) -> None:
        """Take in some of what the peer still sends: a reset could cost it our answer."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        end = time.monotonic() + _LINGER_S
        self.connection.settimeout(0.2)
        while time.monotonic() < end and self.connection.recv(1 << 16):
            pass

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests so broken that they reach no method: JSON instead of a page."""
        del message, explain
        self.close_connection = True
        self.request_version = self.protocol_version  # else the answer would have no status
        self.command = getattr(self, "command", None) or "?"
        self._started = self._started or time.monotonic()
        sentence = f"the request can't be read: {HTTPStatus(code).phrase}"
        with contextlib.suppress(OSError):
            self._send_json({"error": sentence}, HTTPStatus(code))
        self._tell()

    # ------------------------------------------------------------------------- the log

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Nothing: each request is logged once, when it is over."""

    def _tell(self) -> None:
        self.server.log.info("%s", self._told())

    def _told(self) -> str:
        """The request in a line for the log, without its query and what is secret in its path."""
        parts = _split(getattr(self, "path", "?"))
        path = parts.path if parts else "?"
        if self.secret is not None:
            path = self.secret.sub(r"\1/…", path)
        shown = "".join(c if c.isprintable() else "?" for c in path)[:80]
        took_ms = 1000.0 * (time.monotonic() - self._started)
        return f"{str(self.command)[:10]} {shown} {int(self._status)} {took_ms:.0f} ms"


class _Head:
    """The lines of a head, as `http.client` reads them; no more of them than a memory can hold."""

    def __init__(self, source: Any) -> None:
        self._source, self._left = source, _MAX_HEAD_BYTES

    def readline(self, size: int = -1) -> bytes:
        """The next line; HTTPException when all of them together are too long."""
        line: bytes = self._source.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise http.client.HTTPException("the head is too long")
        return line


def _split(target: str) -> SplitResult | None:
    """The parts of a request's address; None where it is none."""
    try:
        return urlsplit(target)
    except ValueError:
        return None
