# SPDX-License-Identifier: GPL-3.0-or-later
"""What raters do in, rows of `ratings.sqlite` and lines of `events.jsonl` out, for good.

Every method returns when its effect is on disk. The server's clock counts: `submitted_at` is when
an answer came in, and no response time may be longer than the server saw.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from exomni_core.errors import InputError
from render_jobs.study.plan import Study
from render_jobs.study.serving.exporting import progress_rows
from render_jobs.study.serving.joining import take_seat
from render_jobs.study.serving.journal import Journal, Turn
from render_jobs.study.serving.links import Keys, rater_name, token_hash
from render_jobs.study.serving.posts import (
    Answer,
    NotYoursError,
    OtherTabError,
    TooManyChangesError,
)
from render_jobs.study.serving.records import (
    SCHEMA,
    insert_answer,
    is_closed,
    mend_from_log,
    read_facts,
    tell,
)
from render_jobs.study.serving.session import (
    MOST_CHANGES,
    Facts,
    current_trial,
    may_answer,
    page_state,
    step,
)

RELEASE_AFTER_S: Final = 2 * 3600.0
T = TypeVar("T")


class Store:
    """One study's answers, open for writing. Raises InputError where the folder can't be used."""

    def __init__(self, study: Study, folder: Path, keys: Keys) -> None:
        self.study, self.folder, self.keys = study, Path(folder), keys
        self._journal = Journal(folder, SCHEMA)
        try:
            self._journal.write(self._prepare)
        except BaseException:
            self._journal.close()
            raise

    def close(self) -> None:
        """Finish what waits."""
        self._journal.close()

    def rater_of(self, token: str) -> str | None:
        """Whose link that is."""
        row = self._do(lambda turn: turn.row(
            "SELECT rater_id FROM raters WHERE token_sha256 = ?", token_hash(token)))  # fmt: skip
        return None if row is None else str(row["rater_id"])

    def state(self, rater_id: str) -> dict[str, Any]:
        """What the page shows this rater now."""
        return self._do(lambda turn: self._state(turn, rater_id))

    def open_tab(self, rater_id: str, tab: str, language: str) -> dict[str, Any]:
        """A tab takes over; returns the state. language: what the browser would like."""

        def change(turn: Turn) -> dict[str, Any]:
            facts = self._facts(turn, rater_id)
            wanted = language if language in self.study.page_languages else ""
            turn.run("UPDATE raters SET tab = ?, language = ?, seen_at = ? WHERE rater_id = ?",
                     tab, facts.language or wanted, turn.at, rater_id)  # fmt: skip
            tell(turn, "opened", rater_id)
            return self._state(turn, rater_id)

        return self._do(change)

    def set_language(self, rater_id: str, tab: str, language: str) -> dict[str, Any]:
        """The page's language from now on."""
        return self._step(rater_id, tab, "language", {"language": language}, language=language)

    def consent(
        self, rater_id: str, tab: str, version: str, *, browser: str, viewport: str
    ) -> dict[str, Any]:
        """The rater agrees to the consent text of that version; from now on things are kept."""

        def change(turn: Turn) -> dict[str, Any]:
            facts = self._guard(turn, rater_id, tab)
            if facts.consented:
                return self._state(turn, rater_id)
            if page_state(self.study, facts)["version"] != version:
                raise NotYoursError("the consent text has changed; load the page anew")
            turn.run("UPDATE raters SET consented_at = ?, consent_version = ?, browser = ?, "
                     "viewport = ? WHERE rater_id = ?",
                     turn.at, version, browser, viewport, rater_id)  # fmt: skip
            turn.log("consented", rater_id, version=version, language=facts.language,
                     browser=browser, viewport=viewport)  # fmt: skip
            return self._state(turn, rater_id)

        return self._do(change)

    def decline(self, rater_id: str, tab: str) -> dict[str, Any]:
        """The rater does not take part; nothing but that is kept."""

        def change(turn: Turn) -> dict[str, Any]:
            if not self._guard(turn, rater_id, tab).consented:
                turn.run("UPDATE raters SET declined_at = ? WHERE rater_id = ?", turn.at, rater_id)
                tell(turn, "declined", rater_id)
            return self._state(turn, rater_id)

        return self._do(change)

    def sound(self, rater_id: str, tab: str, digits: str) -> dict[str, Any]:
        """What the rater heard; the state has `heard`: whether that was right."""

        def change(turn: Turn) -> dict[str, Any]:
            facts = self._guard(turn, rater_id, tab)
            right = digits == self.keys.digits(rater_id, facts.sound_attempts)
            turn.run("UPDATE raters SET sound_attempts = sound_attempts + 1, sound_at = "
                     "COALESCE(sound_at, ?) WHERE rater_id = ?",
                     turn.at if right else None, rater_id)  # fmt: skip
            tell(turn, "sound", rater_id, attempt=facts.sound_attempts, heard=right)
            return self._state(turn, rater_id) | {"heard": right}

        return self._do(change)

    def go_on(self, rater_id: str, tab: str, from_step: str) -> dict[str, Any]:
        """The rater leaves instructions, ready or break, or declined (with another mind)."""

        def change(turn: Turn) -> dict[str, Any]:
            facts = self._guard(turn, rater_id, tab, also_declined=from_step == "declined")
            now = step(self.study.seats[facts.seat], facts, self.study.break_every)
            if now == from_step:  # else it is a repetition
                what = {"instructions": "instructed_at = ?", "ready": "begun_at = ?",
                        "break": "breaks = breaks + 1, seen_at = ?",
                        "declined": "declined_at = NULL, seen_at = ?"}[from_step]  # fmt: skip
                turn.run(f"UPDATE raters SET {what} WHERE rater_id = ?",  # noqa: S608 (ours)
                         turn.at, rater_id)  # fmt: skip
                tell(turn, "left", rater_id, step=from_step)
            return self._state(turn, rater_id)

        return self._do(change)

    def answer(self, rater_id: str, tab: str, answer: Answer) -> dict[str, Any]:
        """Keep an answer; a repetition of one (same uuid) changes nothing. Returns the state.

        Raises NotYoursError for a trial that is not on show, OtherTabError.
        """

        def change(turn: Turn) -> dict[str, Any]:
            known = turn.row("SELECT rater_id FROM answers WHERE uuid = ?", answer.uuid)
            if known is not None:
                if known["rater_id"] != rater_id:
                    raise NotYoursError("that answer is another rater's")
                return self._state(turn, rater_id)
            facts = self._guard(turn, rater_id, tab)
            seat = self.study.seats[facts.seat]
            if answer.trial_id not in {t.trial_id for t in seat.trials}:
                raise NotYoursError("that trial is not yours")
            if not (facts.consented and may_answer(seat, facts, answer.trial_id)):
                raise NotYoursError("that trial can't be answered now")
            if facts.changes.get(answer.trial_id, 0) >= MOST_CHANGES:
                raise TooManyChangesError(
                    f"this answer was changed {MOST_CHANGES} times, which is the most; the last "
                    "one counts"
                )
            row = self._answer_row(turn, facts, answer)
            insert_answer(turn, row)
            turn.log("answer", rater_id, **{k: v for k, v in row.items() if k != "rater_id"})
            return self._state(turn, rater_id)

        return self._do(change)

    def skip(self, rater_id: str, tab: str, trial_id: str) -> dict[str, Any]:
        """A clip can't be loaded: it is offered again at the end."""

        def change(turn: Turn) -> dict[str, Any]:
            facts = self._guard(turn, rater_id, tab)
            trial = current_trial(self.study.seats[facts.seat], facts)
            if trial is not None and trial.trial_id == trial_id:
                turn.run("INSERT INTO skips (rater_id, trial_id, at) VALUES (?, ?, ?)",
                         rater_id, trial_id, turn.at)  # fmt: skip
                turn.log("skipped", rater_id, trial_id=trial_id)
            return self._state(turn, rater_id)

        return self._do(change)

    def finish(self, rater_id: str, tab: str, comment: str) -> dict[str, Any]:
        """The rater is through; needs every trial answered or failed."""

        def change(turn: Turn) -> dict[str, Any]:
            row = self._row(turn, rater_id)
            if row["finished_at"] is None:
                facts = self._guard(turn, rater_id, tab)
                if step(self.study.seats[facts.seat], facts, self.study.break_every) != "comment":
                    raise NotYoursError("there are trials left to answer")
                turn.run("UPDATE raters SET finished_at = ?, comment = ? WHERE rater_id = ?",
                         turn.at, comment, rater_id)  # fmt: skip
                turn.log("finished", rater_id, comment=comment)
            return self._state(turn, rater_id)

        return self._do(change)

    def delete(self, rater_id: str, tab: str) -> dict[str, Any]:
        """Forget all that the rater gave, in both files; possible until the session's end."""

        def change(turn: Turn) -> dict[str, Any]:
            facts = self._guard(turn, rater_id, tab, also_declined=True)
            for table in ("answers", "shown", "skips"):
                turn.run(f"DELETE FROM {table} WHERE rater_id = ?", rater_id)  # noqa: S608 (ours)
            turn.run("UPDATE raters SET deleted_at = ?, comment = '', browser = '', viewport = '', "
                     "consented_at = NULL, consent_version = NULL, sound_at = NULL, tab = '' "
                     "WHERE rater_id = ?", turn.at, rater_id)  # fmt: skip
            self._journal.forget(rater_id, turn.at)
            return page_state(self.study, self._facts(turn, facts.rater_id))

        return self._do(change)

    def join(self, person: str, release_after_s: float = RELEASE_AFTER_S) -> str | None:
        """The token of the seat of a newcomer (the same for the same person); None: all taken.

        person: hash of who it is, or "". A seat whose rater left unfinished so long ago is given
        anew; what that rater answered stays, under the old code.
        """
        return self._do(lambda turn: take_seat(turn, self.keys, person, release_after_s))

    def progress(self) -> list[dict[str, Any]]:
        """How far each rater is; nothing about what was answered."""
        return self._do(lambda turn: progress_rows(turn.db, self.study))

    def is_closed(self) -> bool:
        """Whether `study close` has run."""
        return self._do(is_closed)

    # ------------------------------------------------------------------------------------------

    def _do(self, change: Callable[[Turn], T]) -> T:
        return self._journal.write(change)

    def _step(
        self, rater_id: str, tab: str, event: str, facts: dict[str, Any], **columns: Any
    ) -> dict[str, Any]:
        def change(turn: Turn) -> dict[str, Any]:
            self._guard(turn, rater_id, tab, also_declined=True)
            for name, value in columns.items():
                turn.run(f"UPDATE raters SET {name} = ? WHERE rater_id = ?",  # noqa: S608 (ours)
                         value, rater_id)  # fmt: skip
            tell(turn, event, rater_id, **facts)
            return self._state(turn, rater_id)

        return self._do(change)

    def _prepare(self, turn: Turn) -> None:
        """Put every seat's rater in, check that the plan is the one answered so far, mend."""
        sealed = turn.row("SELECT value FROM meta WHERE name = 'plan_sha256'")
        if sealed is not None and sealed["value"] != self.study.plan_sha256:
            raise InputError(
                f"{self.folder} holds answers to another plan; serve the study as it was"
            )
        turn.run("INSERT OR IGNORE INTO meta VALUES ('plan_sha256', ?)", self.study.plan_sha256)
        for seat in self.study.seats:
            turn.run("INSERT OR IGNORE INTO raters (rater_id, seat, generation, token_sha256) "
                     "VALUES (?, ?, 0, ?)", rater_name(seat.number), seat.number,
                     token_hash(self.keys.rater_token(seat.number)))  # fmt: skip
        mend_from_log(turn, self.folder)

    def _row(self, turn: Turn, rater_id: str) -> Any:
        row = turn.row("SELECT * FROM raters WHERE rater_id = ?", rater_id)
        if row is None:
            raise NotYoursError("there is no such rater")
        return row

    def _facts(self, turn: Turn, rater_id: str) -> Facts:
        return read_facts(turn, self._row(turn, rater_id))

    def _state(self, turn: Turn, rater_id: str) -> dict[str, Any]:
        """The state; remembers when a trial was first sent out."""
        state = page_state(self.study, self._facts(turn, rater_id))
        if "trial" in state:
            turn.run("INSERT OR IGNORE INTO shown VALUES (?, ?, ?)",
                     rater_id, state["trial"]["id"], turn.at)  # fmt: skip
        return state

    def _guard(self, turn: Turn, rater_id: str, tab: str, *, also_declined: bool = False) -> Facts:
        row = self._row(turn, rater_id)
        facts = read_facts(turn, row)
        for is_so, sentence in (
            (facts.closed, "the study is closed; no more answers are taken"),
            (facts.deleted, "your data were deleted; there is nothing more to do"),
            (facts.finished, "you are through; nothing can be changed any more"),
            (facts.replaced, "your place was given to somebody else after a long pause"),
            (facts.declined and not also_declined, "you did not agree to take part"),
        ):
            if is_so:
                raise NotYoursError(sentence)
        if row["tab"] != tab:
            raise OtherTabError("the study goes on in another tab or window")
        turn.run("UPDATE raters SET seen_at = ? WHERE rater_id = ?", turn.at, rater_id)
        return facts

    def _answer_row(self, turn: Turn, facts: Facts, answer: Answer) -> dict[str, Any]:
        """The row to keep: a correction counts its time and plays on top of the first answer's."""
        timing, rt_ms, coverage = dict(answer.timing), answer.rt_ms, answer.coverage
        before = turn.row("SELECT * FROM answers WHERE rater_id = ? AND trial_id = ? "
                          "ORDER BY number DESC", facts.rater_id, answer.trial_id)  # fmt: skip
        if before is not None:
            rt_ms += int(before["rt_ms"])
            coverage = max(coverage, float(before["coverage"]))
            old = json.loads(before["timing"])
            for name in ("plays", "stalls", "hidden_ms"):
                timing[name] = timing.get(name, 0) + old.get(name, 0)
            timing["correction"] = True
        shown = turn.row("SELECT at FROM shown WHERE rater_id = ? AND trial_id = ?",
                         facts.rater_id, answer.trial_id)  # fmt: skip
        if shown is not None:
            passed = datetime.fromisoformat(turn.at) - datetime.fromisoformat(shown["at"])
            rt_ms = min(rt_ms, passed // timedelta(milliseconds=1))
        return {
            "uuid": answer.uuid, "rater_id": facts.rater_id, "trial_id": answer.trial_id,
            "response": answer.response, "rt_ms": rt_ms, "coverage": round(coverage, 4),
            "viewport": answer.viewport,
            "block": facts.blocks.get(answer.trial_id, facts.breaks),
            "submitted_at": turn.at, "timing": timing,
        }  # fmt: skip
