# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's folder and settings in, a server for its raters out; one process, threads, stdlib."""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import re
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.http.listening import Listener
from exomni_core.storage.files import write_text
from render_jobs.study.plan import Study
from render_jobs.study.plan_file import check_files, read_study
from render_jobs.study.serving.handler import Handler
from render_jobs.study.serving.links import PROLIFIC_FILE, base_url, load_keys
from render_jobs.study.serving.media import TYPES
from render_jobs.study.serving.sound_check import SoundCheck
from render_jobs.study.serving.store import Store
from render_jobs.study.tables import table

LOG: Final = logging.getLogger("exomni.study")
DEFAULT_PORT: Final = 7768
MAX_CONNECTIONS: Final = 600  # a browser opens up to six
_PAGE: Final = Path(__file__).with_name("page")
_LOOK_S: Final = 0.5
_CODE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True)
class Settings:
    """How the study is served.

    host, port: where it listens; port 0 takes a free one. admin_token: of the page with the
    progress ("": the study's own). public_url: what raters' links start with, where a reverse
    proxy stands before us. completion_code: shown at the end. prolific_code: the same, with a link
    back to Prolific. join: give seats to newcomers at /join/….
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    admin_token: str = field(default="", repr=False)
    public_url: str = ""
    completion_code: str = ""
    prolific_code: str = ""
    join: bool = False

    def __post_init__(self) -> None:
        """Refuse codes that can't stand in an address."""
        for name in ("completion_code", "prolific_code"):
            value = getattr(self, name)
            if value and not _CODE.fullmatch(value):
                raise InputError(f"{value!r} is no code; use letters, digits, - and _", field=name)
        if self.admin_token and not re.fullmatch(r"[0-9A-Za-z_-]{16,200}", self.admin_token):
            raise InputError(
                "the admin token needs 16 or more letters, digits, - and _", field="admin-token"
            )
        if self.public_url:
            base_url(self.public_url)


@dataclass(frozen=True)
class PageFile:
    """One file of the page; tag: changes with it."""

    body: bytes
    tag: str


class Page:
    """The page's files, read once: nothing outside of this list is ever sent."""

    def __init__(self, folder: Path = _PAGE) -> None:
        """Raises EnvironmentProblem where they are missing."""
        found = {p.name: p.read_bytes() for p in sorted(folder.glob("*")) if p.suffix in TYPES}
        if "index.html" not in found:
            raise EnvironmentProblem(
                f"the study's page is missing in {folder}; reinstall exorender"
            )
        self._files = {
            name: PageFile(body, hashlib.sha256(body).hexdigest()[:16])
            for name, body in found.items()
        }

    def find(self, name: str) -> PageFile | None:
        """The file of that name."""
        return self._files.get(name)

    def check_languages(self, languages: Sequence[str]) -> None:
        """InputError where the page can't be shown in one of them."""
        for language in languages:
            if f"words.{language}.json" not in self._files:
                known = sorted(n.split(".")[1] for n in self._files if n.startswith("words."))
                raise InputError(
                    f"the page has no words in {language!r}; it speaks {', '.join(known)}",
                    field="page_languages",
                )

    def body(self, name: str) -> bytes:
        """The bytes of a file that is surely there."""
        return self._files[name].body


class StudyServer(Listener):
    """The server: listens from the moment it is made; `run` until `end`."""

    log = LOG

    def __init__(self, folder: Path, settings: Settings, sound: SoundCheck | None = None) -> None:
        """Raises InputError when the study was changed, or it can't listen there.

        sound: what the sound check says, where it is made already.
        """
        self.folder, self.settings = Path(folder), settings
        self.study: Study = read_study(self.folder)
        check_files(self.study, self.folder)
        self.page = Page()
        self.page.check_languages(self.study.page_languages)
        self.sound = sound or SoundCheck(self.study.page_languages)
        keys = load_keys(self.folder)
        self.admin_token = settings.admin_token or keys.admin_token
        self.public_host = urlsplit(settings.public_url).netloc.lower()
        self._clips = [_clips(seat.trials) for seat in self.study.seats]
        self._raters: dict[str, str] = {}
        self._deadlines: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        self._ending = threading.Event()
        self.store = Store(self.study, self.folder, keys)
        try:
            super().__init__(settings.host, settings.port, Handler, most=MAX_CONNECTIONS)
        except InputError:
            self.store.close()
            raise

    @property
    def url(self) -> str:
        """What links start with."""
        if self.settings.public_url:
            return base_url(self.settings.public_url)
        host = self.settings.host
        if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
            host = _own_address()
        return self.url_at(host)

    def run(self) -> None:
        """Serve until `end`; then let answers that have come in be written."""
        listener = threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True)
        listener.start()
        try:
            while not self._ending.wait(_LOOK_S):
                self._drop_late()
        finally:
            self._ending.set()
            self.shutdown()
            self.server_close()
            self.store.close()

    def end(self) -> None:
        """Let `run` return soon; from any thread."""
        self._ending.set()

    def rater_of(self, token: str) -> str | None:
        """Whose link that is; links never change, so they are kept in memory."""
        known = self._raters.get(token)
        if known is None and (known := self.store.rater_of(token)) is not None:
            self._raters[token] = known
        return known

    def clips_of(self, rater_id: str) -> frozenset[str]:
        """The clips that this rater may load."""
        seat = int(rater_id.partition(".")[0].removeprefix("R")) - 1
        return self._clips[seat]

    def take_seat(self, person: str) -> str | None:
        """The token of a newcomer's seat; None when all are taken. Keeps the person's hash."""
        hashed = self.store.keys.person_hash(person) if person else ""
        token = self.store.join(hashed)
        if token is not None and hashed:
            with self._guard:
                _keep_person(self.folder / PROLIFIC_FILE, str(self.rater_of(token)), hashed)
        return token

    def watch(self, connection: socket.socket, seconds: float) -> None:
        """Cut the connection unless `unwatch` comes within so many seconds."""
        with self._guard:
            self._deadlines[connection] = time.monotonic() + seconds

    def unwatch(self, connection: socket.socket) -> None:
        """The request has arrived."""
        with self._guard:
            self._deadlines.pop(connection, None)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the base class; a connection that has ended can't be late."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.unwatch(request)

    def _drop_late(self) -> None:
        """Cut connections whose request comes byte by byte, or never."""
        now = time.monotonic()
        with self._guard:
            late = [one for one, limit in self._deadlines.items() if limit < now]
            for connection in late:
                del self._deadlines[connection]
        for connection in late:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def telling_texts(study: Study) -> list[str]:
    """Systems whose name stands in a text that raters read."""
    texts = " ".join((study.title, *study.consent.values(), *study.protocol.values())).casefold()
    return [
        name
        for name in study.systems
        if re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", texts)
    ]


def _clips(trials: Any) -> frozenset[str]:
    return frozenset(name for trial in trials for name in trial.stimulus.files.values())


def _keep_person(path: Path, rater_id: str, hashed: str) -> None:
    """Keep who sits where: a rater's code and a salted hash, apart from all answers."""
    rows = {}
    if path.exists():
        rows = dict(row for row in csv.reader(io.StringIO(path.read_text(encoding="ascii"))))
        rows.pop("rater_id", None)
    if rows.get(rater_id) == hashed:
        return
    rows[rater_id] = hashed
    write_text(path, table(("rater_id", "person"), rows.items()))
    path.chmod(0o600)


def _own_address() -> str:
    """The address that other machines of the network reach us by, as far as we know."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: only asks which way it would go
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
