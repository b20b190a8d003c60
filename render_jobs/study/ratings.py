# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of human A/B answers (CSV) in, `Rating` rows out, and back.

One row is what one rater answered to one trial. `system_a`/`system_b` is the pair as registered,
never the side on the screen; the sides stand in `shown_left`/`shown_right`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from exomni_core.errors import InputError
from exomni_core.storage.files import write_text
from exomni_core.storage.foreign import read_text
from render_jobs.study.plan import TRIAL_KINDS

RESPONSES: Final = ("left", "right", "tie", "")

_REQUIRED: Final = (
    "rater_id", "pair_id", "item_id", "language", "system_a", "system_b", "shown_left",
    "shown_right", "response", "trial_kind", "catch_expected", "trial_index", "rt_ms", "video_ms",
    "submitted_at",
)  # fmt: skip
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Rating:
    """One answer. `response`: the side that was called better, `tie`, or "" (never answered).

    catch_expected: the right answer of a catch trial, "" for main trials. trial_index: place in
    the rater's session, from 0. rt_ms: from the trial's showing to its answer. video_ms: length of
    the clip. submitted_at: ISO 8601, UTC when it names no zone; "" when unknown.
    coverage: share of the clip that was played, 0..1. plays, stalls: counts. hidden_ms: time the
    page was out of sight. None: not recorded.
    """

    rater_id: str
    pair_id: str
    item_id: str
    language: str
    system_a: str
    system_b: str
    shown_left: str
    shown_right: str
    response: str
    trial_kind: str
    catch_expected: str
    trial_index: int
    rt_ms: int
    video_ms: int
    submitted_at: str
    coverage: float | None = None
    plays: int | None = None
    stalls: int | None = None
    hidden_ms: int | None = None
    viewport: str = ""
    page_language: str = ""
    comment: str = ""

    @property
    def moment(self) -> datetime:
        """When the answer was given; an unknown time counts as earlier than any known one."""
        return _moment(self.submitted_at)


@dataclass(frozen=True)
class BadRow:
    """A row that can't be used: `line` in the file (the header is line 1), `field`, why."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.field}: {self.reason}"


COLUMNS: Final = tuple(f.name for f in fields(Rating))


def read_ratings(path: Path, bad: list[BadRow] | None = None) -> list[Rating]:
    """All rows of the CSV file, in its order; lines end and quotes work as in any spreadsheet.

    A row that can't be used is appended to `bad` and left out; without a list for them the first
    one raises InputError. Raises InputError when the file or one of the 15 required columns is
    missing. The optional columns (coverage and later) may be absent or empty.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"{path} can't be read ({reason}); name a ratings table in CSV") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[Rating] = []
    try:
        missing = [name for name in _REQUIRED if name not in (reader.fieldnames or ())]
        if missing:
            raise InputError(
                f"{path} line 1: the table lacks the column {', '.join(missing)}; name a "
                "ratings.csv as exorender study export writes it",
                field=missing[0],
            )
        for values in reader:
            row = _parse(values, reader.line_num)
            if isinstance(row, Rating):
                rows.append(row)
            elif bad is None:
                raise InputError(f"{path} {row}", field=row.field)
            else:
                bad.append(row)
    except csv.Error as error:
        raise InputError(f"{path} line {reader.line_num}: not a CSV table ({error})") from error
    return rows


def write_ratings(rows: Iterable[Rating], path: Path) -> None:
    """Write the rows as CSV with all columns, in one step; the same rows give the same bytes."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        values = (getattr(row, name) for name in COLUMNS)
        writer.writerow("" if value is None else value for value in values)
    write_text(path, out.getvalue())


class _RowError(Exception):
    """Why a row can't be used, and in which field."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _parse(values: Mapping[str | None, str | list[str] | None], line: int) -> Rating | BadRow:
    if None in values or None in values.values():
        return BadRow(line, "row", "it has more or fewer fields than the header")
    text = {str(name): str(value).strip() for name, value in values.items()}
    try:
        return _rating(text)
    except _RowError as problem:
        return BadRow(line, problem.field, str(problem))


def _rating(text: Mapping[str, str]) -> Rating:
    for name in ("rater_id", "pair_id", "system_a", "system_b", "shown_left", "shown_right"):
        if not text[name]:
            raise _RowError(name, "is empty")
    response, kind = text["response"].lower(), text["trial_kind"].lower()
    _one_of("response", response, RESPONSES)
    _one_of("trial_kind", kind, TRIAL_KINDS)
    expected = text["catch_expected"].lower()
    if kind.startswith("catch"):
        _one_of("catch_expected", expected, RESPONSES[:3])
    if kind == "main":
        _check_sides(text)
    try:
        _moment(text["submitted_at"])
    except ValueError as error:
        raise _RowError("submitted_at", f"{text['submitted_at']!r} is no ISO time") from error
    unanswered = response == ""
    optional = {name: text.get(name, "") for name in COLUMNS[len(_REQUIRED) :]}
    return Rating(
        **{name: text[name] for name in _REQUIRED[:8]},
        response=response,
        trial_kind=kind,
        catch_expected=expected,
        trial_index=_whole(text, "trial_index", may_lack=unanswered),
        rt_ms=_whole(text, "rt_ms", may_lack=unanswered),
        video_ms=_whole(text, "video_ms", may_lack=unanswered),
        submitted_at=text["submitted_at"],
        coverage=_number(optional, "coverage"),
        plays=_count(optional, "plays"),
        stalls=_count(optional, "stalls"),
        hidden_ms=_count(optional, "hidden_ms"),
        viewport=optional["viewport"],
        page_language=optional["page_language"],
        comment=optional["comment"],
    )


def _check_sides(text: Mapping[str, str]) -> None:
    registered = {text["system_a"], text["system_b"]}
    if len(registered) == 1:
        raise _RowError("system_b", "is the same as system_a in a main trial")
    for name in ("shown_left", "shown_right"):
        if text[name] not in registered:
            raise _RowError(name, f"{text[name]!r} is neither system_a nor system_b")
    if text["shown_left"] == text["shown_right"]:
        raise _RowError("shown_right", "is the same as shown_left in a main trial")


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        known = ", ".join(word or "empty" for word in allowed)
        raise _RowError(name, f"{value!r} is not one of: {known}")


def _number(text: Mapping[str, str], name: str) -> float | None:
    if not text[name]:
        return None
    try:
        value = float(text[name])
    except ValueError as error:
        raise _RowError(name, f"{text[name]!r} is no number") from error
    if not math.isfinite(value) or value < 0:
        raise _RowError(name, f"{text[name]!r} is no number of 0 or more")
    return value


def _count(text: Mapping[str, str], name: str) -> int | None:
    value = _number(text, name)
    return None if value is None else round(value)


def _whole(text: Mapping[str, str], name: str, *, may_lack: bool) -> int:
    value = _count(text, name)
    if value is None and not may_lack:
        raise _RowError(name, "is empty, though the trial was answered")
    return value or 0


def _moment(text: str) -> datetime:
    """Raises ValueError when `text` is neither empty nor an ISO time."""
    if not text:
        return _EARLIEST
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
