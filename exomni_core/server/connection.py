# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP requests in, those that pass the gates out, and answers back; every error is JSON.

Each request passes the same gates in this order: the Host header (against DNS rebinding), the
token, the protocol's number, the route, the size. No page of any origin may read an answer: there
are no CORS headers.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import ClassVar, Final
from urllib.parse import urlsplit

from exomni_core.errors import EnvironmentProblem, ExOmniError
from exomni_core.http import proof
from exomni_core.http.crowd import is_own
from exomni_core.http.peer import Peer, Refusal, same_token
from exomni_core.server import protocol
from exomni_core.server.context import ServiceContext

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Connection(Peer[ServiceContext]):
    """One connection to the engine process."""

    server_version = "exomni"
    _challenged: proof.Challenge | None = None  # good for the next request alone
    idle_s: ClassVar[float] = 30.0
    head_s: ClassVar[float] = 10.0
    body_bytes_s: ClassVar[float | None] = 32 << 10  # a recording over a slow line
    fixed_headers: ClassVar[Mapping[str, str]] = {protocol.PROTOCOL_HEADER: str(protocol.PROTOCOL)}

    def _serve(self) -> None:
        self.shared.touch()
        super()._serve()
        self.shared.touch()

    def _refusal_of(self, error: Exception) -> Refusal | None:
        if isinstance(error, ExOmniError):
            missing = isinstance(error, EnvironmentProblem)
            status = HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.BAD_REQUEST
            fields = protocol.error_fields(error)
            return Refusal(status, fields.pop("error"), **fields)
        if isinstance(error, OSError) and error.errno in _FULL:
            return Refusal(
                HTTPStatus.INSUFFICIENT_STORAGE,
                "the engine's disk is full; free some space and try again",
                kind="EnvironmentProblem",
            )
        return None

    def _check_peer(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self.shared.is_our_name(hosts[0]):
            raise Refusal(
                HTTPStatus.MISDIRECTED_REQUEST,
                "this engine process doesn't go by that host name; use its IP address, or start it "
                "with --allow-host NAME",
            )
        if urlsplit(self.path).path == proof.CHALLENGE:
            return
        if not self._knows_token():
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

    def _knows_token(self) -> bool:
        """Whether the request proves it, or brings the token itself where nobody can read it."""
        challenge, self._challenged = self._challenged, None
        given, token = self.headers.get("Authorization", ""), self.shared.token
        if given.startswith(f"{proof.SCHEME} "):
            if challenge is None:
                return False
            right = challenge.client_proof(token, self.command, self.path)
            return same_token(given, f"{proof.SCHEME} {right}")
        if given.startswith("Bearer ") and not (
            is_own(str(self.client_address[0])) or self._is_encrypted()
        ):
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "the token itself is taken only from the same machine or over HTTPS; use our "
                "client, which proves that it knows the token, or a tunnel",
                field="token",
                kind="InputError",
            )
        return same_token(given, f"Bearer {token}")

    def _is_encrypted(self) -> bool:
        return isinstance(self.connection, ssl.SSLSocket)

    def _is_local(self) -> bool:
        return is_own(str(self.client_address[0]))

    def _send_parts(self, parts: list[bytes | memoryview], kind: str) -> None:
        size = sum(len(part) for part in parts)
        self._head(HTTPStatus.OK, kind, {"Content-Length": str(size)})
        for part in parts:
            for piece in protocol.slices(part):
                self.wfile.write(piece)

    def _send_chunk(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

    def _told(self) -> str:
        return f"{self.client_address[0]} {super()._told()}"
