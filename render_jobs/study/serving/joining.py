# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer without a link of their own in, the token of a free seat out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from render_jobs.study.serving.journal import Turn, time_text
from render_jobs.study.serving.links import Keys, rater_name, token_hash

NEVER_OPENED_S: Final = 600.0  # a program that only looked at the link takes no seat for long


def take_seat(turn: Turn, keys: Keys, person: str, release_after_s: float) -> str | None:
    """The token for `person` (a hash, or "" for nobody known); None when every seat is taken.

    The same person gets the same seat again. A free seat is one that nobody ever joined or opened;
    then come those whose rater took the answers back, declined, left unfinished for
    `release_after_s`, or never loaded the page that the link led to.
    """
    if person:
        known = turn.row("SELECT seat, generation FROM raters WHERE person = ?", person)
        if known is not None:
            return keys.rater_token(known["seat"], known["generation"])
    row: Any = turn.row(
        "SELECT * FROM raters WHERE person IS NULL AND seen_at IS NULL "
        "AND replaced_at IS NULL ORDER BY seat"
    )
    if row is None:
        row = _abandoned(turn, release_after_s)
        if row is None:
            return None
        row = _renew(turn, keys, row)
    turn.run(
        "UPDATE raters SET person = ?, seen_at = ? WHERE rater_id = ?",
        person or "",
        turn.at,
        row["rater_id"],
    )
    turn.log("joined", row["rater_id"])
    return keys.rater_token(row["seat"], row["generation"])


def _abandoned(turn: Turn, release_after_s: float) -> Any:
    """The last rater on a seat that needs a new one, or None if there is none."""
    return turn.row(
        "SELECT * FROM raters WHERE finished_at IS NULL AND replaced_at IS NULL AND "
        "(deleted_at IS NOT NULL OR declined_at IS NOT NULL OR seen_at < ? "
        "OR (tab = '' AND seen_at < ?)) ORDER BY seen_at",
        _before(turn, release_after_s),
        _before(turn, NEVER_OPENED_S),
    )


def _before(turn: Turn, seconds: float) -> str:
    return time_text(datetime.fromisoformat(turn.at) - timedelta(seconds=seconds))


def _renew(turn: Turn, keys: Keys, row: Any) -> dict[str, Any]:
    """Close the old rater's session and put the next one on the seat."""
    turn.run("UPDATE raters SET replaced_at = ? WHERE rater_id = ?", turn.at, row["rater_id"])
    turn.log("replaced", row["rater_id"])
    seat, generation = row["seat"], row["generation"] + 1
    name = rater_name(seat, generation)
    turn.run(
        "INSERT INTO raters (rater_id, seat, generation, token_sha256) VALUES (?, ?, ?, ?)",
        name,
        seat,
        generation,
        token_hash(keys.rater_token(seat, generation)),
    )
    return {"rater_id": name, "seat": seat, "generation": generation}
