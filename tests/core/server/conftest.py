# SPDX-License-Identifier: GPL-3.0-or-later
"""Engine processes that really run, and HTTP requests as anybody could send them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from exomni_core.server.launch import Service, start_service

WAITING = Path(__file__).parent / "waiting"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An engine process with the embedded engine."""
    started = start_service(log=tmp_path_factory.mktemp("service") / "engine.log")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An engine process whose engine does as the text says (waiting/waiting_engine.py)."""
    log = tmp_path_factory.mktemp("waiting") / "engine.log"
    started = start_service(log=log, extra_paths=[WAITING])
    yield started
    started.stop(1.0)


@pytest.fixture
def doomed(tmp_path: Path) -> Iterator[Service]:
    """As `waiting`, but one's own, to be killed."""
    started = start_service(log=tmp_path / "engine.log", extra_paths=[WAITING])
    yield started
    started.stop(1.0)


@pytest.fixture
def send() -> Callable[..., Any]:
    """A function: service, method, path, then body and headers -> status, headers, JSON or bytes.

    A header of None is left out.
    """

    def request(
        service: Service,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str | None] | None = None,
    ) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection(*service.address, timeout=20)
        host = f"{service.address[0]}:{service.address[1]}"
        given: dict[str, str | None] = {"Host": host, "Authorization": f"Bearer {service.token}"}
        if body is not None:
            given["Content-Length"] = str(len(body))
        given |= headers or {}
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        is_json = response.headers.get("Content-Type") == "application/json"
        return response.status, response.headers, json.loads(data) if is_json else data

    return request


@pytest.fixture
def wait_for() -> Callable[..., float]:
    """A function that waits until something is true and returns how long that took."""

    def wait(is_true: Callable[[], bool], most_s: float = 10.0) -> float:
        started = time.monotonic()
        while not is_true():
            assert time.monotonic() - started < most_s, "it did not happen in time"
            time.sleep(0.01)
        return time.monotonic() - started

    return wait


@pytest.fixture
def collect() -> Callable[..., Any]:
    """A function that takes all events of a job until it ends."""

    def take(events: Any, most_s: float = 30.0) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        deadline = time.monotonic() + most_s
        while not found or found[-1]["event"] not in ("done", "failed", "cancelled"):
            assert time.monotonic() < deadline, found[-3:]
            found += events.wait(0.2)
        events.close()
        return found

    return take
