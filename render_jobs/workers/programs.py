# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's programs in, what they said last out; ends those that run, and starts none."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from exomni_core.processes.life import Pace
from exomni_core.storage.logs import LOG_TAIL_BYTES, last_line
from render_jobs.workers.groups import Group


class Running:
    """The programs that run now, so that Ctrl-C can end them from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[Group] = set()
        self.stopped = False
        self.pace = Pace()  # of one kind of program: a run has but one

    def add(self, group: Group) -> None:
        """It has started."""
        with self._lock:
            self._groups.add(group)
            stopped = self.stopped
        if stopped:
            group.end()

    def end(self, group: Group) -> None:
        """End it with all it has started, and forget it."""
        group.end()
        with self._lock:
            self._groups.discard(group)

    def stop(self) -> None:
        """End all of them; nothing starts any more."""
        with self._lock:
            self.stopped = True
            groups = list(self._groups)
        for group in groups:
            group.end()


def last_words(log: Path) -> str:
    """The last line that a program wrote, for the end of a sentence."""
    try:
        with open(log, "rb") as handle:
            handle.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            line = last_line(handle.read())
    except OSError:
        return ""
    return f"; it said: {line[:200]}" if line else ""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment with `extra`; without what would make another Python load our packages."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return {**kept, **extra}
