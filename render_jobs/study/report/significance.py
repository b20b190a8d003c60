# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts or scored ratings in; intervals and p-values out, two-sided, null hypothesis 0.5.

Ratings of one rater, and of one pair, hang together: tests that treat all ratings as independent
find differences where there are none (16 % of the time at 8 raters by 20 pairs). The main test is
the two-way cluster-robust test; the others are given for comparison.
A value that the data can't give (no ratings, one rater) is None.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from exomni_core.arrays import Array

Interval = tuple[float, float]
Z95: Final = 1.959963984540054
_SAME: Final = 1e-12
_EXACT_RATERS: Final = 36  # the two halves then hold 2^18 sums each
_FLIP_DRAWS: Final = 200_000
BOOTSTRAP_DRAWS: Final = 20_000


def wilson(successes: float, total: float) -> Interval | None:
    """95 % score interval of a share (Wilson 1927, JASA 22:209); half successes are allowed."""
    if total <= 0:
        return None
    share, z2 = successes / total, Z95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    spread = math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) * Z95 / (1 + z2 / total)
    return max(0.0, centre - spread), min(1.0, centre + spread)


def sign_test(wins: int, losses: int) -> float:
    """Exact two-sided sign test, ties left out (Dixon & Mood 1946, JASA 41:557).

    Nothing to test gives 1.
    """
    if wins + losses == 0:
        return 1.0
    return min(1.0, 2 * float(stats.binom.cdf(min(wins, losses), wins + losses, 0.5)))


def sign_test_ties_split(wins: int, ties: int, losses: int) -> float:
    """As `sign_test`, each side getting half the ties, an odd one left out (Dixon & Mood 1946)."""
    return sign_test(wins + ties // 2, losses + ties // 2)


def trinomial_test(wins: int, ties: int, losses: int) -> float:
    """Exact two-sided trinomial test (Bian, McAleer & Wong 2011, Math Comput Simul 81:1153).

    Under the null, wins and losses are equally likely and ties have their observed share p0; the
    p-value is P(|wins - losses| >= the observed one). Summed over the number of untied answers.
    """
    total, difference = wins + ties + losses, abs(wins - losses)
    if difference == 0:
        return 1.0
    untied = np.arange(difference, total + 1)
    weight = stats.binom.pmf(untied, total, 1 - ties / total)
    # |2 W - m| >= d  <=>  W <= (m - d) / 2 or its mirror image
    tail = 2 * stats.binom.cdf((untied - difference) // 2, untied, 0.5)
    return min(1.0, float(weight @ tail))


@dataclass(frozen=True)
class FlipTest:
    """p of the sign-flip test; standard_error is 0 when every pattern was counted."""

    p: float
    standard_error: float


def rater_sign_flip(means: Array, seed: int = 0) -> FlipTest:
    """Randomisation test over raters (Fisher 1935; Good, Permutation Tests, 2005).

    means: (R,) overall of each rater. Under the null each rater's mean minus 0.5 could as well
    have the other sign; p is the share of the 2^R patterns whose |mean| is not below the observed
    one (tolerance 1e-12). Exact up to 36 raters: the sums of two halves of the raters are listed
    and matched by bisection. Beyond that 200,000 seeded draws, with their standard error.
    """
    away = np.asarray(means, np.float64) - 0.5
    observed, count = abs(away.mean()), len(away)
    if count <= _EXACT_RATERS:
        first, second = _signed_sums(away[: count // 2]), _signed_sums(away[count // 2 :])
        second.sort()
        limit = (observed - _SAME) * count
        high = len(second) - np.searchsorted(second, limit - first, side="left")
        low = np.searchsorted(second, -limit - first, side="right")
        total = len(first) * len(second)
        # a limit below 0 lets both tails overlap: then every pattern counts
        return FlipTest(1.0 if limit <= 0 else int((high + low).sum()) / total, 0.0)
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, (_FLIP_DRAWS, count), dtype=np.int8) * 2 - 1
    hits = int(np.count_nonzero(np.abs(signs @ away / count) >= observed - _SAME))
    p = (hits + 1) / (_FLIP_DRAWS + 1)
    return FlipTest(p, math.sqrt(p * (1 - p) / _FLIP_DRAWS))


def _signed_sums(values: Array) -> Array:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


@dataclass(frozen=True)
class TTest:
    """Student's t, its degrees of freedom and p."""

    t: float
    df: int
    p: float


def rater_ttest(means: Array) -> TTest | None:
    """One-sample t-test of the raters' means against 0.5 (Student 1908)."""
    if len(means) < 2 or np.ptp(means) <= _SAME:
        return None
    found = stats.ttest_1samp(means, 0.5)
    return TTest(float(found.statistic), len(means) - 1, float(found.pvalue))


@dataclass(frozen=True)
class ClusterTest:
    """Two-way cluster-robust mean. rater, item, rating: the variance sums over n^2."""

    mean: float
    se: float
    ci: Interval
    df: int
    ci_t: Interval | None
    p: float | None
    rater: float
    item: float
    rating: float


def cluster_test(score: Array, rater: NDArray[np.intp], item: NDArray[np.intp]) -> ClusterTest:
    """Mean with a variance robust to clusters of raters and of items (Cameron, Gelbach & Miller
    2011, J Bus Econ Stat 29:238).

    score: (N,) in {1, .5, 0}. With e = score - mean,
    V = (sum over raters (sum e)^2 + sum over items (sum e)^2 - sum e^2) / N^2; if that is not
    above 0, the greater of the first two. t with min(raters, items) - 1 degrees of freedom.
    """
    n, mean = len(score), float(np.mean(score))
    away = score - mean
    by_rater = float(np.sum(np.bincount(rater, away) ** 2)) / n**2
    by_item = float(np.sum(np.bincount(item, away) ** 2)) / n**2
    alone = float(np.sum(away**2)) / n**2
    variance = by_rater + by_item - alone
    se = math.sqrt(variance if variance > 0 else max(by_rater, by_item))
    df = min(len(np.unique(rater)), len(np.unique(item))) - 1
    ci_t, p = None, None
    if df > 0:
        reach = float(stats.t.ppf(0.975, df)) * se
        ci_t = (mean - reach, mean + reach)
        if se > 0:
            p = 2 * float(stats.t.sf(abs(mean - 0.5) / se, df))
    ci = (mean - Z95 * se, mean + Z95 * se)
    return ClusterTest(mean, se, ci, df, ci_t, p, by_rater, by_item, alone)


def bootstrap_interval(
    score: Array,
    rater: NDArray[np.intp],
    item: NDArray[np.intp],
    seed: int = 0,
    draws: int = BOOTSTRAP_DRAWS,
) -> Interval:
    """95 % percentile interval; raters and items are drawn anew independently, with replacement
    (Owen 2007, Ann Appl Stat 1:386, the pigeonhole bootstrap).

    A rating counts as often as its rater times as often as its item was drawn.
    """
    rng = np.random.default_rng(seed)
    raters, items = int(rater.max()) + 1, int(item.max()) + 1
    sums, counts = np.zeros((2, raters, items))
    np.add.at(sums, (rater, item), score)
    np.add.at(counts, (rater, item), 1)
    rater_times = rng.multinomial(raters, np.full(raters, 1 / raters), draws)
    item_times = rng.multinomial(items, np.full(items, 1 / items), draws)
    weight = np.einsum("dr,ri,di->d", rater_times, counts, item_times, optimize=True)
    total = np.einsum("dr,ri,di->d", rater_times, sums, item_times, optimize=True)
    low, high = np.percentile(total[weight > 0] / weight[weight > 0], [2.5, 97.5])
    return float(low), float(high)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values of several comparisons (Holm 1979, Scand J Stat 6:65)."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted, least = {}, 0.0
    for place, name in enumerate(ordered):
        least = max(least, min(1.0, (len(ordered) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}
