# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks in, results out, through workers that it starts, replaces and ends (each one a `Group`).

A worker speaks the protocol of `wire.py`. A pool keeps some workers, gives each task to a free one
and replaces a worker that dies; whether the task it held is tried again is for others to say.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import IO, Any, Final, NoReturn

from exomni_core.errors import (
    Cancelled,
    EnvironmentProblem,
    ExOmniError,
    WorkerError,
    error_from_json,
)
from exomni_core.processes.life import PATIENCE, LifeWatch, Pace, Patience, how_it_ended
from exomni_core.storage.logs import LOG_TAIL_BYTES, last_line
from render_jobs.workers.cores import Share, bound_to, share_of
from render_jobs.workers.groups import Group
from render_jobs.workers.wire import BEAT, MARK, WireMessage

Task = Callable[["Worker"], Any]
STARTS: Final = 3  # of a worker that is killed or hangs while it starts
_BY_FORCE: Final = (-9, -15)  # endings that say nothing of the machine


@dataclass(frozen=True)
class WorkerCommand:
    """How to start one kind of worker.

    name: for messages ("render worker"). argv: the program. env: added to ours.
    ready_s: how long its start may take. fatal_hint: what to tell a user if it dies while starting.
    recycle_after: tasks before it is replaced by a fresh process (memory growth).
    own_cores: workers of a pool get cores of their own and draw with as many threads.
    patience: how long one may give no sign of life, while it starts and at a task.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_s: float = 300.0
    fatal_hint: str = ""
    recycle_after: int = 200
    own_cores: bool = False
    patience: Patience = PATIENCE


class Worker:
    """One helper process: `Worker(command)`, `wait_ready()`, `ask`, `stop`; for one thread only.

    The thread that makes it must outlive it: on Linux the process dies with that thread.
    """

    def __init__(
        self, command: WorkerCommand, slot: int = 0, of: int = 1, pace: Pace | None = None
    ) -> None:
        """Start the process, don't wait for it; EnvironmentProblem if there is no such program.

        slot, of: which worker of how many it is, for `own_cores`. pace: what its tasks take, shared
        with others of its kind.
        """
        self.command, self._pace = command, pace or Pace()
        self._share = share_of(slot, of) if command.own_cores else Share((), 1)
        self._lock = threading.Lock()
        self._stopped = self._hung = False
        self.tasks_done = 0
        self._spawn()

    def _spawn(self) -> None:
        own = self._share.env if self.command.own_cores else {}
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as we do)
        self._messages: queue.SimpleQueue[WireMessage | None] = queue.SimpleQueue()
        try:
            with bound_to(self._share):
                # In a session of its own: Ctrl-C is ours to handle, in our order.
                self._group = Group(
                    self.command.argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    env={**os.environ, **self.command.env, **own},
                )
        except OSError as error:
            raise EnvironmentProblem(
                f"{self.command.argv[0]} can't be started ({error.strerror}); check the path"
            ) from error
        self._process = self._group.process
        assert self._process.stdout is not None
        told = (self._process.stdout, self._messages)
        threading.Thread(target=_read, args=told, daemon=True, name=self.command.name).start()

    @property
    def pid(self) -> int:
        """Process id, for tests and messages."""
        return self._process.pid

    def wait_ready(self) -> WireMessage:
        """What the worker says of itself once it can take requests; EnvironmentProblem if never.

        One that is killed or stopped before is started again.
        """
        for start in range(1, STARTS + 1):
            try:
                message = self._next(self.command.ready_s)
                break
            except WorkerError as error:
                self._end()
                by_force = self._hung or self._process.returncode in _BY_FORCE
                if not by_force or start == STARTS or not self._start_again():
                    raise self._start_error(error, by_force=by_force) from error
        if message["event"] == "unfit":
            self.stop(now=True)
            raise EnvironmentProblem(message["error"])
        return message

    def ask(
        self,
        request: WireMessage,
        on_event: Callable[[WireMessage], None] | None = None,
        silence_s: float = 600.0,
    ) -> WireMessage:
        """Send a request, pass on its progress events, return its last event.

        Raises the worker's own error if the request can't be served, WorkerError if the process
        died, gave no sign of life for as long as its command's patience allows, or lived but said
        nothing for `silence_s` seconds.
        """
        began = time.monotonic()
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise WorkerError(self._obituary()) from error
        while True:
            message = self._next(silence_s)
            if message["event"] == "done":
                self.tasks_done += 1
                self._pace.add(time.monotonic() - began)
                return message
            if message["event"] == "failed":
                raise _told(message)
            if on_event is not None:
                on_event(message)

    def stop(self, *, now: bool = False) -> None:
        """End the process and all it has started: politely by closing its stdin, or at once."""
        with self._lock:
            self._stopped = True
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        if not now:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._group.end()
        self._log.close()

    def _start_again(self) -> bool:
        """Whether it is started again, rather than stopped by us meanwhile."""
        with self._lock:
            if not self._stopped:
                self._hung = False
                self._spawn()
            return not self._stopped

    def _next(self, silence_s: float) -> WireMessage:
        """The next message that is more than a beat."""
        patience = self.command.patience
        watch = LifeWatch(self.pid, patience, self._pace.expected_s())
        silent_s = 0.0  # in looks: time in which we were stopped does not count
        while True:
            try:
                message = self._messages.get(timeout=min(patience.look_s, silence_s))
            except queue.Empty as error:
                silent_s += min(patience.look_s, silence_s)
                if watch.is_hung():
                    self._end_hung(f"gave no sign of life for {watch.limit_s:.0f} s", error)
                if silent_s >= silence_s:
                    self._end_hung(f"said nothing for {silence_s:.0f} s", error)
                continue
            if message is None:
                raise WorkerError(self._obituary())
            if message["event"] != BEAT:
                return message
            if message["worked"]:
                watch.sign()

    def _end_hung(self, what: str, cause: Exception) -> NoReturn:
        """Its group ends with it."""
        self._hung = True
        self._end()
        raise WorkerError(f"the {self.command.name} {what} and was stopped") from cause

    def _start_error(self, error: WorkerError, *, by_force: bool) -> EnvironmentProblem:
        if by_force:
            return EnvironmentProblem(f"{error}; it happened {STARTS} times while it started")
        if self._process.returncode >= 0 and "GL" not in str(error):
            hint = f"check that {self.command.argv[0]} is the right program"
        else:  # a signal of its own: the way Blender ends where it can't draw
            hint = self.command.fatal_hint
        return EnvironmentProblem(f"{error}. {hint}".strip())

    def _obituary(self) -> str:
        """How it ended. What it had started is gone, too, and can write no file any more."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        ended_itself = self._process.poll() is not None
        self._group.end()
        last = self._last_words()
        how = how_it_ended(self._process.returncode) if ended_itself else "stopped answering"
        return f"the {self.command.name} {how}" + (f"; its last words: {last}" if last else "")

    def _last_words(self) -> str:
        try:
            size = self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, size - LOG_TAIL_BYTES))
            return last_line(self._log.read())
        except ValueError:  # `stop` closed it, on another thread
            return ""


class Pool:
    """`size` workers of one kind, each owned by a thread that feeds it tasks."""

    def __init__(self, command: WorkerCommand, size: int) -> None:
        """Start the first worker here, so that a broken machine shows before any work is queued.

        Raises EnvironmentProblem.
        """
        self.command, self.size = command, size
        self._tasks: queue.SimpleQueue[tuple[Task, Future[Any]] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()
        self._pace = Pace()
        first = self._start(0)
        self._threads = [
            threading.Thread(target=self._serve, args=(i, first if i == 0 else None), daemon=True)
            for i in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> Future[Any]:
        """Queue `task`; it is called with a ready worker, in order of submission."""
        future: Future[Any] = Future()
        self._tasks.put((task, future))
        return future

    def close(self) -> None:
        """Let the queued tasks finish, then end the workers."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def kill(self) -> None:
        """End the workers at once; tasks that ran or waited get Cancelled."""
        self._stopping.set()
        with self._lock:
            for worker in self._workers:
                worker.stop(now=True)
        self.close()

    def _start(self, slot: int) -> Worker:
        worker = Worker(self.command, slot, self.size, self._pace)
        with self._lock:
            self._workers.add(worker)
        try:
            if not self._stopping.is_set():
                worker.wait_ready()
        except BaseException:
            self._discard(worker, now=True)
            raise
        if self._stopping.is_set():  # stopped while it was starting
            self._discard(worker, now=True)
            raise Cancelled("stopped at your request")
        return worker

    def _discard(self, worker: Worker | None, *, now: bool) -> None:
        if worker is not None:
            with self._lock:
                self._workers.discard(worker)
            worker.stop(now=now)

    def _serve(self, slot: int, worker: Worker | None) -> None:
        while (item := self._tasks.get()) is not None:
            task, future = item
            try:
                if self._stopping.is_set():
                    raise Cancelled("stopped at your request")
                worker = worker or self._start(slot)
                future.set_result(task(worker))
            except BaseException as error:  # noqa: BLE001 (the future carries it to the caller)
                if isinstance(error, WorkerError):  # the next task gets a fresh one
                    self._discard(worker, now=True)
                    worker = None
                stopped = self._stopping.is_set()
                future.set_exception(Cancelled("stopped at your request") if stopped else error)
            if worker is not None and worker.tasks_done >= self.command.recycle_after:
                self._discard(worker, now=False)
                worker = None
        self._discard(worker, now=False)


def _told(message: WireMessage) -> ExOmniError:
    """The error that a living worker tells of; what failed there is no fault of the worker's."""
    error = error_from_json(message)
    return ExOmniError(str(error)) if isinstance(error, WorkerError) else error


def _read(lines: IO[bytes], messages: queue.SimpleQueue[WireMessage | None]) -> None:
    """Pass on what a worker says, and at last None."""
    with lines:
        for line in lines:
            if line.startswith(MARK.encode()):
                messages.put(json.loads(line[len(MARK) :]))
    messages.put(None)
