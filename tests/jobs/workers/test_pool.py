# SPDX-License-Identifier: GPL-3.0-or-later
"""The pool against workers that crash, hang, fail and chatter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from exomni_core.errors import Cancelled, EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.processes.life import Patience
from render_jobs.workers.pool import Pool, Worker, WorkerCommand

FAKE = str(Path(__file__).with_name("fake_worker.py"))


def command(*arguments: str, **options: object) -> WorkerCommand:
    return WorkerCommand("fake worker", (sys.executable, FAKE, *arguments), **options)  # type: ignore[arg-type]


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(command(), 2)
    yield pool
    pool.kill()


def test_answers_pass_through_noise_on_stdout(pool: Pool) -> None:
    answer = pool.submit(lambda w: w.ask({"do": "echo", "say": "你好"})).result(30)
    assert answer["said"] == "你好"


def test_progress_events_arrive_before_the_answer(pool: Pool) -> None:
    heard: list[int] = []
    pool.submit(lambda w: w.ask({"do": "progress"}, lambda m: heard.append(m["done"]))).result(30)
    assert heard == [0, 1, 2]


def test_the_workers_own_error_keeps_its_kind_and_field(pool: Pool) -> None:
    with pytest.raises(InputError, match="the text is odd") as caught:
        pool.submit(lambda w: w.ask({"do": "fail"})).result(30)
    assert caught.value.field == "text"


def test_a_finer_kind_of_error_arrives_as_the_kind_we_know(pool: Pool) -> None:
    with pytest.raises(InputError, match="cut it") as caught:
        pool.submit(lambda w: w.ask({"do": "fail finely"})).result(30)
    assert caught.value.field == "audio"


def test_a_bug_in_the_worker_is_told_and_the_worker_lives_on(pool: Pool) -> None:
    with pytest.raises(ExOmniError, match="ZeroDivisionError: oops"):
        pool.submit(lambda w: w.ask({"do": "bug"})).result(30)
    assert pool.submit(lambda w: w.ask({"do": "echo", "say": 1})).result(30)["said"] == 1


def test_after_a_crash_the_next_task_gets_a_fresh_worker(tmp_path: Path) -> None:
    pool = Pool(command(), 1)
    request = {"do": "crash once", "mark": str(tmp_path / "mark"), "say": "again"}
    with pytest.raises(WorkerError, match="ended by signal 9"):
        pool.submit(lambda w: w.ask(request)).result(60)
    assert pool.submit(lambda w: w.ask(request)).result(60)["said"] == "again"
    pool.close()


def test_a_task_that_always_crashes_fails_alone(pool: Pool) -> None:
    bad = pool.submit(lambda w: w.ask({"do": "crash"}))
    good = [pool.submit(lambda w: w.ask({"do": "echo", "say": "ok"})) for _ in range(4)]
    with pytest.raises(WorkerError, match="ended by signal 9"):
        bad.result(60)
    assert [f.result(60)["said"] for f in good] == ["ok"] * 4


def test_a_silent_worker_is_stopped(pool: Pool) -> None:
    future = pool.submit(lambda w: w.ask({"do": "hang"}, silence_s=0.5))
    with pytest.raises(WorkerError, match="said nothing"):
        future.result(60)


def test_a_stopped_worker_is_noticed_and_replaced() -> None:
    pool = Pool(command(patience=Patience(shortest_s=0.5, look_s=0.1)), 1)
    stopped = pool.submit(lambda w: (os.kill(w.pid, signal.SIGSTOP), w.ask({"do": "echo"})))
    with pytest.raises(WorkerError, match="gave no sign of life"):
        stopped.result(60)
    assert pool.submit(lambda w: w.ask({"do": "echo", "say": 1})).result(60)["said"] == 1
    pool.close()


def test_a_worker_that_works_in_silence_is_left_alone() -> None:
    pool = Pool(command(patience=Patience(shortest_s=0.5, look_s=0.1)), 1)
    answer = pool.submit(lambda w: w.ask({"do": "work", "for_s": 2.0, "say": "done"})).result(60)
    assert answer["said"] == "done"
    pool.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_stopped_while_it_starts_is_started_again(number: int) -> None:
    worker = Worker(command(patience=Patience(shortest_s=0.5, look_s=0.1)))
    first = worker.pid
    os.kill(first, number)
    assert worker.wait_ready()["pid"] == worker.pid != first
    worker.stop(now=True)
    assert not psutil.pid_exists(first)


def test_starts_that_are_always_killed_end_with_a_true_sentence() -> None:
    with pytest.raises(EnvironmentProblem, match=r"signal 9.*memory.*3 times") as caught:
        Pool(command("killed", fatal_hint="install OpenGL"), 1)
    assert "OpenGL" not in str(caught.value)


def test_kill_cancels_what_runs_and_what_waits() -> None:
    pool = Pool(command(), 1)
    pid = pool.submit(lambda w: w.ask({"do": "echo"})).result(30)["pid"]
    running = pool.submit(lambda w: w.ask({"do": "hang"}))
    waiting = pool.submit(lambda w: w.ask({"do": "echo"}))
    time.sleep(0.2)
    pool.kill()
    for future in (running, waiting):
        with pytest.raises(Cancelled):
            future.result(30)
    assert not psutil.pid_exists(pid)


def test_workers_are_replaced_after_some_tasks() -> None:
    pool = Pool(command(recycle_after=2), 1)
    pids = [pool.submit(lambda w: w.ask({"do": "echo"})).result(30)["pid"] for _ in range(4)]
    pool.close()
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_an_unfit_machine_shows_at_once() -> None:
    with pytest.raises(EnvironmentProblem, match="no such luck"):
        Pool(command("unfit"), 2)


def test_death_at_start_carries_the_hint() -> None:
    with pytest.raises(EnvironmentProblem, match=r"signal 11.*install the thing"):
        Pool(command("die", fatal_hint="install the thing"), 1)


def test_a_missing_program_is_an_environment_problem() -> None:
    with pytest.raises(EnvironmentProblem, match="can't be started"):
        Worker(WorkerCommand("x", ("/nonexistent/blender",)))


@pytest.mark.skipif(sys.platform != "linux", reason="uses Linux process signals")
def test_a_hanging_worker_dies_with_its_killed_parent() -> None:
    script = textwrap.dedent(f"""
        import sys, threading
        from render_jobs.workers.pool import Worker, WorkerCommand
        w = Worker(WorkerCommand("fake", (sys.executable, {FAKE!r}))); w.wait_ready()
        print(w.pid, flush=True)
        w.ask({{"do": "hang"}})
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.2)
    os.kill(parent.pid, 9)
    parent.wait()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            break  # dead; whoever adopted it has not collected it yet
        time.sleep(0.05)
    else:
        assert not psutil.pid_exists(pid)
