# SPDX-License-Identifier: GPL-3.0-or-later
"""A render worker that dies at its first request; a child of it would write the video later.

Its first argument is a file that says whether it has died before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from render_jobs.workers.wire import Send, WireMessage, serve

LATE_S = 1.0


def handle(request: WireMessage, send: Send) -> WireMessage:
    video, died = request["encoder"]["output"], Path(sys.argv[1])
    if not died.exists():
        died.touch()
        subprocess.Popen(["/bin/sh", "-c", f'sleep {LATE_S}; echo late > "$0"', video])
        os.kill(os.getpid(), signal.SIGKILL)
    Path(video).write_bytes(b"a video")
    send({"event": "progress", "done": 3, "of": 3})
    return {"frames": 3, "notes": [], "finished": True}


if __name__ == "__main__":
    serve(dict, handle)
