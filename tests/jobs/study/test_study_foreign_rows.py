# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of jsPsych and webMUSHRA as Prolific, MTurk and spreadsheets leave them."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner

from render_jobs.cli.commands import main
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import read_ratings


def answers(folder, column="PROLIFIC_PID", by_file=False):
    """jsPsych's rows for every seat of the study, one rater each."""
    rows = []
    for seat in read_study(folder).seats:
        for number, trial in enumerate(seat.trials):
            row = {
                "rt": 2500 + number,
                "stimulus": [f"videos/{trial.stimulus.files['both']}"],
                "response": number % 3,
                "trial_type": "video-button-response",
                column: f"person {seat.number}",
            }
            rows.append(row if by_file else row | {"trial_id": trial.trial_id})
    return rows


def as_table(rows, sep=","):
    names = list(rows[0])
    lines = [sep.join(names)]
    lines += [sep.join(str(r[n] if n != "stimulus" else r[n][0]) for n in names) for r in rows]
    return "\n".join(lines) + "\n"


@pytest.fixture
def imported(small_study, tmp_path):
    def run(data, name="data.csv", form="jspsych", encoding="utf-8"):
        (tmp_path / name).write_bytes(data.encode(encoding))
        verb = ["study", "import", small_study, tmp_path / name, "--from", form]
        done = CliRunner().invoke(main, [*map(str, verb), "-o", str(tmp_path / "r.csv")])
        ratings = read_ratings(tmp_path / "r.csv") if (tmp_path / "r.csv").exists() else []
        return done, ratings

    return run


def refused(done, words):
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert words in done.stderr


@pytest.mark.parametrize(
    "column",
    ["rater_id", "subject_id", "SubjectID", "PROLIFIC_PID", "prolific_pid", "Participant id",
     "participantId", "workerId", "WorkerId", "worker_id", "run_id", "session_uuid"],
)  # fmt: skip
def test_rater_columns_in_any_spelling(small_study, imported, column):
    done, ratings = imported(as_table(answers(small_study, column)))
    assert done.exit_code == 0, done.output
    seats = len(read_study(small_study).seats)
    assert {r.rater_id for r in ratings} == {f"person {k}" for k in range(seats)}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("sep", [";", "\t"])
def test_tables_of_spreadsheets(small_study, imported, encoding, sep):
    plain = imported(as_table(answers(small_study)))[1]
    done, ratings = imported(as_table(answers(small_study), sep), encoding=encoding)
    assert done.exit_code == 0, done.output
    assert ratings == plain


def test_json_in_each_of_its_shapes(small_study, imported):
    rows = answers(small_study)
    plain = imported(as_table(rows))[1]
    by_person = [[r for r in rows if r["PROLIFIC_PID"] == p]
                 for p in dict.fromkeys(r["PROLIFIC_PID"] for r in rows)]  # fmt: skip
    wrapped = [{"PROLIFIC_PID": run[0]["PROLIFIC_PID"],
                "trials": [{k: v for k, v in r.items() if k != "PROLIFIC_PID"} for r in run]}
               for run in by_person]  # fmt: skip
    for text in (
        json.dumps(rows),
        json.dumps(by_person),
        "\n".join(json.dumps(run) for run in by_person),
        "\n".join(json.dumps(row) for row in rows),
        json.dumps(wrapped),
    ):
        done, ratings = imported(text, "data.json")
        assert done.exit_code == 0, done.output
        assert ratings == plain
    for broken in ("[{", "{}", "[[[[[[[[[1]]]]]]]]]", '[{"trial_type": null}]'):
        refused(imported(broken, "data.json")[0], "data.json")


@pytest.mark.parametrize("by_file", [False, True])
def test_people_are_never_merged(small_study, imported, by_file):
    rows = answers(small_study, by_file=by_file)
    refused(imported(as_table([r | {"PROLIFIC_PID": "x"} for r in rows]))[0], "PROLIFIC_PID")
    nameless = [{k: v for k, v in r.items() if k != "PROLIFIC_PID"} for r in rows]
    done, ratings = imported(as_table(nameless))
    refused(done, "several seats")
    assert ratings == []


def test_two_people_on_one_seat_are_not_merged(small_study, imported):
    seat = [
        r | {"rater_id": "R01"} for r in answers(small_study) if r["PROLIFIC_PID"] == "person 0"
    ]
    other = [r | {"PROLIFIC_PID": "someone else"} for r in seat]
    refused(imported(as_table(seat + other))[0], "2 people in the column prolificpid")
    refused(imported(as_table(seat + seat))[0], "trials again")


def test_one_answer_given_twice_harms_only_itself(small_study, imported):
    rows = answers(small_study)
    plain = imported(as_table(rows))[1]
    last = next(r for r in reversed(rows) if r["trial_id"] == rows[-1]["trial_id"])
    done, ratings = imported(as_table([*rows, last | {"response": 0}]))
    assert done.exit_code == 1
    assert "answers this trial again" in done.stderr
    assert ratings == plain


def test_webmushra_with_semicolons_and_its_own_names(small_study, tmp_path, imported):
    rows = [
        {"session_test_id": "study", "session_uuid": f"u-{rater}", "trial_id": f"pair_{k + 1:03d}",
         "choice_answer": "correct", "choice_time": "4200,5", "choice_comment": ""}
        for rater in range(2) for k in range(6)
    ]  # fmt: skip
    with open(tmp_path / "w.csv", "w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    done, ratings = imported((tmp_path / "w.csv").read_text(), form="webmushra")
    assert done.exit_code == 0, done.output
    assert {r.rater_id for r in ratings} == {"u-0", "u-1"}
