# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings in, what all connections of the engine process share out: engines, jobs, recordings."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import InputError
from exomni_core.http.proof import is_loopback
from exomni_core.server import protocol
from exomni_core.server.engines import EngineHolder
from exomni_core.server.jobs import JobQueue
from exomni_core.server.scratch import Scratch
from exomni_core.server.uploads import Uploads
from exomni_core.sound.microphone import Microphone

MAX_CONNECTIONS: Final = 64
MAX_PER_ADDRESS: Final = 24
_HEAVY_AT_ONCE: Final = 2


@dataclass(frozen=True)
class ServiceSettings:
    """How the server runs.

    host, port: where it listens; port 0 takes a free one. token: what clients must know.
    engine_options: of each engine, for jobs that choose none. idle_unload_s: free the engine after
    so long without a job (None: never). idle_exit_s: end after so long without any request (None:
    never). allow_hosts: host names, besides IP addresses and our own, that clients may use.
    preload: an engine to make ready before the first job. certificate, certificate_key: PEM files
    for HTTPS; without them the traffic is not encrypted. max_connections, max_per_address: how
    many may be open at a time, in all and from one other machine.
    """

    token: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    engine_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    idle_unload_s: float | None = 600.0
    idle_exit_s: float | None = None
    allow_hosts: tuple[str, ...] = ()
    preload: str | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None
    max_connections: int = MAX_CONNECTIONS
    max_per_address: int = MAX_PER_ADDRESS

    def __post_init__(self) -> None:
        """Refuse a token that could be guessed or can't travel in a header."""
        token = self.token
        if len(token) < protocol.MIN_TOKEN_CHARACTERS or not token.isascii() or " " in token:
            raise InputError(
                f"the token must be {protocol.MIN_TOKEN_CHARACTERS} or more ASCII characters "
                "without blanks",
                field="token",
            )


class ServiceContext:
    """What connections use; made by the server, whose `end` it can ask for. For any thread."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings, self.token = settings, settings.token
        self.heavy = threading.Semaphore(_HEAVY_AT_ONCE)
        self.ending = threading.Event()
        self.scratch = Scratch()
        self.jobs = JobQueue()
        self.microphone = Microphone()
        self.holder = EngineHolder(settings.engine_options)
        self.uploads = Uploads(self.scratch.folder, self.jobs.paths_in_use)
        self._touched = time.monotonic()
        self._names = _names(settings)

    @property
    def idle_s(self) -> float:
        """How long nobody has been here and nothing was at work."""
        if self.jobs.is_busy or self.jobs.waiting:
            self.touch()
        return time.monotonic() - self._touched

    def touch(self) -> None:
        """Somebody is here."""
        self._touched = time.monotonic()

    def end(self) -> None:
        """Let the server return soon."""
        self.ending.set()

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


def _names(settings: ServiceSettings) -> frozenset[str]:
    own = socket.gethostname().lower()
    more = (settings.host, *settings.allow_hosts)
    remote = () if is_loopback(settings.host) else (own, own.partition(".")[0], f"{own}.local")
    return frozenset({"localhost", *remote, *(name.lower() for name in more)})
