# SPDX-License-Identifier: GPL-3.0-or-later
"""A request in, happenings out: the process or machine beside Blender that makes clips.

Everything here blocks, so it runs in the session's thread. Nothing here touches bpy.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import ExOmniError, WorkerError
from exomni_core.server.client import ServiceClient
from exomni_core.server.launch import start_service

from . import _vendor
from .preferences import Place
from .takes.clips import StoredClip, open_clip

POLL_S: Final = 0.02
ENDS: Final = ("done", "failed", "cancelled")  # the kinds of happening that end a request
DIED: Final = "the engine's process ended in the middle; try again"


def log_path() -> Path:
    """Where this Blender's engine process writes its log."""
    return Path(tempfile.gettempdir()) / f"exomni-engine-{os.getpid()}.log"


@dataclass(frozen=True)
class Request:
    """What to make. prompt: the fields of exomni_core.prompt.Prompt as plain data.

    engine: its name; '' for a recording, which needs none. audio: a recording on this machine, or
    None. log: where the service writes its log.
    """

    place: Place
    prompt: Mapping[str, Any]
    engine: str = ""
    audio: Path | None = None
    stream: bool = True
    idle_s: float = 1200.0
    log: Path = field(default_factory=log_path)


@dataclass(frozen=True)
class Happening:
    """Something the main thread should know.

    kind: `status`, `progress`, `text`, `piece`, or one of ENDS. weights: (T, 52) float32 at fps
    from start_s, of a piece. clip: of `done`.
    """

    kind: str
    text: str = ""
    done: float = 0.0
    start_s: float = 0.0
    fps: float = 0.0
    weights: Any = None
    clip: StoredClip | None = None


class Service:
    """The process (or the remote machine) that makes clips, and how to talk to it."""

    def __init__(self, client: Any, process: Any = None) -> None:
        self.client = client
        self.engines: Mapping[str, Any] = {}  # name -> {"ready": .., "reason": ..}
        self.process = process  # what `start_service` gave, or None if it isn't ours

    def is_alive(self) -> bool:
        """Whether the process still runs; a remote one counts as alive."""
        return self.process is None or self.process.process.poll() is None

    def stop(self) -> None:
        """End the process, if it is ours."""
        if self.process is not None:
            self.process.stop()


def connect(request: Request) -> Service:
    """Start the service that `request` asks for, or reach it; raises ExOmniError."""
    place = request.place
    if place.kind == "remote":
        client = ServiceClient(
            (place.address, place.port),
            place.token,
            fingerprint=place.fingerprint,
            allow_plain=place.allow_plain,
        )
        service = Service(client)
    else:
        started = start_service(
            place.python,
            idle_exit_s=request.idle_s,
            log=request.log,
            extra_paths=_vendor.python_paths(),
        )
        service = Service(ServiceClient(started.address, started.token), started)
    try:
        service.engines = service.client.health().get("engines", {})
    except ExOmniError:
        service.stop()
        raise
    return service


def follow(service: Service, job: Any, events: Any, cancel: threading.Event) -> Iterator[Happening]:
    """The happenings of a job, to its end. Raises ExOmniError."""
    asked = False
    while True:
        if cancel.is_set() and not asked:
            asked = True
            service.client.cancel(job)
        found = events.poll()
        for event in found:
            happening = _happening(event, service, job)
            if happening is not None:
                yield happening
                if happening.kind in ENDS:
                    return
        if not service.is_alive():
            raise WorkerError(DIED)
        if not found:
            time.sleep(POLL_S)


def _happening(event: Mapping[str, Any], service: Service, job: Any) -> Happening | None:
    """An event of the protocol as a happening; `done` fetches the clip. Raises ExOmniError."""
    kind = event.get("event")
    if kind == "chunk":
        start, fps = float(event["start_s"]), float(event["fps"])
        return Happening("piece", start_s=start, fps=fps, weights=event["rows"])
    if kind == "progress":
        return Happening("progress", str(event["stage"]), done=float(event["done"]))
    if kind == "text":
        return Happening("text", str(event["text"]))
    if kind == "queued" and event.get("place", 0):
        return Happening("status", "Waiting in the queue…")
    if kind == "done":
        return Happening("done", clip=open_clip(service.client.clip_bytes(job)))
    if kind == "failed":
        return Happening("failed", str(event["error"]))
    if kind == "cancelled":
        return Happening("cancelled", "Cancelled; nothing was kept")
    return None
