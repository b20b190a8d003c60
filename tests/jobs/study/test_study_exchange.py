# SPDX-License-Identifier: GPL-3.0-or-later
"""A study for other programs, and their result tables back as ratings."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner

from render_jobs.cli.commands import main
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import read_ratings


def run(verb, *arguments):
    return CliRunner().invoke(main, ["study", verb, *map(str, arguments)])


def write_table(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_jspsych_gets_timelines_and_gives_ratings_back(small_study, tmp_path):
    out = tmp_path / "js"
    done = run("export", small_study, "-o", out, "--as", "jspsych")
    assert done.exit_code == 0, done.output
    study = read_study(small_study)
    texts = "".join(p.read_text(encoding="utf-8") for p in out.iterdir() if p.is_file())
    assert not any(word in texts for word in (*study.systems, "catch", "expected", "desync"))
    rows = []
    for seat in study.seats:
        timeline = json.loads((out / f"timeline-{seat.number + 1}.json").read_text("utf-8"))
        assert len(timeline) == len(seat.trials)
        for number, step in enumerate(timeline):
            assert (out / step["stimulus"][0]).is_file()
            assert step["choices"][1] == "No difference"
            rows.append({
                "rt": 2500 + number, "stimulus": json.dumps(step["stimulus"]),
                "response": number % 3,
                "trial_type": "video-button-response", "trial_index": number + 1,
                "time_elapsed": 1, "trial_id": step["data"]["trial_id"],
                "rater_id": f"R{seat.number + 1:02d}",
            })  # fmt: skip
    rows.insert(0, rows[0] | {"trial_type": "html-button-response", "response": "0"})
    table = write_table(tmp_path / "data.csv", rows)
    done = run("import", small_study, table, "--from", "jspsych", "-o", tmp_path / "r.csv")
    assert done.exit_code == 0, done.output
    ratings = read_ratings(tmp_path / "r.csv")
    assert len(ratings) == 32
    third = next(r for r in ratings if r.rater_id == "R01" and r.trial_index == 2)
    trial = study.seats[0].trials[2]
    assert (third.response, third.rt_ms) == ("right", 2502)
    assert (third.shown_left, third.shown_right) == (trial.left, trial.right)
    by_file = [{k: v for k, v in row.items() if k != "trial_id"} for row in rows]
    table = write_table(tmp_path / "plain.csv", by_file)
    done = run("import", small_study, table, "--from", "jspsych", "-o", tmp_path / "p.csv")
    assert done.exit_code == 0, done.output
    mains = [
        {(r.rater_id, r.pair_id, r.shown_left, r.response) for r in rows if r.trial_kind == "main"}
        for rows in (ratings, read_ratings(tmp_path / "p.csv"))
    ]
    assert mains[0] == mains[1]


def test_webmushra_gets_a_config_and_gives_ratings_back(small_study, tmp_path):
    out = tmp_path / "wm"
    done = run("export", small_study, "-o", out, "--as", "webmushra")
    assert done.exit_code == 0, done.output
    study = read_study(small_study)
    text = (out / "study.yaml").read_text(encoding="utf-8")
    assert text.count("type: paired_comparison") == 6
    assert "unforced" in text
    assert "- random" in text
    assert not any(name in text for name in study.systems)
    with open(out / "recordings.csv", encoding="utf-8", newline="") as source:
        recordings = list(csv.DictReader(source))
    assert [r["system"] for r in recordings] == [study.target, "copper_heron"] * 6
    answers = ("correct", "incorrect", "undecided")
    rows = [
        {"session_test_id": "study", "rater_id": f"P{rater}", "trial_id": f"pair_{k + 1:03d}",
         "choice_reference": "a", "choice_non_reference": "b", "choice_answer": answers[k % 3],
         "choice_time": "4200", "choice_comment": ""}
        for rater in range(2) for k in range(6)
    ]  # fmt: skip
    rows.append(rows[0] | {"trial_id": "pair_999"})
    rows.append(rows[0] | {"choice_answer": "perhaps"})
    rows.append(rows[0] | {"rater_id": ""})
    table = write_table(tmp_path / "paired_comparison.csv", rows)
    done = run("import", small_study, table, "--from", "webmushra", "-o", tmp_path / "r.csv")
    assert done.exit_code == 1  # some rows were no use
    assert done.stderr.count("Note: ") == 3
    assert "line 14, trial_id" in done.stderr
    ratings = read_ratings(tmp_path / "r.csv")
    assert len(ratings) == 12
    assert [r.response for r in ratings[:3]] == ["left", "right", "tie"]
    assert {r.shown_left for r in ratings} == {study.target}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00\x01", '"unclosed\n'])
def test_a_table_of_something_else_is_one_sentence(small_study, tmp_path, text):
    table = tmp_path / "other.csv"
    table.write_text(text)
    for form in ("webmushra", "jspsych"):
        done = run("import", small_study, table, "--from", form, "-o", tmp_path / "r.csv")
        assert done.exit_code == 2
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert not (tmp_path / "r.csv").exists()


def test_status_and_export_before_the_first_answer(small_study, tmp_path):
    for done in (
        run("status", small_study),
        run("export", small_study, "-o", tmp_path / "x"),
        run("close", small_study),
    ):
        assert done.exit_code == 2
        assert "has no answers yet" in done.stderr
    assert not (small_study / "ratings.sqlite").exists()
    done = run("links", small_study, "--base-url", "nonsense")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
