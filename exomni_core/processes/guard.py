# SPDX-License-Identifier: GPL-3.0-or-later
"""A process number in, a small shell out that kills that process when we are gone.

Its input ends then, whatever ended us. It kills with a signal that a stopped process can't put off.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any, Final

_GUARD: Final = 'read -r _; test "$1" = 0 || sleep "$1"; kill -s KILL -- "$0"'


def start_guard(target: str, grace_s: int = 0) -> subprocess.Popen[bytes] | None:
    """Guard `target`: a process number, or with a minus before it a whole group's.

    grace_s: how long it has to end by itself. None where the system has no such shell.
    """
    if os.name != "posix":
        return None
    with contextlib.suppress(OSError):
        return subprocess.Popen(
            ("/bin/sh", "-c", _GUARD, target, str(grace_s)),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    return None


def dismiss(guard: subprocess.Popen[bytes] | None) -> None:
    """End the guard without harm to what it guarded."""
    if guard is None:
        return
    guard.kill()  # before its input ends, or it would kill
    guard.wait()
    assert guard.stdin is not None
    guard.stdin.close()


@contextlib.contextmanager
def attended(argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program without children that stays in our own session; gone afterwards.

    A terminal's Ctrl-C reaches it, too. options: those of `subprocess.Popen`. Raises OSError.
    """
    process: subprocess.Popen[bytes] = subprocess.Popen(argv, **options)
    guard = start_guard(str(process.pid))
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        dismiss(guard)
