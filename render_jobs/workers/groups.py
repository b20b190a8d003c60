# SPDX-License-Identifier: GPL-3.0-or-later
"""An argument list in, a process out; the one place that starts and ends processes, children too.

A program that is killed leaves its own children behind, and they go on writing files. So each gets
a session of its own, and the whole session is ended at once. If we are killed, a small shell that
waits for that ends it instead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from exomni_core.processes.guard import dismiss, start_guard
from exomni_core.processes.life import stat_cells

PATIENCE_S: Final = 10.0  # how long killed processes may take to go away, on a busy disk
_LOOK_AGAIN_S: Final = 0.005


class Group:
    """One program in a session of its own: `Group(argv)`, `process`, `end`, or use `with`."""

    def __init__(self, argv: Sequence[str], **options: Any) -> None:
        """Start it; options: those of `subprocess.Popen`. Raises OSError, ValueError."""
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            argv, start_new_session=True, **options
        )
        self._guard = start_guard(f"-{self.process.pid}")
        self._lock = threading.Lock()
        self._ended = False

    def end(self) -> None:
        """Kill the program and all it has started; they are gone when this returns."""
        with self._lock:  # whoever comes second waits for the first
            if self._ended:
                return
            self._ended = True
            _end_session(self.process)
            dismiss(self._guard)

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def _end_session(process: subprocess.Popen[bytes]) -> None:
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    # Before the program is waited for: until then nobody else can have its number.
    _kill_group(process.pid)
    process.wait()
    deadline = time.monotonic() + PATIENCE_S
    while (left := _living(process.pid)) and time.monotonic() < deadline:
        for number in left:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_S)


def _kill_group(number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(number, signal.SIGKILL)


def _living(session: int) -> list[int]:
    """The processes of a session or group that still run; the dead ones may lie about for long."""
    if sys.platform != "linux":
        try:
            os.killpg(session, 0)
        except OSError:
            return []
        return [-session]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError, ValueError):  # it has gone meanwhile
                state, _, group, own = stat_cells(entry)[:4]
                if str(session) in (group, own) and state not in "ZX":
                    found.append(int(entry.name))
    return found
