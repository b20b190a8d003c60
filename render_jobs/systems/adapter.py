# SPDX-License-Identifier: GPL-3.0-or-later
"""Wavs in, coefficients by somebody's model out, through a driver script in its own Python.

The driver gets one JSON job file and prints one JSON line per finished item;
all else that it or the model prints goes to a log. Items it has finished stay when it dies.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from exomni_core.errors import Cancelled, InputError
from exomni_core.processes.life import PATIENCE, LifeWatch, how_it_ended
from exomni_core.storage.files import write_text
from exomni_core.storage.foreign import load_json
from render_jobs.systems.config import ORDERS, AdapterSystem
from render_jobs.workers.groups import Group
from render_jobs.workers.programs import Running, environment, last_words

JOB_VERSION: Final = 1
PROVENANCE: Final = "provenance.json"
DRIVER_LOG: Final = "driver.log"
_MAX_LINE: Final = 1 << 20


@dataclass(frozen=True)
class DriverInput:
    """One item: the wav it gets (mono, 16 kHz, 16 bit) and the npz it shall write."""

    item_id: str
    wav: Path
    out: Path
    text: str = ""
    language: str = ""


ItemCallback = Callable[[str, str], None]  # item id, error or empty


def run_adapter(
    system: AdapterSystem,
    jobs: Sequence[DriverInput],
    work: Path,
    on_item: ItemCallback,
    running: Running,
) -> dict[str, Any]:
    """Have every job done; `on_item` hears of each once, at once. Returns the driver's provenance.

    An item that takes longer than `timeout_s`, or brings the process down, fails; the driver is
    started again for the rest. Raises InputError when it can't be started at all, and Cancelled
    after `running.stop()`.
    """
    work.mkdir(parents=True, exist_ok=True)
    left = {job.item_id: job for job in jobs}
    tried: dict[str, int] = {}
    while left:
        if running.stopped:
            raise Cancelled("stopped")
        session = _Session(system, list(left.values()), work, running)
        try:
            complaint = session.run(left, on_item)
        finally:
            session.end(grace_s=0.0 if left else 30.0)
        if not left:
            break
        if not complaint:
            complaint = "it ended before all items were done"
        # Whatever stood first when it stopped is to blame.
        culprit = next(iter(left))
        tried[culprit] = tried.get(culprit, 0) + 1
        sentence = f"{system.name}: {complaint}{last_words(session.log)}"
        if not session.got_ready:
            for item_id in list(left):
                del left[item_id]
                on_item(item_id, sentence)
        elif tried[culprit] > system.retries:
            del left[culprit]
            on_item(culprit, sentence)
    return _provenance(work / PROVENANCE)


class _TooLongError(Exception):
    """The driver hangs; what took too long, for the end of a sentence."""


class _Session:
    """One start of the driver."""

    def __init__(
        self, system: AdapterSystem, jobs: Sequence[DriverInput], work: Path, running: Running
    ) -> None:
        self._patience = PATIENCE
        self.system, self.got_ready, self._running = system, False, running
        self.log = work / DRIVER_LOG
        job_file = work / "job.json"
        write_text(job_file, json.dumps(_job(system, jobs, work), ensure_ascii=False, indent=1))
        self._words: IO[bytes] = open(self.log, "ab")  # noqa: SIM115 (closed in end)
        argv = [_program(system), str(system.script.resolve()), str(job_file.resolve())]
        try:
            self._group = Group(
                argv,
                cwd=system.checkout,
                # Their scripts must find their own modules; ours prints lines at once.
                env=environment({"PYTHONUNBUFFERED": "1", **system.env}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._words,
            )
        except OSError as error:
            self._words.close()
            raise InputError(
                f"{argv[0]} can't be started in {system.checkout} ({error.strerror}); check python "
                f"and checkout of {system.name}",
                field="python",
            ) from error
        self._process = self._group.process
        running.add(self._group)
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def run(self, left: dict[str, DriverInput], on_item: ItemCallback) -> str:
        """Take results off `left` until the driver ends or hangs; why it stopped, or nothing."""
        limit_s = self.system.start_s
        while left:
            try:
                line = self._next_line(limit_s)
            except _TooLongError as problem:
                return str(problem)
            if line is None:
                code = self._process.wait()
                if code < 0:
                    return f"the driver {how_it_ended(code)}"
                return f"the driver ended with code {code}" if code else ""
            message = _message(line)
            if message is None:
                self._words.write(line)
                continue
            if message.get("event") == "ready":
                self.got_ready, limit_s = True, self.system.timeout_s
                continue
            job = left.pop(str(message.get("id")), None)
            if job is not None:
                self.got_ready, limit_s = True, self.system.timeout_s
                error = message.get("error")
                on_item(job.item_id, f"{self.system.name}: {error}" if error else "")
        return ""

    def _next_line(self, limit_s: float) -> bytes | None:
        """What it says next, None at its end; _TooLongError where it hangs."""
        watch = LifeWatch(self._process.pid, self._patience, self._running.pace.expected_s())
        began = time.monotonic()
        what = "an item" if self.got_ready else "loading the model"
        while True:
            left_s = max(0.0, began + limit_s - time.monotonic())
            try:
                line = self._lines.get(timeout=min(self._patience.look_s, left_s))
                if self.got_ready:
                    self._running.pace.add(time.monotonic() - began)
                return line
            except queue.Empty:
                if watch.is_hung():
                    raise _TooLongError(
                        f"{what} gave no sign of life for {watch.limit_s:.0f} s and was stopped"
                    ) from None
                if time.monotonic() >= began + limit_s:
                    raise _TooLongError(f"{what} took more than {limit_s:g} s") from None

    def end(self, *, grace_s: float) -> None:
        """Give it a moment to write its provenance, then end it and all it has started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace_s)
        self._running.end(self._group)
        self._words.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            while line := stream.readline(_MAX_LINE):
                self._lines.put(line)
        self._lines.put(None)


def _program(system: AdapterSystem) -> str:
    """The interpreter: a bare name is looked up on PATH, a path is relative to the checkout."""
    python = Path(system.python).expanduser()
    return (
        str(python)
        if python.is_absolute() or len(python.parts) == 1
        else str(system.checkout.resolve() / python)
    )


def _job(system: AdapterSystem, jobs: Sequence[DriverInput], work: Path) -> dict[str, Any]:
    return {
        "version": JOB_VERSION,
        "checkout": str(system.checkout.resolve()),
        "checkpoint": system.checkpoint,
        "options": dict(system.options),
        "orders": {name: list(channels) for name, channels in ORDERS.items()},
        "provenance": str((work / PROVENANCE).resolve()),
        "items": [
            {
                "id": job.item_id,
                "wav": str(job.wav.resolve()),
                "out": str(job.out.resolve()),
                "text": job.text,
                "language": job.language,
            }
            for job in jobs
        ],
    }


def _message(line: bytes) -> Mapping[str, Any] | None:
    """A line of the driver's, or None if the model itself has printed it."""
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and ("id" in data or "event" in data) else None


def _provenance(path: Path) -> dict[str, Any]:
    try:
        data = load_json(path)
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def check_adapter(system: AdapterSystem) -> list[str]:
    """What is missing before the driver can run, in sentences."""
    problems = []
    if not system.checkout.is_dir():
        problems.append(f"the checkout {system.checkout} does not exist")
    if not system.script.is_file():
        problems.append(f"the driver {system.script} does not exist")
    if system.checkpoint and not (system.checkout / system.checkpoint).is_file():
        problems.append(
            f"the checkpoint {system.checkout / system.checkpoint} does not exist; download it as "
            "its authors describe"
        )
    program = _program(system)
    try:
        subprocess.run([program, "--version"], capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "strerror", None) or error
        problems.append(
            f"the interpreter {program} can't be started ({reason}); set python to the "
            "checkout's own"
        )
    return problems
