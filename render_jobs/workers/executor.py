# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps in, what becomes of them out, both plain data; starts pools and threads, no process itself.

A step is a name and a request; both ends know by the name what is to be done. What an executor
tells of a step are messages: {"event": "done", ...} or {"event": "failed", ...} (an error as
`error_to_json` gives it) is its last; before it there may be others, in order.
"""

from __future__ import annotations

import functools
import itertools
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from exomni_core.errors import Cancelled, error_to_json
from render_jobs.workers.pool import Pool, Worker, WorkerCommand
from render_jobs.workers.programs import Running
from render_jobs.workers.wire import Send, WireMessage


@dataclass(frozen=True)
class Step:
    """One thing to do, as plain data that JSON can hold.

    name: of the action. request: what it needs to know. inputs: the files that it reads, path ->
    hex SHA-256 of their bytes. outputs: the files that it may write. On another machine the inputs
    are brought there first, the outputs back, and `Workplace.here` says where they lie.
    """

    name: str
    request: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Crew:
    """Workers of one kind. options: plain data that they start with. size: how many."""

    kind: str
    options: Mapping[str, Any]
    size: int


@dataclass(frozen=True)
class Workplace:
    """Where a step runs. worker: a ready one, or None for an action that needs none.

    work: a folder for unfinished files. running: knows the programs that run for the step. files:
    where those of the step's files lie here that don't lie at their own paths; their names are the
    same.
    """

    worker: Worker | None
    work: Path
    running: Running
    files: Mapping[str, str] = field(default_factory=dict)

    def here(self, path: str) -> Path:
        """Where the input or output `path` of the step lies on this machine."""
        return Path(self.files.get(path, path))


@dataclass(frozen=True)
class Action:
    """How steps of one name are done: by which kind of crew, and by which function.

    run: takes the request, tells of what happens on the way, and returns the fields of the last
    message; raises ExOmniError.
    """

    crew: str
    run: Callable[[Mapping[str, Any], Workplace, Send], WireMessage]


Commands = Mapping[str, Callable[[Mapping[str, Any], Path], WorkerCommand]]


class Executor(Protocol):
    """Runs steps in the order they come, several at a time. For the one thread that keeps books."""

    def prepare(self, kind: str) -> None:
        """Start that crew now, so that a machine that can't do it shows before any work is done.

        Raises EnvironmentProblem.
        """

    def submit(self, step: Step) -> int:
        """Queue `step`; the number under which `take` tells of it. Raises EnvironmentProblem."""

    def take(self) -> tuple[int, WireMessage]:
        """The next message and the number of the step that it tells of; waits for it."""

    def close(self) -> None:
        """Let the queued steps finish, then end all workers."""

    def kill(self) -> None:
        """End all workers and programs at once; their steps fail."""


ExecutorMaker = Callable[[Sequence[Crew], Path], Executor]


class LocalExecutor:
    """Runs steps on this machine: in worker processes, or in threads where they need none."""

    def __init__(
        self, actions: Mapping[str, Action], commands: Commands, crews: Sequence[Crew], work: Path
    ) -> None:
        """actions: by name of step. commands: how a worker of a kind is started from its crew's
        options; a kind without command has threads. work: a folder for unfinished files.
        """
        self._actions, self._commands, self._work = actions, commands, work.resolve()
        self._crews = {crew.kind: crew for crew in crews}
        self._pools: dict[str, Pool] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._running = Running()
        self._numbers = itertools.count()
        self._messages: queue.SimpleQueue[tuple[int, WireMessage]] = queue.SimpleQueue()

    def prepare(self, kind: str) -> None:
        """See Executor."""
        if kind in self._commands and kind not in self._pools:
            crew = self._crews[kind]
            command = self._commands[kind](crew.options, self._work)
            self._pools[kind] = Pool(command, crew.size)

    def submit(self, step: Step, files: Mapping[str, str] | None = None) -> int:
        """See Executor; files: for a step from another machine, see Workplace."""
        kind, number = self._actions[step.name].crew, next(self._numbers)
        task = functools.partial(self._run, number, step, files or {})
        if kind in self._commands:
            self.prepare(kind)
            future = self._pools[kind].submit(task)
        else:
            future = self._threads_of(kind).submit(task, None)
        future.add_done_callback(functools.partial(self._ended, number))
        return number

    def take(self) -> tuple[int, WireMessage]:
        """See Executor."""
        return self._messages.get()

    def close(self) -> None:
        """See Executor."""
        for pool in self._pools.values():
            pool.close()
        for threads in self._threads.values():
            threads.shutdown()

    def kill(self) -> None:
        """See Executor."""
        self._running.stop()
        for pool in self._pools.values():
            pool.kill()
        for threads in self._threads.values():
            threads.shutdown(cancel_futures=True)

    def _threads_of(self, kind: str) -> ThreadPoolExecutor:
        if kind not in self._threads:
            self._threads[kind] = ThreadPoolExecutor(self._crews[kind].size, kind)
        return self._threads[kind]

    def _run(
        self, number: int, step: Step, files: Mapping[str, str], worker: Worker | None
    ) -> WireMessage:
        def send(message: WireMessage) -> None:
            self._messages.put((number, message))

        place = Workplace(worker, self._work, self._running, files)
        return self._actions[step.name].run(step.request, place, send)

    def _ended(self, number: int, future: Future[WireMessage]) -> None:
        if future.cancelled():
            last = _failed(Cancelled("stopped at your request"))
        elif error := future.exception():
            last = _failed(error)
        else:
            last = {"event": "done", **future.result()}
        self._messages.put((number, last))


@contextmanager
def at_work(executor: Executor) -> Iterator[Executor]:
    """The executor, whose workers are gone afterwards: at once after an error or Ctrl-C."""
    try:
        yield executor
        executor.close()
    except BaseException:
        executor.kill()
        raise


def _failed(error: BaseException) -> WireMessage:
    return {"event": "failed", **error_to_json(error)}
