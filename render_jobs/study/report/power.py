# SPDX-License-Identifier: GPL-3.0-or-later
"""A planned study (raters, items, a true difference) in; how often its test would find it out.

Each simulated answer is a tie with a fixed probability; else the target wins with a probability
whose logit is a common part plus one normal draw per rater and one per item (a crossed random
effects logit). The test is the report's headline: two-way cluster-robust t.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from exomni_core.arrays import Array
from render_jobs.study.report.wording import ALPHA

_CHUNK: Final = 2_000_000  # answers held at once
_NODES: Final = 64


@dataclass(frozen=True)
class Design:
    """R raters who each rate the same N items. `share`: of the target's wins among untied answers,
    averaged over raters and items. tie: share of ties. sd_*: spread on the logit.
    """

    raters: int
    pairs: int
    share: float = 0.6
    tie: float = 0.07
    sd_rater: float = 0.3
    sd_item: float = 0.8


@dataclass(frozen=True)
class Power:
    """Shares of `runs` simulated studies with p < 0.05, by test, each with its own error.

    cluster: two-way cluster-robust t (the headline). rater: t over raters' means. binomial: the
    exact sign test over pooled ratings, which treats them as independent.
    """

    design: Design
    runs: int
    seed: int
    cluster: float
    rater: float
    binomial: float

    def error(self, share: float) -> float:
        """Monte-Carlo standard error of a share; never 0, by Agresti-Coull's two added runs."""
        smooth = (share * self.runs + 2) / (self.runs + 4)
        return math.sqrt(smooth * (1 - smooth) / self.runs)

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        tests = {"cluster_t": self.cluster, "rater_t": self.rater, "naive_sign": self.binomial}
        return {
            **asdict(self.design),
            "runs": self.runs,
            "seed": self.seed,
            "alpha": ALPHA,
            "power": self.cluster,
            "monte_carlo_se": self.error(self.cluster),
            "by_test": {n: {"share": s, "monte_carlo_se": self.error(s)} for n, s in tests.items()},
        }

    def lines(self) -> list[str]:
        """For a person."""
        d = self.design
        null = d.share == 0.5
        what = "false positives" if null else "power"
        rows = [
            f"{d.raters} raters x {d.pairs} items; true wins {d.share:.0%} of untied answers, ties "
            f"{d.tie:.0%}; spread on the logit {d.sd_rater:g} (raters), {d.sd_item:g} (items).",
            f"{what}: {self.cluster:.3f} +- {1.96 * self.error(self.cluster):.3f} (95 % Monte-Carlo"
            f" error of {self.runs} runs, seed {self.seed}); two-way cluster-robust t, two-sided "
            f"{ALPHA:.0%}.",
        ]
        if null:
            rows.append(
                f"For comparison: t over raters {self.rater:.3f}, pooled sign test "
                f"{self.binomial:.3f} (it treats ratings as independent)."
            )
        elif self.cluster < 0.8:
            rows.append("Below the usual 0.80: plan more raters or items, or expect a bigger gap.")
        return rows


def simulate(design: Design, runs: int = 2000, seed: int = 0) -> Power:
    """Simulate `runs` studies of that design; the same seed gives the same result."""
    rng = np.random.default_rng(seed)
    centre = _intercept(design.share, math.hypot(design.sd_rater, design.sd_item))
    at_once = max(1, _CHUNK // (design.raters * design.pairs))
    found = np.zeros(3)
    for start in range(0, runs, at_once):
        count = min(at_once, runs - start)
        found += _rejections(_draw(rng, design, centre, count))
    cluster, rater, binomial = (found / runs).tolist()
    return Power(design, runs, seed, cluster, rater, binomial)


def _draw(rng: np.random.Generator, design: Design, centre: float, count: int) -> Array:
    """(count, R, N) scores in {1, .5, 0}."""
    raters = rng.normal(0, design.sd_rater, (count, design.raters, 1))
    items = rng.normal(0, design.sd_item, (count, 1, design.pairs))
    win = 1 / (1 + np.exp(-(centre + raters + items)))
    shape = (count, design.raters, design.pairs)
    score: Array = (rng.random(shape) < win).astype(np.float64)
    score[rng.random(shape) < design.tie] = 0.5
    return score


def _rejections(score: Array) -> Array:
    """(3,) how many studies each test rejects: cluster, rater, binomial."""
    _, raters, pairs = score.shape
    mean = score.mean(axis=(1, 2))
    away = score - mean[:, None, None]
    by_rater = np.sum(away.sum(axis=2) ** 2, axis=1)
    by_item = np.sum(away.sum(axis=1) ** 2, axis=1)
    variance = by_rater + by_item - np.sum(away**2, axis=(1, 2))
    variance = np.where(variance > 0, variance, np.maximum(by_rater, by_item))
    se = np.sqrt(variance) / (raters * pairs)
    per_rater = score.mean(axis=2)
    rater_se = per_rater.std(axis=1, ddof=1) / math.sqrt(raters)
    wins = np.count_nonzero(score == 1, axis=(1, 2))
    losses = np.count_nonzero(score == 0, axis=(1, 2))
    p_sign = 2 * stats.binom.cdf(np.minimum(wins, losses), wins + losses, 0.5)
    return np.array(
        [
            np.count_nonzero(_rejects(mean - 0.5, se, min(raters, pairs) - 1)),
            np.count_nonzero(_rejects(mean - 0.5, rater_se, raters - 1)),
            np.count_nonzero(p_sign < ALPHA),
        ],
        np.float64,
    )


def _rejects(difference: Array, se: Array, df: int) -> NDArray[np.bool_]:
    """Whether |t| is beyond its critical value; a spread of 0 rejects nothing, as in the report."""
    reach = stats.t.ppf(1 - ALPHA / 2, df) * se
    return np.asarray((se > 0) & (np.abs(difference) > reach))


def _intercept(share: float, spread: float) -> float:
    """The common logit whose inverse, averaged over a normal of that spread, is `share`.

    By Gauss-Hermite quadrature and bisection: the average grows with the intercept.
    """
    nodes, weights = special.roots_hermitenorm(_NODES)
    weights = weights / weights.sum()
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        average = float(weights @ (1 / (1 + np.exp(-(middle + spread * nodes)))))
        low, high = (middle, high) if average < share else (low, middle)
    return (low + high) / 2
