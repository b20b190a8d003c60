# SPDX-License-Identifier: GPL-3.0-or-later
"""The token is proven and never sent; other machines need a certificate or the user's consent."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import threading

import pytest

from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.http.proof import CHALLENGE, SCHEME, Challenge, new_nonce, parsed_fingerprint
from exomni_core.http.tls import certificate_fingerprint
from exomni_core.server.app import EngineServer
from exomni_core.server.client import ServiceClient
from exomni_core.server.context import ServiceSettings

TOKEN = "a token of the test, nowhere else".replace(" ", "-")


@contextlib.contextmanager
def listening(answer):
    """Somebody who answers every request with these bytes: its port, and all that it heard."""
    heard = bytearray()

    def serve(door):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = door.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(1.0)
                    while piece := connection.recv(1 << 16):
                        heard.extend(piece)
                        if answer:
                            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=serve, args=(door,), daemon=True).start()
        yield door.getsockname()[1], heard
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)


def json_answer(data):
    body = json.dumps(data).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


ZEROS = "0" * 64


@pytest.mark.parametrize("answer", [
    json_answer({"nonce": ZEROS, "proof": ZEROS}), json_answer({"nonce": 3, "proof": ZEROS}),
    json_answer({"nonce": ZEROS, "proof": None}), json_answer([]), json_answer({}), b"noise\r\n",
    json_answer({"service": "exomni", "protocol": 1}), json_answer({"nonce": ZEROS, "proof": "ü"}),
    b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b"[" * 99,
])  # fmt: skip
def test_a_false_server_learns_nothing(answer):
    with listening(answer) as (port, heard):
        client = ServiceClient(("127.0.0.1", port), TOKEN, timeout_s=1.0)
        for ask in (client.health, lambda: client.start({"text": "a secret line"})):
            with pytest.raises(ExOmniError) as caught:
                ask()
            assert "\n" not in str(caught.value)
    lines = [line for line in bytes(heard).split(b"\r\n") if line]
    assert TOKEN.encode() not in heard
    assert b"Authorization" not in heard
    assert b"secret" not in heard
    assert all(line.startswith((b"GET /challenge?nonce=", b"Host:", b"Accept-Encoding:"))
               for line in lines)  # fmt: skip


def test_a_proof_is_good_for_one_request_of_one_connection(service):
    def ask(connection, path, headers=None):
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    def challenged(connection):
        nonce = new_nonce()
        status, answer = ask(connection, f"{CHALLENGE}?nonce={nonce}")
        assert status == 200
        pair = Challenge(nonce, answer["nonce"])
        assert answer["proof"] == pair.server_proof(service.token)
        return pair

    def proven(pair, path="/health"):
        return {"Authorization": f"{SCHEME} {pair.client_proof(service.token, 'GET', path)}"}

    one, two = (http.client.HTTPConnection(*service.address, timeout=10) for _ in range(2))
    pair = challenged(one)
    challenged(two)
    assert ask(two, "/health", proven(pair))[0] == 401
    assert ask(one, "/health", proven(pair))[0] == 200
    assert ask(one, "/health", proven(pair))[0] == 401
    assert ask(one, "/microphone", proven(challenged(one)))[0] == 401
    pair = challenged(one)
    wrong = {"Authorization": f"{SCHEME} {pair.server_proof(service.token)}"}
    assert ask(one, "/health", wrong)[0] == 401
    assert ask(one, f"{CHALLENGE}?nonce=x")[0] == 400
    one.close()
    two.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "workstation", "::2", "127.0.0.1.example"])
def test_another_machine_needs_a_certificate_or_consent(host):
    with pytest.raises(InputError, match="unencrypted") as caught:
        ServiceClient((host, 7767), TOKEN)
    assert caught.value.field == "fingerprint"
    assert ServiceClient((host, 7767), TOKEN, allow_plain=True)
    assert ServiceClient((host, 7767), TOKEN, fingerprint="AB:" * 31 + "AB")
    with pytest.raises(InputError, match="64 hex digits"):
        ServiceClient((host, 7767), TOKEN, fingerprint="abc")


def test_fingerprints_as_people_write_them():
    assert parsed_fingerprint("AB:" * 31 + "ab\n") == "ab" * 32
    assert parsed_fingerprint("") == ""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate signed by itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=test"],
        cwd=folder, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="module")
def encrypted(certificate):
    settings = ServiceSettings(TOKEN, certificate=certificate[0], certificate_key=certificate[1])
    server = EngineServer(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.end()
    thread.join(10)


def test_a_pinned_certificate(certificate, encrypted):
    pin, address = certificate_fingerprint(certificate[0]), ("127.0.0.1", encrypted.port)
    assert encrypted.url.startswith("https://")
    client = ServiceClient(address, TOKEN, fingerprint=pin)
    assert client.health()["service"] == "exomni"
    assert client.generate({"text": "Hello."}).text == "Hello."
    with pytest.raises(InputError, match="token"):
        ServiceClient(address, "x" * 20, fingerprint=pin).health()
    with pytest.raises(EnvironmentProblem, match="another certificate"):
        ServiceClient(address, TOKEN, fingerprint="0" * 64).health()
    with pytest.raises(WorkerError):
        ServiceClient(address, TOKEN).health()
    with listening(b"HTTP/1.1 200 OK\r\n\r\n") as (port, heard):
        with pytest.raises(WorkerError):
            ServiceClient(("127.0.0.1", port), TOKEN, 1.0, fingerprint=pin).health()
        assert TOKEN.encode() not in heard
        assert b"HTTP" not in heard


def test_bad_certificates(certificate, tmp_path):
    (tmp_path / "text.pem").write_text("no certificate")
    for cert, key in ((tmp_path / "none.pem", None), (tmp_path / "text.pem", None),
                      (certificate[0], tmp_path / "text.pem"), (certificate[0], None)):  # fmt: skip
        with pytest.raises(InputError, match="can't be used as a certificate"):
            EngineServer(ServiceSettings(TOKEN, certificate=cert, certificate_key=key))
