# SPDX-License-Identifier: GPL-3.0-or-later
"""A rater's seat and what is known of the session in, what the page shows next out. Pure.

The page never decides where a rater is: it shows what this module says, so closing the tab, a
second tab or a crash loses nothing. What goes to the page tells no system and no kind of trial
apart; that a trial is practice is all that it says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from render_jobs.study.plan import PLAIN_TITLE, Seat, Study, Trial

MOST_SKIPS: Final = 2  # a clip that fails again when it is offered at the end stays unanswered
MOST_CHANGES: Final = 10  # of one answer
RESPONSES: Final = ("left", "right", "tie")


@dataclass(frozen=True)
class Facts:
    """What is stored of a rater's session.

    answers: trial id -> the response that counts, in order of the first answer. blocks: trial id ->
    how many breaks had been taken at its first answer. skips: trial id -> how often it failed.
    changes: trial id -> how often its answer was changed.
    breaks: how many breaks are over.
    """

    rater_id: str
    seat: int
    language: str = ""
    consented: bool = False
    declined: bool = False
    sound_attempts: int = 0
    sound_passed: bool = False
    instructed: bool = False
    begun: bool = False
    breaks: int = 0
    finished: bool = False
    deleted: bool = False
    replaced: bool = False
    closed: bool = False
    answers: Mapping[str, str] = field(default_factory=dict)
    blocks: Mapping[str, int] = field(default_factory=dict)
    skips: Mapping[str, int] = field(default_factory=dict)
    changes: Mapping[str, int] = field(default_factory=dict)


def text_version(text: str) -> str:
    """What names a version of a text: 12 hex digits of its hash."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def is_practice(trial: Trial) -> bool:
    """Whether the trial only shows how it is done."""
    return trial.kind == "practice"


def current_trial(seat: Seat, facts: Facts) -> Trial | None:
    """The trial to show: the next without an answer; those that failed to load come last."""
    ordered = sorted(seat.trials, key=lambda trial: (not is_practice(trial), trial.index))
    open_trials = [trial for trial in ordered if trial.trial_id not in facts.answers]
    for trial in open_trials:
        if not facts.skips.get(trial.trial_id):
            return trial
    for trial in open_trials:
        if not is_practice(trial) and facts.skips[trial.trial_id] < MOST_SKIPS:
            return trial
    return None


def step(seat: Seat, facts: Facts, break_every: int) -> str:
    """The page to show: deleted, replaced, closed, finished, declined, consent, sound,
    instructions, trial, ready (practice is over), break or comment."""
    for name in ("deleted", "finished", "replaced", "closed", "declined"):
        if getattr(facts, name):
            return name
    for name, passed in (
        ("consent", facts.consented),
        ("sound", facts.sound_passed),
        ("instructions", facts.instructed),
    ):
        if not passed:
            return name
    trial = current_trial(seat, facts)
    if trial is None:
        return "comment"
    if is_practice(trial):
        return "trial"
    if not facts.begun and any(map(is_practice, seat.trials)):
        return "ready"
    return "break" if _met(seat, facts) // break_every > facts.breaks else "trial"


def may_answer(seat: Seat, facts: Facts, trial_id: str) -> bool:
    """Whether an answer to that trial is taken: the one on show, or one of the block at work."""
    shown = current_trial(seat, facts)
    if shown is not None and shown.trial_id == trial_id:
        return True
    return facts.blocks.get(trial_id) == facts.breaks


def page_state(study: Study, facts: Facts) -> dict[str, Any]:
    """What the page is told."""
    seat = study.seats[facts.seat]
    now = step(seat, facts, study.break_every)
    language = facts.language or study.page_languages[0]
    state: dict[str, Any] = {
        "step": now,
        "language": language,
        "languages": list(study.page_languages),
        "title": "" if study.title == PLAIN_TITLE else study.title,
        "progress": _progress(seat, facts),
    }
    if now == "consent":
        text = _text(study.consent, language)
        state |= {"text": text, "version": text_version(text)}
    elif now == "sound":
        state["attempt"] = facts.sound_attempts
    elif now in ("instructions", "trial"):
        state["text"] = _text(study.protocol, language)
    if now in ("instructions", "ready", "trial", "break"):
        state |= _clips(study, seat, facts, now)
    return state


def _clips(study: Study, seat: Seat, facts: Facts, now: str) -> dict[str, Any]:
    trial = current_trial(seat, facts)
    assert trial is not None
    told: dict[str, Any] = {"stimulus": study.stimulus, "audio": study.audio}
    if now == "trial":
        told["trial"] = _shown(trial) | {"again": bool(facts.skips.get(trial.trial_id))}
        after = current_trial(seat, _as_if_answered(facts, trial))
        if after is not None:
            told["next"] = _shown(after)
    else:
        told["next"] = _shown(trial)
    if now in ("trial", "break") and not is_practice(trial):
        before = _last_of_block(seat, facts)
        if before is not None and facts.changes.get(before.trial_id, 0) >= MOST_CHANGES:
            told["changes_over"] = True
        elif before is not None:
            told["previous"] = _shown(before) | {"response": facts.answers[before.trial_id]}
    return told


def _shown(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.trial_id,
        "practice": is_practice(trial),
        "files": dict(trial.stimulus.files),
        "duration_ms": trial.stimulus.duration_ms,
    }


def _as_if_answered(facts: Facts, trial: Trial) -> Facts:
    return replace(facts, answers={**facts.answers, trial.trial_id: "tie"})


def _last_of_block(seat: Seat, facts: Facts) -> Trial | None:
    known = {t.trial_id: t for t in seat.trials if not is_practice(t)}
    for trial_id in reversed(list(facts.answers)):
        if trial_id in known:
            return known[trial_id] if facts.blocks.get(trial_id) == facts.breaks else None
    return None


def _met(seat: Seat, facts: Facts) -> int:
    """Trials behind the rater, practice not counted."""
    return sum(
        not is_practice(t) and (t.trial_id in facts.answers or t.trial_id in facts.skips)
        for t in seat.trials
    )


def _progress(seat: Seat, facts: Facts) -> dict[str, int]:
    real = [t for t in seat.trials if not is_practice(t)]
    practice = [t for t in seat.trials if is_practice(t)]
    return {
        "done": sum(t.trial_id in facts.answers for t in real),
        "total": len(real),
        "practice_done": sum(t.trial_id in facts.answers for t in practice),
        "practice_total": len(practice),
    }


def _text(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language) or next(iter(texts.values()), "")
