# SPDX-License-Identifier: GPL-3.0-or-later
"""A request to the engine process in, its answer out; whatever goes wrong is one sentence."""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
from typing import Any, Final

from exomni_core.errors import (
    EnvironmentProblem,
    ExOmniError,
    InputError,
    WorkerError,
    error_from_json,
)
from exomni_core.http import proof
from exomni_core.http.tls import pinned_connection
from exomni_core.server import protocol

_MAX_ANSWER_BYTES: Final = 2 << 30
_BULK_TIMEOUT_S: Final = 60.0  # for a piece of a clip or recording; the engine may be busy
_MAX_CHALLENGE_BYTES: Final = 4096
_NO_CHALLENGE: Final = (401, 404, 405)  # what an engine process without challenges answers
Address = tuple[str, int]


class Transport:
    """Where an engine process listens, and how it is asked; a connection for each question."""

    def __init__(
        self,
        address: Address,
        token: str,
        timeout_s: float = 5.0,
        *,
        fingerprint: str = "",
        allow_plain: bool = False,
    ) -> None:
        """timeout_s: how long one answer may take to begin, or to go on.

        fingerprint: SHA-256 of the certificate, for HTTPS. allow_plain: agree that texts,
        recordings and clips go to another machine unencrypted. InputError if neither is given
        where one is needed.
        """
        self.address, self.timeout_s = (address[0], int(address[1])), timeout_s
        self._token, self._fingerprint = token, proof.parsed_fingerprint(fingerprint)
        if not (self._fingerprint or allow_plain or proof.is_loopback(self.address[0])):
            raise InputError(
                f"{self.where} is another machine: texts, recordings and clips would go there "
                "unencrypted; give the fingerprint of its certificate, or allow that",
                field="fingerprint",
            )

    def open(
        self, method: str, path: str, body: Any = None, size: int | None = None, *, wait_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A connection with its answer, whose body is unread; the answer's errors are raised."""
        connection = http.client.HTTPConnection(*self.address, timeout=wait_s)
        headers = {protocol.PROTOCOL_HEADER: str(protocol.PROTOCOL)}
        if body is not None:
            headers["Content-Length"] = str(len(body) if size is None else size)
        try:
            if self._fingerprint:
                connection = pinned_connection(*self.address, wait_s, self._fingerprint)
            challenge = self._challenge(connection)
            proven = challenge.client_proof(self._token, method, path)
            headers["Authorization"] = f"{proof.SCHEME} {proven}"
            # It may refuse before it has read everything; its answer tells why.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise self._error(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise self.no_answer(error) from error
        except ExOmniError:
            connection.close()
            raise
        return connection, response

    def _challenge(self, connection: http.client.HTTPConnection) -> proof.Challenge:
        """Let the other side prove that it knows the token, before it hears anything of us."""
        nonce = proof.new_nonce()
        connection.request("GET", f"{proof.CHALLENGE}?nonce={nonce}")
        response = connection.getresponse()
        if response.status in _NO_CHALLENGE:
            raise EnvironmentProblem(
                f"what answers at {self.where} can't prove that it knows the token; update it if "
                "it is an older engine process, else check address and port"
            )
        if response.status >= 400:
            raise self._error(response)
        try:
            answer = json.loads(response.read(_MAX_CHALLENGE_BYTES))
            challenge, shown = proof.Challenge(nonce, answer["nonce"]), answer["proof"]
        except (ValueError, RecursionError, TypeError, KeyError) as error:
            raise self._stranger() from error
        if not proof.is_nonce(challenge.server) or not isinstance(shown, str):
            raise self._stranger()
        if response.will_close:  # its number is good for this connection alone
            raise self._stranger()
        right = challenge.server_proof(self._token)
        if not hmac.compare_digest(shown.encode("utf-8", "replace"), right.encode()):
            raise InputError(
                f"the token is not that of the engine process at {self.where}; use its own, and "
                "check address and port",
                field="token",
            )
        return challenge

    def no_answer(self, error: BaseException) -> WorkerError:
        """For a connection that failed."""
        if isinstance(error, ConnectionRefusedError):
            reason = "nothing listens there"
        elif isinstance(error, TimeoutError):
            reason = "it took too long"
        else:
            told = str(getattr(error, "strerror", None) or error)
            plain = "".join(c if c.isprintable() else " " for c in told[:100])
            reason = " ".join(plain.split()) or type(error).__name__
        return WorkerError(
            f"the engine process at {self.where} does not answer ({reason}); start it again, or "
            "check address and port"
        )

    @property
    def where(self) -> str:
        """The address, for sentences."""
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def ask(self, method: str, path: str, body: Any = None, size: int | None = None) -> bytes:
        """The whole body of an answer."""
        # A question is answered at once; clips are decoded and recordings written first.
        quick = body is None and not path.endswith(("/clip", "/data"))
        wait_s = self.timeout_s if quick else max(self.timeout_s, _BULK_TIMEOUT_S)
        connection, response = self.open(method, path, body, size, wait_s=wait_s)
        try:
            data = response.read(_MAX_ANSWER_BYTES)
            if response.length:  # what is missing of the length that was announced
                raise ConnectionError("it broke off")
        except (OSError, http.client.HTTPException) as error:
            raise self.no_answer(error) from error
        finally:
            connection.close()
        return data

    def ask_json(
        self, method: str, path: str, body: Any = None, size: int | None = None
    ) -> dict[str, Any]:
        """The JSON object of an answer."""
        try:
            data = json.loads(self.ask(method, path, body, size))
        except (ValueError, RecursionError) as error:
            raise self._stranger() from error
        if not isinstance(data, dict):
            raise self._stranger()
        return data

    def _error(self, response: http.client.HTTPResponse) -> ExOmniError:
        raw = response.read(1 << 20)
        try:
            data = json.loads(raw)
            assert isinstance(data["error"], str)
        except (ValueError, RecursionError, TypeError, KeyError, AssertionError):
            return self._stranger()
        status = response.status
        usual = WorkerError if status == 429 or status >= 500 else InputError
        return error_from_json(data, usual)

    def _stranger(self) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"what answers at {self.where} is no Ex-Omni engine process; check address and port"
        )
