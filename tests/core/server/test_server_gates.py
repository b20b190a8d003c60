# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever asks wrongly gets one sentence in JSON, and the engine process lives on."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import psutil
import pytest

from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from exomni_core.server.client import ServiceClient
from exomni_core.server.protocol import MAX_JSON_BYTES, MAX_UPLOAD_BYTES

JOB = json.dumps({"prompt": {"text": "Hello."}}).encode()


def sentence(answer):
    """The error's sentence, checked to be one."""
    assert set(answer) <= {"error", "field", "kind", "protocol"}
    text = answer["error"]
    assert text
    assert "\n" not in text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize("given", [None, "", "Bearer ", "Bearer x", "Basic {token}", "{token}",
                                   "bearer {token}", "Bearer {token}x", "Bearer ü"])  # fmt: skip
@pytest.mark.parametrize("path", ["/health", "/jobs", "/nowhere"])
def test_nobody_enters_without_the_token(service, send, given, path):
    header = given and given.replace("{token}", service.token)
    method = "POST" if path == "/jobs" else "GET"
    status, headers, answer = send(
        service, method, path, JOB if method == "POST" else None, {"Authorization": header}
    )
    assert status == 401
    assert "token" in sentence(answer)
    assert "Access-Control-Allow-Origin" not in headers


def test_a_client_with_a_wrong_token_says_so(service):
    with pytest.raises(InputError, match="token") as caught:
        ServiceClient(service.address, "nonsense" * 4).health()
    assert caught.value.field == "token"


def test_versions_must_agree(service, send, monkeypatch):
    status, _, answer = send(service, "GET", "/health", None, {"X-Exomni-Protocol": "2"})
    assert status == 426
    assert answer["protocol"] == 1
    assert "protocol" in sentence(answer)
    monkeypatch.setattr("exomni_core.server.protocol.PROTOCOL", 2)
    with pytest.raises(EnvironmentProblem, match="update the older"):
        service.client().health()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", None, "[evil]", "localhost.evil"],
)
def test_foreign_host_names_are_refused(service, send, host):
    status, _, answer = send(service, "GET", "/health", None, {"Host": host})
    assert status == 421
    assert "host" in sentence(answer)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1", "[::1]:80"])
def test_our_own_names_are_not(service, send, host):
    assert send(service, "GET", "/health", None, {"Host": host})[0] == 200


@pytest.mark.parametrize(("method", "path", "status"), [
    ("GET", "/", 404), ("GET", "/../etc/passwd", 404), ("GET", "/jobs", 405), ("PUT", "/jobs", 405),
    ("DELETE", "/health", 405), ("OPTIONS", "/jobs", 405), ("GET", "/jobs/xyz/clip", 404),
    ("GET", f"/jobs/{'0' * 24}/clip", 404), ("POST", f"/jobs/{'0' * 24}/cancel", 404),
    ("GET", f"/jobs/{'0' * 24}/events", 404), ("POST", "/clip/data", 411),
])  # fmt: skip
def test_wrong_addresses(service, send, method, path, status):
    found, headers, answer = send(service, method, path)
    assert found == status
    assert sentence(answer)
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(("body", "said"), [
    (b"{", "not valid JSON"), (b"[]", "not a JSON object"), (b"\xff\xfe", "UTF-8"), (b"", "JSON"),
    (b'{"prompt": NaN}', "JSON"), (b"[" * 100_000, "JSON"), (b"{}", "give a prompt"),
    (b'{"prompt": "Hello"}', "give a prompt"), (b'{"prompt": {"text": "a"}, "x": 1}', "unknown"),
    (b'{"prompt": {"text": "a"}, "stream": 1}', "stream"),
    (b'{"prompt": {"text": "a"}, "engine": ["omni"]}', "engine"),
])  # fmt: skip
def test_broken_orders(service, send, body, said):
    status, _, answer = send(service, "POST", "/jobs", body)
    assert status == 400
    assert said in sentence(answer)


@pytest.mark.parametrize(("order", "field"), [
    ({"prompt": {"text": "a", "rate": 99}}, "rate"),
    ({"prompt": {"text": "a", "nonsense": 1}}, "'nonsense'"),
    ({"prompt": {"text": ""}}, "text"),
    ({"prompt": {"text": "a", "id": "../x"}}, "id"),
    ({"prompt": {"audio": "/a.wav", "text": "b"}}, "audio"),
    ({"prompt": {"mode": "reply", "text": "a", "history": [3]}}, "history"),
    ({"prompt": {"mode": "reply", "text": "a",
                 "history": [{"role": "user", "audio": "b.wav"}]}}, "audio"),
    ({"prompt": {"text": "a"}, "engine": "nothing"}, "engine"),
    ({"prompt": {"text": "a"}, "options": {"secret": 1}}, "options"),
    ({"prompt": {"text": "a"}, "options": {"default_seed": "1"}}, "options"),
    ({"prompt": {"text": "a"}, "options": [1]}, "options"),
    ({"prompt": {"text": "a"}, "engine": "omni", "options": {"model": "tiny"}}, "options"),
])  # fmt: skip
def test_bad_fields_are_named(service, send, order, field):
    status, _, answer = send(service, "POST", "/jobs", json.dumps(order).encode())
    assert status == 400
    assert answer["field"] == field
    assert sentence(answer)


@pytest.mark.parametrize(("path", "headers", "status"), [
    ("/uploads?name=a.wav", {"Content-Length": str(MAX_UPLOAD_BYTES + 1)}, 413),
    ("/clip/data", {"Content-Length": str(MAX_UPLOAD_BYTES + 1)}, 413),
    ("/jobs", {"Content-Length": str(MAX_JSON_BYTES + 1)}, 413),
    ("/uploads", {"Content-Length": "0"}, 400), ("/uploads", {"Content-Length": "-1"}, 400),
    ("/uploads", {"Content-Length": "x"}, 400), ("/uploads", {"Content-Length": None}, 411),
    ("/jobs", {"Content-Length": None, "Transfer-Encoding": "chunked"}, 411),
])  # fmt: skip
def test_sizes_are_checked_before_anything_is_read(service, send, path, headers, status):
    found, _, answer = send(service, "POST", path, None, headers)
    assert found == status
    assert sentence(answer)


def test_a_client_that_sends_too_much_still_hears_why(service, send):
    body = b"x" * (MAX_JSON_BYTES + 1)
    status, _, answer = send(service, "POST", "/jobs", body)
    assert status == 413
    assert sentence(answer)


def test_the_client_refuses_a_large_recording_itself(service, tmp_path):
    large = tmp_path / "large.wav"
    with open(large, "wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1)
    with pytest.raises(InputError, match="100 are the most"):
        service.client().upload(large)
    with pytest.raises(InputError, match="can't be read"):
        service.client().upload(tmp_path / "nothing.wav")


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"\x16\x03\x01\x00\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW / HTTP/1.1\r\n\r\n",
    ],
)
def test_noise_is_answered_in_json(service, raw):
    with socket.create_connection(service.address, timeout=10) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b'{"error":' in answer
    assert b"<html" not in answer.lower()


def test_an_upload_that_breaks_off_is_not_kept(service, wait_for):
    open_files = [Path(f.path) for f in psutil.Process(service.process.pid).open_files()]
    folder = next(p.parent for p in open_files if p.name == "lock")
    before = set(folder.iterdir())
    head = (
        f"POST /uploads?name=a.wav HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n"
        f"Authorization: Bearer {service.token}\r\n\r\n"
    )
    with socket.create_connection(service.address, timeout=10) as connection:
        connection.sendall(head.encode() + b"x" * 1000)
        wait_for(lambda: set(folder.iterdir()) != before)
    wait_for(lambda: set(folder.iterdir()) == before)
    assert service.client().health()


def test_one_connection_serves_many_requests(service):
    import http.client

    connection = http.client.HTTPConnection(*service.address, timeout=10)
    sockets = set()
    for _ in range(5):
        connection.request("GET", "/health", headers={"Authorization": f"Bearer {service.token}"})
        assert connection.getresponse().read()
        sockets.add(connection.sock)
    assert len(sockets) == 1
    connection.close()


def test_the_log_holds_one_line_a_request_and_no_secret(service, send, wait_for):
    before = service.log.read_text().count("GET /health 200")
    send(service, "GET", "/health?secret=7777", None)
    wait_for(lambda: service.log.read_text().count("GET /health 200") == before + 1)
    text = service.log.read_text()
    assert service.token not in text
    assert "7777" not in text
    assert "Traceback" not in text


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    with pytest.raises(WorkerError, match="nothing listens there"):
        ServiceClient(address, "t" * 20).health()


def test_somebody_else_is_there():
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as page:
        Thread(target=page.serve_forever, daemon=True).start()
        with pytest.raises(EnvironmentProblem, match="no Ex-Omni engine process"):
            ServiceClient(page.server_address, "t" * 20).health()
        page.shutdown()
