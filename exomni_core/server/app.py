# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings in, a running engine process out: `python -m exomni_core.server.app`, as a child.

As a child of another program it reads the token from the first line of stdin and its options, as
JSON, from the second, prints {"port": N} once it takes requests, and ends when stdin closes, which
it does when the parent dies in whatever way. `exorender serve` is the same server for people.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import ExOmniError, InputError
from exomni_core.http.listening import Listener, end_on_signals, start_log
from exomni_core.server import protocol
from exomni_core.server.engines import EngineHolder
from exomni_core.server.handler import Handler
from exomni_core.server.jobs import Jobs
from exomni_core.server.microphone import Microphone
from exomni_core.server.scratch import Scratch, sweep
from exomni_core.server.uploads import Uploads
from exomni_core.server.worker import Worker

LOG: Final = logging.getLogger("exomni.server")
MAX_CONNECTIONS: Final = 64
_HEAVY_AT_ONCE: Final = 2
_END_S: Final = 1.0  # for the job at work, once the server is to end
_LOOK_S: Final = 0.25  # how often it looks for idleness and for its parent


@dataclass(frozen=True)
class Settings:
    """How the server runs.

    host, port: where it listens; port 0 takes a free one. token: what clients must know.
    engine_options: of each engine, for jobs that choose none. idle_unload_s: free the engine after
    so long without a job (None: never). idle_exit_s: end after so long without any request (None:
    never). allow_hosts: host names, besides IP addresses and our own, that clients may use.
    preload: an engine to make ready before the first job.
    """

    token: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    engine_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    idle_unload_s: float | None = 600.0
    idle_exit_s: float | None = None
    allow_hosts: tuple[str, ...] = ()
    preload: str | None = None

    def __post_init__(self) -> None:
        """Refuse a token that could be guessed or can't travel in a header."""
        token = self.token
        if len(token) < protocol.MIN_TOKEN_CHARACTERS or not token.isascii() or " " in token:
            raise InputError(
                f"the token must be {protocol.MIN_TOKEN_CHARACTERS} or more ASCII characters "
                "without blanks",
                field="token",
            )


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class EngineServer(Listener):
    """The server: listens from the moment it is made; `run` until `end`."""

    log = LOG

    def __init__(self, settings: Settings) -> None:
        """Raises InputError(field="port" or "host") if it can't listen there."""
        self.settings, self.token = settings, settings.token
        self.heavy = threading.Semaphore(_HEAVY_AT_ONCE)
        self._ending = threading.Event()
        self._touched = time.monotonic()
        super().__init__(settings.host, settings.port, Handler, most=MAX_CONNECTIONS)
        sweep()
        self.scratch = Scratch()
        self.jobs = Jobs()
        self.microphone = Microphone()
        self.holder = EngineHolder(settings.engine_options)
        self.uploads = Uploads(self.scratch.folder, self.jobs.paths_in_use)
        self._worker = Worker(self.jobs, self.holder, settings.idle_unload_s, settings.preload)
        self._names = _names(settings)

    @property
    def url(self) -> str:
        """Where it listens, for people."""
        return self.url_at(self.settings.host)

    @property
    def is_stopping(self) -> bool:
        """Whether it is about to end."""
        return self._ending.is_set()

    def run(self, *, with_parent: bool = False) -> None:
        """Serve until `end`; then cancel what is at work and remove all temporary files.

        with_parent: also end when the process that started this one is gone. prctl could tell, but
        counts the end of the parent's thread as the end of the parent.
        """
        self._worker.start()
        listener = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        listener.start()
        parent = os.getppid() if with_parent else None
        try:
            while not self._ending.wait(_LOOK_S):
                if self._is_forgotten(parent):
                    break
        finally:
            self._ending.set()
            self.shutdown()
            self._worker.stop(_END_S)
            self.server_close()
            self.scratch.close()

    def discard(self) -> None:
        """Give up a server that was made, but not run."""
        self.server_close()
        self.scratch.close()

    def end(self) -> None:
        """Let `run` return soon; from any thread."""
        self._ending.set()

    def touch(self) -> None:
        """Somebody is here."""
        self._touched = time.monotonic()

    def health(self) -> dict[str, Any]:
        """What `GET /health` tells."""
        return {
            "service": protocol.SERVICE,
            "protocol": protocol.PROTOCOL,
            "version": __version__,
            "pid": os.getpid(),
            "busy": self.jobs.is_busy,
            "waiting": self.jobs.waiting,
            "engines": self.holder.states(),
        }

    def is_our_name(self, host: str) -> bool:
        """Whether a Host header names this server: a web page can make its own name mean us."""
        name = host.strip().lower()
        name = name.partition("]")[0][1:] if name.startswith("[") else name.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)  # no name that could be made to point elsewhere
        except ValueError:
            return False
        return True

    def log_request_line(self, line: str) -> None:
        """Called at the end of each request."""
        LOG.info("%s", line)

    def _is_forgotten(self, parent: int | None) -> bool:
        if parent is not None and os.name == "posix" and os.getppid() != parent:
            LOG.info("the parent has gone: ending")
            return True
        if self.jobs.is_busy or self.jobs.waiting:
            self.touch()
        idle_s = self.settings.idle_exit_s
        if idle_s is not None and time.monotonic() - self._touched > idle_s:
            LOG.info("nothing to do for %.0f s: ending", idle_s)
            return True
        return False


def main() -> int:
    """Run as a child; see the module's docstring. Returns the exit status."""
    start_log()
    stdin = sys.stdin.buffer
    try:
        token = stdin.readline(4096).decode("ascii", "replace").strip()
        options = protocol.parse_object(stdin.readline(1 << 20) or b"{}")
        server = EngineServer(Settings(token=token, **options))
    except (ExOmniError, TypeError) as error:
        sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        sys.stdout.flush()
        return 3
    end_on_signals(server)

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while stdin.read(1 << 12):
                pass
        server.end()

    threading.Thread(target=watch, daemon=True).start()
    sys.stdout.write(json.dumps({"port": server.port, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    os.dup2(2, 1)  # nobody reads what libraries print: a full pipe would stop us
    server.run(with_parent=True)
    leave()
    return 0


def leave() -> None:
    """End at once, with the helpers of a job that didn't stop in time.

    Without this, the interpreter would wait for threads that may be deep in an engine.
    """
    logging.shutdown()
    if os.name == "posix" and os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    os._exit(0)


def _names(settings: Settings) -> frozenset[str]:
    own = socket.gethostname().lower()
    more = (settings.host, *settings.allow_hosts)
    remote = () if is_loopback(settings.host) else (own, own.partition(".")[0], f"{own}.local")
    return frozenset({"localhost", *remote, *(name.lower() for name in more)})


if __name__ == "__main__":
    sys.exit(main())
