# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls in, the engine process's answers out: the service as plain methods that block.

For a program that must not wait, such as Blender's window, `begin` does everything in a thread of
its own and gives events to poll. All failures are ExOmniErrors with one sentence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from exomni_core.engine import DEFAULT_ENGINE
from exomni_core.errors import (
    Cancelled,
    EnvironmentProblem,
    InputError,
    WorkerError,
    error_from_json,
)
from exomni_core.server import protocol
from exomni_core.server.bundle import ClipData, read_bundle
from exomni_core.server.job_events import JobEvents, cancel_job, fetch_clip
from exomni_core.server.transport import Transport
from exomni_core.storage.documents import json_bytes

_JOB: Final = re.compile(r"[0-9a-f]{1,64}")


class ServiceClient(Transport):
    """One engine process. Every call opens a connection, so a client may serve many threads."""

    def health(self) -> dict[str, Any]:
        """What the engine process says of itself; EnvironmentProblem if it is something else."""
        health = self.ask_json("GET", "/health")
        if health.get("service") != protocol.SERVICE:
            raise EnvironmentProblem(f"what answers at {self.where} is no Ex-Omni engine process; "
                                     "check address and port")  # fmt: skip
        if health.get("protocol") != protocol.PROTOCOL:
            raise EnvironmentProblem(
                f"the engine process at {self.where} speaks protocol {health.get('protocol')}, "
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
                answer = self.ask_json("POST", f"/uploads?name={quote(path.name)}", source, size)
        except OSError as error:
            raise InputError(
                f"{path} can't be read: {error.strerror or error}", field="audio"
            ) from error
        return str(answer.get("upload"))

    def start(
        self,
        prompt: Mapping[str, Any],
        engine: str = DEFAULT_ENGINE,
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
            body = json_bytes(order)
        except (TypeError, ValueError, RecursionError) as error:
            raise InputError(f"the prompt is not plain JSON data: {error}") from error
        job = self.ask_json("POST", "/jobs", body).get("job")
        if not isinstance(job, str) or not _JOB.fullmatch(job):
            raise protocol.unreadable()
        return job

    def events(self, job: str, after: int = -1, *, fetch: bool = False) -> JobEvents:
        """Read the job's events in a thread; fetch: then its clip too, as `data` of `done`."""
        return JobEvents(self, lambda: job, after, fetch=fetch)

    def begin(
        self,
        prompt: Mapping[str, Any],
        engine: str = DEFAULT_ENGINE,
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
        engine: str = DEFAULT_ENGINE,
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
                        raise error_from_json(event, WorkerError)
                    if event["event"] == "cancelled":
                        raise Cancelled("stopped at your request; nothing unfinished was kept")
                if is_cancelled is not None and is_cancelled():
                    events.cancel()
                    is_cancelled = None
        finally:
            events.close()

    def cancel(self, job: str) -> bool:
        """Stop a job; False if it had ended already."""
        return cancel_job(self, job)

    def clip_bytes(self, job: str) -> bytes:
        """The `.clip` file of a finished job."""
        return self.ask("GET", f"/jobs/{job}/clip")

    def clip_data(self, job: str) -> ClipData:
        """The clip of a finished job as arrays."""
        return fetch_clip(self, job)

    def clip_data_of_bytes(self, body: bytes) -> ClipData:
        """The bytes of a `.clip` file, such as one packed into a .blend, as arrays."""
        if len(body) > protocol.MAX_UPLOAD_BYTES:
            raise InputError("this clip is larger than the engine process takes")
        return read_bundle(self.ask("POST", "/clip/data", body))

    def microphone(self) -> dict[str, Any]:
        """Whether the engine process can record here: `ready`, and the `reason` if not."""
        return self.ask_json("GET", "/microphone")

    def record(self) -> None:
        """Start to record from this machine's microphone; EnvironmentProblem if there is none."""
        self.ask_json("POST", "/microphone/start", b"")

    def recorded(self) -> str:
        """Stop recording; returns the id of an upload that a prompt's `audio` may name."""
        return str(self.ask_json("POST", "/microphone/stop", b"").get("upload"))

    def shutdown(self) -> None:
        """Ask the engine process to end."""
        self.ask_json("POST", "/shutdown", b"")
