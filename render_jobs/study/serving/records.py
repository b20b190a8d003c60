# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of `ratings.sqlite` in, what is known of a session out, and answers the other way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from render_jobs.study.serving.journal import Turn, read_events
from render_jobs.study.serving.session import Facts

MOST_TOLD: Final = 200
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS raters (
  rater_id TEXT PRIMARY KEY, seat INTEGER NOT NULL, generation INTEGER NOT NULL,
  token_sha256 TEXT NOT NULL UNIQUE, language TEXT NOT NULL DEFAULT '', tab TEXT NOT NULL DEFAULT '',
  browser TEXT NOT NULL DEFAULT '', viewport TEXT NOT NULL DEFAULT '', person TEXT,
  consent_version TEXT, consented_at TEXT, declined_at TEXT, sound_attempts INTEGER NOT NULL DEFAULT 0,
  sound_at TEXT, instructed_at TEXT, begun_at TEXT, breaks INTEGER NOT NULL DEFAULT 0,
  finished_at TEXT, deleted_at TEXT, replaced_at TEXT, seen_at TEXT, comment TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS answers (
  number INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, rater_id TEXT NOT NULL,
  trial_id TEXT NOT NULL, response TEXT NOT NULL, rt_ms INTEGER NOT NULL, coverage REAL NOT NULL,
  viewport TEXT NOT NULL, block INTEGER NOT NULL, submitted_at TEXT NOT NULL, timing TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS answers_by_rater ON answers (rater_id, trial_id);
CREATE TABLE IF NOT EXISTS shown (
  rater_id TEXT NOT NULL, trial_id TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (rater_id, trial_id));
CREATE TABLE IF NOT EXISTS skips (
  number INTEGER PRIMARY KEY AUTOINCREMENT, rater_id TEXT NOT NULL, trial_id TEXT NOT NULL,
  at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS told (
  rater_id TEXT NOT NULL, event TEXT NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (rater_id, event));
"""  # noqa: E501


def read_facts(turn: Turn, row: Any) -> Facts:
    """What is stored of the session of a row of `raters`."""
    answers: dict[str, str] = {}
    blocks: dict[str, int] = {}
    changes: dict[str, int] = {}
    for one in turn.rows(
        "SELECT trial_id, response, block FROM answers WHERE rater_id = ? ORDER BY number",
        row["rater_id"],
    ):
        changes[one["trial_id"]] = changes.get(one["trial_id"], -1) + 1
        answers[one["trial_id"]] = one["response"]
        blocks.setdefault(one["trial_id"], one["block"])
    skips = turn.rows(
        "SELECT trial_id, COUNT(*) AS times FROM skips WHERE rater_id = ? GROUP BY trial_id",
        row["rater_id"],
    )
    return Facts(
        rater_id=row["rater_id"],
        seat=row["seat"],
        language=row["language"],
        consented=row["consented_at"] is not None,
        declined=row["declined_at"] is not None,
        sound_attempts=row["sound_attempts"],
        sound_passed=row["sound_at"] is not None,
        instructed=row["instructed_at"] is not None,
        begun=row["begun_at"] is not None,
        breaks=row["breaks"],
        finished=row["finished_at"] is not None,
        deleted=row["deleted_at"] is not None,
        replaced=row["replaced_at"] is not None,
        closed=is_closed(turn),
        answers=answers,
        blocks=blocks,
        skips={one["trial_id"]: one["times"] for one in skips},
        changes=changes,
    )


def insert_answer(turn: Turn, row: dict[str, Any]) -> None:
    """Put an answer's row into the database."""
    values = row | {"timing": json.dumps(row["timing"], separators=(",", ":"))}
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    turn.run(f"INSERT INTO answers ({names}) VALUES ({marks})", *values.values())  # noqa: S608


def mend_from_log(turn: Turn, folder: Path) -> int:
    """Put answers into the database that only the log has; returns how many.

    The log is written first, so a crash between the two leaves such an answer.
    """
    known = {row["uuid"] for row in turn.rows("SELECT uuid FROM answers")}
    raters = {row["rater_id"] for row in turn.rows("SELECT rater_id FROM raters")}
    names = ("uuid", "rater_id", "trial_id", "response", "rt_ms", "coverage", "viewport", "block",
             "submitted_at", "timing")  # fmt: skip
    added = 0
    for event in read_events(folder):
        if event.get("event") != "answer" or event.get("uuid") in known:
            continue
        if event.get("rater_id") in raters and all(name in event for name in names):
            insert_answer(turn, {name: event[name] for name in names})
            known.add(event["uuid"])
            added += 1
    return added


def tell(turn: Turn, event: str, rater_id: str, **facts: Any) -> None:
    """Log what a rater may do any number of times: only so often, so that no log fills a disk.

    The last line that is logged says so: it has "last": true.
    """
    turn.run("INSERT INTO told VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
             rater_id, event)  # fmt: skip
    row = turn.row("SELECT times FROM told WHERE rater_id = ? AND event = ?", rater_id, event)
    times = int(row["times"]) if row is not None else 0
    if times <= MOST_TOLD:
        turn.log(event, rater_id, **facts, **({"last": True} if times == MOST_TOLD else {}))


def is_closed(turn: Turn) -> bool:
    """Whether `study close` has run."""
    return turn.row("SELECT 1 FROM meta WHERE name = 'closed_at'") is not None
