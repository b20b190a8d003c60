# SPDX-License-Identifier: GPL-3.0-or-later
"""A job in, its events out to poll: a thread reads and decodes, so that the caller never waits."""

from __future__ import annotations

import base64
import binascii
import contextlib
import http.client
import queue
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from exomni_core.errors import ExOmniError, WorkerError
from exomni_core.server import protocol
from exomni_core.server.bundle import ClipData, array_of, read_bundle
from exomni_core.server.protocol import Event
from exomni_core.server.transport import Transport

CHANNELS: Final = 52
_SILENCE_S: Final = 10.0  # several heartbeats
_TRIES: Final = 3  # to connect anew when a stream breaks off
_MAX_LINE_BYTES: Final = 256 << 20


class JobEvents:
    """The events of one job, as `poll` finds them. The last is `done`, `failed` or `cancelled`.

    A chunk holds `audio` and `weights` as the server sent them, and decoded: `samples` (S,) float32
    and `rows` (T, 52) float32. With `fetch`, `done` holds `data`: the ClipData.
    """

    def __init__(
        self,
        transport: Transport,
        start: Callable[[], str],
        after: int = -1,
        *,
        fetch: bool = False,
    ) -> None:
        """start: gives the job's id, in the thread; after: the last event that is known."""
        self.job: str | None = None
        self._transport, self._start, self._fetch = transport, start, fetch
        self._last = after
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None
        self._closed = self._cancelled = self.ended = False
        self._thread = threading.Thread(target=self._run, daemon=True, name="job events")
        self._thread.start()

    def poll(self) -> list[Event]:
        """The events that have come since; never waits."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._events.get_nowait())
        return found

    def wait(self, wait_s: float) -> list[Event]:
        """As `poll`, but waits up to `wait_s` for the first."""
        try:
            first = self._events.get(timeout=wait_s)
        except queue.Empty:
            return []
        return [first, *self.poll()]

    def cancel(self) -> None:
        """Ask the job to stop, without waiting; the event `cancelled` tells when it has."""
        with self._lock:
            self._cancelled = True
            job = self.job
        if job is not None:
            threading.Thread(target=self._send_cancel, args=(job,), daemon=True).start()

    def close(self) -> None:
        """Stop listening; the job goes on."""
        with self._lock:
            self._closed = True
            connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread

    def _run(self) -> None:
        try:
            self._read_all()
        except ExOmniError as error:
            self._put({"n": self._last + 1, "event": "failed", **protocol.error_fields(error)})
        except Exception as error:  # noqa: BLE001 (a caller that polls would wait for ever)
            message = f"the engine process can't be followed ({type(error).__name__}: {error})"
            self._put(
                {"n": self._last + 1, "event": "failed", "error": message, "kind": "WorkerError"}
            )

    def _read_all(self) -> None:
        with self._lock:
            if self._cancelled:
                self._put({"n": 0, "event": "cancelled"})
                return
        job = self._start()
        with self._lock:
            self.job = job
            cancelled = self._cancelled
        if cancelled:
            self._send_cancel(job)
        failures = 0
        while not self.ended and not self._closed:
            before = self._last
            try:
                self._read_stream(job)
            except (OSError, http.client.HTTPException, WorkerError) as error:
                failures = 1 if self._last > before else failures + 1
                if failures > _TRIES and not self._closed:
                    known = isinstance(error, ExOmniError)
                    raise error if known else self._transport.no_answer(error) from error
                time.sleep(0.1 * failures)

    def _read_stream(self, job: str) -> None:
        connection, response = self._transport.open(
            "GET", f"/jobs/{job}/events?after={self._last}", wait_s=_SILENCE_S
        )
        with self._lock:
            self._connection = connection
        try:
            while not self.ended and not self._closed:
                line = response.readline(_MAX_LINE_BYTES)
                if not line.endswith(b"\n"):
                    raise ConnectionError("the stream broke off")
                event = protocol.parse_event(line)
                if event is not None:
                    self._take(event, job)
        finally:
            with self._lock:
                self._connection = None
            connection.close()

    def _take(self, event: Event, job: str) -> None:
        number = event.get("n")
        if not isinstance(number, int) or number <= self._last:
            return
        if event["event"] == "chunk":
            _decode(event)
        elif event["event"] == "done" and self._fetch:
            event["data"] = fetch_clip(self._transport, job)
        self._last = number
        self._put(event)

    def _put(self, event: Event) -> None:
        if event["event"] in protocol.ENDINGS:
            self.ended = True
        self._events.put(event)

    def _send_cancel(self, job: str) -> None:
        with contextlib.suppress(ExOmniError):  # then the stream fails as well, and says so
            cancel_job(self._transport, job)


def cancel_job(transport: Transport, job: str) -> bool:
    """Stop a job; False if it had ended already."""
    return bool(transport.ask_json("POST", f"/jobs/{job}/cancel", b"").get("cancelled"))


def fetch_clip(transport: Transport, job: str) -> ClipData:
    """The clip of a finished job as arrays."""
    return read_bundle(transport.ask("GET", f"/jobs/{job}/data"))


def _decode(event: dict[str, Any]) -> None:
    try:
        event["samples"] = array_of(base64.b64decode(event["audio"], validate=True))
        event["rows"] = array_of(base64.b64decode(event["weights"], validate=True), CHANNELS)
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise protocol.unreadable() from error
