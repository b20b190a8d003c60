# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that does as it is told, to see how the pool copes: echo, crash, hang, fail, chatter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from exomni_core.errors import InputError
from render_jobs.workers.wire import Send, WireMessage, serve


class FinerError(InputError):
    """A kind of error that the parent does not know by name."""


def start() -> WireMessage:
    if "unfit" in sys.argv:
        raise RuntimeError("no such luck")
    if "die" in sys.argv:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "killed" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"pid": os.getpid()}


def handle(request: WireMessage, send: Send) -> WireMessage:
    print("noise that is not ours")
    os.write(1, b"noise below Python\n")
    match request["do"]:
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash once":
            mark = Path(request["mark"])
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        case "crash with a child":  # which would write the file a little later
            code = 'echo $$ > "$0.pid"; sleep 0.5; touch "$0"; sleep 60'
            subprocess.Popen(["/bin/sh", "-c", code, request["late"]])
            while not Path(request["late"] + ".pid").exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(600)
        case "work":
            end = time.monotonic() + request["for_s"]
            while time.monotonic() < end:
                pass
        case "fail":
            raise InputError("the text is odd", field="text")
        case "fail finely":
            raise FinerError("cut it", field="audio")
        case "bug":
            raise ZeroDivisionError("oops")
        case "progress":
            for i in range(3):
                send({"event": "progress", "done": i})
    return {"pid": os.getpid(), "said": request.get("say")}


if __name__ == "__main__":
    serve(start, handle)
