# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's folder in, out whether its log is whole: what a chain of hashes can tell.

It can't tell who wrote a line, nor find a change by somebody who links all later lines anew and
changes the database as well. A head that was noted elsewhere can: see `head` of `verify`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from exomni_core.errors import InputError
from render_jobs.study.serving.chain import START, Link, known_head, links
from render_jobs.study.serving.journal import DATABASE_FILE, EVENTS_FILE, open_database


@dataclass(frozen=True)
class Verdict:
    """What was found. problem: a sentence, "" when all is whole. chained_from: the first record
    that is linked, 0 for none. removed: records that raters took back. head: the last hash."""

    records: int
    chained_from: int
    removed: int
    head: str
    problem: str = ""
    notes: tuple[str, ...] = field(default_factory=tuple)


def verify(folder: Path, head: str = "") -> Verdict:
    """Check the log of a study. head: a hash of a record, noted earlier, that must be in it.

    Raises InputError where there is no log.
    """
    path = Path(folder) / EVENTS_FILE
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}); name the folder of a study that was served",
            field="folder",
        ) from error
    notes = []
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
        notes.append("the last line was cut short, as by a crash; nobody was told it was kept")
    chain = list(links(lines))
    first = next((link.number for link in chain if link.stated), 0)
    if first != 1 and chain:
        upto = first - 1 if first else len(chain)
        notes.append(
            f"records 1 to {upto} come from before the chain"
            + ("; its first link seals them as they were then" if first else ", nothing seals them")
        )
    problem = _broken(chain) or _unvouched(chain) or _cut(chain, Path(folder))
    if not problem and head and head not in {link.hash for link in chain}:
        problem = f"no record has the hash {head}: the log was rewritten, or cut before it"
    last = chain[-1].hash if chain else START
    removed = sum(link.is_stub for link in chain)
    return Verdict(len(chain), first, removed, last, problem, tuple(notes))


def _broken(chain: Sequence[Link]) -> str:
    """The first place where a line does not follow the one before."""
    before, number, seen = START, 0, False
    places = {link.hash: place for place, link in enumerate(chain, 1) if link.stated}
    for place, link in enumerate(chain, 1):
        if seen and not link.stated:
            return f"record {place} was inserted or changed: it has no link to the one before"
        if link.stated:
            seen = True
            if link.prev != before or link.number != number + 1:
                return _misplaced(place, number + 1, link, places)
            if not link.is_true:
                return f"record {place} was changed: its hash does not fit its content"
        before, number = link.hash, link.number
    return ""


def _misplaced(place: int, due: int, link: Link, places: dict[str, int]) -> str:
    if place != due or link.number > due:
        missing = (
            f"record {due}" if link.number == due + 1 else f"records {due} to {link.number - 1}"
        )
        if places.get(link.prev, 0) > place:
            return f"record {due} is not in its place: record {link.number} stands there"
        if link.number > due:
            return f"{missing} was removed" if link.number == due + 1 else f"{missing} were removed"
    if link.number < due:
        return f"record {place} was inserted, or stands in the wrong place: it says {link.number}"
    return f"a record before record {place} was changed, removed or inserted"


def _unvouched(chain: Sequence[Link]) -> str:
    """A stub that no rater's deletion speaks of."""
    vouched: set[int] = set()
    for link in chain:
        if b'"event":"deleted"' in link.line:
            told = json.loads(link.line)
            vouched.update(told.get("removed", ()) if told.get("event") == "deleted" else ())
    for link in chain:
        if link.is_stub and link.number not in vouched:
            return f"the content of record {link.number} was removed, and by no rater's wish"
    return ""


def _cut(chain: Sequence[Link], folder: Path) -> str:
    """Whether the database knows later records than the log, or the server found that once."""
    for link in chain:
        if b'"event":"gap"' in link.line:
            told = json.loads(link.line)
            if told.get("event") == "gap":
                return (
                    f"records before {link.number} were cut off: the log once had {told['known']}"
                )
    if not (folder / DATABASE_FILE).exists():
        return ""
    db = open_database(folder, read_only=True)
    try:
        known = known_head(db)
    finally:
        db.close()
    if known.number > len(chain):
        return f"records {len(chain) + 1} to {known.number} were cut off: the database knows them"
    if known.number and chain[known.number - 1].hash != known.hash:
        return f"the log was rewritten up to record {known.number}: the database knows another"
    return ""
