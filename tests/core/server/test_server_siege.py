# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine process answers at once, however many connections send their requests slowly."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time

import pytest

from exomni_core.server.app import EngineServer
from exomni_core.server.connection import Connection
from exomni_core.server.context import ServiceSettings

TOKEN = "t" * 20
HEAD = f"Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"


@pytest.fixture
def besieged(monkeypatch):
    """A server in this process that holds ten connections and has little patience."""
    monkeypatch.setattr(Connection, "idle_s", 0.6)
    monkeypatch.setattr(Connection, "head_s", 0.6)
    server = EngineServer(ServiceSettings(TOKEN, max_connections=10))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.end()
    thread.join(10.0)
    assert not thread.is_alive()


def say(server, raw, *, end=True):
    """What is answered to these bytes, and how long that took, s."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10.0) as peer:
        peer.sendall(raw)
        if end:
            peer.shutdown(socket.SHUT_WR)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = b"".join(iter(lambda: peer.recv(1 << 16), b""))
    return answer, time.monotonic() - started


def drip(server, first, byte):
    """Send a byte every 50 ms until the server has had enough; returns how long that took, s."""
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.05) as peer:
        peer.sendall(first)
        while time.monotonic() - started < 8.0:
            try:
                peer.sendall(byte)
                if not peer.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - started


@pytest.mark.parametrize(("first", "byte"), [
    (b"", b"G"), (b"GET /health HTTP/1.1\r\n", b"x"), (b"GET /health HTTP/1.1\r\n", b"a:b\r\n"),
    (f"POST /jobs HTTP/1.1\r\n{HEAD}Content-Length: 5000\r\n\r\n".encode(), b" "),
    (f"POST /uploads HTTP/1.1\r\n{HEAD}Content-Length: 5000\r\n\r\n".encode(), b" "),
])  # fmt: skip
def test_bytes_one_by_one_do_not_extend_the_time(besieged, first, byte):
    assert drip(besieged, first, byte) < 3.0


def test_health_is_answered_while_connections_drip(besieged):
    peers = []
    question = f"GET /health HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode()
    times = []
    try:
        for number in range(64):
            peers.append(socket.create_connection(("127.0.0.1", besieged.port), timeout=5.0))
            peers[-1].sendall(b"GET /heal")
            if number % 8 == 7:
                answer, took_s = say(besieged, question, end=False)
                assert b" 200 " in answer[:20]
                times.append(took_s)
        assert len(besieged._crowd) <= 10
    finally:
        for peer in peers:
            peer.close()
    assert statistics.median(times) < 0.2


def test_a_server_full_of_work_says_so(besieged):
    """Connections that are answered just now don't give way."""
    peers = [socket.create_connection(("127.0.0.1", besieged.port)) for _ in range(10)]
    try:
        deadline = time.monotonic() + 5.0
        while len(besieged._crowd) < 10 and time.monotonic() < deadline:
            time.sleep(0.01)
        for member in besieged._crowd._members.values():
            member.deadline = None
        answer, _ = say(besieged, b"", end=False)
    finally:
        for peer in peers:
            peer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"try again" in answer


@pytest.mark.parametrize(("raw", "status"), [
    ("GET http://[bad HTTP/1.1\r\n{head}\r\n", 400),
    ("GET http://[::zz]/health HTTP/1.1\r\n{head}\r\n", 400),
    ("GET //[bad/health HTTP/1.1\r\n{head}\r\n", 404),
    ("GET http://\u2100/ HTTP/1.1\r\n{head}\r\n", 404),
    ("POST http://[bad HTTP/1.1\r\n{head}Content-Length: 3\r\n\r\nabc", 400),
    ("GET /health HTTP/1.1\r\n{head}nonsense\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\n{head}Content-Length : 5\r\n\r\n", 400),
    ("GET /health HTTP/1.1\r\n" + "a: b\r\n" * 200 + "\r\n", 431),
    ("GET /health HTTP/1.1\r\na: " + "b" * 70_000 + "\r\n\r\n", 431),
    ("GET /health HTTP/1.1\r\n" + ("a: " + "b" * 30_000 + "\r\n") * 3 + "\r\n", 431),
    ("GET /" + "x" * 70_000 + " HTTP/1.1\r\n\r\n", 414),
    ("GET /health HTTP/1.1\r\n{head}Content-Length: -1\r\n\r\n", 400),
    ("POST /jobs HTTP/1.1\r\n{head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}", 400),
    ("POST /jobs HTTP/1.1\r\n{head}Content-Length: 2, 2\r\n\r\n{{}}", 400),
    ("POST /jobs HTTP/1.1\r\n{head}Content-Length: +2\r\n\r\n{{}}", 400),
    ("POST /jobs HTTP/1.1\r\n{head}Content-Length: " + "9" * 400 + "\r\n\r\n", 400),
    ("POST /jobs HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nzz\r\nrubbish", 411),
    ("GET /health HTTP/1.1\r\n{head}Host: localhost\r\n\r\n", 421),
    ("GET /health HTTP/1.x\r\n{head}\r\n", 400), ("GET /health\r\n", 400), ("x\r\n\r\n", 400),
])  # fmt: skip
def test_malformed_requests_get_a_status_and_a_sentence(besieged, raw, status, caplog):
    data = raw.replace("{head}", HEAD).replace("{{", "{").replace("}}", "}").encode("utf-8")
    answer, took_s = say(besieged, data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200]
    assert answer.count(b'{"error":"') == 1
    assert b"Traceback" not in answer
    assert took_s < 3.0
    assert not [r for r in caplog.records if r.exc_info]
