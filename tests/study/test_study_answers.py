# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rater gives is kept once, whole, in order, and for that rater alone."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
import stat

import pytest
from click.testing import CliRunner
from study_client import answer_body, request, serving, start_process

from exomni_core.errors import InputError
from render_jobs.cli import main
from render_jobs.study.exporting import safe_cell
from render_jobs.study.journal import read_events
from render_jobs.study.links import load_keys
from render_jobs.study.store import Store, export_ratings


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
    rows = export_ratings(served.folder)
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
    assert request(served.port, "GET", f"{rater.path}/sound/0.wav",
                   headers={"Range": "bytes=0-1"}).body == b"RI"  # fmt: skip
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
        served.server.store.study = served.server.study = _with_breaks(served.study, 3)
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
        kept = export_ratings(served.folder)
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
        assert export_ratings(served.folder)[0].response != "left"


def _with_breaks(study, every):
    from dataclasses import replace

    return replace(study, break_every=every)


def test_response_times_are_never_longer_than_the_server_saw(served):
    rater = served.rater(0)
    state = rater.enter()
    for _ in range(3):
        state = rater.go_on(state) if state["step"] == "ready" else state
        state = rater.answer(state, "left", rt_ms=3_600_000)
    assert export_ratings(served.folder)[0].rt_ms < 5000


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
    rows = export_ratings(served.folder)
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


def test_what_raters_write_stays_text(served, tmp_path):
    nasty = '=HYPERLINK("http://evil.example")<script>alert(1)</script>\x00\u202e\r\n,"x'
    rater = served.rater(0)
    rater.to_the_end(rater.enter())
    rater.state("finish", comment=nasty)
    admin = request(served.port, "GET", f"/admin/{served.admin_token}/progress")
    assert admin.headers["Content-Type"] == "application/json"
    assert "<script>" in admin.json["raters"][0]["comment"]  # data; the page puts it in as text
    page = request(served.port, "GET", f"/admin/{served.admin_token}")
    assert b"evil.example" not in page.body
    out = tmp_path / "out"
    done = run("export", str(served.folder), "-o", str(out))
    assert done.exit_code == 0, done.output
    with open(out / "ratings.csv", encoding="utf-8", newline="") as source:
        comments = [row["comment"] for row in csv.DictReader(source)]
    assert comments[-1].startswith("'=HYPERLINK")
    assert "\x00" not in comments[-1]
    for name in ("ratings.csv", "assignments.csv"):
        with open(out / name, encoding="utf-8", newline="") as source:
            for row in csv.reader(source):
                assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    assert rater.post("finish", comment="x" * 2001).status == 400


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "\tx", "\rx"])
def test_cells_that_would_run_are_quoted(text):
    assert safe_cell(text) == "'" + text
    assert safe_cell("a" + text) == "a" + text


def test_admin_sees_progress_and_no_outcome(served):
    rater = served.rater(2)
    state = rater.enter()
    for _ in range(4):
        state = rater.go_on(state) if state["step"] == "ready" else rater.answer(state, "right")
    told = request(served.port, "GET", f"/admin/{served.admin_token}/progress").json
    assert [(r["rater_id"], r["answered"], r["total"]) for r in told["raters"]] == [
        ("R01", 0, 8), ("R02", 0, 8), ("R03", 1, 8), ("R04", 0, 8)]  # fmt: skip
    text = json.dumps(told)
    assert "right" not in text
    assert "velvet" not in text


def test_newcomers_get_seats_and_are_known_by_a_hash(study_copy):
    folder = study_copy()
    with serving(folder, prolific_code="PDONE") as closed:
        link = f"/join/{closed.keys.join_token}"
        assert request(closed.port, "HEAD", link).status in (404, 405)
        assert request(closed.port, "GET", link).status == 404
    with serving(folder, join=True, prolific_code="PDONE") as served:
        seen = []
        for person in ("p1", "p2", "p1", "p3", "p4"):
            reply = request(served.port, "GET", f"{link}?PROLIFIC_PID={person}&SESSION_ID=s9")
            assert reply.status == 303
            seen.append(reply.headers["Location"].rpartition("/")[2])
        assert seen[0] == seen[2]
        assert len(set(seen)) == 4
        assert request(served.port, "GET", f"{link}?PROLIFIC_PID=p5").status == 503
        assert request(served.port, "GET", f"{link}?PROLIFIC_PID=p5").headers["Location"] is None
        rater = served.rater(1)
        rater.to_the_end(rater.enter())
        state = rater.state("finish", comment="")
        assert state["redirect"] == "https://app.prolific.com/submissions/complete?cc=PDONE"
        for path in folder.iterdir():
            assert path.is_dir() or b"SESSION" not in path.read_bytes()
    done = run("status", str(folder), "--prolific-id", "p2", "--json")
    assert [r["rater_id"] for r in json.loads(done.output)["raters"]] == ["R02"]
    assert "p2" not in (folder / "prolific.csv").read_text()


def test_a_seat_left_unfinished_is_given_anew(study_copy):
    folder = study_copy()
    with serving(folder, join=True) as served:
        for seat in range(4):
            served.server.store.join(f"person{seat}")
        rater = served.rater(0)
        state = rater.answer(rater.enter(), "tie")
        assert served.server.store.join("late") is None
        token = served.server.store.join("late", release_after_s=0.0)
        assert token == served.keys.rater_token(1, 1)  # the one silent for longest
        assert served.server.rater_of(token) == "R02.2"
        assert served.rater(1).state("open")["step"] == "replaced"
        assert rater.state("open")["trial"] == state["trial"]


def test_close_takes_no_more_answers_at_once(served):
    rater = served.rater(0)
    state = rater.enter()
    done = run("close", str(served.folder))
    assert done.exit_code == 0, done.output
    reply = rater.post("answer", **answer_body(state["trial"], "left"))
    assert reply.status == 403
    assert "closed" in reply.json["error"]
    assert rater.state("open")["step"] == "closed"
    assert [e["event"] for e in read_events(served.folder)][-2] == "closed"
    again = run("close", str(served.folder), "--json")
    assert json.loads(again.output)["closed_at"] in done.output


def test_secrets_are_the_keepers_alone(served):
    for name in ("raters.json", "events.jsonl"):
        assert stat.S_IMODE((served.folder / name).stat().st_mode) == 0o600
    everything = b"".join(
        p.read_bytes() for p in served.folder.iterdir() if p.is_file() and p.name != "raters.json"
    )
    for token in (served.keys.rater_token(0), served.admin_token):
        assert token.encode() not in everything
    assert load_keys(served.folder) == served.keys


def test_a_full_disk_loses_nothing_that_was_confirmed(served, monkeypatch):
    rater = served.rater(0)
    state = rater.enter()
    body = answer_body(state["trial"], "left")
    before = (served.folder / "events.jsonl").read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("render_jobs.study.journal.os.fsync", full)
        reply = rater.post("answer", **body)
    assert reply.status == 507
    assert (served.folder / "events.jsonl").read_bytes() == before
    assert answers_in(served.folder) == []
    assert rater.state("answer", **body)["trial"]["id"] != body["trial"]  # the page tries again
    assert [row[3] for row in answers_in(served.folder)] == [body["uuid"]]


def test_a_fault_harms_only_its_own_request(served):
    store = served.server.store

    def faulty(turn):
        turn.run("UPDATE raters SET comment = 'half'")
        turn.log("odd", "R01", value=float("nan"))  # no JSON

    with pytest.raises(ValueError, match="JSON"):
        store._do(faulty)
    assert store.state("R01")["step"] == "consent"
    assert all(row["comment"] == "" for row in store.progress())


def test_a_page_without_words_is_not_served(study_copy):
    from dataclasses import replace

    from render_jobs.study.plan import read_study, write_study

    folder = study_copy()
    write_study(replace(read_study(folder), page_languages=("en", "eo")), folder)
    done = run("serve", folder, "--port", 0)
    assert done.exit_code == 2
    assert "no words in 'eo'" in done.output


def test_one_server_for_a_study(served):
    with pytest.raises(InputError, match="served already"):
        Store(served.study, served.folder, served.keys)


def test_a_changed_study_is_not_served(study_copy):
    folder = study_copy()
    video = next((folder / "videos").iterdir())
    video.write_bytes(video.read_bytes() + b"\0")
    done = run("serve", str(folder), "--port", "0")
    assert done.exit_code == 2
    assert "was changed" in done.output
    folder = study_copy()
    plan = (folder / "study.json").read_text(encoding="utf-8")
    (folder / "study.json").write_text(plan.replace('"break_every": 20', '"break_every": 21'))
    done = run("serve", str(folder), "--port", "0")
    assert done.exit_code == 2
    assert "study.json was changed" in done.output


def test_a_taken_port_is_one_sentence(served, study_copy):
    done = run("serve", str(study_copy()), "--port", str(served.port))
    assert done.exit_code == 2
    assert done.output.startswith("Error: port: port")
    assert done.output.count("\n") == 1


def test_serve_says_where_and_ends_with_a_polite_kill(study_copy):
    folder = study_copy()
    served = start_process(folder)
    try:
        rater = served.rater(0)
        rater.answer(rater.enter(), "left")
        assert request(served.port, "GET", f"/admin/{served.admin_token}").status == 200
    finally:
        served.process.terminate()
        output, _ = served.process.communicate(timeout=20)
    assert served.process.returncode == 0
    assert output == ""
    log = (folder.parent / f"{folder.name}.log").read_text()
    assert "POST /r/…/answer 200" in log
    assert served.keys.rater_token(0) not in log
    assert served.admin_token not in log
    assert "127.0.0.1" not in log
    assert "Traceback" not in log
    done = run("links", str(folder), "--base-url", "https://x.org/s/")
    assert f"R01,https://x.org/s/r/{served.keys.rater_token(0)}\n" in done.output
