# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rater gives is kept once, whole, in order, and for that rater alone."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from click.testing import CliRunner
from study_client import answer_body, request, serving

from render_jobs.cli.commands import main
from render_jobs.study.serving.exporting import ratings_of
from render_jobs.study.serving.journal import read_events


@pytest.fixture
def served(study_copy):
    with serving(study_copy(), completion_code="C0DE") as running:
        yield running


def run(verb, *arguments):
    return CliRunner().invoke(main, ["study", verb, *map(str, arguments)])


def answers_in(folder):
    with contextlib.closing(sqlite3.connect(folder / "ratings.sqlite")) as db:
        return db.execute("SELECT rater_id, trial_id, response, uuid FROM answers").fetchall()


def test_a_whole_session(served):
    rater = served.rater(0)
    state = rater.state("open", language="zh")
    assert (state["step"], state["language"]) == ("consent", "zh")
    assert state["text"] == served.study.consent["zh"]
    state = rater.state("language", language="en")
    assert state["text"] == served.study.consent["en"]
    state = rater.enter()
    seen = []
    while state["step"] != "comment":
        if state["step"] == "trial":
            seen.append(state["trial"]["id"])
            assert set(state["trial"]) == {"id", "practice", "files", "duration_ms", "again"}
            state = rater.answer(state, ("left", "tie", "right")[len(seen) % 3])
        else:
            assert state["step"] == "ready"
            state = rater.go_on(state)
    assert seen == [t.trial_id for t in served.study.seats[0].trials]
    assert rater.state("finish", comment="Fine.")["code"] == "C0DE"
    assert (
        rater.post("answer", **answer_body({"id": seen[-1], "duration_ms": 1}, "tie")).status == 403
    )
    rows = ratings_of(served.folder)
    assert len(rows) == 8
    assert [r.response for r in rows] == [("left", "tie", "right")[k % 3] for k in range(3, 11)]
    assert [r.trial_index for r in rows] == list(range(2, 10))
    assert all(r.coverage == 1 and r.plays == 1 and r.viewport == "1280x800" for r in rows)
    assert [r.comment for r in rows] == [""] * 7 + ["Fine."]
    mains = [r for r in rows if r.trial_kind == "main"]
    assert {r.pair_id for r in mains} == {p.pair_id for p in served.study.pairs}
    assert len({r.pair_id for r in rows}) == 8  # a catch trial never hides a main one
    assert [r.submitted_at for r in rows] == sorted({r.submitted_at for r in rows})


def test_the_sound_check_wants_what_was_said(served):
    rater = served.rater(0)
    rater.state("open")
    state = rater.state("consent", consent="yes", version=rater.state("open")["version"])
    first = request(served.port, "GET", f"{rater.path}/sound/0.wav")
    assert first.body[:4] == b"RIFF"
    assert len(first.body) > 60_000
    assert (
        request(
            served.port, "GET", f"{rater.path}/sound/0.wav", headers={"Range": "bytes=0-1"}
        ).body
        == b"RI"
    )
    state = rater.state("sound", digits="0000")
    assert (state["step"], state["heard"], state["attempt"]) == ("sound", False, 1)
    assert request(served.port, "GET", f"{rater.path}/sound/1.wav").body != first.body
    digits = served.keys.digits("R01", 1)
    assert rater.state("sound", digits=f" {' '.join(digits)} ")["step"] == "instructions"


def test_a_replayed_post_counts_once(served):
    rater = served.rater(0)
    body = answer_body(rater.enter()["trial"], "left")
    states = [rater.state("answer", **body) for _ in range(3)]
    assert states[0] == states[1] == states[2]
    rater.state("answer", **(body | {"response": "right"}))  # same uuid: the first counts
    assert [row[2] for row in answers_in(served.folder)] == ["left"]
    assert sum(e["event"] == "answer" for e in read_events(served.folder)) == 1


def test_another_raters_trial_and_answer_are_refused(served):
    first, second = served.rater(0), served.rater(1)
    state, other = first.enter(), second.enter()
    reply = second.post("answer", **answer_body(state["trial"], "left"))
    assert (reply.status, reply.json["error"]) == (403, "that trial is not yours")
    body = answer_body(state["trial"], "left")
    first.state("answer", **body)
    reply = second.post("answer", **(answer_body(other["trial"], "left") | {"uuid": body["uuid"]}))
    assert (reply.status, reply.json["error"]) == (403, "that answer is another rater's")
    later = served.study.seats[0].trials[5]
    ahead = {"id": later.trial_id, "duration_ms": 1000}
    assert first.post("answer", **answer_body(ahead, "left")).status == 403
    assert len(answers_in(served.folder)) == 1


def test_nothing_is_taken_without_consent(served):
    rater = served.rater(0)
    rater.state("open")
    trial = served.study.seats[0].trials[0]
    reply = rater.post("answer", **answer_body({"id": trial.trial_id, "duration_ms": 9}, "tie"))
    assert reply.status == 403
    assert rater.post("consent", consent="yes", version="000000000000").status == 403
    assert rater.state("open")["step"] == "consent"
    version = rater.state("open")["version"]
    assert rater.state("consent", consent="no")["step"] == "declined"
    assert rater.post("sound", digits="1").status == 403
    for path in (served.folder / "events.jsonl", *served.folder.glob("ratings.sqlite*")):
        assert b"1280x800" not in path.read_bytes()  # nothing is kept of who does not agree
    assert rater.go_on({"step": "declined"})["step"] == "consent"
    assert rater.state("consent", consent="yes", version=version)["step"] == "sound"


def test_a_correction_replaces_until_the_block_ends(study_copy):
    with serving(study_copy()) as served:
        served.server.shared.store.study = served.server.shared.study = _with_breaks(
            served.study, 3
        )
        rater = served.rater(0)
        state = rater.enter()
        for _ in range(2):  # practice
            state = rater.answer(state, "tie")
        state = rater.go_on(state)
        assert "previous" not in state
        state = rater.answer(state, "left")
        previous = state["previous"]
        assert previous["response"] == "left"
        state = rater.answer({"trial": previous}, "right", rt_ms=700)
        assert state["previous"]["response"] == "right"
        kept = ratings_of(served.folder)
        assert [r.response for r in kept] == ["right"]
        assert kept[0].plays == 2
        logged = [e["response"] for e in read_events(served.folder) if e["event"] == "answer"]
        assert logged == ["tie", "tie", "left", "right"]
        state = rater.answer(rater.answer(state, "tie"), "tie")
        assert state["step"] == "break"
        assert rater.state("open")["step"] == "break"  # closing the tab does not skip it
        assert rater.answer({"trial": previous}, "tie")["step"] == "break"
        state = rater.go_on(state)
        assert "previous" not in state
        assert rater.post("answer", **answer_body(previous, "left")).status == 403
        assert ratings_of(served.folder)[0].response != "left"


def _with_breaks(study, every):
    from dataclasses import replace

    return replace(study, break_every=every)


def test_response_times_are_never_longer_than_the_server_saw(served):
    rater = served.rater(0)
    state = rater.enter()
    for _ in range(3):
        state = rater.go_on(state) if state["step"] == "ready" else state
        state = rater.answer(state, "left", rt_ms=3_600_000)
    assert ratings_of(served.folder)[0].rt_ms < 5000


def test_a_second_tab_takes_over(served):
    first = served.rater(0)
    state = first.enter()
    second = served.rater(0)
    assert second.state("open")["trial"]["id"] == state["trial"]["id"]
    body = answer_body(state["trial"], "left")
    reply = first.post("answer", **body)
    assert (reply.status, reply.json["reason"]) == (409, "other_tab")
    second.state("answer", **body)  # what the first could not send, with its own uuid
    assert first.post("answer", **body).status == 200  # it is there: nothing to complain of
    assert len(answers_in(served.folder)) == 1


def test_clips_that_fail_come_again_at_the_end(served):
    rater = served.rater(0)
    state = rater.enter()
    for _ in range(2):
        state = rater.answer(state, "tie")
    state = rater.go_on(state)
    broken = state["trial"]["id"]
    state = rater.state("skip", trial=broken)
    assert state["trial"]["id"] != broken
    assert rater.state("skip", trial=broken)["trial"] == state["trial"]  # a repetition
    while not state["trial"]["again"]:
        state = rater.answer(state, "left")
    assert state["trial"]["id"] == broken
    assert rater.state("skip", trial=broken)["step"] == "comment"
    rater.state("finish", comment="")
    rows = ratings_of(served.folder)
    assert len(rows) == 8
    assert sorted(r.response for r in rows) == ["", *["left"] * 7]


def test_deleted_data_are_gone_from_every_file(served):
    for seat in (0, 1):
        rater = served.rater(seat)
        rater.to_the_end(rater.enter())
        if seat == 1:
            rater.state("finish", comment="keep me")
    rater = served.rater(0)
    rater.state("open")
    kept = answers_in(served.folder)
    assert rater.post("delete").status == 400  # not by accident
    assert rater.state("delete", confirm="delete")["step"] == "deleted"
    gone = [row[3] for row in kept if row[0] == "R01"]
    assert len(gone) == 10
    assert {row[0] for row in answers_in(served.folder)} == {"R02"}
    assert {e["rater_id"] for e in read_events(served.folder) if e["event"] == "answer"} == {"R02"}
    files = [p for p in served.folder.iterdir() if p.is_file()]
    assert any(p.suffix == ".sqlite" for p in files)
    for path in files:
        data = path.read_bytes()
        assert not any(uuid.encode() in data for uuid in gone), path
    assert rater.state("open")["step"] == "deleted"
    assert served.rater(1).state("open")["step"] == "finished"
    assert served.rater(1).post("delete", confirm="delete").status in (403, 409)


def test_an_answer_is_changed_ten_times_at_most(served):
    rater = served.rater(0)
    state = rater.enter()
    for _ in range(2):
        state = rater.answer(state, "tie")
    state = rater.answer(rater.go_on(state), "left")
    previous = state["previous"]
    for number in range(10):
        assert "changes_over" not in state
        state = rater.answer({"trial": previous}, ("right", "left")[number % 2])
    assert state["changes_over"]
    assert "previous" not in state
    size = (served.folder / "events.jsonl").stat().st_size
    for _ in range(3):
        reply = rater.post("answer", **answer_body(previous, "tie"))
        assert (reply.status, reply.json["reason"]) == (403, "changes")
        assert "the last one counts" in reply.json["error"]
    assert (served.folder / "events.jsonl").stat().st_size == size
    assert [r.response for r in ratings_of(served.folder)] == ["left"]
    assert "changes_over" not in rater.answer(state, "tie")  # the next one may be changed


def test_nobody_fills_the_log_with_repetitions(served):
    store = served.server.shared.store
    for _ in range(230):
        store.open_tab("R01", "tab", "en")
    logged = [e for e in read_events(served.folder) if e["event"] == "opened"]
    assert len(logged) == 200
    assert [e.get("last") for e in logged[-2:]] == [None, True]
    assert store.open_tab("R01", "tab", "en")["step"] == "consent"  # and the study goes on
