# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders in, jobs in one queue out; each job keeps its events, so that readers come and go.

All methods may be called from any thread. Times are monotonic seconds.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes
from exomni_core.errors import ExOmniError
from exomni_core.prompt import Prompt
from exomni_core.server.protocol import ENDINGS, MAX_WAITING, Event, error_fields

KEPT_JOBS: Final = 32
KEPT_BYTES: Final = 512 << 20
KEPT_S: Final = 3600.0


@dataclass(frozen=True)
class Order:
    """What a client asked for. names: path of an upload -> what the client calls it."""

    prompt: Prompt
    engine: str
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = True
    names: Mapping[str, str] = field(default_factory=dict)


class QueuedJob:
    """One order on its way: its events in order, its clip once it is done.

    Arrays in events stay arrays here; they are turned into text for each reader.
    """

    def __init__(self, order: Order) -> None:
        self.id = secrets.token_hex(12)
        self.order = order
        self.ended_at: float | None = None
        self.clip: Clip | None = None
        self.size = 0  # bytes of what it keeps
        self.place = 0  # in the queue, the job at work included; kept by JobQueue
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._cancel = False

    @property
    def ended(self) -> bool:
        """Whether its last event is there."""
        return self.ended_at is not None

    def emit(self, event: str, **fields: Any) -> None:
        """Add an event; nothing comes after the last one."""
        with self._changed:
            if self.ended_at is not None:
                return
            self._events.append({"n": len(self._events), "event": event, **fields})
            if event in ENDINGS:
                self.ended_at = time.monotonic()
            self._changed.notify_all()

    def events_after(self, number: int, wait_s: float) -> tuple[list[Event], bool]:
        """Events later than `number`, after waiting for one; and whether the job has ended."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._events) > number + 1 or self.ended_at is not None, wait_s
            )
            return self._events[number + 1 :], self.ended_at is not None

    def wake(self) -> None:
        """Let readers look around, such as for the server's end."""
        with self._changed:
            self._changed.notify_all()

    def cancel(self) -> bool:
        """Ask it to stop; False if it has ended already. Once True, it can't be done any more."""
        with self._changed:
            if self.ended_at is not None:
                return False
            self._cancel = True
            return True

    def is_cancelled(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._cancel

    def finish(self, clip: Clip) -> None:
        """The clip is made; a wish to stop that came meanwhile wins."""
        with self._changed:
            if self._cancel or self.ended_at is not None:
                self.end_cancelled()
                return
            self.clip = clip
            self.size += clip.audio.nbytes + clip.weights.nbytes
            self.emit(
                "done",
                clip=f"/jobs/{self.id}/clip",
                duration_s=round(clip.duration_s, 6),
                frames=len(clip.weights),
                fps=clip.fps,
                rate_hz=clip.sample_rate_hz,
                text=clip.text,
                route=clip.route,
                notes=clip_notes(clip),
            )

    def fail(self, error: ExOmniError) -> None:
        """It can't be made; to who asked it to stop, that is all one."""
        with self._changed:
            if self._cancel:
                self.end_cancelled()
                return
            fields = error_fields(error)
            for path, name in self.order.names.items():  # our temporary names mean nothing to users
                fields["error"] = fields["error"].replace(path, name)
            self.emit("failed", **fields)

    def end_cancelled(self) -> None:
        """It has stopped, and has no clip."""
        self.emit("cancelled")


class QueueFullError(Exception):
    """Too many jobs wait."""


class JobQueue:
    """All jobs that the server knows, and the queue of those that wait."""

    def __init__(self) -> None:
        self._jobs: dict[str, QueuedJob] = {}
        self._waiting: list[QueuedJob] = []
        self._running: QueuedJob | None = None
        self._closed = False
        self._changed = threading.Condition()

    def add(self, order: Order) -> QueuedJob:
        """Queue a new job; QueueFullError."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                raise QueueFullError
            self._forget()
            job = QueuedJob(order)
            self._jobs[job.id] = job
            self._waiting.append(job)
            self._tell_places()
            self._changed.notify_all()
            return job

    def find(self, job_id: str) -> QueuedJob | None:
        """The job of that id, if it is still known."""
        with self._changed:
            return self._jobs.get(job_id)

    def take(self, wait_s: float) -> QueuedJob | None:
        """The next job to work on, which then counts as running; None if none came."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed, wait_s)
            if not self._waiting:
                return None
            self._running = self._waiting.pop(0)
            self._tell_places()
            return self._running

    def done(self) -> None:
        """The running job has ended."""
        with self._changed:
            self._running = None
            self._tell_places()
            self._forget()

    def cancel(self, job: QueuedJob) -> bool:
        """Ask `job` to stop; one that waits ends at once. False if it had ended."""
        with self._changed:
            stopping = job.cancel()
            if job in self._waiting:
                self._waiting.remove(job)
                job.end_cancelled()
                self._tell_places()
            return stopping

    def cancel_all(self) -> None:
        """Stop everything for good and wake whoever waits."""
        with self._changed:
            self._closed = True
            for job in list(self._jobs.values()):
                self.cancel(job)
                job.wake()
            self._changed.notify_all()

    @property
    def is_busy(self) -> bool:
        """Whether a job is being worked on."""
        return self._running is not None

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def paths_in_use(self) -> set[str]:
        """Paths of uploads that jobs which have not ended still need."""
        with self._changed:
            return {
                path for job in self._jobs.values() if not job.ended for path in job.order.names
            }

    def _tell_places(self) -> None:
        ahead = int(self._running is not None and not self._running.ended)
        for k, job in enumerate(self._waiting):
            if job.place != k + 1 + ahead:
                job.place = k + 1 + ahead
                job.emit("queued", place=job.place)

    def _forget(self) -> None:
        """Drop ended jobs, the oldest first, beyond what is kept."""
        ended = sorted((j for j in self._jobs.values() if j.ended), key=lambda j: j.ended_at or 0.0)
        size = sum(job.size for job in ended)
        oldest = time.monotonic() - KEPT_S
        for job in ended[:-1]:  # the newest always stays: somebody is about to fetch it
            crowded = len(ended) > KEPT_JOBS or size > KEPT_BYTES
            if not crowded and (job.ended_at or 0.0) >= oldest:
                break
            del self._jobs[job.id]
            size -= job.size
            ended = ended[1:]
