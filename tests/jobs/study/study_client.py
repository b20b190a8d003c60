# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's folder in, its real server out, and raters without a browser who talk to it."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from render_jobs.study.plan import Study
from render_jobs.study.plan_file import read_study
from render_jobs.study.serving.context import ServingSettings
from render_jobs.study.serving.links import Keys, load_keys
from render_jobs.study.serving.server import StudyServer
from render_jobs.study.serving.sound_check import SoundCheck

REPO = Path(__file__).resolve().parents[3]


@functools.cache
def spoken_digits() -> SoundCheck:
    return SoundCheck(("en", "zh"))


@dataclass
class Served:
    """A server that runs: in this process, or (process) in one of its own."""

    folder: Path
    port: int
    admin_token: str
    process: subprocess.Popen[str] | None = None
    server: StudyServer | None = None

    @property
    def keys(self) -> Keys:
        return load_keys(self.folder)

    @property
    def study(self) -> Study:
        return read_study(self.folder)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def rater(self, seat: int) -> Rater:
        return Rater(self.port, self.keys.rater_token(seat), f"R{seat + 1:02d}", self.keys)


@contextlib.contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Served]:
    """A server in this process."""
    server = StudyServer(folder, ServingSettings(port=0, **settings), spoken_digits())
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield Served(folder, server.port, server.shared.admin_token, server=server)
    finally:
        server.end()
        thread.join(10)


def start_process(folder: Path, *options: str, port: int = 0) -> Served:
    """`exorender study serve` as people start it."""
    log = open(folder.parent / f"{folder.name}.log", "a")  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", "render_jobs.cli", "study", "serve", str(folder), "--json",
         "--port", str(port), *options],
        cwd=REPO, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip
    log.close()
    line = process.stdout.readline()
    assert line, (folder.parent / f"{folder.name}.log").read_text()
    said = json.loads(line)
    return Served(folder, said["port"], said["admin"].rpartition("/")[2], process)


@contextlib.contextmanager
def serving_process(folder: Path, *options: str) -> Iterator[Served]:
    served = start_process(folder, *options)
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.communicate(timeout=20)


@dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Reply:
    """One request as anybody could send it; the path goes out as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    given = {"Content-Length": str(len(body))} if body is not None else {}
    for name, value in (given | (headers or {})).items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    reply = Reply(answer.status, answer.headers, answer.read())
    connection.close()
    return reply


@dataclass
class Rater:
    """Somebody with a link, without a browser."""

    port: int
    token: str
    rater_id: str
    keys: Keys = field(repr=False)
    tab: str = field(default_factory=lambda: uuid.uuid4().hex[:24])
    patience_s: float = 20.0

    def __post_init__(self) -> None:
        self._connection: http.client.HTTPConnection | None = None

    @property
    def path(self) -> str:
        return f"/r/{self.token}"

    def post(self, action: str, **data: Any) -> Reply:
        """Post JSON as the page does, over a connection that is kept."""
        body = json.dumps({"tab": self.tab, "viewport": "1280x800", **data}).encode()
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self.port, timeout=self.patience_s
            )
        try:
            self._connection.request(
                "POST",
                f"{self.path}/{action}",
                body,
                {
                    "Content-Type": "application/json",
                    "Origin": f"http://127.0.0.1:{self.port}",
                    "Sec-Fetch-Site": "same-origin",
                },
            )
            answer = self._connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        except (OSError, http.client.HTTPException):
            self.hang_up()
            raise

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def state(self, action: str, **data: Any) -> dict[str, Any]:
        reply = self.post(action, **data)
        assert reply.status == 200, reply.body
        return reply.json

    def enter(self) -> dict[str, Any]:
        """Open the page and go through everything before the first trial."""
        state = self.state("open", language="en")
        while state["step"] != "trial":
            state = self.go_on(state)
        return state

    def go_on(self, state: dict[str, Any]) -> dict[str, Any]:
        if state["step"] == "consent":
            return self.state("consent", consent="yes", version=state["version"], browser="Firefox")
        if state["step"] == "sound":
            return self.state("sound", digits=self.keys.digits(self.rater_id, state["attempt"]))
        return self.state("next", **{"from": state["step"]})

    def answer(self, state: dict[str, Any], response: str, **changes: Any) -> dict[str, Any]:
        return self.state("answer", **answer_body(state["trial"], response, **changes))

    def to_the_end(self, state: dict[str, Any], rule: Any = lambda trial: "left") -> dict[str, Any]:
        """Answer all that is left; returns the state before the comment."""
        while state["step"] != "comment":
            if state["step"] == "trial":
                state = self.answer(state, rule(state["trial"]))
            else:
                state = self.go_on(state)
        return state


def answer_body(trial: dict[str, Any], response: str, **changes: Any) -> dict[str, Any]:
    length_ms = trial["duration_ms"]
    timing = {
        "coverage": 1.0, "plays": 1, "stalls": 0, "watched_ms": length_ms, "hidden_ms": 0,
        "played": [[0, length_ms]], "first_play_ms": 120, "ready_ms": 40,
        "ended_ms": [length_ms + 130], "by": "keys",
    }  # fmt: skip
    return {
        "uuid": str(uuid.uuid4()),
        "trial": trial["id"],
        "response": response,
        "rt_ms": length_ms + 500,
        "timing": timing,
    } | changes


def wait_until(is_true: Any, most_s: float = 10.0) -> None:
    end = time.monotonic() + most_s
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
