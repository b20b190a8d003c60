# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's folder and settings in, a server for its raters out; one process, threads, stdlib."""

from __future__ import annotations

import logging
import socket
import threading
from pathlib import Path
from typing import Final

from exomni_core.errors import InputError
from exomni_core.http.serving import Server
from render_jobs.study.serving.context import ServingSettings, StudyContext
from render_jobs.study.serving.handler import StudyHandler
from render_jobs.study.serving.links import base_url
from render_jobs.study.serving.sound_check import SoundCheck

LOG: Final = logging.getLogger("exomni.study")
_LOOK_S: Final = 0.5


class StudyServer(Server[StudyContext]):
    """The server: listens from the moment it is made; `run` until `end`."""

    log = LOG

    def __init__(
        self, folder: Path, settings: ServingSettings, sound: SoundCheck | None = None
    ) -> None:
        """Raises InputError when the study was changed, or it can't listen there.

        sound: what the sound check says, where it is made already.
        """
        self.shared = StudyContext(folder, settings, sound)
        self._ending = threading.Event()
        try:
            super().__init__(
                settings.host,
                settings.port,
                StudyHandler,
                most=settings.max_connections,
                per_address=settings.max_per_address,
            )
        except InputError:
            self.shared.close()
            raise

    @property
    def url(self) -> str:
        """What links start with."""
        settings = self.shared.settings
        if settings.public_url:
            return base_url(settings.public_url)
        if settings.host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
            return self.url_at(_own_address())
        return self.url_at(settings.host)

    def run(self) -> None:
        """Serve until `end`; then let answers that have come in be written."""
        thread = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            while not self._ending.wait(_LOOK_S):  # so that Ctrl-C is heard on every system
                pass
        finally:
            self._ending.set()
            self.shutdown()
            self.server_close()
            self.shared.close()

    def end(self) -> None:
        """Let `run` return soon; from any thread."""
        self._ending.set()


def _own_address() -> str:
    """The address that other machines of the network reach us by, as far as we know."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which way it would go
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
