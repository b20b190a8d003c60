# SPDX-License-Identifier: GPL-3.0-or-later
"""Another program's file of answers in, its rows by column and who gave each answer out.

Tables as any spreadsheet saves them, and jsPsych's JSON: one list of trials, a list for each
rater, or one list on each line. Columns go by name, in any case and with any punctuation.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.formats.table import parse_table, squeezed, table_text
from exomni_core.storage.foreign import parse_json

# Columns that name a person, squeezed, the surest first: ours, Prolific's, MTurk's, jsPsych's.
_PEOPLE: Final = (
    "raterid", "rater", "prolificpid", "prolificid", "prolificparticipantid", "workerid",
    "mturkworkerid", "jatosworkerid", "participantid", "participant", "participantcode",
    "subjectid", "subject", "subjectcode", "userid", "user", "respondentid", "respondent",
    "personid", "pid",
)  # fmt: skip
# Columns that name one run of a person: they serve where no person is named.
_RUNS: Final = ("runid", "sessionuuid", "sessionid", "studyresultid", "assignmentid", "uuid")
Row = Mapping[str, str]


def read_rows(source: Path) -> list[tuple[int, Row]]:
    """(line or number of the trial, row by squeezed column) for each row; InputError in a sentence.

    A column that stands twice keeps its first cell that is not empty.
    """
    try:
        text = table_text(source)
    except InputError as error:
        raise InputError(f"{error}; name a result table") from error
    if text.lstrip().startswith(("[", "{")):
        return [
            (number, _row(trial.items())) for number, trial in enumerate(_trials(text, source), 1)
        ]
    table = parse_table(text, str(source))
    rows = zip(table.lines, table.rows, strict=True)
    return [(line, _row(zip(table.header, row, strict=False))) for line, row in rows]


def cell(row: Row, name: str) -> str:
    """The text in a column, however the file spells its name; "" where there is none."""
    return row.get(squeezed(name), "")


def rater_of(row: Row) -> str:
    """Who gave the answer; "" if no column tells."""
    named = (row[name].strip() for name in (*_PEOPLE, *_RUNS) if row.get(name, "").strip())
    return next(named, "")


class Raters:
    """Keeps watch that one rater's answers are one person's.

    Several people under one name would be merged without a word; so a name that answers several
    seats, or stands for several people in another column, stops the import.
    """

    def __init__(self, source: Path) -> None:
        self._source = source
        self._seats: dict[str, set[int]] = {}
        self._others: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._answers: dict[str, Counter[str]] = defaultdict(Counter)
        self._again: dict[str, set[str]] = defaultdict(set)

    def repeats(self, rater: str, trial: str, row: Row, seats: set[int], most: int = 1) -> bool:
        """Note an answer; whether the rater has given `most` answers to this trial before.

        seats: those that show the trial; empty where the study has none.
        """
        if seats:
            self._seats[rater] = self._seats.get(rater, seats) & seats
        for name in _PEOPLE:
            if row.get(name, "").strip():
                self._others[rater, name].add(row[name].strip())
        self._answers[rater][trial] += 1
        if self._answers[rater][trial] > most:
            self._again[rater].add(trial)
        return trial in self._again[rater]

    def check(self) -> None:
        """InputError if a rater is surely several people."""
        for rater, seats in self._seats.items():
            if not seats:
                raise self._error(rater, "answers trials of several seats")
        for (rater, name), others in self._others.items():
            if len(others) > 1:
                raise self._error(rater, f"stands for {len(others)} people in the column {name}")
        for rater, answers in self._answers.items():
            again = len(self._again[rater])
            if again > 1 and again > len(answers) / 2:
                raise self._error(rater, f"answers {again} of {len(answers)} trials again")

    def _error(self, rater: str, what: str) -> InputError:
        return InputError(
            f"{self._source}: the rater {rater!r:.60} {what}; give each person a name of their own "
            "in a column rater_id (or PROLIFIC_PID, workerId, participant_id, subject_id)",
            field="rater_id",
        )


def _row(cells: Any) -> Row:
    row: dict[str, str] = {}
    for name, value in cells:
        key = squeezed(str(name))
        if key and not row.get(key):
            row[key] = value if isinstance(value, str) else _text(value)
    return row


def _text(value: Any) -> str:
    """A value of JSON as its cell in a table would be."""
    if value is None:
        return ""
    return str(value) if isinstance(value, (int, float)) else json.dumps(value, ensure_ascii=False)


def _trials(text: str, source: Path) -> Iterator[dict[str, Any]]:
    try:
        try:
            data = parse_json(text)
        except json.JSONDecodeError:
            data = [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise InputError(f"{source} is broken JSON; name a result table") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} can't be used ({error}); name a result table") from error
    return _flat(data, 0)


def _flat(data: Any, depth: int) -> Iterator[dict[str, Any]]:
    """The trials in lists, lists of lists, and objects that hold one under `data` or `trials`."""
    if isinstance(data, list) and depth < 5:
        for one in data:
            yield from _flat(one, depth + 1)
    elif isinstance(data, dict):
        inner = next((data[k] for k in ("trials", "data") if isinstance(data.get(k), list)), None)
        if inner is None:
            yield data
            return
        # What is said of the whole run, such as its rater, holds for each of its trials.
        around = {k: v for k, v in data.items() if not isinstance(v, (list, dict))}
        for trial in _flat(inner, depth + 1):
            yield {**around, **trial}
