# SPDX-License-Identifier: GPL-3.0-or-later
"""One queue: places, cancelling at any moment, crashes, readers that are slow or gone."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path

import psutil
import pytest

from exomni_core.engine import load_engine
from exomni_core.errors import Cancelled, EnvironmentProblem, InputError, WorkerError
from exomni_core.prompt import Prompt
from exomni_core.server.launch import start_service
from exomni_core.server.protocol import MAX_WAITING

ENDLESS = {"text": "steps=600 pause=0.1"}
SHORT = {"text": "steps=2 pause=0.01"}


def kinds(events):
    return [event["event"] for event in events]


def helpers(service):
    return psutil.Process(service.process.pid).children(recursive=True)


def test_jobs_wait_in_line_and_a_full_line_says_so(waiting, collect, wait_for):
    client = waiting.client()
    first = client.start(ENDLESS)
    wait_for(lambda: client.health()["busy"])
    jobs = [client.start(SHORT) for _ in range(MAX_WAITING)]
    assert client.health()["waiting"] == MAX_WAITING
    with pytest.raises(WorkerError, match="waiting already"):
        client.start(SHORT)
    events = client.events(jobs[2])
    assert events.wait(5)[0] == {"n": 0, "event": "queued", "place": 4}
    assert client.cancel(jobs[0])
    assert kinds(collect(client.events(jobs[0]))) == ["queued", "cancelled"]
    assert events.wait(5)[0]["place"] == 3
    assert client.cancel(first)
    assert kinds(collect(events))[-1] == "done"
    for job in jobs[1:]:
        assert kinds(collect(client.events(job)))[-1] == "done"
    assert client.health()["waiting"] == 0


@pytest.mark.parametrize("moment", ["queued", "started", "progress", "chunk"])
def test_cancelled_at_any_moment_there_is_no_clip(waiting, collect, moment):
    client = waiting.client()
    job = client.start(ENDLESS)
    events = client.events(job)
    found = []
    while moment not in kinds(found):
        found += events.wait(5)
    asked = time.monotonic()
    assert client.cancel(job)
    assert collect(events)[-1]["event"] == "cancelled"
    assert time.monotonic() - asked < 1.0
    assert not client.cancel(job)
    for fetch in (client.clip_bytes, client.clip_data):
        with pytest.raises(InputError, match="no clip"):
            fetch(job)
    assert client.generate(SHORT).text == SHORT["text"]


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15, 0.4])
def test_cancelled_while_listening_no_helper_stays(service, tmp_path, collect, wait_for, after_s):
    from exomni_core.audio import write_wav

    path = tmp_path / "long.wav"
    spoken = load_engine("embedded").generate(Prompt(id="a", text="One two three four five. " * 12))
    write_wav(path, spoken.audio, spoken.sample_rate_hz)
    client = service.client()
    events = client.begin({"audio": str(path)})
    wait_for(lambda: events.job is not None)
    time.sleep(after_s)
    asked = time.monotonic()
    events.cancel()
    assert collect(events)[-1]["event"] == "cancelled"
    assert time.monotonic() - asked < 2.0
    wait_for(lambda: not helpers(service), 2.0)


def test_cancelled_before_it_was_even_asked_for(waiting, collect):
    events = waiting.client().begin(ENDLESS)
    events.cancel()
    assert collect(events)[-1]["event"] == "cancelled"
    with pytest.raises(Cancelled):
        waiting.client().generate(ENDLESS, is_cancelled=lambda: True)


def test_a_cancel_that_comes_last_still_wins(make_clip):
    from exomni_core.server.jobs import JobQueue, Order

    jobs = JobQueue()
    job = jobs.add(Order(Prompt(id="a", text="a"), "embedded"))
    assert jobs.take(0) is job
    assert jobs.cancel(job)
    job.finish(make_clip())
    assert job.clip is None
    assert kinds(job.events_after(-1, 0)[0]) == ["queued", "cancelled"]
    job.emit("progress")
    assert job.events_after(-1, 0)[1]
    assert not jobs.cancel(job)


def test_an_engine_that_crashes_fails_its_job_alone(waiting):
    client = waiting.client()
    with pytest.raises(WorkerError, match=r"failed unexpectedly \(TypeError: two\); the engine"):
        client.generate({"text": "crash"}, stream=True)
    assert "Traceback" in waiting.log.read_text()
    assert client.generate(SHORT).text == SHORT["text"]


def test_an_engine_that_takes_the_process_with_it(doomed, collect, wait_for):
    found = collect(doomed.client().begin({"text": "die"}))
    assert kinds(found)[-1] == "failed"
    assert "does not answer" in found[-1]["error"]
    assert "\n" not in found[-1]["error"]
    wait_for(lambda: not doomed.is_alive)


def test_a_reader_that_takes_nothing_holds_nobody_up(waiting, collect):
    client = waiting.client()
    big = {"text": "steps=40 pause=0 size=400000"}  # 85 MB of events
    job = client.start(big)
    lazy = socket.create_connection(waiting.address)
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.sendall(
        f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {waiting.token}\r\n\r\n".encode()
    )
    started = time.monotonic()
    assert kinds(collect(client.events(job)))[-1] == "done"
    assert client.generate(SHORT).text == SHORT["text"]
    assert time.monotonic() - started < 10
    lazy.close()
    assert client.health()["busy"] is False


def test_a_reader_that_was_cut_off_goes_on_where_it_was(waiting, collect, wait_for):
    events = waiting.client().begin({"text": "steps=12 pause=0.05"})
    found = events.wait(5)
    wait_for(lambda: events._connection is not None)
    events._connection.sock.shutdown(socket.SHUT_RDWR)
    found += collect(events)
    assert [event["n"] for event in found] == list(range(len(found)))
    assert kinds(found)[-1] == "done"


def test_heartbeats_are_empty_lines(waiting):
    job = waiting.client().start({"text": "steps=1 pause=2.4"})
    with socket.create_connection(waiting.address, timeout=10) as reader:
        reader.sendall(
            f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {waiting.token}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: reader.recv(65536), b""))
    assert b"\r\n1\r\n\n\r\n" in answer
    assert answer.endswith(b"0\r\n\r\n")


def test_too_many_connections_are_turned_away_and_the_rest_served(waiting):
    idle = [socket.create_connection(waiting.address) for _ in range(80)]
    time.sleep(0.2)
    for one in idle:
        one.close()
    time.sleep(0.3)
    assert waiting.client().health()["service"] == "exomni"


def test_only_so_many_finished_jobs_are_kept(make_clip, monkeypatch):
    from exomni_core.server import jobs as module

    jobs = module.JobQueue()
    made = []
    for _ in range(module.KEPT_JOBS + 5):
        job = jobs.add(module.Order(Prompt(id="a", text="a"), "embedded"))
        made.append(jobs.take(0))
        job.finish(make_clip())
        jobs.done()
    kept = [job for job in made if jobs.find(job.id) is not None]
    assert kept == made[-module.KEPT_JOBS :]
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * made[0].size)
    jobs._forget()
    assert [job for job in made if jobs.find(job.id) is not None] == made[-3:]
    monkeypatch.setattr(module, "KEPT_S", 0.0)
    jobs._forget()
    assert [job for job in made if jobs.find(job.id) is not None] == made[-1:]


def test_only_so_many_uploads_are_kept_and_none_that_is_needed(tmp_path, monkeypatch):
    import io

    from exomni_core.server import uploads as module

    monkeypatch.setattr(module, "KEPT_UPLOADS", 3)
    needed = set()
    uploads = module.Uploads(tmp_path, lambda: needed)
    first = uploads.receive("a.wav", io.BytesIO(b"x"), 1)
    needed.add(str(uploads.find(first).path))
    others = [uploads.receive("b.wav", io.BytesIO(b"x"), 1) for _ in range(5)]
    assert uploads.find(first)
    assert len(list(tmp_path.iterdir())) == 3
    assert uploads.find(others[-1])
    with pytest.raises(InputError, match="send it again"):
        uploads.find(others[0])


def test_many_threads_ask_at_once(service):
    made, client = [], service.client(20.0)

    def ask(k):
        made.append(client.generate({"text": f"Number {k}."}).text)

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(made) == [f"Number {k}." for k in range(8)]


def test_an_idle_engine_is_freed(tmp_path, wait_for):
    service = start_service(log=tmp_path / "log", idle_unload_s=0.2)
    try:
        client = service.client()
        client.generate({"text": "Hello."})
        assert client.health()["engines"]["embedded"]["loaded"]
        wait_for(lambda: not client.health()["engines"]["embedded"]["loaded"], 4.0)
        assert client.generate({"text": "Hello."}).text == "Hello."
    finally:
        service.stop()


def test_a_full_disk_is_told(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import errno\nimport exomni_core.server.uploads as uploads\n"
        "def full(source, target, size):\n"
        "    target.write(source.read(10))\n"
        "    raise OSError(errno.ENOSPC, 'No space left on device')\n"
        "uploads.copy = full\n"
    )
    (tmp_path / "a.wav").write_bytes(b"x" * 300_000)
    service = start_service(log=tmp_path / "log", extra_paths=[tmp_path])
    try:
        with pytest.raises(EnvironmentProblem, match="disk is full"):
            service.client().upload(tmp_path / "a.wav")
        opened = [Path(f.path) for f in psutil.Process(service.process.pid).open_files()]
        folder = next(path.parent for path in opened if path.name == "lock")
        assert [path.name for path in folder.iterdir()] == ["lock"]
        assert service.client().generate({"text": "Hello."}).text == "Hello."
    finally:
        service.stop()


def test_events_of_a_job_are_json_without_surprises(service, send):
    job = service.client().start({"text": "Good day."})
    _, _, body = send(service, "GET", f"/jobs/{job}/events")
    for line in body.splitlines():
        if line:
            event = json.loads(line)
            assert isinstance(event["n"], int)
            assert isinstance(event["event"], str)
