# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers in, the processor cores of each out; and how many cores this process may use.

N workers on N cores work best with one thread and one core each: software OpenGL that splits a
frame between cores spends a third of its time waiting. A lone worker gets all of them.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_QUOTAS: Final = (  # cgroups version 2 and 1
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
MOST_WORKERS: Final = 8  # by default; each keeps a Blender of 0.7 GB
_MOST_THREADS: Final = 16  # that Mesa's software OpenGL takes


@dataclass(frozen=True)
class Share:
    """A worker's part of the machine.

    cores: their numbers; empty where the worker can't or shouldn't be bound to some. count: how
    many cores' time it may take.
    """

    cores: tuple[int, ...]
    count: int

    @property
    def env(self) -> Mapping[str, str]:
        """What tells Mesa how many threads to draw with beside the program's own."""
        threads = 0 if self.count == 1 else min(self.count, _MOST_THREADS)
        return {"LP_NUM_THREADS": str(threads)}


def usable_cores() -> int:
    """How many cores' time this process may take: its affinity, cut by a container's quota."""
    return max(1, math.ceil(min(len(_allowed()), _quota())))


def share_of(slot: int, workers: int) -> Share:
    """The part of worker number `slot` of `workers`: cores of its own as long as there are enough.

    Where a container limits time but not cores, nobody is bound: its neighbours would bind
    themselves to the same ones.
    """
    allowed, count = _allowed(), usable_cores()
    each = max(1, count // workers)
    if count < len(allowed) or not hasattr(os, "sched_setaffinity"):
        return Share((), each)
    first = slot * each % len(allowed)
    return Share(tuple(allowed[first : first + each]), each)


@contextlib.contextmanager
def bound_to(share: Share) -> Iterator[None]:
    """What this thread starts inside runs on the share's cores only."""
    if not share.cores:
        yield
        return
    before = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):  # a core may have gone since
        os.sched_setaffinity(0, share.cores)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, before)


def _allowed() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _quota() -> float:
    """The container's limit in cores, or infinity."""
    for files in _QUOTAS:
        with contextlib.suppress(OSError, ValueError):  # another kind of cgroup, or "max"
            limit, period = " ".join(Path(name).read_text() for name in files).split()
            if float(limit) > 0:
                return float(limit) / float(period)
    return math.inf
