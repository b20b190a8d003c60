# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings in, a running engine process out: `python -m exomni_core.server.app`, as a child.

As a child of another program it reads the token from the first line of stdin and its options, as
JSON, from the second, prints {"port": N} once it takes requests, and ends when stdin closes, which
it does when the parent dies in whatever way. `exorender serve` is the same server for people.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Final

from exomni_core.errors import ExOmniError
from exomni_core.http.serving import Server, end_on_signals, start_log
from exomni_core.http.tls import server_context
from exomni_core.server import protocol
from exomni_core.server.context import ServiceContext, ServiceSettings
from exomni_core.server.engine_thread import EngineThread
from exomni_core.server.handler import EngineHandler
from exomni_core.server.scratch import sweep

LOG: Final = logging.getLogger("exomni.server")
_END_S: Final = 1.0  # for the job at work, once the server is to end
_LOOK_S: Final = 0.25  # how often it looks for idleness and for its parent


class EngineServer(Server[ServiceContext]):
    """The server: listens from the moment it is made; `run` until `end`."""

    log = LOG

    def __init__(self, settings: ServiceSettings) -> None:
        """Raises InputError(field="port" or "host") if it can't listen there."""
        tls = None
        if settings.certificate is not None:
            tls = server_context(settings.certificate, settings.certificate_key)
        super().__init__(
            settings.host,
            settings.port,
            EngineHandler,
            most=settings.max_connections,
            per_address=settings.max_per_address,
        )
        if tls is not None:  # each connection's own thread waits for its handshake
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        sweep()
        self.shared = ServiceContext(settings)
        self._worker = EngineThread(
            self.shared.jobs, self.shared.holder, settings.idle_unload_s, settings.preload
        )

    @property
    def url(self) -> str:
        """Where it listens, for people."""
        url = self.url_at(self.shared.settings.host)
        return (
            url if self.shared.settings.certificate is None else url.replace("http:", "https:", 1)
        )

    def run(self, *, with_parent: bool = False) -> None:
        """Serve until `end`; then cancel what is at work and remove all temporary files.

        with_parent: also end when the process that started this one is gone. prctl could tell, but
        counts the end of the parent's thread as the end of the parent.
        """
        self._worker.start()
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        parent = os.getppid() if with_parent else None
        try:
            while not self.shared.ending.wait(_LOOK_S):
                if self._is_forgotten(parent):
                    break
        finally:
            self.shared.ending.set()
            self.shutdown()
            self._worker.stop(_END_S)
            self.server_close()
            self.shared.scratch.close()

    def discard(self) -> None:
        """Give up a server that was made, but not run."""
        self.server_close()
        self.shared.scratch.close()

    def end(self) -> None:
        """Let `run` return soon; from any thread."""
        self.shared.ending.set()

    def _is_forgotten(self, parent: int | None) -> bool:
        if parent is not None and os.name == "posix" and os.getppid() != parent:
            LOG.info("the parent has gone: ending")
            return True
        most_s = self.shared.settings.idle_exit_s
        if most_s is not None and self.shared.idle_s > most_s:
            LOG.info("nothing to do for %.0f s: ending", most_s)
            return True
        return False


def main() -> int:
    """Run as a child; see the module's docstring. Returns the exit status."""
    start_log()
    stdin = sys.stdin.buffer
    try:
        token = stdin.readline(4096).decode("ascii", "replace").strip()
        options = protocol.parse_object(stdin.readline(1 << 20) or b"{}")
        server = EngineServer(ServiceSettings(token=token, **options))
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


if __name__ == "__main__":
    sys.exit(main())
