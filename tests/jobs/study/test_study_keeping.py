# SPDX-License-Identifier: GPL-3.0-or-later
"""What the study's keeper starts, sees, hands out and takes away."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
import stat
import threading
import time

import pytest
from click.testing import CliRunner
from study_client import answer_body, request, serving, start_process

from exomni_core.errors import InputError
from render_jobs.cli.commands import main
from render_jobs.study.serving.journal import read_events
from render_jobs.study.serving.links import load_keys
from render_jobs.study.serving.store import Store
from render_jobs.study.tables import safe_cell


@pytest.fixture
def served(study_copy):
    with serving(study_copy(), completion_code="C0DE") as running:
        yield running


def run(verb, *arguments):
    return CliRunner().invoke(main, ["study", verb, *map(str, arguments)])


def answers_in(folder):
    with contextlib.closing(sqlite3.connect(folder / "ratings.sqlite")) as db:
        return db.execute("SELECT rater_id, trial_id, response, uuid FROM answers").fetchall()


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
            served.server.shared.store.join(f"person{seat}")
        rater = served.rater(0)
        state = rater.answer(rater.enter(), "tie")
        assert served.server.shared.store.join("late") is None
        token = served.server.shared.store.join("late", release_after_s=0.0)
        assert token == served.keys.rater_token(1, 1)  # the one silent for longest
        assert served.server.shared.rater_of(token) == "R02.2"
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
    for name in ("raters.json", "events.jsonl", "ratings.sqlite"):
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
        patch.setattr("render_jobs.study.serving.journal.os.fsync", full)
        reply = rater.post("answer", **body)
    assert reply.status == 507
    assert (served.folder / "events.jsonl").read_bytes() == before
    assert answers_in(served.folder) == []
    assert rater.state("answer", **body)["trial"]["id"] != body["trial"]  # the page tries again
    assert [row[3] for row in answers_in(served.folder)] == [body["uuid"]]


def test_a_fault_harms_only_its_own_request(served):
    store = served.server.shared.store

    def faulty(turn):
        turn.run("UPDATE raters SET comment = 'half'")
        turn.log("odd", "R01", value=float("nan"))  # no JSON

    with pytest.raises(ValueError, match="JSON"):
        store._do(faulty)
    assert store.state("R01")["step"] == "consent"
    assert all(row["comment"] == "" for row in store.progress())


def test_what_comes_just_before_a_deletion_is_deleted_too(served):
    journal, gate = served.server.shared.store._journal, threading.Event()

    def delete(turn):
        journal.forget("R01", turn.at)

    changes = (
        lambda _: gate.wait(10.0),  # the next ones wait together, so they are written together
        lambda turn: turn.log("answer", "R01", uuid="gone"),
        lambda turn: turn.log("answer", "R02", uuid="kept"),
        delete,
    )
    threads = []
    for number, change in enumerate(changes):
        threads.append(threading.Thread(target=journal.write, args=(change,)))
        threads[-1].start()
        while journal._jobs.qsize() != number:  # the first is at work
            time.sleep(0.01)
    gate.set()
    for thread in threads:
        thread.join(10.0)
    told = [(e["event"], e["rater_id"], e.get("uuid")) for e in read_events(served.folder)]
    assert told == [("answer", "R02", "kept"), ("deleted", "R01", None)]


def test_a_page_without_words_is_not_served(study_copy):
    from dataclasses import replace

    from render_jobs.study.plan_file import read_study, write_study

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
