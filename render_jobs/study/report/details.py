# SPDX-License-Identifier: GPL-3.0-or-later
"""Main ratings in; what a report shows beyond the main numbers out: prompts, order, times.

Also the sensitivity without ties, the ranking with a term for the left side, and intervals of the
ranking from a bootstrap over raters and items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from render_jobs.study.ratings import Rating
from render_jobs.study.report.cleaning import Outcomes, by_comparison, orient, outcomes
from render_jobs.study.report.ranking import Cell, fit_davidson, fit_davidson_order, systems_of
from render_jobs.study.report.significance import bootstrap_interval, cluster_test, holm
from render_jobs.study.report.tallies import LABELS, majority_labels

Facts = dict[str, Any]
_THIRDS: Final = 3
_RANKING_DRAWS: Final = 400
_BAD_DRAWS: Final = 0.05


def details(main: Sequence[Rating], target: str, seed: int = 0) -> Facts:
    """All of it for one set of ratings, as plain data."""
    groups = by_comparison(main, target)
    cluster_p = {}
    comparisons = {}
    for name, rows in groups.items():
        data = outcomes(rows, target)
        p = cluster_test(data.score, data.rater, data.pair).p
        if p is not None and name.startswith(f"{target}__vs__"):
            cluster_p[name] = p
        comparisons[name] = {
            "without_ties": without_ties(data, seed),
            "by_third": by_third(rows, data),
            "by_side": by_side(data),
            "pairs": pair_rows(rows, data),
        }
    return {
        "comparisons": comparisons,
        "holm_p_cluster_t": holm(cluster_p),
        "left_side": left_side(main, target),
        "ranking_bootstrap_ci95": ranking_bootstrap(main, target, seed),
        "response_times": response_times(main),
    }


def without_ties(data: Outcomes, seed: int = 0) -> Facts | None:
    """Win share of the untied ratings with the headline test; None when all are ties."""
    untied = data.value != 0
    if not untied.any():
        return None
    score, rater, pair = data.score[untied], data.rater[untied], data.pair[untied]
    rater, pair = (np.unique(index, return_inverse=True)[1] for index in (rater, pair))
    test = cluster_test(score, rater, pair)
    return {
        "n_ratings": int(untied.sum()),
        "share": test.mean,
        "p_cluster_t": test.p,
        "cluster_ci95_t": test.ci_t,
        "bootstrap_ci95": bootstrap_interval(score, rater, pair, seed),
    }


def by_third(rows: Sequence[Rating], data: Outcomes) -> list[Facts]:
    """Overall in the first, second and last third of the trial indices that occur."""
    index = np.array([row.trial_index for row in rows])
    cuts = np.quantile(index, [1 / 3, 2 / 3])
    third = np.digitize(index, cuts, right=True)
    return [_mean(data.score[third == part]) for part in range(_THIRDS)]


def by_side(data: Outcomes) -> Facts:
    """Overall where the target stood on the left, and where on the right."""
    left = data.target_left
    return {"left": _mean(data.score[left]), "right": _mean(data.score[~left])}


def _mean(score: NDArray[np.float64]) -> Facts:
    return {"n": len(score), "overall": float(score.mean()) if len(score) else None}


def pair_rows(rows: Sequence[Rating], data: Outcomes) -> list[Facts]:
    """One row per pair of videos: what it is, how it was judged, how many agree."""
    about = {row.pair_id: row for row in rows}
    table = data.table()
    labels, tied = majority_labels(table)
    return [
        {
            "pair_id": pair,
            "item_id": about[pair].item_id,
            "language": about[pair].language,
            **dict(zip(LABELS, map(int, counts), strict=True)),
            "label": LABELS[label],
            "modal_tie": bool(is_tied),
            "agree": float(counts.max() / counts.sum()),
        }
        for pair, counts, label, is_tied in zip(data.pairs, table, labels, tied, strict=True)
    ]


def left_side(main: Sequence[Rating], target: str) -> Facts | None:
    """Davidson's model with an advantage of the left side over all comparisons.

    log_advantage: added to the log strength of what stands on the left. None when it can't be had.
    """
    counts: Counter[tuple[str, str, int]] = Counter()
    for rows in by_comparison(main, target).values():
        data = outcomes(rows, target)
        for value, is_left in zip(data.value.tolist(), data.target_left.tolist(), strict=True):
            first = (data.target, data.other) if is_left else (data.other, data.target)
            counts[(*first, value if is_left else -value)] += 1
    sides = sorted({key[:2] for key in counts})
    cells = [Cell(a, b, counts[a, b, 1], counts[a, b, 0], counts[a, b, -1]) for a, b in sides]
    if len(cells) < 2 * len({frozenset(side) for side in sides}):
        return None  # some comparison stood one way round only: side and system are mixed up
    fit = fit_davidson_order(cells)
    if fit is None or fit.note:
        return None
    strengths = dict(zip(fit.systems, fit.log_strength.tolist(), strict=True))
    return {"log_advantage": fit.log_order, "log_strength": strengths}


def ranking_bootstrap(
    main: Sequence[Rating], target: str, seed: int = 0
) -> dict[str, list[float]] | None:
    """95 % percentile interval of each Davidson log strength; raters and items are drawn anew.

    Items are shared by comparisons, so all answers on an item stay together. None when no common
    scale exists, or when more than one draw in twenty has an infinite strength.
    """
    raters, rater = np.unique([row.rater_id for row in main], return_inverse=True)
    items, item = np.unique([row.item_id for row in main], return_inverse=True)
    names = [orient(row.system_a, row.system_b, target) for row in main]
    kinds = sorted(set(names))
    counts = np.zeros((len(kinds), 3, len(raters), len(items)))
    for row, (who, what, name) in enumerate(zip(rater, item, names, strict=True)):
        chosen = main[row].shown_left if main[row].response == "left" else main[row].shown_right
        outcome = 1 if main[row].response == "tie" else 0 if chosen == name[0] else 2
        counts[kinds.index(name), outcome, who, what] += 1
    if fit_davidson(_cells(kinds, counts.sum(axis=(2, 3)))) is None:
        return None
    rng = np.random.default_rng(seed)
    rater_times = rng.multinomial(
        len(raters), np.full(len(raters), 1 / len(raters)), _RANKING_DRAWS
    )
    item_times = rng.multinomial(len(items), np.full(len(items), 1 / len(items)), _RANKING_DRAWS)
    drawn = np.einsum("cori,dr,di->dco", counts, rater_times, item_times, optimize=True)
    good: list[NDArray[np.float64]] = []
    for number, one in enumerate(drawn):
        fit = fit_davidson(_cells(kinds, one)) if one.sum(axis=1).all() else None
        if fit is not None and not fit.note:
            good.append(fit.log_strength)
        if number + 1 - len(good) > _BAD_DRAWS * _RANKING_DRAWS:
            return None
    low, high = np.percentile(np.array(good), [2.5, 97.5], axis=0)
    systems = systems_of(_cells(kinds, drawn[0]))
    return {n: [float(a), float(b)] for n, a, b in zip(systems, low, high, strict=True)}


def _cells(kinds: Sequence[tuple[str, str]], counts: NDArray[np.float64]) -> list[Cell]:
    return [Cell(a, b, *map(float, row)) for (a, b), row in zip(kinds, counts, strict=True)]


def response_times(main: Sequence[Rating]) -> Facts:
    """How long answers took, as multiples of the clip's length, over all and per rater.

    Below 1 the answer came before the clip could have ended. Trials of unknown length take no part.
    """
    ratio: dict[str, list[float]] = {}
    for row in main:
        if row.video_ms > 0:
            ratio.setdefault(row.rater_id, []).append(row.rt_ms / row.video_ms)
    everyone = [value for values in ratio.values() for value in values]
    return {
        "all": _quartiles(everyone),
        "per_rater": {rater: _quartiles(ratio[rater]) for rater in sorted(ratio)},
        "ratios": {rater: [round(v, 4) for v in ratio[rater]] for rater in sorted(ratio)},
        "playback": playback(main),
    }


def _quartiles(values: Sequence[float]) -> Facts | None:
    if not values:
        return None
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {
        "n": len(values),
        "q1": float(low),
        "median": float(middle),
        "q3": float(high),
        "below_1": sum(value < 1 for value in values),
    }


def playback(main: Sequence[Rating]) -> Mapping[str, float]:
    """Means of what the page recorded: plays, stalls, coverage, hidden_ms; only what is there."""
    names = ("plays", "stalls", "coverage", "hidden_ms")
    columns = {n: [v for row in main if (v := getattr(row, n)) is not None] for n in names}
    return {name: float(np.mean(values)) for name, values in columns.items() if values}
