# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests in on stdin, events out on stdout, one JSON line each: the worker's end of the wire.

The standard library and our errors only, because it also runs inside a user's own Blender.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from exomni_core.errors import error_to_json
from exomni_core.processes.life import CALM_SHARE

# Blender and its libraries write to stdout as they please; only lines with this mark are ours.
MARK: Final = "@exo "
BEAT: Final = "beat"  # an event for the supervisor alone: `worked`, whether we computed since
BEAT_S: Final = 5.0
WireMessage = dict[str, Any]
Send = Callable[[WireMessage], None]


def serve(
    start: Callable[[], WireMessage], handle: Callable[[WireMessage, Send], WireMessage]
) -> None:
    """Announce readiness with what `start()` returns, then answer each request until stdin ends.

    `handle(request, send)` may send progress events and returns the fields of the final event.
    An exception becomes a `failed` event with its text; the worker lives on.
    """
    # Read while the parent surely lives, before anything slow.
    requests = _listen()
    send = _take_over_stdout()
    threading.Thread(target=_beat, args=(send,), daemon=True, name="beat").start()
    try:
        send({"event": "ready", **start()})
    except Exception as error:  # noqa: BLE001 (told to the parent in full)
        send({"event": "unfit", "error": str(error), "kind": type(error).__name__})
        return
    while (request := requests.get()) is not None:
        job = request.get("job")

        def send_for_job(message: WireMessage, job: object = job) -> None:
            send({"job": job, **message})

        try:
            send_for_job({"event": "done", **handle(request, send_for_job)})
        except Exception as error:  # noqa: BLE001 (told to the parent; the worker lives on)
            send_for_job({"event": "failed", **error_to_json(error)})


def _beat(send: Send) -> None:
    """Tell now and then whether we work, where the supervisor can't see that for itself."""
    before = time.process_time()
    with contextlib.suppress(OSError, ValueError):  # the supervisor is gone
        while True:
            time.sleep(BEAT_S)
            now = time.process_time()
            send({"event": BEAT, "worked": now - before > CALM_SHARE * BEAT_S})
            before = now


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, even in the middle of a frame."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _listen() -> queue.SimpleQueue[WireMessage | None]:
    """Read stdin in a thread. When the parent goes away, so do we, whatever we are doing."""
    die_with_parent()
    requests: queue.SimpleQueue[WireMessage | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True, name="requests").start()
    return requests


def _take_over_stdout() -> Send:
    """Keep the real stdout for ourselves and send everybody else's prints to stderr."""
    sys.stdout.flush()
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def send(message: WireMessage) -> None:
        with lock:
            private.write(f"\n{MARK}{json.dumps(message, ensure_ascii=False)}\n")
            private.flush()

    return send
