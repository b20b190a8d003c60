# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that passed the gates in, JSON, streams of events and clips out."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tempfile
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from exomni_core.audio import wav_bytes
from exomni_core.clip import clip_to_bytes
from exomni_core.errors import InputError
from exomni_core.http import proof
from exomni_core.http.peer import Refusal
from exomni_core.server import protocol
from exomni_core.server.apart import convert_apart
from exomni_core.server.bundle import bundle_parts, raw_bytes
from exomni_core.server.connection import Connection
from exomni_core.server.jobs import QueuedJob, QueueFullError
from exomni_core.server.orders import read_order
from exomni_core.server.protocol import Event
from exomni_core.server.uploads import copy
from exomni_core.sound.microphone import microphone_state

if TYPE_CHECKING:
    from exomni_core.clip import Clip

_LINES: Final = "application/x-ndjson"
_BYTES: Final = "application/octet-stream"
_JOB: Final = r"/jobs/([0-9a-f]{24})"


class EngineHandler(Connection):
    """The answers, one method for each route."""

    def _challenge(self) -> None:
        """Prove that we know the token, to a client that must not send anything before."""
        self._read_body(0)
        theirs = self._query.get("nonce", [""])[0]
        if not proof.is_nonce(theirs):
            raise InputError("the nonce must be 64 hex digits", field="nonce")
        self._challenged = proof.Challenge(theirs, proof.new_nonce())
        self._send_json({
            "nonce": self._challenged.server,
            "proof": self._challenged.server_proof(self.shared.token),
        })  # fmt: skip

    def _health(self) -> None:
        self._read_body(0)
        self._send_json(self.shared.health())

    def _upload(self) -> None:
        size = self._length(protocol.MAX_UPLOAD_BYTES, needed=True)
        if size == 0:
            raise InputError("the recording is empty (0 bytes); choose another", field="audio")
        name = self._query.get("name", [""])[0]
        self._continue(size)
        upload = self.shared.uploads.receive(name, self.rfile, size)
        self._arrived()
        self._send_json({"upload": upload}, HTTPStatus.CREATED)

    def _start(self) -> None:
        data = protocol.parse_object(self._read_body(protocol.MAX_JSON_BYTES, needed=True))
        order = read_order(data, self.shared.uploads, local=self._is_local())
        try:
            job = self.shared.jobs.add(order)
        except QueueFullError:
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{protocol.MAX_WAITING} jobs are waiting already; try again when some are done",
                kind="WorkerError",
            ) from None
        self._send_json({"job": job.id}, HTTPStatus.ACCEPTED)

    def _events(self, job_id: str) -> None:
        job = self._job(job_id)
        after = self._query.get("after", ["-1"])[0]
        if not re.fullmatch(r"-1|\d{1,9}", after):
            raise InputError("after must be the number of an event", field="after")
        self._read_body(0)
        if self.request_version != self.protocol_version:
            raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "events need HTTP/1.1")
        self._head(HTTPStatus.OK, _LINES, {"Transfer-Encoding": "chunked"})
        last = int(after)
        while True:
            events, ended = job.events_after(last, protocol.HEARTBEAT_S)
            if self.shared.ending.is_set() and not events:
                self.close_connection = True  # cut off: no zero chunk, so the reader knows
                return
            self._send_chunk((_line(event) for event in events) if events else (b"\n",))
            last += len(events)
            if ended and (not events or events[-1]["event"] in protocol.ENDINGS):
                break
        self.wfile.write(b"0\r\n\r\n")

    def _clip(self, job_id: str) -> None:
        clip = self._made(job_id)
        with self.shared.heavy:
            data = clip_to_bytes(clip)
        self._send_parts([data], _BYTES)

    def _data(self, job_id: str) -> None:
        self._send_parts(list(bundle_parts(self._made(job_id))), _BYTES)

    def _convert(self) -> None:
        size = self._length(protocol.MAX_UPLOAD_BYTES, needed=True)
        self._continue(size)
        with tempfile.TemporaryDirectory(dir=self.shared.scratch.folder) as folder:
            source, target = Path(folder) / "clip", Path(folder) / "data"
            with open(source, "xb") as file:
                copy(self.rfile, file, size)
            self._arrived()
            with self.shared.heavy:
                convert_apart(source, target)
            made = target.stat().st_size
            self._head(HTTPStatus.OK, _BYTES, {"Content-Length": str(made)})
            with open(target, "rb") as data:
                shutil.copyfileobj(data, self.wfile)

    def _cancel(self, job_id: str) -> None:
        job = self._job(job_id)
        self._read_body(protocol.MAX_JSON_BYTES)
        self._send_json({"cancelled": self.shared.jobs.cancel(job)})

    def _microphone(self) -> None:
        self._only_here()
        self._send_json(microphone_state())

    def _record(self) -> None:
        self._only_here()
        self.shared.microphone.start()
        self._send_json({"recording": True})

    def _recorded(self) -> None:
        self._only_here()
        samples, rate_hz = self.shared.microphone.stop()
        data = wav_bytes(samples, rate_hz)
        upload = self.shared.uploads.receive("microphone.wav", io.BytesIO(data), len(data))
        duration_s = round(len(samples) / rate_hz, 3)
        self._send_json({"upload": upload, "duration_s": duration_s}, HTTPStatus.CREATED)

    def _shutdown(self) -> None:
        self._read_body(protocol.MAX_JSON_BYTES)
        self.close_connection = True
        self._send_json({"ending": True})
        self.shared.end()

    def _only_here(self) -> None:
        """Refuse clients on other machines: they must not use this microphone."""
        self._read_body(protocol.MAX_JSON_BYTES)
        if not self._is_local():
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                "the microphone serves clients on the same machine only; send a recording",
                kind="InputError",
            )

    def _job(self, job_id: str) -> QueuedJob:
        job = self.shared.jobs.find(job_id)
        if job is None:
            raise Refusal(
                HTTPStatus.NOT_FOUND,
                "there is no such job; finished ones are kept for a while only, make it again",
                kind="InputError",
            )
        return job

    def _made(self, job_id: str) -> Clip:
        job = self._job(job_id)
        self._read_body(0)
        if job.clip is None:
            state = "has no clip, as it failed or was cancelled" if job.ended else "isn't done yet"
            raise Refusal(HTTPStatus.CONFLICT, f"this job {state}", kind="InputError")
        return job.clip


def _line(event: Event) -> bytes:
    """An event as a line, its arrays as base64 of little-endian float32."""
    return protocol.event_line(
        {
            name: base64.b64encode(raw_bytes(value)).decode()
            if isinstance(value, np.ndarray)
            else value
            for name, value in event.items()
        }
    )


EngineHandler.routes = tuple(
    (method, re.compile(pattern), answer)
    for method, pattern, answer in (
        ("GET", proof.CHALLENGE, EngineHandler._challenge),
        ("GET", r"/health", EngineHandler._health),
        ("POST", r"/uploads", EngineHandler._upload),
        ("POST", r"/jobs", EngineHandler._start),
        ("GET", rf"{_JOB}/events", EngineHandler._events),
        ("GET", rf"{_JOB}/clip", EngineHandler._clip),
        ("GET", rf"{_JOB}/data", EngineHandler._data),
        ("POST", rf"{_JOB}/cancel", EngineHandler._cancel),
        ("POST", r"/clip/data", EngineHandler._convert),
        ("GET", r"/microphone", EngineHandler._microphone),
        ("POST", r"/microphone/start", EngineHandler._record),
        ("POST", r"/microphone/stop", EngineHandler._recorded),
        ("POST", r"/shutdown", EngineHandler._shutdown),
    )
)
