# SPDX-License-Identifier: GPL-3.0-or-later
"""A program ends with all it has started: when it is ended, when it dies, when we are killed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from system_tools import gone

from exomni_core.errors import WorkerError
from exomni_core.processes.guard import attended
from render_jobs.workers.groups import Group
from render_jobs.workers.pool import Worker, WorkerCommand
from render_jobs.workers.programs import Running

FAKE = str(Path(__file__).with_name("fake_worker.py"))
CHILD = 'sh -c \'echo $$ > "$0.pid"; sleep 0.5; touch "$0"; sleep 60\' "$0" & wait'

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def is_dead(number: int) -> bool:
    """At once, not some time later."""
    stat = Path(f"/proc/{number}/stat")
    return not stat.exists() or ") Z " in stat.read_text()


def pid_in(path: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError(f"{path} never came")


def test_what_a_program_has_started_ends_with_it(tmp_path: Path) -> None:
    late = tmp_path / "late"
    group = Group(("/bin/sh", "-c", CHILD, str(late)))
    child = pid_in(tmp_path / "late.pid")
    group.end()
    assert is_dead(child)
    assert is_dead(group.process.pid)
    group.end()  # twice is once
    time.sleep(0.7)
    assert not late.exists()


def test_what_a_program_left_running_ends_too(tmp_path: Path) -> None:
    late = tmp_path / "late"
    group = Group(("/bin/sh", "-c", CHILD.removesuffix(" wait"), str(late)))
    child = pid_in(tmp_path / "late.pid")
    assert group.process.wait(30) == 0
    running = Running()
    running.add(group)
    running.stop()
    assert is_dead(child)


def test_a_dead_workers_children_are_gone_before_anybody_hears_of_it(tmp_path: Path) -> None:
    late = tmp_path / "late"
    worker = Worker(WorkerCommand("fake worker", (sys.executable, FAKE)))
    worker.wait_ready()
    with pytest.raises(WorkerError, match="ended by signal 9"):
        worker.ask({"do": "crash with a child", "late": str(late)})
    assert is_dead(int((tmp_path / "late.pid").read_text()))
    worker.stop(now=True)


@pytest.mark.parametrize("how", ["Group(argv)", "stack.enter_context(attended(argv))"])
def test_when_we_are_killed_it_ends(tmp_path: Path, how: str) -> None:
    late = tmp_path / "late"
    script = textwrap.dedent(f"""
        import contextlib, time
        from exomni_core.processes.guard import attended
        from render_jobs.workers.groups import Group
        argv = ("/bin/sh", "-c", 'echo $$ > "$0.pid"; exec sleep 60', {str(late)!r})
        stack = contextlib.ExitStack()
        kept = {how}
        print("started", flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"started\n"
    child = pid_in(tmp_path / "late.pid")
    assert not is_dead(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone(child)


def test_attended_programs_are_gone_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), attended(("/bin/sleep", "60")) as process:
        raise ZeroDivisionError
    assert process.returncode == -9
