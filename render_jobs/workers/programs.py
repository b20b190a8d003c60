# SPDX-License-Identifier: GPL-3.0-or-later
"""TODO."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_LOG_TAIL_BYTES: Final = 4096


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
