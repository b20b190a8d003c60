# SPDX-License-Identifier: GPL-3.0-or-later
"""Many raters at once and a server that is killed: no answer is lost, doubled or mixed up."""

from __future__ import annotations

import contextlib
import http.client
import random
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from study_client import answer_body, serving_process, start_process, wait_until

from render_jobs.study.plan import Seat
from render_jobs.study.plan_file import read_study, write_study
from render_jobs.study.serving.exporting import ratings_of
from render_jobs.study.serving.journal import read_events


def with_seats(folder, seats, rounds=1):
    """The study with so many seats, each with `rounds` times the trials; ids stay opaque."""
    study = read_study(folder)
    made = []
    for number in range(seats):
        trials = study.seats[number % len(study.seats)].trials
        practice = [t for t in trials if t.kind == "practice"]
        real = [t for t in trials if t.kind != "practice"] * rounds
        made.append(
            Seat(
                number,
                tuple(
                    replace(t, index=k, trial_id=f"{number:04d}{k:04d}{uuid.uuid4().hex[:8]}")
                    for k, t in enumerate([*practice, *real])
                ),
            )
        )
    write_study(replace(study, seats=tuple(made), break_every=20), folder)
    return folder


def expected_rows(study, given):
    """(rater, trial index, response) of what was answered, practice left out."""
    rows = []
    for seat, answers in given.items():
        for trial in study.seats[seat].trials:
            if trial.kind != "practice" and trial.trial_id in answers:
                rows += [(f"R{seat + 1:02d}", trial.index, answers[trial.trial_id])]
    return sorted(rows)


def rate_for(served, seat, seconds, given, took_ms, pause_s):
    """One rater: watches (waits), answers, sometimes sends twice, until time is up."""
    chance = random.Random(seat)
    rater = served.rater(seat)
    end = time.monotonic() + seconds
    state = rater.enter()
    while time.monotonic() < end and state["step"] != "comment":
        if state["step"] != "trial":
            state = rater.go_on(state)
            continue
        time.sleep(chance.uniform(0.2, 1.8) * pause_s)
        response = chance.choice(["left", "tie", "right"])
        body = answer_body(state["trial"], response)
        started = time.perf_counter()
        state = rater.state("answer", **body)
        took_ms.append(1000 * (time.perf_counter() - started))
        given[body["trial"]] = response
        if chance.random() < 0.1:
            assert rater.state("answer", **body) == state


def run_load(folder, raters, seconds, pause_s):
    """Let them all rate; returns how long each answer took (ms), after checking what was kept."""
    given = {seat: {} for seat in range(raters)}
    took_ms = []
    with serving_process(folder) as served, ThreadPoolExecutor(raters) as threads:
        jobs = [
            threads.submit(rate_for, served, seat, seconds, given[seat], took_ms, pause_s)
            for seat in range(raters)
        ]
        for job in jobs:
            job.result()
    rows = ratings_of(folder)
    kept = sorted((r.rater_id, r.trial_index, r.response) for r in rows)
    assert kept == expected_rows(read_study(folder), given)
    logged = [e["uuid"] for e in read_events(folder) if e["event"] == "answer"]
    assert len(logged) == len(set(logged)) == sum(map(len, given.values())) == len(took_ms)
    return sorted(took_ms)


def tell(took_ms):
    p95 = took_ms[int(0.95 * len(took_ms))]
    print(f"{len(took_ms)} answers, median {took_ms[len(took_ms) // 2]:.1f} ms, p95 {p95:.1f} ms")


def test_fifty_raters_at_once(study_copy):
    took_ms = run_load(with_seats(study_copy(), 50, 6), 50, 5.0, 0.7)
    assert len(took_ms) > 100
    tell(took_ms)


@pytest.mark.slow
def test_fifty_raters_for_three_minutes(study_copy):
    took_ms = run_load(with_seats(study_copy(), 50, 40), 50, 180.0, 1.0)
    assert len(took_ms) > 3000
    tell(took_ms)


def keep_answering(served, seat, acknowledged, sent, stop):
    """Answer without a pause; what got no reply is sent again, with the same uuid, forever."""
    rater = served.rater(seat)
    rater.patience_s = 5.0
    state = rater.enter()
    while not stop.is_set() and state["step"] != "comment":
        if state["step"] != "trial":
            state = until_answered(lambda s=state: rater.go_on(s), stop)
            if state is None:
                return
            continue
        body = answer_body(state["trial"], random.choice(["left", "tie", "right"]))
        sent[body["uuid"]] = (rater.rater_id, body["trial"], body["response"])
        state = until_answered(lambda b=body: rater.state("answer", **b), stop)
        if state is None:
            return
        acknowledged.add(body["uuid"])


def until_answered(ask, stop):
    while not stop.is_set():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask()
        time.sleep(0.05)
    return None


def test_a_killed_server_has_every_acknowledged_answer(study_copy):
    folder = with_seats(study_copy(), 8, 60)
    served = start_process(folder)
    acknowledged, sent, stop = set(), {}, threading.Event()
    with ThreadPoolExecutor(8) as threads:
        jobs = [
            threads.submit(keep_answering, served, seat, acknowledged, sent, stop)
            for seat in range(8)
        ]
        for _ in range(3):
            before = len(acknowledged)
            wait_until(lambda n=before: len(acknowledged) > n + 40 or stop.is_set(), 20)
            served.process.send_signal(signal.SIGKILL)  # in the middle of posts
            served.process.wait()
            at_the_kill = set(acknowledged)
            stored = {e["uuid"] for e in read_events(folder) if e["event"] == "answer"}
            assert at_the_kill <= stored
            served = start_process(folder, port=served.port)
        wait_until(lambda: len(acknowledged) > len(at_the_kill) + 20, 20)
        stop.set()
        for job in jobs:
            job.result()
    served.process.terminate()
    served.process.communicate(timeout=20)
    trials = {t.trial_id: t for s in read_study(folder).seats for t in s.trials}
    kept = {(r.rater_id, r.trial_index): r.response for r in ratings_of(folder)}
    for name in acknowledged:
        rater, trial, response = sent[name]
        if trials[trial].kind != "practice":
            assert kept[rater, trials[trial].index] == response
    logged = [e for e in read_events(folder) if e["event"] == "answer"]
    assert len({e["trial_id"] for e in logged}) == len({e["uuid"] for e in logged})  # none doubled
    assert all(sent[e["uuid"]] == (e["rater_id"], e["trial_id"], e["response"]) for e in logged)


def test_an_answer_that_only_the_log_has_is_put_back(study_copy):
    """A crash between the two files leaves the log ahead, and perhaps half a line."""
    import sqlite3

    folder = study_copy()
    with serving_process(folder) as served:
        rater = served.rater(0)
        rater.to_the_end(rater.enter(), lambda trial: "right")
    with contextlib.closing(sqlite3.connect(folder / "ratings.sqlite")) as db:
        db.execute("DELETE FROM answers WHERE number > 6")
        db.commit()
    with open(folder / "events.jsonl", "ab") as log:
        log.write(b'{"event":"answer","uuid":"0000')
    with serving_process(folder) as served:
        assert served.rater(0).state("open")["step"] == "comment"
    assert len(ratings_of(folder)) == 8
    assert (folder / "events.jsonl").read_bytes().endswith(b"}\n")
