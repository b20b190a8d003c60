# SPDX-License-Identifier: GPL-3.0-or-later
"""Which cores a worker gets: its own while there are enough, none where a container limits time."""

from __future__ import annotations

import os
import sys

import pytest

from render_jobs.workers import cores
from render_jobs.workers.cores import Share, bound_to, share_of, usable_cores
from render_jobs.workers.pool import Worker, WorkerCommand

_TELLS_CORES = (
    "import json, os; print('@exo ' + json.dumps({'event': 'ready', "
    "'cores': sorted(os.sched_getaffinity(0)), 'threads': os.environ['LP_NUM_THREADS']}))"
)


@pytest.fixture
def machine(monkeypatch):
    """A function that sets how many cores there are and how much time a container gives."""

    def make(count, quota=float("inf")):
        monkeypatch.setattr(cores, "_allowed", lambda: [3 * i for i in range(count)])
        monkeypatch.setattr(cores, "_quota", lambda: quota)

    return make


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 8, 11])
def test_shares_are_disjoint_equal_and_whole_while_there_are_enough(machine, workers):
    machine(8)
    shares = [share_of(slot, workers) for slot in range(workers)]
    assert len({len(share.cores) for share in shares}) == 1
    used = [core for share in shares for core in share.cores]
    assert set(used) <= {3 * i for i in range(8)}
    if workers <= 8:
        assert len(used) == len(set(used)) >= 8 - 8 % workers
    else:
        assert all(used.count(core) in (1, 2) for core in set(used))


def test_a_worker_on_one_core_draws_in_its_own_thread(machine):
    machine(2)
    assert [share_of(slot, 2).env["LP_NUM_THREADS"] for slot in range(2)] == ["0", "0"]
    assert share_of(0, 1).env["LP_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("quota", "count"), [(1.5, 2), (0.5, 1), (4.0, 4), (100.0, 16)])
def test_a_containers_limit_counts_and_binds_nobody(machine, quota, count):
    machine(16, quota)
    assert usable_cores() == count
    share = share_of(0, count)
    assert share.count == 1
    assert bool(share.cores) == (count == 16 and hasattr(os, "sched_setaffinity"))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process")
def test_a_worker_starts_on_its_core_and_leaves_this_thread_alone():
    before = os.sched_getaffinity(0)
    command = WorkerCommand("teller", (sys.executable, "-c", _TELLS_CORES), own_cores=True)
    last = len(before) - 1
    worker = Worker(command, slot=last, of=len(before))
    told = worker.wait_ready()
    worker.stop()
    assert os.sched_getaffinity(0) == before
    if usable_cores() == len(before):
        assert told["cores"] == [sorted(before)[last]]
    assert told["threads"] == "0"


def test_a_core_that_has_gone_is_no_error():
    with bound_to(Share((9999,), 1)):
        pass
