# SPDX-License-Identifier: GPL-3.0-or-later
"""A command template and one prompt in, what the program wrote out; it may crash, hang or lie.

The program runs without a shell, in a process group of its own, with nothing on its input; its
words go to a log file.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.errors import Cancelled, InputError, WorkerError
from render_jobs.systems import ProgramSystem

MAX_OUTPUT_BYTES: Final = 1 << 30
_LOG_TAIL_BYTES: Final = 4096


@dataclass(frozen=True)
class ProgramResult:
    """What the program wrote. audio: its own speech, where the template holds {out_audio}."""

    out: Path
    audio: Path | None
    attempts: int


class Running:
    """The programs that run now, so that Ctrl-C can end them from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def add(self, process: subprocess.Popen[bytes]) -> None:
        """It has started."""
        with self._lock:
            self._processes.add(process)
            stopped = self.stopped
        if stopped:
            end_group(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End it with all it has started, and forget it."""
        end_group(process)
        with self._lock:
            self._processes.discard(process)

    def stop(self) -> None:
        """End all of them; nothing starts any more."""
        with self._lock:
            self.stopped = True
            processes = list(self._processes)
        for process in processes:
            with contextlib.suppress(OSError):
                _kill(process)


def run_program(
    system: ProgramSystem, values: Mapping[str, str], work: Path, log: Path, running: Running
) -> ProgramResult:
    """Run the program once for `values` (the placeholders), again after a failure.

    work: an empty folder of this item's own; {out} lies in it. Raises WorkerError in one sentence
    that ends with the program's last words, InputError where there is no such program, and
    Cancelled after `running.stop()`.
    """
    work.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    out, audio = work / f"out{system.output}", work / "out.wav"
    filled = {**values, "out": str(out), "out_audio": str(audio), "python": python_of(system)}
    argv = [part.format(**filled) for part in system.command]
    wants_audio = any("{out_audio}" in part for part in system.command)
    complaint = ""
    for attempt in range(1, system.retries + 2):
        for old in (out, audio):
            old.unlink(missing_ok=True)
        if running.stopped:
            raise Cancelled("stopped")
        complaint = _once(argv, system, log, running)
        if not complaint:
            complaint = _check_output(out) or (_check_output(audio) if wants_audio else "")
        if not complaint:
            return ProgramResult(out, audio if wants_audio else None, attempt)
    tries = f" in {system.retries + 1} attempts" if system.retries else ""
    raise WorkerError(f"{system.name} failed{tries}: {complaint}{last_words(log)}")


def last_words(log: Path) -> str:
    """The last line that a program wrote, for the end of a sentence."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            text = handle.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    printable = "".join(c for c in lines[-1] if c.isprintable()) if lines else ""
    return f"; it said: {printable[:200]}" if printable else ""


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program that was started in a session of its own, with all that it has started."""
    with contextlib.suppress(OSError):
        _kill(process)
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment with `extra`; without what would make another Python load our packages."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, **extra}


def python_of(system: ProgramSystem) -> str:
    """What {python} stands for in its command."""
    return system.python or sys.executable


def _once(argv: Sequence[str], system: ProgramSystem, log: Path, running: Running) -> str:
    """Run it; why it counts as failed, or nothing."""
    with open(log, "wb") as words:
        try:
            process = subprocess.Popen(
                argv,
                cwd=system.cwd,
                env=environment(system.env),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{argv[0]} can't be started in {system.cwd} ({reason}); check command, cwd and "
                f"python of {system.name}",
                field="command",
            ) from error
        running.add(process)
        try:
            code = process.wait(system.timeout_s)
        except subprocess.TimeoutExpired:
            return f"it took more than {system.timeout_s:g} s"
        finally:
            running.end(process)  # also what it left running
    if code < 0:
        return f"it was ended by signal {-code}"
    return f"it ended with code {code}" if code else ""


def _check_output(path: Path) -> str:
    """Why the file at `path` can't be what was asked for, or nothing."""
    if path.is_symlink() or not path.is_file():
        return f"it ended well but wrote no {path.name}"
    size = path.stat().st_size
    if size == 0:
        return f"it wrote an empty {path.name}"
    return f"its {path.name} is larger than any clip" if size > MAX_OUTPUT_BYTES else ""
