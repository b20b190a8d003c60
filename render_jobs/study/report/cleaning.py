# SPDX-License-Identifier: GPL-3.0-or-later
"""Rating rows in, those that count and who is excluded out, with answers oriented to a target.

The order of the steps is part of the definition: unanswered rows go first, then superseded ones,
then the main trials are `raw`; `clean` leaves out what the exclusion rules name.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exomni_core.errors import InputError
from render_jobs.study.ratings import Rating

WIN: Final = 1
TIE: Final = 0
LOSS: Final = -1


@dataclass(frozen=True)
class ExclusionRules:
    """When a rater or a rating is out of the `clean` analysis; the plan may set other values.

    catch_min: least share of catch trials a rater must pass. min_coverage: least share of a clip
    that must have been played, where the table tells it. min_complete: least share of a rater's
    main trials that must be answered, where their number is known. rt_at_least_video_length: an
    answer that came before its clip could have ended is out.
    """

    catch_min: float = 0.75
    min_coverage: float = 0.95
    min_complete: float = 0.8
    rt_at_least_video_length: bool = True

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any]) -> ExclusionRules:
        """The rules under a plan's `exclusion`; what it does not name keeps its default."""
        given = plan.get("exclusion", {})
        return cls(**{f.name: given[f.name] for f in fields(cls) if f.name in given})


DEFAULT_RULES: Final = ExclusionRules()


@dataclass(frozen=True)
class Cleaned:
    """What is left to analyse.

    raw: main ratings, nobody excluded. clean: those that also pass the rules. catch: rater ->
    (passed, total). excluded: rater -> why. The counts of rows tell where the others went;
    `low_coverage` and `too_fast` count raw ratings.
    """

    raw: tuple[Rating, ...]
    clean: tuple[Rating, ...]
    rows_read: int
    unanswered: int
    superseded: int
    too_fast: int
    low_coverage: int
    catch: Mapping[str, tuple[int, int]]
    excluded: Mapping[str, str] = field(default_factory=dict)


def clean_ratings(
    rows: Sequence[Rating],
    rules: ExclusionRules = DEFAULT_RULES,
    assigned: Mapping[str, int] | None = None,
) -> Cleaned:
    """Apply the cleaning steps in their fixed order.

    assigned: rater -> number of main trials in that rater's seat; without it nobody is out for an
    unfinished session.
    """
    answered = [row for row in rows if row.response]
    latest = _latest(answered)
    raw = tuple(row for row in latest if row.trial_kind == "main")
    catch = _catch_scores(latest)
    excluded = _excluded(raw, catch, rules, assigned or {})
    clean = tuple(row for row in raw if row.rater_id not in excluded and not _is_out(row, rules))
    return Cleaned(
        raw,
        clean,
        rows_read=len(rows),
        unanswered=len(rows) - len(answered),
        superseded=len(answered) - len(latest),
        too_fast=sum(map(_too_fast, raw)),
        low_coverage=sum(_unseen(row, rules) for row in raw),
        catch=catch,
        excluded=excluded,
    )


def _latest(rows: Iterable[Rating]) -> list[Rating]:
    """Of several answers to one trial the latest (equal times: the later row), in row order."""
    kept: dict[tuple[str, str, str], tuple[int, Rating]] = {}
    for place, row in enumerate(rows):
        # The kind keeps a main trial apart from a catch trial that shows the same pair.
        key = (row.rater_id, row.pair_id, row.trial_kind)
        before = kept.get(key)
        if before is None or row.moment >= before[1].moment:
            kept[key] = (place, row)
    return [row for _, row in sorted(kept.values(), key=lambda entry: entry[0])]


def _catch_scores(rows: Iterable[Rating]) -> dict[str, tuple[int, int]]:
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for row in rows:
        if row.trial_kind.startswith("catch"):
            total[row.rater_id] += 1
            passed[row.rater_id] += row.response == row.catch_expected
    return {rater: (passed[rater], total[rater]) for rater in sorted(total)}


def _excluded(
    raw: Iterable[Rating],
    catch: Mapping[str, tuple[int, int]],
    rules: ExclusionRules,
    assigned: Mapping[str, int],
) -> dict[str, str]:
    out: dict[str, str] = {}
    for rater, (passed, total) in catch.items():
        if Fraction(passed, total) < Fraction(str(rules.catch_min)):
            out[rater] = f"passed {passed} of {total} catch trials"
    done = Counter(row.rater_id for row in raw)
    for rater, count in assigned.items():
        least = math.ceil(Fraction(str(rules.min_complete)) * count)
        if 0 < done[rater] < least and rater not in out:
            out[rater] = f"answered {done[rater]} of {count} trials"
    return dict(sorted(out.items()))


def _is_out(row: Rating, rules: ExclusionRules) -> bool:
    return (rules.rt_at_least_video_length and _too_fast(row)) or _unseen(row, rules)


def _too_fast(row: Rating) -> bool:
    return row.rt_ms < row.video_ms


def _unseen(row: Rating, rules: ExclusionRules) -> bool:
    return row.coverage is not None and row.coverage < rules.min_coverage


# --- answers of one comparison, oriented ----------------------------------------------------------


@dataclass(frozen=True)
class Outcomes:
    """N ratings of one comparison, from the target's point of view.

    value: (N,) int8, WIN, TIE or LOSS of the target. rater, pair: (N,) indices into `raters`,
    `pairs`. left: (N,) bool, the answer was the left side; right likewise. target_left: (N,) bool,
    the target stood on the left.
    """

    target: str
    other: str
    value: NDArray[np.int8]
    rater: NDArray[np.intp]
    pair: NDArray[np.intp]
    raters: tuple[str, ...]
    pairs: tuple[str, ...]
    left: NDArray[np.bool_]
    right: NDArray[np.bool_]
    target_left: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """`target__vs__other`."""
        return f"{self.target}__vs__{self.other}"

    @property
    def score(self) -> NDArray[np.float64]:
        """(N,) 1 for a win, one half for a tie, 0 for a loss."""
        return (self.value + 1) / 2

    def table(self) -> NDArray[np.int64]:
        """(P, 3) counts of win, tie, loss of each pair."""
        counts = np.zeros((len(self.pairs), 3), np.int64)
        np.add.at(counts, (self.pair, 1 - self.value), 1)
        return counts


def orient(system_a: str, system_b: str, target: str) -> tuple[str, str]:
    """The pair as (target, other); without the target the alphabetically first counts as it."""
    if target in (system_a, system_b):
        return target, system_b if system_a == target else system_a
    first, second = sorted((system_a, system_b))
    return first, second


def outcomes(rows: Sequence[Rating], target: str) -> Outcomes:
    """The rows of one comparison as arrays. Raises InputError when they hold several.

    An answer belongs to the system that stood on the side it names, never to the side: sides are
    flipped between raters.
    """
    sides = {orient(row.system_a, row.system_b, target) for row in rows}
    if len(sides) != 1:
        raise InputError(f"ratings of {len(sides)} comparisons where one is needed")
    ours, other = sides.pop()
    raters = tuple(sorted({row.rater_id for row in rows}))
    pairs = tuple(sorted({row.pair_id for row in rows}))
    rater_index = {name: place for place, name in enumerate(raters)}
    pair_index = {name: place for place, name in enumerate(pairs)}
    return Outcomes(
        ours,
        other,
        value=np.array([_value(row, ours) for row in rows], np.int8),
        rater=np.array([rater_index[row.rater_id] for row in rows], np.intp),
        pair=np.array([pair_index[row.pair_id] for row in rows], np.intp),
        raters=raters,
        pairs=pairs,
        left=np.array([row.response == "left" for row in rows], np.bool_),
        right=np.array([row.response == "right" for row in rows], np.bool_),
        target_left=np.array([row.shown_left == ours for row in rows], np.bool_),
    )


def _value(row: Rating, target: str) -> int:
    if row.response == "tie":
        return TIE
    chosen = row.shown_left if row.response == "left" else row.shown_right
    return WIN if chosen == target else LOSS


def by_comparison(rows: Sequence[Rating], target: str) -> dict[str, list[Rating]]:
    """Rows by `target__vs__other`, names sorted.

    Within a comparison rows are sorted too, so that sums don't depend on the order of a file.
    """
    groups: dict[str, list[Rating]] = {}
    for row in sorted(rows, key=lambda row: (row.rater_id, row.pair_id)):
        ours, other = orient(row.system_a, row.system_b, target)
        groups.setdefault(f"{ours}__vs__{other}", []).append(row)
    return dict(sorted(groups.items()))
