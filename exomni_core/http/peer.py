# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection of a peer that we don't know in, whole requests and plain refusals out.

What the engine process and a study's page have in common; the standard library alone.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

_PATIENCE_S: Final = 30.0  # for a peer that sends or takes nothing
_LINGER_S: Final = 1.0
Route = tuple[str, re.Pattern[str], Callable[..., None]]


class Refusal(Exception):  # noqa: N818 (an answer, no fault of ours)
    """Ends a request with a status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str, **fields: Any) -> None:
        super().__init__(sentence)
        self.status, self.body = status, {"error": sentence, **fields}


class Peer(BaseHTTPRequestHandler):
    """One connection. A subclass answers; `_status` is what it has answered, 0 before."""

    protocol_version = "HTTP/1.1"
    sys_version = ""
    timeout = _PATIENCE_S
    disable_nagle_algorithm = True
    _started, _status, _unread = 0.0, 0, True  # for requests too broken to be parsed

    def handle_expect_100(self) -> bool:
        """Wait with "100 Continue" until the request has passed the gates."""
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Nothing: each request is logged once, when it is over."""

    def _send_refusal(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        raise NotImplementedError

    def _body_of(self, size: int) -> bytes:
        """The request's body, once it has passed the gates."""
        self._continue()
        body = self.rfile.read(size) if size else b""
        if len(body) < size:
            raise ConnectionError("the request ended early")
        self._unread = False
        return body

    def _continue(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            super().end_headers()

    def _refuse(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        """Send an error; whatever of the request is unread makes the connection unusable."""
        if self._status:  # the answer has begun: all that is left is to break it off
            self.close_connection = True
            return
        if self._unread and self._may_have_body():
            self.close_connection = True
        with contextlib.suppress(OSError):
            self._send_refusal(status, body)
            if self.close_connection:
                self._linger()

    def _may_have_body(self) -> bool:
        return (
            self.headers.get("Content-Length", "0").strip() != "0"
            or self.headers.get("Transfer-Encoding") is not None
        )

    def _linger(self) -> None:
        """Take in some of what the peer still sends: a reset could cost it our answer."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_WR)
        end = time.monotonic() + _LINGER_S
        self.connection.settimeout(0.2)
        while time.monotonic() < end and self.connection.recv(1 << 16):
            pass

    def _told(self, hidden: re.Pattern[str] | None = None) -> str:
        """The request in a line for the log, without its query and what `hidden` finds in it."""
        path = urlsplit(getattr(self, "path", "?")).path
        if hidden is not None:
            path = hidden.sub(r"\1/…", path)
        shown = "".join(c if c.isprintable() else "?" for c in path)[:80]
        took_ms = 1000.0 * (time.monotonic() - self._started)
        return f"{str(self.command)[:10]} {shown} {int(self._status)} {took_ms:.0f} ms"
