# SPDX-License-Identifier: GPL-3.0-or-later
"""Which programs count as hung, and which only take long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from system_tools import gone

from exomni_core.processes.guard import dismiss, start_guard
from exomni_core.processes.life import LifeWatch, Pace, Patience, Usage, how_it_ended, usage_of

PATIENCE = Patience(shortest_s=0.6, look_s=0.1)
BUSY = "while True: pass"
READING = "import os\nwhile True: os.read(os.open('/dev/zero', 0), 1 << 16)"
ASLEEP = "import time; time.sleep(60)"
BY_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}])"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def used_when(pid: int, enough: Callable[[Usage], bool]) -> Usage | None:
    """What the program has used once it has begun; a busy machine starts it late."""
    end = time.monotonic() + 20
    while True:
        used = usage_of(pid)
        if time.monotonic() > end or (used is not None and enough(used)):
            return used
        time.sleep(0.05)


def hung_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    watch = LifeWatch(process.pid, PATIENCE)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(PATIENCE.look_s)
        if watch.is_hung():
            return True
    return False


@pytest.mark.parametrize(
    ("code", "stopped", "hangs"),
    [(BUSY, False, False), (BY_A_CHILD, False, False), (ASLEEP, False, True), (BUSY, True, True)],
)
def test_only_what_neither_works_nor_speaks_hangs(code: str, stopped: bool, hangs: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", code], start_new_session=True) as process:
        used_when(process.pid, lambda used: used.cpu_s >= (0.3 if code != ASLEEP else 0.01))
        if stopped:
            os.kill(process.pid, signal.SIGSTOP)
        try:
            assert hung_within(process, 5.0 if hangs else 1.5) == hangs
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def watch_at(steps: list[float]) -> tuple[LifeWatch, Callable[[], bool]]:
    now = [0.0]
    # No process has that number; 0 would be the system's own threads, which do work.
    watch = LifeWatch(1 << 30, Patience(30.0, 10.0, 2.0), clock=lambda: now[0])

    def look() -> bool:
        now[0] += steps.pop(0)
        return watch.is_hung()

    return watch, look


def test_time_in_which_we_did_not_run_does_not_count() -> None:
    _, look = watch_at([2.0, 3600.0, 2.0, 2.0])
    assert not any(look() for _ in range(4))


def test_a_sign_begins_the_count_anew_and_its_lack_ends_in_a_hang() -> None:
    watch, look = watch_at([2.0] * 40)
    assert not any(look() for _ in range(14))
    watch.sign()
    assert [look() for _ in range(16)] == [False] * 15 + [True]


def test_the_limit_grows_with_what_past_tasks_took() -> None:
    pace = Pace()
    assert Patience().limit_s(pace.expected_s()) == 30.0
    for seconds in (1.0, 12.0, 400.0):
        pace.add(seconds)
    assert Patience().limit_s(pace.expected_s()) == 120.0


def test_the_use_of_a_session_holds_what_its_children_read() -> None:
    with subprocess.Popen([sys.executable, "-c", READING], start_new_session=True) as process:
        used = used_when(process.pid, lambda used: used.bytes > 1 << 20)
        process.kill()
    assert used is not None
    assert used.bytes > 1 << 20
    assert used.cpu_s > 0


def test_signal_9_is_told_as_what_it_often_is() -> None:
    assert "memory ran out; try --workers 1" in how_it_ended(-9)
    assert how_it_ended(-11) == "was ended by signal 11"
    assert how_it_ended(3) == "ended early"


def test_a_guard_kills_a_stopped_program_when_its_input_ends() -> None:
    process = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True)
    os.kill(process.pid, signal.SIGSTOP)
    guard = start_guard(f"-{process.pid}")
    assert guard is not None
    assert guard.stdin is not None
    guard.stdin.close()
    assert process.wait(10) == -signal.SIGKILL
    guard.wait(10)
    assert gone(process.pid)


def test_a_dismissed_guard_harms_nobody() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        dismiss(start_guard(str(process.pid)))
        time.sleep(0.1)
        assert process.poll() is None
        process.kill()
