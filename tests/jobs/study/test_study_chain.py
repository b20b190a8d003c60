# SPDX-License-Identifier: GPL-3.0-or-later
"""`study verify`: a changed, removed, inserted or moved record of the log is named."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from study_client import serving

from render_jobs.cli.commands import main
from render_jobs.study.serving.chain import Head, linked
from render_jobs.study.serving.exporting import export_study, ratings_of
from render_jobs.study.serving.journal import Journal, append_event, read_events
from render_jobs.study.serving.verifying import verify

NUMBER = 9


def log_of(folder):
    return folder / "events.jsonl"


@pytest.fixture
def journal(tmp_path):
    """A folder whose log has nine records of two raters."""
    made = Journal(tmp_path, "")
    for k in range(NUMBER):
        made.write(lambda turn, k=k: turn.log("answer", f"R0{k % 2 + 1}", uuid=str(k)))
    made.close()
    return tmp_path


def edit(folder, change):
    lines = log_of(folder).read_bytes().splitlines(keepends=True)
    log_of(folder).write_bytes(b"".join(change(lines)))


def test_a_log_as_it_was_written_is_whole(journal):
    found = verify(journal)
    assert (found.records, found.chained_from, found.removed) == (NUMBER, 1, 0)
    assert found.problem == ""
    assert verify(journal, found.head).problem == ""
    assert "no record has the hash" in verify(journal, "0" * 64).problem
    assert [e["uuid"] for e in read_events(journal)] == [str(k) for k in range(NUMBER)]


@pytest.mark.parametrize(("change", "said"), [
    (lambda x: [*x[:3], x[3].replace(b':"3"', b':"4"'), *x[4:]], "record 4 was changed"),
    (lambda x: [x[0].replace(b"answer", b"ANSWER"), *x[1:]], "record 1 was changed"),
    (lambda x: [*x[:-1], x[-1].replace(b"R01", b"R02")], "record 9 was changed"),
    (lambda x: [*x[:3], *x[4:]], "record 4 was removed"),
    (lambda x: [*x[:3], *x[6:]], "records 4 to 6 were removed"),
    (lambda x: x[1:], "record 1 was removed"),
    (lambda x: [*x[:3], x[4], x[3], *x[5:]], "record 4 is not in its place: record 5 stands"),
    (lambda x: [*x[:3], x[1], *x[3:]], "record 4 was inserted"),
    (lambda x: [*x[:3], b'{"event":"answer"}\n', *x[3:]], "record 4 was inserted or changed"),
    (lambda x: [*x[:3], b"\n", *x[3:]], "record 4 was inserted or changed"),
    (lambda x: [*x[:3], *linked([b'{"event":"odd"}\n'], Head(3, "a" * 64))[0], *x[3:]],
     "before record 4 was changed"),
    (lambda x: x[:-2], "records 8 to 9 were cut off"),
    (lambda x: linked([b'{"event":"odd"}\n'] * NUMBER, Head())[0], "was rewritten"),
])  # fmt: skip
def test_what_was_done_to_it_is_named(journal, change, said):
    edit(journal, change)
    assert said in verify(journal).problem


def test_an_unfinished_last_line_is_no_harm(journal):
    with open(log_of(journal), "ab") as log:
        log.write(b'{"event":"ans')
    found = verify(journal)
    assert found.problem == ""
    assert "cut short" in found.notes[0]
    Journal(journal, "").close()
    assert verify(journal).notes == ()


def test_a_cut_is_remembered_when_the_server_goes_on(journal):
    edit(journal, lambda x: x[:5])
    again = Journal(journal, "")
    again.write(lambda turn: turn.log("answer", "R01", uuid="new"))
    again.close()
    assert "records before 6 were cut off: the log once had 9" in verify(journal).problem


def test_what_a_rater_takes_back_leaves_the_chain_whole(journal):
    again = Journal(journal, "")
    again.write(lambda turn: again.forget("R01", turn.at))
    again.close()
    found = verify(journal)
    assert (found.problem, found.removed, found.records) == ("", 5, NUMBER + 1)
    assert b'"rater_id":"R01","removed":[1,3,5,7,9]' in log_of(journal).read_bytes()
    assert {e["rater_id"] for e in read_events(journal) if e["event"] == "answer"} == {"R02"}
    stub = log_of(journal).read_bytes().splitlines(keepends=True)[0]
    edit(journal, lambda x: [x[0], stub.replace(b'"n":1', b'"n":2'), *x[2:]])
    assert verify(journal).problem


def test_an_old_log_goes_on_with_a_chain(study_copy, tmp_path):
    folder = study_copy()
    with serving(folder) as served:
        rater = served.rater(0)
        rater.to_the_end(rater.enter())
    plain = [json.dumps(event, separators=(",", ":")) + "\n" for event in without_chain(folder)]
    log_of(folder).write_text("".join(plain))
    old, ratings = log_of(folder).read_bytes(), ratings_of(folder)
    database_forgets(folder)
    found = verify(folder)
    assert (found.problem, found.chained_from) == ("", 0)
    assert "before the chain" in found.notes[0]
    with serving(folder):
        export_study(folder, tmp_path / "export")
    assert (tmp_path / "export" / "events.jsonl").read_bytes() == old
    assert ratings_of(folder) == ratings
    done = CliRunner().invoke(main, ["study", "close", str(folder)])
    assert done.exit_code == 0, done.output
    found = verify(folder)
    assert (found.problem, found.chained_from) == ("", len(plain) + 1)
    edit(folder, lambda x: [x[0].replace(b"opened", b"OPENED"), *x[1:]])
    assert "before record" in verify(folder).problem


def without_chain(folder):
    return [{k: v for k, v in e.items() if k != "chain"} for e in read_events(folder)]


def database_forgets(folder):
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(folder / "ratings.sqlite")) as db:
        db.execute("DROP TABLE journal_head")


def test_two_writers_make_one_chain(journal):
    from render_jobs.study.serving.journal import open_database

    first = Journal(journal, "")
    first.write(lambda turn: turn.log("answer", "R01", uuid="a"))
    db = open_database(journal)
    db.execute("BEGIN IMMEDIATE")
    append_event(journal, db, {"event": "closed", "rater_id": ""})
    db.execute("COMMIT")
    db.close()
    first.write(lambda turn: turn.log("answer", "R01", uuid="b"))
    first.close()
    assert (verify(journal).problem, verify(journal).records) == ("", NUMBER + 3)


def test_the_command_says_it(journal):
    done = CliRunner().invoke(main, ["study", "verify", str(journal)])
    assert done.exit_code == 0
    assert done.output == f"whole: {NUMBER} records\nhead: {verify(journal).head}\n"
    edit(journal, lambda x: x[:3])
    done = CliRunner().invoke(main, ["study", "verify", str(journal), "--json"])
    assert done.exit_code != 0
    assert json.loads(done.output)["whole"] is False
    done = CliRunner().invoke(main, ["study", "verify", str(journal.parent)])
    assert done.exit_code == 2
    assert "name the folder of a study" in done.output
