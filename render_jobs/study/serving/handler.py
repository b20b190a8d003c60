# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests that passed the gates in, the page, its clips and the next step of the session out."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path
from typing import Any, ClassVar, Final

from exomni_core.http.peer import Refusal, Route, nothing_here, same_token
from render_jobs.study.plan import VIDEO_FOLDER
from render_jobs.study.serving import posts
from render_jobs.study.serving.gates import Gate
from render_jobs.study.serving.media import TYPES

_RATER: Final = r"/r/([0-9A-Za-z_-]{10,64})"
_PROLIFIC_END: Final = "https://app.prolific.com/submissions/complete?cc="


class StudyHandler(Gate):
    """The answers, one method for each route."""

    # ------------------------------------------------------------------------- pages and files

    def _page(self, token: str) -> None:
        self._rater(token)
        self._file("index.html")

    def _file(self, name: str) -> None:
        found = self.shared.page.find(name)
        if found is None:
            raise nothing_here()
        self._send_tagged(found.body, TYPES[Path(name).suffix], found.tag)

    def _asset(self, name: str) -> None:
        if name.endswith(".html"):
            raise nothing_here()
        self._file(name)

    def _icon(self) -> None:
        self._file("icon.svg")

    def _video(self, token: str, name: str) -> None:
        rater = self._rater(token)
        if name not in self.shared.clips_of(rater):
            raise nothing_here()
        self._send_video(self.shared.folder / VIDEO_FOLDER / name)

    def _sound(self, token: str, attempt: str) -> None:
        """What the sound check says; the attempt in the address keeps it out of caches."""
        del attempt
        rater = self._rater(token)
        state = self.shared.store.state(rater)
        if state["step"] != "sound":
            raise nothing_here()
        digits = self.shared.store.keys.digits(rater, state["attempt"])
        self._send_sound(self.shared.sound.wav(digits, state["language"]))

    # ------------------------------------------------------------------------- the session

    def _open(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        state = self.shared.store.open_tab(
            rater,
            posts.read_tab(data),
            str(data.get("language", ""))[:8],
        )
        self._tell_state(state)

    def _language(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        language = posts.read_choice(data, "language", self.shared.study.page_languages)
        self._tell_state(self.shared.store.set_language(rater, posts.read_tab(data), language))

    def _consent(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        store, tab = self.shared.store, posts.read_tab(data)
        if posts.read_choice(data, "consent", ("yes", "no")) == "no":
            self._tell_state(store.decline(rater, tab))
            return
        state = store.consent(
            rater,
            tab,
            str(data.get("version", ""))[:64],
            browser=posts.read_browser(data),
            viewport=posts.read_viewport(data),
        )
        self._tell_state(state)

    def _heard(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        tab, digits = posts.read_tab(data), posts.read_digits(data)
        self._tell_state(self.shared.store.sound(rater, tab, digits))

    def _go_on(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        come_from = posts.read_choice(data, "from", ("instructions", "ready", "break", "declined"))
        self._tell_state(self.shared.store.go_on(rater, posts.read_tab(data), come_from))

    def _answer(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        tab, answer = posts.read_tab(data), posts.read_answer(data)
        self._tell_state(self.shared.store.answer(rater, tab, answer))

    def _skip(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        tab, trial = posts.read_tab(data), posts.read_trial_id(data)
        self._tell_state(self.shared.store.skip(rater, tab, trial))

    def _finish(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        tab, comment = posts.read_tab(data), posts.read_comment(data)
        self._tell_state(self.shared.store.finish(rater, tab, comment))

    def _delete(self, token: str) -> None:
        rater, data = self._rater(token), self._read_json()
        posts.read_choice(data, "confirm", ("delete",))
        self._tell_state(self.shared.store.delete(rater, posts.read_tab(data)))

    def _tell_state(self, state: dict[str, Any]) -> None:
        """The state; who is through also learns how that is proved to a recruiting platform."""
        settings = self.shared.settings
        if state["step"] == "finished":
            if settings.prolific_code:
                state["code"] = settings.prolific_code
                state["redirect"] = _PROLIFIC_END + settings.prolific_code
            elif settings.completion_code:
                state["code"] = settings.completion_code
        self._send_json(state)

    # ------------------------------------------------------------------------- keeper and newcomers

    def _join(self, token: str) -> None:
        """A newcomer gets a seat and is sent to it; the platform's id is kept as a hash only."""
        if not self.shared.settings.join or not same_token(
            token, self.shared.store.keys.join_token
        ):
            raise nothing_here()
        if self.command != "GET":  # previews of a link must not take seats
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "that is not possible here")
        person = self._query.get("PROLIFIC_PID", [""])[0].strip()[:128]
        seat = self.shared.take_seat(person)
        if seat is None:
            body = self.shared.page.body("full.html")
            self._send_bytes(body, TYPES[".html"], HTTPStatus.SERVICE_UNAVAILABLE)
            return
        seat_page = {"Location": f"../r/{seat}"}
        self._send_bytes(b"", TYPES[".html"], HTTPStatus.SEE_OTHER, seat_page)

    def _admin(self, token: str) -> None:
        self._check_admin(token)
        self._file("admin.html")

    def _progress(self, token: str) -> None:
        self._check_admin(token)
        store = self.shared.store
        self._send_json(
            {
                "raters": store.progress(),
                "closed": store.is_closed(),
                "plan": self.shared.study.plan_sha256[:12],
            }
        )

    def _check_admin(self, token: str) -> None:
        if not same_token(token, self.shared.admin_token):
            raise nothing_here()

    def _rater(self, token: str) -> str:
        rater = self.shared.rater_of(token)
        if rater is None:
            raise nothing_here()
        return rater

    routes: ClassVar[tuple[Route, ...]] = (
        ("GET", re.compile(_RATER), _page),
        ("GET", re.compile(_RATER + r"/v/([0-9a-f]{16}\.(?:mp4|m4a))"), _video),
        ("GET", re.compile(_RATER + r"/sound/(\d{1,6})\.wav"), _sound),
        ("POST", re.compile(_RATER + "/open"), _open),
        ("POST", re.compile(_RATER + "/language"), _language),
        ("POST", re.compile(_RATER + "/consent"), _consent),
        ("POST", re.compile(_RATER + "/sound"), _heard),
        ("POST", re.compile(_RATER + "/next"), _go_on),
        ("POST", re.compile(_RATER + "/answer"), _answer),
        ("POST", re.compile(_RATER + "/skip"), _skip),
        ("POST", re.compile(_RATER + "/finish"), _finish),
        ("POST", re.compile(_RATER + "/delete"), _delete),
        ("GET", re.compile(r"/join/([0-9A-Za-z_-]{10,64})"), _join),
        ("GET", re.compile(r"/admin/([0-9A-Za-z_-]{1,200})/progress"), _progress),
        ("GET", re.compile(r"/admin/([0-9A-Za-z_-]{1,200})"), _admin),
        ("GET", re.compile(r"/page/([0-9a-z_.-]{1,40})"), _asset),
        ("GET", re.compile(r"/favicon\.ico"), _icon),
    )
