# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine process as a child: starts anywhere, dies with its parent, leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import exomni_core
from exomni_core.clip import clip_from_bytes
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from exomni_core.server import launch, scratch
from exomni_core.server.app import EngineServer
from exomni_core.server.context import ServiceSettings, is_loopback
from exomni_core.server.launch import begin_service, start_service
from exomni_core.server.protocol import new_token

REPO = Path(exomni_core.__file__).parents[1]
WAITING = Path(__file__).parent / "waiting"
BLOCK = """
from importlib.machinery import PathFinder
_real = PathFinder.find_spec
def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in {blocked!r} else _real(name, path, target)
PathFinder.find_spec = staticmethod(find_spec)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of servers that start in the test, so that no other's count."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def alive(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_twenty_times_up_and_down_leaves_nothing(tmp_path, temporary):
    seen = []
    for _ in range(20):
        service = start_service(log=tmp_path / "log")
        seen.append(service.process.pid)
        service.stop()
        assert service.process.returncode == 0
    assert not [pid for pid in seen if alive(pid)]
    assert not list(temporary.iterdir())
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_two_at_once_are_strangers(tmp_path):
    one = start_service(log=tmp_path / "one.log")
    two = start_service(log=tmp_path / "two.log")
    try:
        assert one.address != two.address
        assert one.token != two.token
        assert one.client().health()["pid"] != two.client().health()["pid"]
        with pytest.raises(InputError, match="token"):
            launch.ServiceClient(one.address, two.token).health()
        one.stop()
        assert two.client().generate({"text": "Still here."}).text == "Still here."
    finally:
        one.stop()
        two.stop()


@pytest.mark.parametrize("text", ["", "helper", "hang"])
def test_killed_parents_take_it_with_them(tmp_path, temporary, wait_for, text):
    code = (
        "import json, sys, time\n"
        "from pathlib import Path\n"
        "from exomni_core.server.launch import start_service\n"
        f"s = start_service(log=Path({str(tmp_path / 'log')!r}), extra_paths=[{str(WAITING)!r}])\n"
        f"if {text!r}: s.client().start({{'text': {text!r}}})\n"
        "time.sleep(0.5)\n"
        "print(s.process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPO, stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    assert len(family) == (2 if text == "helper" else 1)
    assert all(alive(one) for one in family)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not any(alive(one) for one in family), 5.0) < 3.0
    assert not list(temporary.iterdir())


def test_a_parent_that_ends_without_stopping_it(tmp_path, wait_for):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from exomni_core.server.launch import start_service\n"
        f"s = start_service(log=Path({str(tmp_path / 'log')!r}))\n"
        "print(s.process.pid, flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert wait_for(lambda: not alive(int(done.stdout)), 5.0) < 3.0


def test_it_outlives_the_thread_that_started_it(tmp_path, wait_for):
    future = begin_service(log=tmp_path / "log")
    assert wait_for(future.done) < 10
    service = future.result()
    try:
        time.sleep(0.7)
        assert service.client().health()["service"] == "exomni"
    finally:
        service.stop()


def test_killed_itself_its_helpers_go_and_the_client_hears(doomed, collect, wait_for):
    events = doomed.client().begin({"text": "helper"})
    wait_for(lambda: psutil.Process(doomed.process.pid).children())
    helper = psutil.Process(doomed.process.pid).children()[0].pid
    os.kill(doomed.process.pid, signal.SIGKILL)
    found = collect(events)
    assert found[-1]["event"] == "failed"
    assert "does not answer" in found[-1]["error"]
    wait_for(lambda: not alive(helper), 3.0)
    assert not doomed.is_alive
    doomed.stop()
    with pytest.raises(WorkerError, match="does not answer"):
        doomed.client().health()


def test_stopped_in_the_middle_of_work(doomed, wait_for):
    doomed.client().start({"text": "helper"})
    wait_for(lambda: psutil.Process(doomed.process.pid).children())
    helper = psutil.Process(doomed.process.pid).children()[0].pid
    started = time.monotonic()
    doomed.stop()
    assert time.monotonic() - started < 4.0
    wait_for(lambda: not alive(helper))  # it is killed, but not waited for: it is no child


def test_folders_of_killed_servers_are_swept(temporary, monkeypatch):
    monkeypatch.setattr(scratch, "_YOUNG_S", -1.0)
    held = scratch.Scratch()
    left = temporary / "exomni-server-killed"
    left.mkdir()
    (left / "lock").touch()
    (left / "upload-0.wav").touch()
    (temporary / "exomni-server-file").touch()
    assert scratch.sweep() == 1
    assert held.folder.is_dir()
    assert not left.exists()
    held.close()
    assert not held.folder.exists()


def test_the_token_is_nowhere_to_be_seen(service):
    process = psutil.Process(service.process.pid)
    assert service.token not in " ".join(process.cmdline())
    assert service.token not in " ".join(process.environ().values())
    assert service.token not in repr(service)
    assert service.token not in repr(ServiceSettings(token=service.token))
    assert len(new_token()) >= 40


def test_says_without_sound_libraries_and_frills(tmp_path):
    blocked = ("soundfile", "soxr", "click", "rich", "cffi", "torch", "transformers", "psutil")
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(blocked=blocked))
    service = start_service(log=tmp_path / "log", extra_paths=[tmp_path])
    try:
        client = service.client()
        assert client.health()["engines"]["embedded"]["ready"]
        assert "torch" in client.health()["engines"]["omni"]["reason"]
        made = client.generate({"text": "Hello, my friend."})
        assert made.weights.max() > 0.3
        job = client.start({"text": "Hello."}, stream=False)
        while client.events(job).wait(10)[-1]["event"] != "done":
            pass
        file = client.clip_bytes(job)
        assert np.array_equal(clip_from_bytes(file).weights, client.clip_data(job).weights)
        with pytest.raises(EnvironmentProblem, match="pip install soundfile"):
            client.clip_data_of_bytes(file)
        with pytest.raises(EnvironmentProblem, match="omni needs torch"):
            client.generate({"text": "Hello."}, "omni")
    finally:
        service.stop()


def test_what_is_missing_is_told_before_a_mouth_moves_by_guess(tmp_path, make_clip):
    from exomni_core.audio import write_wav

    blocked = ("pocketsphinx", "espeakng_loader")
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(blocked=blocked))
    clip = make_clip()
    write_wav(tmp_path / "a.wav", clip.audio, clip.sample_rate_hz)
    service = start_service(log=tmp_path / "log", extra_paths=[tmp_path])
    try:
        client = service.client()
        state = client.health()["engines"]["embedded"]
        assert not state["ready"]
        assert "espeak" in state["reason"]
        with pytest.raises(EnvironmentProblem, match="pip install pocketsphinx"):
            client.generate({"audio": str(tmp_path / "a.wav")})
        with pytest.raises(EnvironmentProblem, match="espeak"):
            client.generate({"text": "Hello."})
    finally:
        service.stop()


def test_it_ends_by_itself_when_nobody_comes(tmp_path, wait_for):
    service = start_service(log=tmp_path / "log", idle_exit_s=0.3)
    wait_for(lambda: not service.is_alive, 5.0)
    assert service.process.returncode == 0
    service.stop()


def test_work_is_no_idleness(tmp_path):
    service = start_service(log=tmp_path / "log", idle_exit_s=0.4, extra_paths=[WAITING])
    try:
        made = service.client().generate({"text": "steps=1 pause=1.2"})
        assert made.text == "steps=1 pause=1.2"
    finally:
        service.stop()


def test_it_ends_when_asked(tmp_path, wait_for):
    service = start_service(log=tmp_path / "log")
    service.client().shutdown()
    wait_for(lambda: not service.is_alive, 5.0)
    service.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_in_order(tmp_path, temporary, wait_for, number):
    service = start_service(log=tmp_path / "log")
    os.kill(service.process.pid, number)
    wait_for(lambda: not service.is_alive, 5.0)
    assert service.process.returncode == 0
    assert not list(temporary.iterdir())


def test_pythons_that_can_not_run_it(tmp_path):
    with pytest.raises(EnvironmentProblem, match="can't be started"):
        start_service(tmp_path / "nothing", log=tmp_path / "log")
    with pytest.raises(EnvironmentProblem, match="choose another Python"):
        start_service("/bin/echo", log=tmp_path / "log")
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(EnvironmentProblem, match="No module named"):
        start_service(bare, log=tmp_path / "log")
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nsleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(WorkerError, match="did not become ready within 0 s"):
        start_service(silent, log=tmp_path / "log", ready_s=0.3)
    with pytest.raises(EnvironmentProblem, match="can't be written"):
        start_service(log=Path("/proc/nothing/log"))


def test_a_start_that_fails_in_the_background_is_told(tmp_path):
    future = begin_service(tmp_path / "nothing", log=tmp_path / "log")
    with pytest.raises(EnvironmentProblem, match="can't be started"):
        future.result(10)


def test_a_taken_port_is_one_sentence(service):
    with pytest.raises(InputError, match="is taken by another program") as caught:
        EngineServer(ServiceSettings(token=new_token(), port=service.address[1]))
    assert caught.value.field == "port"
    with pytest.raises(InputError, match="no address of this machine"):
        EngineServer(ServiceSettings(token=new_token(), host="192.0.2.1"))
    with pytest.raises(InputError, match="16 or more"):
        ServiceSettings(token="short")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback(host):
    assert is_loopback(host)
    assert not any(is_loopback(other) for other in ("0.0.0.0", "::", "10.0.0.1", "example.org"))


def test_bad_settings_from_a_parent(tmp_path):
    for said in ("short\n{}\n", f"{'t' * 20}\nnonsense\n", f'{"t" * 20}\n{{"x": 1}}\n', ""):
        done = subprocess.run(
            [sys.executable, "-m", "exomni_core.server.app"],
            cwd=REPO,
            input=said,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.returncode == 3
        assert json.loads(done.stdout)["error"]


def test_what_a_library_prints_stops_nothing(waiting):
    assert waiting.client().generate({"text": "steps=1 pause=0"}).text
    assert "a library that prints" in waiting.log.read_text()


def test_a_long_log_starts_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(launch, "_MAX_LOG_BYTES", 10)
    log = tmp_path / "log"
    log.write_text("x" * 100)
    start_service(log=log).stop()
    assert "xxx" not in log.read_text()


def test_the_way_out_of_a_program_that_embeds_python(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/opt/blender/blender")
    assert "python" in Path(launch.own_python()).name
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    with pytest.raises(EnvironmentProblem, match="choose a Python"):
        launch.own_python()
