# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in, happenings out, made by a process beside Blender; the main thread never waits.

One thread works on a request: it starts the service if need be, asks it, follows its events and
puts happenings into a queue that the main thread polls. No thread touches bpy.
"""

from __future__ import annotations

import atexit
import contextlib
import platform
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import Cancelled, ExOmniError, WorkerError

from .preferences import Place
from .service import DIED, ENDS, POLL_S, Happening, Request, Service, connect, follow

_LOG_LINES: Final = 60
_HISTORY: Final = 200


@dataclass
class Session:
    """What the panel shows of the work in progress, and the one thread that does it.

    connect: makes the service (tests give another one).
    """

    connect: Callable[[Request], Service] = connect
    status: str = ""
    said: tuple[str, dict[str, Any]] = ("", {})  # the status as a text to translate and its values
    is_error: bool = False
    progress: float = 0.0
    slowest_tick_s: float = 0.0  # of the main thread's work on the request; written by Generate
    text: str = ""
    details: str = ""  # of the last failure, for the report
    recording: str = ""  # `starting`, `on` or `saving`; '' when the microphone is off
    recorded: str = ""  # what the engine calls the last recording
    history: deque[str] = field(default_factory=lambda: deque(maxlen=_HISTORY))

    def __post_init__(self) -> None:
        self._service: Service | None = None
        self._place: Place | None = None
        self._thread: threading.Thread | None = None
        self._connecting = threading.Lock()  # one thread at a time starts a service
        self._cancel = threading.Event()  # this and the queue belong to one request
        self._queue: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self._log: Path | None = None
        self._started_s = 0.0

    # What the main thread calls.

    @property
    def is_busy(self) -> bool:
        """Whether a request is being worked on."""
        return self._thread is not None

    @property
    def is_running(self) -> bool:
        """Whether a service is there and alive."""
        return self._service is not None and self._service.is_alive()

    @property
    def engines(self) -> Mapping[str, Any]:
        """What the running service says of each of its engines; nothing if none runs."""
        return self._service.engines if self._service is not None else {}

    def engine_reason(self, engine: str) -> str:
        """Why the running service can't use this engine, in its own words; '' if it can."""
        known = self.engines.get(engine, {})
        return "" if known.get("ready", True) else str(known.get("reason", ""))

    def begin(self, request: Request) -> None:
        """Start to work on `request`; WorkerError if another one isn't finished."""
        if self._thread is not None:
            raise WorkerError("a clip is being made already; wait for it or cancel it")
        self._cancel, self._queue = threading.Event(), queue.SimpleQueue()
        self._log, self._started_s = request.log, time.monotonic()
        self.text, self.progress, self.details, self.slowest_tick_s = "", 0.0, "", 0.0
        self.say("Starting the engine…" if not self.is_running else "Asking the engine…")
        self._thread = threading.Thread(
            target=self._work, args=(request, self._cancel, self._queue), name="exomni", daemon=True
        )
        self._thread.start()

    def poll(self) -> list[Happening]:
        """What happened since the last call; never waits."""
        found: list[Happening] = []
        while True:
            try:
                found.append(self._queue.get_nowait())
            except queue.Empty:
                break
        for happening in found:
            self._note(happening)
        return found

    def wait(self, interval_s: float = POLL_S) -> Iterator[Happening]:
        """Yield happenings until the request ends; for scripts, which may wait."""
        while self.is_busy:
            yield from self.poll()
            if self.is_busy:
                time.sleep(interval_s)

    def cancel(self) -> None:
        """Ask the engine to stop; a `cancelled` happening follows soon."""
        if self.is_busy:
            self._cancel.set()
            self.say("Cancelling…")

    def abandon(self) -> None:
        """Stop the request and hear no more of it: nobody is left who would poll."""
        self._cancel.set()
        self._thread, self.progress = None, 0.0

    def switch_recording(self, request: Request) -> None:
        """Start to record with the engine's microphone, or stop; returns at once."""
        if self.recording not in ("", "on"):
            return
        starts = self.recording == ""
        self.recording = "starting" if starts else "saving"
        self._log = request.log
        threading.Thread(target=self._record, args=(request, starts), daemon=True).start()

    def say(self, text: str, **values: Any) -> None:
        """Show a sentence in the panel, `values` filled into its {names}."""
        self.status, self.is_error = text.format(**values) if values else text, False
        self.said = (text, values)
        self.history.append(f"{time.strftime('%H:%M:%S')} {self.status}")

    def fail(self, text: str, details: str = "") -> None:
        """Show a failure in the panel; it stays until the next request."""
        self.say(text)
        self.is_error, self.details = True, details or self.details

    @contextlib.contextmanager
    def showing_failure(self) -> Iterator[None]:
        """Show an ExOmniError of the block in the panel; for what can report nowhere else."""
        try:
            yield
        except ExOmniError as error:
            self.fail(str(error))

    def close(self) -> None:
        """End the service and wait for the thread; nothing runs afterwards."""
        self._cancel.set()
        service, self._service = self._service, None
        if service is not None:
            service.stop()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(timeout=5.0)
        if self._service is not None:  # the thread had just started one
            self._service.stop()
            self._service = None

    def report(self, blender: str) -> str:
        """Everything that helps to find a fault, as text for the clipboard; holds no token."""
        lines = [
            f"Ex-Omni {__version__}, Blender {blender}, Python {platform.python_version()}, "
            f"{platform.platform()}",
            f"Python program: {sys.executable}",
            f"Engine's place: {self._place.kind if self._place else 'not started'}",
            f"Status: {self.status}",
            f"Slowest tick: {1000 * self.slowest_tick_s:.1f} ms",
            *(["", "Details:", self.details] if self.details else []),
            "", "History:", *self.history,
        ]  # fmt: skip
        log = _tail(self._log)
        return "\n".join([*lines, *(["", "Engine's log:", *log] if log else [])]) + "\n"

    # What the thread does.

    def _work(
        self, request: Request, cancel: threading.Event, out: queue.SimpleQueue[Happening]
    ) -> None:
        try:
            for happening in self._make(request, cancel):
                out.put(happening)
        except Cancelled:
            out.put(Happening("cancelled", "Cancelled; nothing was kept"))
        except ExOmniError as error:
            dead = self._service is not None and not self._service.is_alive()
            out.put(Happening("failed", DIED if dead else str(error)))
        except Exception as error:  # noqa: BLE001 (the thread's end: nobody else would tell)
            self.details = traceback.format_exc()
            kind = type(error).__name__
            out.put(Happening("failed", f"something unexpected went wrong ({kind}); press Copy "
                              "report and send it to us"))  # fmt: skip

    def _make(self, request: Request, cancel: threading.Event) -> Iterator[Happening]:
        with self._connecting:
            if not cancel.is_set():
                service = self._service_for(request)
        if cancel.is_set():
            raise Cancelled("stopped at your request")
        client = service.client
        prompt = dict(request.prompt)
        if request.audio is not None:
            here = request.place.is_local
            prompt["audio"] = str(request.audio) if here else client.upload(request.audio)
        job = client.start(prompt, request.engine, stream=request.stream)
        yield Happening("status", "Waiting for the engine…")
        events = client.events(job)
        try:
            yield from follow(service, job, events, cancel)
        finally:
            events.close()

    def _record(self, request: Request, starts: bool) -> None:
        after = ""
        try:
            with self._connecting:
                service = self._service_for(request)
            if starts:
                service.client.record()
                after = "on"
                self.say("Recording; press Record again to stop")
            else:
                self.recorded = service.client.recorded()
                self.say("Recorded; press Generate")
        except ExOmniError as error:
            self.fail(str(error))
        finally:
            self.recording = after

    def _service_for(self, request: Request) -> Service:
        if self._service is not None:
            if self._place == request.place and self._service.is_alive():
                return self._service
            self._service.stop()
            self._service = None
        self.recorded = ""  # an earlier service kept it
        self._service, self._place = self.connect(request), request.place
        return self._service

    def _note(self, happening: Happening) -> None:
        """Let the panel show what `happening` tells."""
        if happening.kind in ENDS:
            self._thread = None
            self.progress = 0.0
        if happening.kind == "failed":
            self.fail(happening.text)
        elif happening.kind == "progress":
            self.progress = happening.done
            self.status, self.said = happening.text, (happening.text, {})
        elif happening.kind == "text":
            self.text += happening.text
        elif happening.kind == "done":
            self.say("Done in {seconds} s", seconds=f"{time.monotonic() - self._started_s:.1f}")
        elif happening.text:
            self.say(happening.text)


def _tail(log: Path | None) -> list[str]:
    try:
        text = log.read_text(encoding="utf-8", errors="replace") if log else ""
    except OSError:
        return []
    return text.splitlines()[-_LOG_LINES:]


session: Final = Session()
# Blender ends without unregistering add-ons when it is closed in some ways.
atexit.register(session.close)
