# SPDX-License-Identifier: GPL-3.0-or-later
"""A server in, its temporary folder out; a later server removes it if this one was killed.

A lock on a file in it tells whether its owner lives: process numbers are used again, and mean
nothing in another container.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Final

_PREFIX: Final = "exomni-server-"
_LOCK: Final = "lock"
_YOUNG_S: Final = 10.0  # a folder may be so young that its owner hasn't locked it yet


class Scratch:
    """The folder, from `open` to `close`; private to this user."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX))  # mode 0700
        self._lock: IO[bytes] = open(self.folder / _LOCK, "wb")  # noqa: SIM115 (held while we live)
        _try_lock(self._lock)

    def close(self) -> None:
        """Remove the folder with all that is in it."""
        self._lock.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def sweep() -> int:
    """Remove the folders of servers of this user that were killed; returns how many."""
    swept = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, or gone meanwhile
            if time.time() - folder.stat().st_mtime > _YOUNG_S and _is_abandoned(folder):
                shutil.rmtree(folder)
                swept += 1
    return swept


def _is_abandoned(folder: Path) -> bool:
    if folder.is_symlink() or (os.name == "posix" and folder.stat().st_uid != os.getuid()):
        return False
    try:
        with open(folder / _LOCK, "r+b") as lock:
            return _try_lock(lock)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file for as long as it stays open; False if another process has it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
