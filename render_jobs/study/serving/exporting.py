# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's folder in, its ratings, its progress and the files of an export out.

What leaves carries raters' codes only.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.files import write_bytes, write_text
from render_jobs.study.plan import STUDY_FILE, Pair, Study, Trial
from render_jobs.study.plan_file import read_study
from render_jobs.study.ratings import Rating, write_ratings
from render_jobs.study.serving.journal import (
    DATABASE_FILE,
    EVENTS_FILE,
    Turn,
    append_event,
    open_database,
    time_text,
)
from render_jobs.study.serving.links import load_keys
from render_jobs.study.serving.session import is_practice
from render_jobs.study.tables import safe_cell, table

_LAST_ANSWERS: Final = """
SELECT a.*, r.language, r.comment,
  a.number = (SELECT MAX(c.number) FROM answers c WHERE c.rater_id = a.rater_id) AS is_last
FROM answers a JOIN raters r USING (rater_id)
WHERE a.number = (SELECT MAX(b.number) FROM answers b
                  WHERE b.rater_id = a.rater_id AND b.trial_id = a.trial_id)
ORDER BY a.number
"""
_FAILED: Final = """
SELECT s.rater_id, s.trial_id, MAX(s.at) AS at, r.language
FROM skips s JOIN raters r USING (rater_id)
WHERE NOT EXISTS (SELECT 1 FROM answers a
                  WHERE a.rater_id = s.rater_id AND a.trial_id = s.trial_id)
GROUP BY s.rater_id, s.trial_id
"""


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The study's database, to read; InputError where nobody has served the study yet."""
    if not (Path(folder) / DATABASE_FILE).exists():
        raise InputError(
            f"{folder} has no answers yet; run: exorender study serve {folder}", field="folder"
        )
    db = open_database(folder, read_only=True)
    try:
        yield db
    finally:
        db.close()


def ratings_of(folder: Path) -> list[Rating]:
    """The answers that count (a correction replaces), practice left out, in order of time.

    A trial whose clip could not be loaded is a row with an empty response. The session's comment
    stands in the row of its last trial.
    """
    study = read_study(folder)
    with reading(folder) as db:
        answers = db.execute(_LAST_ANSWERS).fetchall()
        failed = db.execute(_FAILED).fetchall()
    pairs = {pair.pair_id: pair for pair in study.pairs}
    counted = {t.trial_id: t for s in study.seats for t in s.trials if not is_practice(t)}
    rows = [
        _answered(row, counted[row["trial_id"]], pairs)
        for row in answers
        if row["trial_id"] in counted
    ]
    rows += [
        _unanswered(row, counted[row["trial_id"]], pairs)
        for row in failed
        if row["trial_id"] in counted
    ]
    return sorted(rows, key=lambda one: one.submitted_at)


def progress_rows(db: sqlite3.Connection, study: Study) -> list[dict[str, Any]]:
    """How far each rater is. Nothing about what was answered."""
    real = {t.trial_id for seat in study.seats for t in seat.trials if not is_practice(t)}
    totals = {seat.number: sum(t.trial_id in real for t in seat.trials) for seat in study.seats}
    done: dict[str, int] = {}
    for row in db.execute("SELECT DISTINCT rater_id, trial_id FROM answers"):
        done[row["rater_id"]] = done.get(row["rater_id"], 0) + (row["trial_id"] in real)
    skipped = dict(db.execute("SELECT rater_id, COUNT(*) FROM skips GROUP BY rater_id").fetchall())
    rows = db.execute("SELECT * FROM raters ORDER BY seat, generation").fetchall()
    return [
        {
            "rater_id": row["rater_id"], "seat": row["seat"], "state": _stage(row),
            "answered": done.get(row["rater_id"], 0), "total": totals.get(row["seat"], 0),
            "failed_clips": skipped.get(row["rater_id"], 0), "language": row["language"],
            "last_seen": row["seen_at"], "comment": row["comment"],
        }
        for row in rows
    ]  # fmt: skip


def status_of(folder: Path) -> dict[str, Any]:
    """The progress of all raters and in sum."""
    study = read_study(folder)
    with reading(folder) as db:
        raters = progress_rows(db, study)
        closed = db.execute("SELECT value FROM meta WHERE name = 'closed_at'").fetchone()
    current = [r for r in raters if r["state"] not in ("replaced", "deleted")]
    return {
        "seats": len(study.seats),
        "finished": sum(r["state"] == "finished" for r in raters),
        "at_work": sum(r["state"] == "at work" for r in raters),
        "answered": sum(r["answered"] for r in current),
        "total": sum(r["total"] for r in current),
        "closed_at": closed["value"] if closed else None,
        "plan_sha256": study.plan_sha256,
        "raters": raters,
    }


def export_study(folder: Path, out: Path) -> dict[str, Any]:
    """Write ratings.csv, assignments.csv, events.jsonl and study.json to `out`; returns counts."""
    study = read_study(folder)
    ratings = [replace(one, comment=safe_cell(one.comment)) for one in ratings_of(folder)]
    with reading(folder) as db:
        raters = progress_rows(db, study)
    out.mkdir(parents=True, exist_ok=True)
    write_ratings(ratings, out / "ratings.csv")
    write_text(out / "assignments.csv", _assignments(study, raters, ratings))
    for name in (EVENTS_FILE, STUDY_FILE):
        if (source := Path(folder) / name).exists() and out.resolve() != Path(folder).resolve():
            write_bytes(out / name, source.read_bytes())
    return {"ratings": len(ratings), "raters": len({r.rater_id for r in ratings}), "out": str(out)}


def seats_of(folder: Path) -> list[tuple[int, int]]:
    """(seat, generation) of every rater whose link is good; also before the first `serve`."""
    study = read_study(folder)
    if not (Path(folder) / DATABASE_FILE).exists():
        return [(seat.number, 0) for seat in study.seats]
    with reading(folder) as db:
        rows = db.execute(
            "SELECT seat, generation FROM raters WHERE replaced_at IS NULL "
            "ORDER BY seat, generation"
        ).fetchall()
    return [(row["seat"], row["generation"]) for row in rows]


def rater_of_person(folder: Path, person: str) -> str:
    """The code of the rater whom a recruiting platform calls `person`; InputError if unknown."""
    hashed = load_keys(folder, make=False).person_hash(person)
    with reading(folder) as db:
        row = db.execute("SELECT rater_id FROM raters WHERE person = ?", (hashed,)).fetchone()
    if row is None:
        raise InputError("nobody of that id has come to this study", field="prolific-id")
    return str(row["rater_id"])


def close_study(folder: Path) -> str:
    """Take no more answers, also in a server that runs; returns since when."""
    read_study(folder)
    with reading(folder):
        pass
    db = open_database(folder)
    try:
        db.execute("BEGIN IMMEDIATE")
        turn = Turn(db, time_text(datetime.now(UTC)))
        known = turn.row("SELECT value FROM meta WHERE name = 'closed_at'")
        if known is None:
            append_event(folder, db, {"event": "closed", "at": turn.at, "rater_id": ""})
            turn.run("INSERT INTO meta VALUES ('closed_at', ?)", turn.at)
        db.execute("COMMIT")
    finally:
        db.close()
    return str(known["value"]) if known is not None else turn.at


def row_of(trial: Trial, pairs: Mapping[str, Pair]) -> Rating:
    """A row without an answer: which pair and sides a trial counts for.

    A catch trial counts for a pair of its own, so that it never replaces a main trial of the pair
    that its clip comes from.
    """
    pair = pairs.get(trial.pair_id) if trial.kind == "main" else None
    return Rating(
        rater_id="",
        pair_id=trial.pair_id,
        item_id=pair.item_id if pair else trial.pair_id.rpartition("__")[2],
        language=trial.language,
        system_a=pair.system_a if pair else trial.left,
        system_b=pair.system_b if pair else trial.right,
        shown_left=trial.left,
        shown_right=trial.right,
        response="",
        trial_kind=trial.kind,
        catch_expected=trial.expected,
        trial_index=trial.index,
        rt_ms=0,
        video_ms=trial.stimulus.duration_ms,
        submitted_at="",
    )


def _answered(row: Any, trial: Trial, pairs: Mapping[str, Pair]) -> Rating:
    timing = json.loads(row["timing"])
    return replace(
        row_of(trial, pairs),
        rater_id=row["rater_id"],
        response=row["response"],
        rt_ms=row["rt_ms"],
        submitted_at=row["submitted_at"],
        coverage=row["coverage"],
        plays=timing.get("plays"),
        stalls=timing.get("stalls"),
        hidden_ms=timing.get("hidden_ms"),
        viewport=row["viewport"],
        page_language=row["language"],
        comment=row["comment"] if row["is_last"] else "",
    )


def _unanswered(row: Any, trial: Trial, pairs: Mapping[str, Pair]) -> Rating:
    return replace(
        row_of(trial, pairs),
        rater_id=row["rater_id"],
        submitted_at=row["at"],
        page_language=row["language"],
    )


def _stage(row: Any) -> str:
    for column, name in (
        ("deleted_at", "deleted"),
        ("finished_at", "finished"),
        ("replaced_at", "replaced"),
        ("declined_at", "declined"),
        ("consented_at", "at work"),
        ("seen_at", "opened"),
    ):
        if row[column] is not None:
            return name
    return "not opened"


def _assignments(study: Study, raters: list[dict[str, Any]], ratings: list[Rating]) -> str:
    answered = {(r.rater_id, r.trial_index) for r in ratings if r.response}
    header = ("rater_id", "seat", "trial_index", "trial_id", "trial_kind", "pair_id", "language",
              "shown_left", "shown_right", "catch_expected", "video_ms", "answered")  # fmt: skip
    rows = [
        (rater["rater_id"], rater["seat"], t.index, t.trial_id, t.kind, t.pair_id, t.language,
         t.left, t.right, t.expected, t.stimulus.duration_ms,
         int((rater["rater_id"], t.index) in answered))
        for rater in raters if rater["state"] != "deleted"
        for t in study.seats[rater["seat"]].trials
    ]  # fmt: skip
    return table(header, rows)
