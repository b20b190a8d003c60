# SPDX-License-Identifier: GPL-3.0-or-later
"""Rating rows and a target in, every number of a study's report out, as plain data for JSON.

The keys are those of the shared golden study: `cleaning`, then `raw` and `clean`, each with
`comparisons` (`target__vs__other` -> `all` and, with several languages, each), Holm's p-values and
the `ranking`. A value that the data can't give is None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exomni_core.errors import InputError
from render_jobs.study.ratings import Rating
from render_jobs.study.report.agreement import fleiss_kappa, krippendorff_alpha, pairwise_agreement
from render_jobs.study.report.cleaning import (
    DEFAULT_RULES,
    Cleaned,
    ExclusionRules,
    Outcomes,
    by_comparison,
    clean_ratings,
    outcomes,
)
from render_jobs.study.report.ranking import (
    Cell,
    Fit,
    fit_bradley_terry,
    fit_davidson,
    is_connected,
    systems_of,
)
from render_jobs.study.report.significance import (
    bootstrap_interval,
    cluster_test,
    holm,
    rater_sign_flip,
    rater_ttest,
    sign_test,
    sign_test_ties_split,
    trinomial_test,
    wilson,
)
from render_jobs.study.report.tallies import (
    Table,
    mmf_expected_independent,
    mmf_macro,
    mmf_micro,
    pair_majority,
    pair_strict_majority,
    rating_tally,
)

Facts = dict[str, Any]
ALL: Final = "all"
_UNLINKED: Final = "No chain of comparisons links all systems, so they have no common scale."


def analyse(
    rows: Sequence[Rating],
    target: str,
    rules: ExclusionRules = DEFAULT_RULES,
    assigned: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Facts:
    """Everything the report says. seed: of the bootstrap (and of sign flips beyond 36 raters).

    Raises InputError when no main rating is left or `target` is none of the systems.
    """
    cleaned = clean_ratings(rows, rules, assigned)
    check_target(cleaned.raw, target)
    return {
        "cleaning": _cleaning_facts(cleaned, rules, has_plan=assigned is not None),
        "raw": analysis(cleaned.raw, target, seed),
        "clean": analysis(cleaned.clean, target, seed),
    }


def check_target(main: Sequence[Rating], target: str) -> None:
    """Raise InputError when there is nothing to analyse or nothing of the target's."""
    if not main:
        raise InputError("the table holds no answered main trial, so there is nothing to report")
    systems = sorted({name for row in main for name in (row.system_a, row.system_b)})
    if target not in systems:
        raise InputError(
            f"no rating is about {target!r}; choose one of: {', '.join(systems)}", field="target"
        )


def analysis(main: Sequence[Rating], target: str, seed: int = 0) -> Facts:
    """The numbers of one set of main ratings (all of them, or those that passed the rules)."""
    groups = by_comparison(main, target)
    comparisons = {name: _with_languages(rows, target, seed) for name, rows in groups.items()}
    held = {n: c[ALL] for n, c in comparisons.items() if n.startswith(f"{target}__vs__")}
    return {
        "comparisons": comparisons,
        "holm_p_sign_no_ties": holm({n: c["p_sign_no_ties"] for n, c in held.items()}),
        "holm_p_rater_signflip": holm({n: c["p_rater_signflip_exact"] for n, c in held.items()}),
        "ranking": ranking([_cell(outcomes(rows, target)) for rows in groups.values()]),
    }


def _with_languages(rows: Sequence[Rating], target: str, seed: int) -> Facts:
    facts = {ALL: comparison(outcomes(rows, target), seed)}
    languages = sorted({row.language for row in rows})
    if len(languages) > 1:
        for language in languages:
            part = [row for row in rows if row.language == language]
            facts[language] = comparison(outcomes(part, target), seed)
    return facts


def comparison(data: Outcomes, seed: int = 0) -> Facts:
    """The numbers of one comparison; N ratings of P pairs by R raters."""
    table = data.table()
    sizes = table.sum(axis=1)
    return {
        "n_ratings": len(data.value),
        "n_pairs": len(data.pairs),
        "n_raters": len(data.raters),
        "ratings_per_pair": [int(sizes.min()), int(sizes.max())],
        **_tallies(table),
        **_intervals_and_signs(table),
        **_rater_tests(data, seed),
        **_clusters(data, seed),
        **_agreement(table, len(data.raters)),
        "side": _sides(data),
    }


def _tallies(table: Table) -> Facts:
    ratings = rating_tally(table)
    pairs, tied = pair_majority(table)
    strict = pair_strict_majority(table)
    return {
        "counts": dataclasses.asdict(ratings),
        "rating_level": {**ratings.shares(), "overall": ratings.overall},
        "pair_majority": {
            "counts": dataclasses.asdict(pairs), **pairs.shares(), "overall": pairs.overall,
            "n_modal_ties": tied,
        },
        "pair_strict_majority": {"counts": dataclasses.asdict(strict), "overall": strict.overall},
        "mmf_macro": mmf_macro(table),
        "mmf_micro": mmf_micro(table),
        "mmf_expected_independent": mmf_expected_independent(table),
    }  # fmt: skip


def _intervals_and_signs(table: Table) -> Facts:
    ratings, (pairs, _) = rating_tally(table), pair_majority(table)
    win, tie, loss = ratings.win, ratings.tie, ratings.loss
    return {
        "wilson95_win_of_all": _list(wilson(win, ratings.total)),
        "wilson95_win_no_ties": _list(wilson(win, win + loss)),
        "wilson95_overall_half_ties": _list(wilson(win + tie / 2, ratings.total)),
        "wilson95_pair_majority_no_ties": _list(wilson(pairs.win, pairs.win + pairs.loss)),
        "p_sign_no_ties": sign_test(win, loss),
        "p_sign_ties_split": sign_test_ties_split(win, tie, loss),
        "p_sign_pair_majority": sign_test(pairs.win, pairs.loss),
        "p_trinomial": trinomial_test(win, tie, loss),
    }


def rater_means(data: Outcomes) -> NDArray[np.float64]:
    """(R,) overall of each rater."""
    means: NDArray[np.float64] = np.bincount(data.rater, data.score) / np.bincount(data.rater)
    return means


def _rater_tests(data: Outcomes, seed: int) -> Facts:
    means = rater_means(data)
    flip, ttest = rater_sign_flip(means, seed), rater_ttest(means)
    facts = {
        "per_rater_overall": dict(zip(data.raters, means.tolist(), strict=True)),
        "p_rater_signflip_exact": flip.p,
        "rater_ttest": dataclasses.asdict(ttest) if ttest else None,
    }
    if flip.standard_error:  # then it is not exact, and the reader is told
        facts["rater_signflip_monte_carlo_se"] = flip.standard_error
    return facts


def _clusters(data: Outcomes, seed: int) -> Facts:
    test = cluster_test(data.score, data.rater, data.pair)
    return {
        "cluster_se_twoway": test.se,
        "cluster_ci95": _list(test.ci),
        "cluster_df": test.df,
        "cluster_ci95_t": _list(test.ci_t),
        "p_cluster_t": test.p,
        "cluster_var_parts": {"rater": test.rater, "item": test.item, "rating": test.rating},
        "bootstrap_ci95_approx": _list(bootstrap_interval(data.score, data.rater, data.pair, seed)),
    }


def _agreement(table: Table, raters: int) -> Facts:
    complete = table[table.sum(axis=1) == raters]
    return {
        "fleiss_kappa_complete_pairs": fleiss_kappa(complete),
        "n_complete_pairs": len(complete),
        "krippendorff_alpha_nominal": krippendorff_alpha(table),
        "pairwise_agreement": pairwise_agreement(table),
    }


def _sides(data: Outcomes) -> Facts:
    left, right = int(data.left.sum()), int(data.right.sum())
    return {
        "left": left,
        "right": right,
        "tie": len(data.value) - left - right,
        "p_left_vs_right": sign_test(left, right),
    }


def _cell(data: Outcomes) -> Cell:
    tally = rating_tally(data.table())
    return Cell(data.target, data.other, tally.win, tally.tie, tally.loss)


def ranking(cells: Sequence[Cell]) -> Facts:
    """Both models over all systems; None in their place, with a note, where they can't be had."""
    facts: Facts = {
        "systems": list(systems_of(cells)),
        "cells": {f"{c.first}__vs__{c.second}": [c.win, c.tie, c.loss] for c in cells},
        "davidson": None,
        "bt_half_ties": None,
    }
    davidson, simple = fit_davidson(cells), fit_bradley_terry(cells)
    if davidson is None or simple is None:
        return {**facts, "note": _UNLINKED} if not is_connected(cells) else facts
    nu = 0.0 if davidson.log_nu is None else float(np.exp(davidson.log_nu))
    facts["davidson"] = {
        "log_strength": _named(davidson, davidson.log_strength),
        "se": _named(davidson, davidson.se),
        "nu": nu,
        "log_nu": davidson.log_nu,
        "loglik": davidson.loglik,
    }
    facts["bt_half_ties"] = {
        "log_strength": _named(simple, simple.log_strength),
        "loglik": simple.loglik,
    }
    note = davidson.note or simple.note
    return {**facts, "note": note} if note else facts


def _named(fit: Fit, values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip(fit.systems, values.tolist(), strict=True))


def _list(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _cleaning_facts(cleaned: Cleaned, rules: ExclusionRules, *, has_plan: bool) -> Facts:
    facts: Facts = {
        "rows_read": cleaned.rows_read,
        "dropped_missing": cleaned.unanswered,
        "dropped_superseded": cleaned.superseded,
        "main_ratings": len(cleaned.raw),
        "catch": {r: {"passed": p, "total": t} for r, (p, t) in cleaned.catch.items()},
        "excluded_raters": list(cleaned.excluded),
        "too_fast_main": cleaned.too_fast,
    }
    if has_plan or cleaned.low_coverage:  # rules that a bare table of answers can't apply
        facts["low_coverage_main"] = cleaned.low_coverage
        facts["excluded_why"] = dict(cleaned.excluded)
        facts["rules"] = dataclasses.asdict(rules)
    return facts
