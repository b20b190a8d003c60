# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls in, the engine process's answers out: the service as plain methods that block.

For a program that must not wait, such as Blender's window, `begin` does everything in a thread of
its own and gives events to poll. All failures are ExOmniErrors with one sentence.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from exomni_core.errors import Cancelled, EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.server import protocol
from exomni_core.server.bundle import ClipData, read_bundle
from exomni_core.server.job_events import JobEvents

_MAX_ANSWER_BYTES: Final = 2 << 30
_JOB: Final = re.compile(r"[0-9a-f]{1,64}")
_BULK_TIMEOUT_S: Final = 60.0  # for a piece of a clip or recording; the engine may be busy
Address = tuple[str, int]


class ServiceClient:
    """One engine process. Every call opens a connection, so a client may serve many threads."""

    def __init__(self, address: Address, token: str, timeout_s: float = 5.0) -> None:
        """timeout_s: how long one answer may take to begin, or to go on."""
        self.address, self.timeout_s = (address[0], int(address[1])), timeout_s
        self._token = token

    def health(self) -> dict[str, Any]:
        """What the engine process says of itself; EnvironmentProblem if it is something else."""
        health = self._ask_json("GET", "/health")
        if health.get("service") != protocol.SERVICE:
            raise EnvironmentProblem(f"what answers at {self._where} is no Ex-Omni engine process; "
                                     "check address and port")  # fmt: skip
        if health.get("protocol") != protocol.PROTOCOL:
            raise EnvironmentProblem(
                f"the engine process at {self._where} speaks protocol {health.get('protocol')}, "
                f"this one {protocol.PROTOCOL}; update the older of the two"
            )
        return health

    def upload(self, path: Path | str) -> str:
        """Send a recording; returns the id that a prompt's `audio` may name."""
        path = Path(path)
        try:
            with open(path, "rb") as source:
                size = os.fstat(source.fileno()).st_size
                if size > protocol.MAX_UPLOAD_BYTES:
                    raise InputError(
                        f"{path} has {size >> 20} MB; {protocol.MAX_UPLOAD_BYTES >> 20} are the "
                        "most, cut or pack it",
                        field="audio",
                    )
                answer = self._ask_json("POST", f"/uploads?name={quote(path.name)}", source, size)
        except OSError as error:
            raise InputError(
                f"{path} can't be read: {error.strerror or error}", field="audio"
            ) from error
        return str(answer.get("upload"))

    def start(
        self,
        prompt: Mapping[str, Any],
        engine: str = "embedded",
        stream: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> str:
        """Queue a job; returns its id. prompt: fields of a Prompt; `audio` an upload or a path."""
        order = {
            "prompt": dict(prompt),
            "engine": engine,
            "options": dict(options or {}),
            "stream": stream,
        }
        try:
            body = protocol.json_bytes(order)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the prompt is not plain JSON data: {error}") from error
        job = self._ask_json("POST", "/jobs", body).get("job")
        if not isinstance(job, str) or not _JOB.fullmatch(job):
            raise protocol.unreadable()
        return job

    def events(self, job: str, after: int = -1, *, fetch: bool = False) -> JobEvents:
        """Read the job's events in a thread; fetch: then its clip too, as `data` of `done`."""
        return JobEvents(self, lambda: job, after, fetch=fetch)

    def begin(
        self,
        prompt: Mapping[str, Any],
        engine: str = "embedded",
        *,
        stream: bool = True,
        options: Mapping[str, Any] | None = None,
        fetch: bool = True,
        send_files: bool = False,
    ) -> JobEvents:
        """`start` and `events` in a thread: returns at once, failures come as an event.

        send_files: upload the recording that `audio` names, as a server elsewhere needs it.
        """

        def start() -> str:
            data = dict(prompt)
            if send_files and data.get("audio") is not None:
                data["audio"] = self.upload(str(data["audio"]))
            return self.start(data, engine, stream, options)

        return JobEvents(self, start, fetch=fetch)

    def generate(
        self,
        prompt: Mapping[str, Any],
        engine: str = "embedded",
        *,
        stream: bool = False,
        options: Mapping[str, Any] | None = None,
        on_event: Callable[[protocol.Event], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> ClipData:
        """Make a clip and wait for it; raises what the engine raised, or Cancelled."""
        events = self.begin(prompt, engine, stream=stream, options=options)
        try:
            while True:
                for event in events.wait(0.1):
                    if on_event is not None:
                        on_event(event)
                    if event["event"] == "done":
                        data: ClipData = event["data"]
                        return data
                    if event["event"] == "failed":
                        raise protocol.rebuilt_error(event)
                    if event["event"] == "cancelled":
                        raise Cancelled("stopped at your request; nothing unfinished was kept")
                if is_cancelled is not None and is_cancelled():
                    events.cancel()
                    is_cancelled = None
        finally:
            events.close()

    def cancel(self, job: str) -> bool:
        """Stop a job; False if it had ended already."""
        return bool(self._ask_json("POST", f"/jobs/{job}/cancel", b"").get("cancelled"))

    def clip_bytes(self, job: str) -> bytes:
        """The `.clip` file of a finished job."""
        return self._ask("GET", f"/jobs/{job}/clip")

    def clip_data(self, job: str) -> ClipData:
        """The clip of a finished job as arrays."""
        return read_bundle(self._ask("GET", f"/jobs/{job}/data"))

    def clip_data_of(self, path: Path | str) -> ClipData:
        """A stored `.clip` file as arrays, decoded by the engine process."""
        try:
            body = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror or error}") from error
        return self.clip_data_of_bytes(body)

    def clip_data_of_bytes(self, body: bytes) -> ClipData:
        """The bytes of a `.clip` file, such as one packed into a .blend, as arrays."""
        if len(body) > protocol.MAX_UPLOAD_BYTES:
            raise InputError("this clip is larger than the engine process takes")
        return read_bundle(self._ask("POST", "/clip/data", body))

    def microphone(self) -> dict[str, Any]:
        """Whether the engine process can record here: `ready`, and the `reason` if not."""
        return self._ask_json("GET", "/microphone")

    def record(self) -> None:
        """Start to record from this machine's microphone; EnvironmentProblem if there is none."""
        self._ask_json("POST", "/microphone/start", b"")

    def recorded(self) -> str:
        """Stop recording; returns the id of an upload that a prompt's `audio` may name."""
        return str(self._ask_json("POST", "/microphone/stop", b"").get("upload"))

    def shutdown(self) -> None:
        """Ask the engine process to end."""
        self._ask_json("POST", "/shutdown", b"")

    # For JobEvents.

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
            f"the engine process at {self._where} does not answer ({reason}); start it again, or "
            "check address and port"
        )

    @property
    def _where(self) -> str:
        host, port = self.address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _ask(self, method: str, path: str, body: Any = None, size: int | None = None) -> bytes:
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

    def _ask_json(
        self, method: str, path: str, body: Any = None, size: int | None = None
    ) -> dict[str, Any]:
        try:
            data = json.loads(self._ask(method, path, body, size))
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
        return protocol.rebuilt_error(data, usual)

    def _stranger(self) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"what answers at {self._where} is no Ex-Omni engine process; check address and port"
        )
