# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests in, those that pass the gates out, and answers back; every error is JSON.

Each request passes the same gates in this order: the Host header (against DNS rebinding), the
token, the protocol's number, the route, the size. No page of any origin may read an answer: there
are no CORS headers.
"""

from __future__ import annotations

import contextlib
import errno
import hmac
import logging
import re
import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from exomni_core.errors import EnvironmentProblem, ExOmniError
from exomni_core.http.peer import Peer, Refusal, Route
from exomni_core.server import protocol

if TYPE_CHECKING:
    from exomni_core.server.app import EngineServer

LOG: Final = logging.getLogger("exomni.server")
_JSON: Final = "application/json"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Connection(Peer):
    """One connection; `routes`: method, pattern of the path, answer."""

    server: EngineServer
    routes: ClassVar[tuple[Route, ...]] = ()
    server_version = "exomni"

    def do_GET(self) -> None:
        """Answer."""
        self._serve()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = do_GET  # noqa: N815

    def _serve(self) -> None:
        self._started, self._status, self._unread = time.monotonic(), 0, True
        self.server.touch()
        try:
            self._check_peer()
            self._route()
        except Refusal as refusal:
            self._refuse(refusal.status, refusal.body)
        except ExOmniError as error:
            missing = isinstance(error, EnvironmentProblem)
            status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.BAD_REQUEST
            self._refuse(status, protocol.error_fields(error))
        except OSError as error:  # the peer has gone, or takes nothing any more
            self.close_connection = True
            if error.errno in _FULL:
                self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, {
                    "error": "the engine's disk is full; free some space and try again",
                    "kind": "EnvironmentProblem",
                })  # fmt: skip
        except Exception as error:
            LOG.exception("%s %s failed", self.command, self.path[:80])
            sentence = f"the engine process has a fault ({type(error).__name__}); see its log"
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": sentence})
        self.server.touch()
        self._tell()

    def _check_peer(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self.server.is_our_name(hosts[0]):
            raise Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this engine process doesn't go by that host name; use its IP address, or start it "
                "with --allow-host NAME",
            )
        given = self.headers.get("Authorization", "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, b"Bearer " + self.server.token.encode()):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "the token is wrong; use the one that belongs to this engine process",
                field="token",
                kind="InputError",
            )
        spoken = self.headers.get(protocol.PROTOCOL_HEADER)
        if spoken is not None and spoken != str(protocol.PROTOCOL):
            raise Refusal(
                HTTPStatus.UPGRADE_REQUIRED,
                f"this engine process speaks protocol {protocol.PROTOCOL}, but the client speaks "
                f"{spoken[:10]!r}; update the older of the two",
                protocol=protocol.PROTOCOL,
                kind="EnvironmentProblem",
            )

    def _route(self) -> None:
        parts = urlsplit(self.path)
        self._query = parse_qs(parts.query, keep_blank_values=True)
        allowed = []
        for method, pattern, answer in self.routes:
            found = pattern.fullmatch(parts.path)
            if found and method == self.command:
                answer(self, *found.groups())
                return
            if found:
                allowed.append(method)
        if allowed:
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{self.command} is not possible here; use {' or '.join(allowed)}",
            )
        raise Refusal(HTTPStatus.NOT_FOUND, "there is nothing at this address")

    def _is_local(self) -> bool:
        address = str(self.client_address[0]).removeprefix("::ffff:")
        return address == "::1" or address.startswith("127.")

    def _length(self, limit: int, *, needed: bool) -> int:
        if self.headers.get("Transfer-Encoding") is not None:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "send the request with a Content-Length")
        lengths = self.headers.get_all("Content-Length") or []
        if not lengths and not needed:
            return 0
        if not lengths:
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "send the request with a Content-Length")
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
        return self._body_of(self._length(limit, needed=needed))

    def _head(self, status: HTTPStatus, kind: str, headers: dict[str, str]) -> None:
        self._status = status
        self.send_response_only(status)
        fixed = {"Content-Type": kind, "Cache-Control": "no-store",
                 "X-Content-Type-Options": "nosniff",
                 protocol.PROTOCOL_HEADER: str(protocol.PROTOCOL)}  # fmt: skip
        for name, value in (fixed | headers).items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send_json(self, data: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        body = protocol.json_bytes(data)
        self._head(status, _JSON, {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_parts(self, parts: list[bytes | memoryview], kind: str) -> None:
        size = sum(len(part) for part in parts)
        self._head(HTTPStatus.OK, kind, {"Content-Length": str(size)})
        for part in parts:
            for piece in protocol.slices(part):
                self.wfile.write(piece)

    def _send_chunk(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

    def _send_refusal(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        self._send_json(body, status)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests so broken that they reach no method: JSON instead of a page."""
        del explain
        self.close_connection = True
        if not hasattr(self, "command") or self.command is None:
            self.command = "?"
        self._started = self._started or time.monotonic()
        sentence = message or HTTPStatus(code).phrase
        with contextlib.suppress(OSError):
            self._send_json({"error": f"the request can't be read: {sentence}"}, HTTPStatus(code))
        self._tell()

    def _tell(self) -> None:
        self.server.log_request_line(f"{self.client_address[0]} {self._told()}")
