# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender serve` as people run it."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys

import psutil
import pytest

from exomni_core.errors import InputError
from exomni_core.server.client import ServiceClient

SERVE = [sys.executable, "-m", "render_jobs.cli", "serve"]


@pytest.fixture
def serve(repo, tmp_path):
    """A function that starts the command and returns the process and what it printed."""
    started, token_file = [], tmp_path / "t" / "token"

    def start(*options):
        process = subprocess.Popen(
            [*SERVE, "--json", "--port", "0", "--token-file", str(token_file), *options],
            cwd=repo,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, json.loads(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_it_tells_where_it_is_and_ends_with_ctrl_c(serve, tmp_path):
    process, said = serve()
    token_file = tmp_path / "t" / "token"
    assert said["token_file"] == str(token_file)
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    token = token_file.read_text().strip()
    client = ServiceClient(("127.0.0.1", said["port"]), token)
    assert client.generate({"text": "Hello."}).text == "Hello."
    process.send_signal(signal.SIGINT)
    output, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert output == ""
    assert "POST /jobs 202" in log
    assert "Traceback" not in log
    assert token not in log
    assert serve()[1]["token_file"] == str(token_file)
    assert token_file.read_text().strip() == token


def test_other_machines_need_leave_and_send_their_recordings(serve, tmp_path):
    addresses = [
        a.address
        for all_of in psutil.net_if_addrs().values()
        for a in all_of
        if a.family == socket.AF_INET and not a.address.startswith("127.")
    ]
    if not addresses:
        pytest.skip("this machine has no network address")
    _, said = serve("--host", "0.0.0.0", "--allow-remote", "--allow-host", "studio.example")
    token = (tmp_path / "t" / "token").read_text().strip()
    client = ServiceClient((addresses[0], said["port"]), token, allow_plain=True)
    assert client.generate({"text": "Hello."}).text == "Hello."
    with pytest.raises(InputError, match="another machine") as caught:
        client.start({"audio": "/etc/hostname"})
    assert caught.value.field == "audio"
    with pytest.raises(InputError, match="same machine"):
        client.start({"text": "a"}, "omni", options={"model": "/etc"})
    with pytest.raises(InputError, match="token"):
        ServiceClient((addresses[0], said["port"]), "x" * 20, allow_plain=True).health()


@pytest.mark.parametrize(("options", "code", "said"), [
    (["--host", "0.0.0.0"], 2, "add --allow-remote"),
    (["--engine", "nothing"], 2, "there is no engine"),
    (["--device", "cpu"], 2, "add --engine omni"),
    (["--engine", "omni", "--model", "/nowhere"], 3, "ex-omni is not in /nowhere"),
])  # fmt: skip
def test_errors_are_one_sentence(repo, tmp_path, options, code, said):
    command = [*SERVE, "--port", "0", "--token-file", str(tmp_path / "token"), *options]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_taken_port(repo, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [*SERVE, "--port", str(taken.getsockname()[1]), "--token-file", str(tmp_path / "t")],
            cwd=repo,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert "is taken by another program" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_token_that_others_can_read_is_refused(tmp_path):
    from render_jobs.cli.serve import token_from

    file = tmp_path / "token"
    file.write_text("t" * 30)
    file.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        token_from(file)
    file.chmod(0o600)
    assert token_from(file) == "t" * 30
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not plain text"):
        token_from(file)
    with pytest.raises(InputError, match="can't be used"):
        token_from(file / "below")
