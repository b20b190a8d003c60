# SPDX-License-Identifier: GPL-3.0-or-later
"""A command template and one prompt in, what the program wrote out; it may crash, hang or lie.

The program runs without a shell, in a process group of its own, with nothing on its input; its
words go to a log file.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.errors import Cancelled, InputError, WorkerError
from exomni_core.processes.life import PATIENCE, LifeWatch, Patience, how_it_ended
from render_jobs.systems.config import ProgramSystem
from render_jobs.workers.groups import Group
from render_jobs.workers.programs import Running, environment, last_words

MAX_OUTPUT_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class ProgramResult:
    """What the program wrote. audio: its own speech, where the template holds {out_audio}."""

    out: Path
    audio: Path | None
    attempts: int


def run_program(
    system: ProgramSystem,
    values: Mapping[str, str],
    work: Path,
    log: Path,
    running: Running,
    patience: Patience = PATIENCE,
) -> ProgramResult:
    """Run the program once for `values` (the placeholders), again after a failure.

    work: an empty folder of this item's own; {out} lies in it. patience: how long it may give no
    sign of life (no word, no processor time, nothing read or written). Raises WorkerError in one
    sentence that ends with the program's last words, InputError where there is no such program,
    and Cancelled after `running.stop()`.
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
        complaint = _once(argv, system, log, running, patience)
        if not complaint:
            complaint = _check_output(out) or (_check_output(audio) if wants_audio else "")
        if not complaint:
            return ProgramResult(out, audio if wants_audio else None, attempt)
    tries = f" in {system.retries + 1} attempts" if system.retries else ""
    raise WorkerError(f"{system.name} failed{tries}: {complaint}{last_words(log)}")


def python_of(system: ProgramSystem) -> str:
    """What {python} stands for in its command."""
    return system.python or sys.executable


def _once(
    argv: Sequence[str], system: ProgramSystem, log: Path, running: Running, patience: Patience
) -> str:
    """Run it; why it counts as failed, or nothing."""
    with open(log, "wb") as words:
        try:
            program = Group(
                argv,
                cwd=system.cwd,
                env=environment(system.env),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(
                f"{argv[0]} can't be started in {system.cwd} ({reason}); check command, cwd and "
                f"python of {system.name}",
                field="command",
            ) from error
        running.add(program)
        try:
            hung = wait_for(program, log, system.timeout_s, running, patience)
            code = program.process.returncode
        finally:
            running.end(program)  # also what it left running
    if hung:
        return hung
    if code < 0:
        return f"it {how_it_ended(code)}"
    return f"it ended with code {code}" if code else ""


def wait_for(
    program: Group, log: Path, timeout_s: float, running: Running, patience: Patience
) -> str:
    """Wait until the program has ended; why we wait no longer, or nothing. log: its words."""
    watch = LifeWatch(program.process.pid, patience, running.pace.expected_s())
    began, said = time.monotonic(), 0
    while True:
        left_s = max(0.0, began + timeout_s - time.monotonic())
        try:
            program.process.wait(min(patience.look_s, left_s))
            running.pace.add(time.monotonic() - began)
            return ""
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                if (size := log.stat().st_size) != said:
                    said = size
                    watch.sign()
            if watch.is_hung():
                return f"it gave no sign of life for {watch.limit_s:.0f} s and was stopped"
            if time.monotonic() >= began + timeout_s:
                return f"it took more than {timeout_s:g} s"


def _check_output(path: Path) -> str:
    """Why the file at `path` can't be what was asked for, or nothing."""
    if path.is_symlink() or not path.is_file():
        return f"it ended well but wrote no {path.name}"
    size = path.stat().st_size
    if size == 0:
        return f"it wrote an empty {path.name}"
    return f"its {path.name} is larger than any clip" if size > MAX_OUTPUT_BYTES else ""
