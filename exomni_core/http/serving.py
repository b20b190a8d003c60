# SPDX-License-Identifier: GPL-3.0-or-later
"""An address in, a server that listens there out: threads, and limits on connections.

What the engine process and a study's page have in common; the standard library alone.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Generic, Protocol, TypeVar

from exomni_core.errors import InputError
from exomni_core.http.crowd import Crowd

Shared = TypeVar("Shared")
_SWEEP_S: Final = 0.25
_SENTENCE: Final = b'{"error": "too many connections are open; try again in a moment"}'
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 2\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(_SENTENCE), _SENTENCE)
)


class Server(ThreadingHTTPServer, Generic[Shared]):
    """Listens from the moment it is made.

    shared: what its connections use; a subclass sets it before it serves.
    """

    shared: Shared

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = os.name == "posix"  # elsewhere it would let others take the port over
    request_queue_size = 256
    log = logging.getLogger("exomni")

    def __init__(
        self,
        host: str,
        port: int,
        handler: type[BaseHTTPRequestHandler],
        *,
        most: int,
        per_address: int | None = None,
    ) -> None:
        """most: connections at a time. per_address: the same from one address (None: `most`).

        Beyond, a connection without a whole request gives way; where all are answered just now, a
        newcomer hears that and is cut. Raises InputError(field="port" or "host") if it can't
        listen there.
        """
        self._host, self._crowd = host, Crowd(most, per_address or most)
        self._looked = 0.0
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), handler)
        except OSError as error:
            raise _cannot_listen(host, port, error) from error

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def url_at(self, host: str) -> str:
        """Its address by that name or number of this machine."""
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def server_bind(self) -> None:
        """Bind the address. Skip HTTPServer.server_bind, which asks the name server."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self._host, self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for the connection; in a crowd, another one has to go."""
        entry = self._crowd.enter(request, str(client_address[0]))
        if entry.closed is not None:
            _cut(entry.closed)
        if not entry.allowed:
            with contextlib.suppress(OSError, ValueError):
                request.setblocking(False)
                request.send(_FULL)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._crowd.leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the base class, counted; a connection that has ended can't be late."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._crowd.leave(request)

    def service_actions(self) -> None:
        """Now and then, while it serves: cut who is late."""
        now = time.monotonic()
        if now - self._looked > _SWEEP_S:
            self._looked = now
            self.drop_late()

    def watch(
        self, connection: socket.socket, seconds: float | None, *, known: bool = False
    ) -> None:
        """Cut the connection after so many seconds; None: not any more.

        known: it has sent a whole request, or passed the gates, so others give way first.
        """
        self._crowd.watch(connection, seconds, known=known)

    def drop_late(self) -> None:
        """Cut connections whose request comes byte by byte, or never."""
        for connection in self._crowd.take_late():
            _cut(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that went away is no news; anything else is for the log, without its address."""
        del request, client_address
        if not isinstance(sys.exc_info()[1], OSError):
            self.log.exception("a request failed")


class Ends(Protocol):
    """What `end_on_signals` needs of a server."""

    def end(self) -> None:
        """Let it return soon; from any thread."""


def end_on_signals(server: Ends) -> None:
    """Ctrl-C and a polite kill end the server in good order."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.end())


def start_log() -> None:
    """One line for each request and job, on stderr."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )


def _cut(connection: socket.socket) -> None:
    """End it for its thread, which then closes it."""
    with contextlib.suppress(OSError, ValueError):
        connection.shutdown(socket.SHUT_RDWR)


def _cannot_listen(host: str, port: int, error: OSError) -> InputError:
    if error.errno == errno.EADDRINUSE:
        return InputError(
            f"port {port} of {host} is taken by another program; choose another with --port (0 "
            "takes any that is free)",
            field="port",
        )
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return InputError(
            f"{host} is no address of this machine; use 127.0.0.1, or 0.0.0.0 for all",
            field="host",
        )
    return InputError(
        f"can't listen at {host}:{port} ({error.strerror}); choose another port", field="port"
    )
