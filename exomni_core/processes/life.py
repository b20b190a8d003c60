# SPDX-License-Identifier: GPL-3.0-or-later
"""A running program in, whether it still lives out: by what it says, computes, reads and writes.

A program that waits for ever (stopped, deadlocked) gives no such sign. Only time in which we
ourselves ran counts against it: a machine that sleeps, or a whole run that the user has stopped
with Ctrl-Z, is no hang.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CALM_SHARE: Final = 0.01  # less processor time than this share is no sign of life
_CALM_S: Final = 0.05
_CALM_BYTES: Final = 1 << 16
_REMEMBERED: Final = 20
_KILLED: Final = 9  # by number: Windows knows no name for it


@dataclass(frozen=True)
class Patience:
    """How long a program may give no sign of life before it counts as hung.

    At least shortest_s, or `times` the time that its task is expected to take. look_s: how often
    we look.
    """

    shortest_s: float = 30.0
    times: float = 10.0
    look_s: float = 2.0

    def limit_s(self, expected_s: float = 0.0) -> float:
        """The seconds without a sign of life that are too many."""
        return max(self.shortest_s, self.times * expected_s)


PATIENCE: Final = Patience()


class Pace:
    """What past tasks took, for what the next is expected to take; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, seconds: float) -> None:
        """A task is done."""
        with self._lock:
            self._seconds.append(seconds)

    def expected_s(self) -> float:
        """The median of the last ones; 0 before the first."""
        with self._lock:
            return statistics.median(self._seconds) if self._seconds else 0.0


@dataclass(frozen=True)
class Usage:
    """What a program and its children have used: processor time, bytes read and written.

    waits_for_disk: one of them waits for the system to bring data now.
    """

    cpu_s: float
    bytes: int = 0
    waits_for_disk: bool = False


class LifeWatch:
    """`watch = LifeWatch(pid)`; tell it of a `sign`; ask `is_hung` every `look_s` seconds."""

    def __init__(
        self,
        pid: int,
        patience: Patience = PATIENCE,
        expected_s: float = 0.0,
        *,
        alone: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """pid: the program, leader of a session or group of its own, or `alone` in ours."""
        self.limit_s = patience.limit_s(expected_s)
        self._pid, self._alone, self._clock = pid, alone, clock
        self._most_s = 2 * patience.look_s
        self._looked = clock()
        self._idle_s = 0.0
        self._last = self._usage()

    def sign(self) -> None:
        """The program has said something that it can only say while it works."""
        self._idle_s = 0.0
        self._looked = self._clock()

    def is_hung(self) -> bool:
        """Whether it has given no sign of life for `limit_s`; never where that can't be seen."""
        now = self._clock()
        # A longer step: we did not run ourselves.
        self._idle_s += min(max(0.0, now - self._looked), self._most_s)
        self._looked = now
        used = self._usage()
        if used is None or self._last is None:
            self._last = self._last or used
            return False
        enough_s = max(_CALM_S, CALM_SHARE * self._idle_s)
        if used.cpu_s < self._last.cpu_s:  # a child has gone and took its account along
            self._last = used
        elif (
            used.waits_for_disk
            or used.cpu_s - self._last.cpu_s >= enough_s
            or used.bytes - self._last.bytes >= _CALM_BYTES
        ):
            self._last, self._idle_s = used, 0.0
        return self._idle_s > self.limit_s

    def _usage(self) -> Usage | None:
        return usage_of(self._pid, alone=self._alone)


def usage_of(pid: int, *, alone: bool = False) -> Usage | None:
    """What the session and group of `pid`, or it `alone`, has used; None where it can't be seen."""
    if sys.platform == "linux":
        folders = [Path("/proc", str(pid))] if alone else list(Path("/proc").glob("[1-9]*"))
        found = [one for one in (_read(folder, pid) for folder in folders) if one is not None]
        return Usage(
            sum(one.cpu_s for one in found),
            sum(one.bytes for one in found),
            any(one.waits_for_disk for one in found),
        )
    return _by_ps(pid) if os.name == "posix" else None


def _read(folder: Path, leader: int) -> Usage | None:
    """The account of one process, if it belongs to `leader`."""
    with contextlib.suppress(OSError, ValueError, IndexError):  # it has gone meanwhile
        cells = stat_cells(folder)
        if str(leader) not in (folder.name, cells[2], cells[3]):
            return None
        ticks = sum(map(int, cells[11:15]))  # its own and its ended children's
        moved = 0
        with contextlib.suppress(OSError):
            lines = (folder / "io").read_text().splitlines()[:2]
            moved = sum(int(line.partition(":")[2]) for line in lines)
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), moved, cells[0] == "D")
    return None


def stat_cells(folder: Path) -> list[str]:
    """What `/proc/PID/stat` says: state, parent, group, session, ...; OSError if it has gone."""
    # The name before them may hold anything.
    return (folder / "stat").read_text().rpartition(")")[2].split()


def _by_ps(pid: int) -> Usage | None:
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        table = subprocess.run(
            ("ps", "-A", "-o", "pid=,pgid=,time="), capture_output=True, timeout=10, check=True
        )
        total = 0.0
        for line in table.stdout.decode("ascii", "replace").splitlines():
            number, group, spent = line.split()
            if str(pid) in (number, group):
                total += sum(
                    60**k * float(part) for k, part in enumerate(reversed(spent.split(":")))
                )
        return Usage(total)
    return None


def how_it_ended(code: int | None) -> str:
    """How a program ended, by the `returncode` of its `Popen`: the end of "the program ..."."""
    if code == -_KILLED:
        return (
            "was ended by signal 9, which often means that memory ran out; try --workers 1 or "
            "close other programs"
        )
    if code is not None and code < 0:
        return f"was ended by signal {-code}"
    return "ended early"
