# SPDX-License-Identifier: GPL-3.0-or-later
"""Work in; caches freed after a failure, and weights freed after an idle time, out."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def freeing(free: Callable[[], None]) -> Iterator[None]:
    """Call `free` if the work inside is cancelled, fails or is abandoned."""
    try:
        yield
    except BaseException:
        free()
        raise


class IdleTimer:
    """Calls `unload` after `after_s` seconds without work; None: never."""

    def __init__(self, after_s: float | None, unload: Callable[[], None]) -> None:
        self._after_s, self._unload = after_s, unload
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    def working(self) -> IdleTimer:
        """A context for one job at a time; nothing is unloaded inside it."""
        return self

    def __enter__(self) -> None:
        self._lock.acquire()
        self.stop()

    def __exit__(self, *_: object) -> None:
        if self._after_s is not None:
            self._timer = threading.Timer(self._after_s, self._fire)
            self._timer.daemon = True
            self._timer.start()
        self._lock.release()

    def _fire(self) -> None:
        if self._lock.acquire(blocking=False):  # somebody works: their end starts the clock anew
            try:
                self._unload()
            finally:
                self._lock.release()

    def stop(self) -> None:
        """Forget a pending unload."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
