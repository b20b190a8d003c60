# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's folder and settings in, what the page's connections share out: clips, answers."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.storage.files import write_text
from render_jobs.study.plan import Study
from render_jobs.study.plan_file import check_files, read_study
from render_jobs.study.serving.links import PROLIFIC_FILE, base_url, load_keys
from render_jobs.study.serving.media import TYPES
from render_jobs.study.serving.sound_check import SoundCheck
from render_jobs.study.serving.store import Store
from render_jobs.study.tables import table

DEFAULT_PORT: Final = 7768
MAX_CONNECTIONS: Final = 600  # a browser opens up to six
MAX_PER_ADDRESS: Final = 300  # 50 raters behind one router
_PAGE: Final = Path(__file__).with_name("page")
_CODE: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")


@dataclass(frozen=True)
class ServingSettings:
    """How the study is served.

    host, port: where it listens; port 0 takes a free one. admin_token: of the page with the
    progress ("": the study's own). public_url: what raters' links start with, where a reverse
    proxy stands before us. completion_code: shown at the end. prolific_code: the same, with a link
    back to Prolific. join: give seats to newcomers at /join/…. max_connections, max_per_address:
    how many may be open at a time, in all and from one address, such as a university's.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    admin_token: str = field(default="", repr=False)
    public_url: str = ""
    completion_code: str = ""
    prolific_code: str = ""
    join: bool = False
    max_connections: int = MAX_CONNECTIONS
    max_per_address: int = MAX_PER_ADDRESS

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


class StudyContext:
    """What connections use; for any thread, until `close`."""

    def __init__(
        self, folder: Path, settings: ServingSettings, sound: SoundCheck | None = None
    ) -> None:
        """Raises InputError when the study was changed, or another program serves it.

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
        self._people_lock = threading.Lock()
        self.store = Store(self.study, self.folder, keys)

    def close(self) -> None:
        """Let answers that have come in be written; nothing more is taken."""
        self.store.close()

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
            with self._people_lock:
                _keep_person(self.folder / PROLIFIC_FILE, str(self.rater_of(token)), hashed)
        return token


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
