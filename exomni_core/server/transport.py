# SPDX-License-Identifier: GPL-3.0-or-later
"""A request to the engine process in, its answer out; whatever goes wrong is one sentence."""

from __future__ import annotations

import contextlib
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
from exomni_core.server import protocol

_MAX_ANSWER_BYTES: Final = 2 << 30
_BULK_TIMEOUT_S: Final = 60.0  # for a piece of a clip or recording; the engine may be busy
Address = tuple[str, int]


class Transport:
    """Where an engine process listens, and how it is asked; a connection for each question."""

    def __init__(self, address: Address, token: str, timeout_s: float = 5.0) -> None:
        """timeout_s: how long one answer may take to begin, or to go on."""
        self.address, self.timeout_s = (address[0], int(address[1])), timeout_s
        self._token = token

    def open(
        self, method: str, path: str, body: Any = None, size: int | None = None, *, wait_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A connection with its answer, whose body is unread; the answer's errors are raised."""
        connection = http.client.HTTPConnection(*self.address, timeout=wait_s)
        headers = {
            "Authorization": f"Bearer {self._token}",
            protocol.PROTOCOL_HEADER: str(protocol.PROTOCOL),
        }
        if body is not None:
            headers["Content-Length"] = str(len(body) if size is None else size)
        try:
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

    def no_answer(self, error: BaseException) -> WorkerError:
        """For a connection that failed."""
        if isinstance(error, ConnectionRefusedError):
            reason = "nothing listens there"
        elif isinstance(error, TimeoutError):
            reason = "it took too long"
        else:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
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
