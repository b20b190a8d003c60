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
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import IO, Any

from exomni_core.errors import (
    Cancelled,
    EnvironmentProblem,
    ExOmniError,
    WorkerError,
    error_from_json,
)
from exomni_core.storage.logs import LOG_TAIL_BYTES, last_line
from render_jobs.workers.cores import Share, bound_to, share_of
from render_jobs.workers.groups import Group
from render_jobs.workers.wire import MARK, WireMessage

Task = Callable[["Worker"], Any]


@dataclass(frozen=True)
class WorkerCommand:
    """How to start one kind of worker.

    name: for messages ("render worker"). argv: the program. env: added to ours.
    ready_s: how long its start may take. fatal_hint: what to tell a user if it dies while starting.
    recycle_after: tasks before it is replaced by a fresh process (memory growth).
    own_cores: workers of a pool get cores of their own and draw with as many threads.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_s: float = 300.0
    fatal_hint: str = ""
    recycle_after: int = 200
    own_cores: bool = False


class Worker:
    """One helper process: `Worker(command)`, `wait_ready()`, `ask`, `stop`; for one thread only.

    The thread that makes it must outlive it: on Linux the process dies with that thread.
    """

    def __init__(self, command: WorkerCommand, slot: int = 0, of: int = 1) -> None:
        """Start the process, don't wait for it; EnvironmentProblem if there is no such program.

        slot, of: which worker of how many it is, for `own_cores`.
        """
        self.command = command
        share = share_of(slot, of) if command.own_cores else Share((), 1)
        env = {**os.environ, **command.env, **(share.env if command.own_cores else {})}
        self.tasks_done = 0
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as we do)
        self._messages: queue.SimpleQueue[WireMessage | None] = queue.SimpleQueue()
        try:
            with bound_to(share):
                # In a session of its own: Ctrl-C is ours to handle, in our order.
                self._group = Group(
                    command.argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    env=env,
                )
        except OSError as error:
            raise EnvironmentProblem(
                f"{command.argv[0]} can't be started ({error.strerror}); check the path"
            ) from error
        self._process = self._group.process
        threading.Thread(target=self._read, daemon=True, name=command.name).start()

    @property
    def pid(self) -> int:
        """Process id, for tests and messages."""
        return self._process.pid

    def wait_ready(self) -> WireMessage:
        """What the worker says of itself once it can take requests; EnvironmentProblem if never."""
        try:
            message = self._next(self.command.ready_s)
        except WorkerError as error:
            self.stop(now=True)
            code = self._process.returncode
            if code is not None and code >= 0 and "GL" not in str(error):
                hint = f"check that {self.command.argv[0]} is the right program"
            else:  # a signal: the way Blender ends where it can't draw
                hint = self.command.fatal_hint
            raise EnvironmentProblem(f"{error}. {hint}".strip()) from error
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
        died or said nothing for `silence_s` seconds.
        """
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
                return message
            if message["event"] == "failed":
                raise _told(message)
            if on_event is not None:
                on_event(message)

    def stop(self, *, now: bool = False) -> None:
        """End the process and all it has started: politely by closing its stdin, or at once."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        if not now:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=10)
        self._group.end()
        self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.startswith(MARK.encode()):
                    self._messages.put(json.loads(line[len(MARK) :]))
        self._messages.put(None)

    def _next(self, silence_s: float) -> WireMessage:
        try:
            message = self._messages.get(timeout=silence_s)
        except queue.Empty as error:
            self.stop(now=True)
            raise WorkerError(
                f"the {self.command.name} said nothing for {silence_s:.0f} s and was stopped"
            ) from error
        if message is None:
            raise WorkerError(self._obituary())
        return message

    def _obituary(self) -> str:
        """How it ended. What it had started is gone, too, and can write no file any more."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        self._group.end()
        code = self._process.returncode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else "ended early"
        last = self._last_words()
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
        worker = Worker(self.command, slot, self.size)
        worker.wait_ready()
        with self._lock:
            self._workers.add(worker)
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
