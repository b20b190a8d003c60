# SPDX-License-Identifier: GPL-3.0-or-later
"""Each formula against its definition, counted out or fitted in another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from render_jobs.study.report.agreement import fleiss_kappa, krippendorff_alpha, pairwise_agreement
from render_jobs.study.report.ranking import (
    Cell,
    fit_bradley_terry,
    fit_davidson,
    fit_davidson_order,
    is_connected,
)
from render_jobs.study.report.significance import (
    bootstrap_interval,
    cluster_test,
    holm,
    rater_sign_flip,
    sign_test,
    sign_test_ties_split,
    trinomial_test,
    wilson,
)
from render_jobs.study.report.tallies import mmf_expected_independent


@pytest.mark.parametrize(
    "counts", [(0, 0, 0), (1, 0, 0), (3, 2, 1), (5, 0, 1), (2, 6, 2), (0, 4, 7)]
)
def test_sign_and_trinomial_by_counting_every_outcome(counts):
    win, tie, loss = counts
    if win + loss:
        n = win + loss
        expected = stats.binomtest(win, n, 0.5).pvalue
        assert sign_test(win, loss) == pytest.approx(expected)
    share = tie / sum(counts) if sum(counts) else 0
    chances = {1: (1 - share) / 2, 0: share, -1: (1 - share) / 2}
    total = sum(
        math.prod(chances[value] for value in drawn)
        for drawn in itertools.product(chances, repeat=sum(counts))
        if abs(sum(drawn)) >= abs(win - loss)
    )
    assert trinomial_test(win, tie, loss) == pytest.approx(total)


def test_the_papers_table_of_pairs():
    # evaluation spec 4.3: 11-2-7 of 20 is no evidence, 16-1-3 is
    assert sign_test(11, 7) == pytest.approx(0.48, abs=0.005)
    assert wilson(11, 20) == pytest.approx((0.342, 0.742), abs=5e-4)
    assert sign_test(16, 3) == pytest.approx(0.0044, abs=5e-5)
    assert wilson(16, 20) == pytest.approx((0.584, 0.919), abs=5e-4)
    assert sign_test_ties_split(11, 3, 7) == sign_test(12, 8)
    assert wilson(0, 0) is None
    assert wilson(0, 5)[0] == 0
    assert wilson(5, 5)[1] == 1


@pytest.mark.parametrize("raters", [1, 2, 5, 9])
def test_sign_flips_by_listing_every_pattern(raters):
    means = np.random.default_rng(raters).integers(0, 9, raters) / 8  # many equal sums
    away = means - 0.5
    signs = np.array(list(itertools.product((1, -1), repeat=raters)))
    expected = np.mean(np.abs(signs @ away) / raters >= abs(away.mean()) - 1e-12)
    found = rater_sign_flip(means)
    assert (found.p, found.standard_error) == (expected, 0.0)


def test_sign_flips_stay_exact_with_many_raters_and_say_when_they_are_not():
    means = np.full(30, 0.6)
    assert rater_sign_flip(means).p == pytest.approx(2 / 2**30, rel=1e-12)
    many = np.random.default_rng(0).normal(0.53, 0.1, 60)
    first, again = rater_sign_flip(many, seed=1), rater_sign_flip(many, seed=1)
    assert first == again
    assert 0 < first.standard_error < 0.002
    normal = stats.ttest_1samp(many, 0.5).pvalue
    assert first.p == pytest.approx(normal, abs=0.02)
    assert rater_sign_flip(np.full(40, 0.5)).p == 1


def test_cluster_variance_by_its_definition():
    rng = np.random.default_rng(1)
    rater, item = rng.integers(0, 5, 60), rng.integers(0, 9, 60)
    score = rng.choice([0, 0.5, 1], 60)
    found = cluster_test(score, rater, item)
    away = score - score.mean()
    same_rater = rater[:, None] == rater
    same_item = item[:, None] == item
    whole = (away @ (same_rater.astype(float) + same_item) @ away - away @ away) / 60**2
    assert found.se == pytest.approx(math.sqrt(whole))
    assert found.df == 4
    reach = stats.t.ppf(0.975, 4) * found.se
    assert found.ci_t == pytest.approx((score.mean() - reach, score.mean() + reach))


def test_a_cluster_variance_below_zero_takes_the_greater_part():
    score = np.array([1.0, 0, 0, 1])  # each rater and each item is even: both sums are 0
    found = cluster_test(score, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert (found.se, found.p) == (0.0, None)
    score = np.array([1.0, 0, 0, 1, 1, 0])
    found = cluster_test(score, np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 0, 1]))
    assert found.rater + found.item < found.rating
    assert found.se == math.sqrt(max(found.rater, found.item))


def test_bootstrap_agrees_with_plain_resampling():
    rng = np.random.default_rng(2)
    cells = [(r, i) for r in range(6) for i in range(7) if rng.random() < 0.8]
    rater, item = np.array(cells).T
    score = rng.choice([0, 0.5, 1], len(cells), p=[0.3, 0.1, 0.6])
    low, high = bootstrap_interval(score, rater, item, seed=3)
    value = dict(zip(cells, score, strict=True))
    means = []
    for _ in range(3000):
        raters, items = rng.integers(0, 6, 6), rng.integers(0, 7, 7)
        drawn = [value[r, i] for r in raters for i in items if (r, i) in value]
        means.append(np.mean(drawn))
    assert (low, high) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.03)
    assert bootstrap_interval(score, rater, item, seed=3) == (low, high)


def test_holm():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_expected_mmf_by_counting_and_by_the_spec():
    table = np.array([[2, 1, 0], [1, 0, 0], [1, 1, 2]])
    shares = table.sum(axis=0) / table.sum()
    expected = []
    for size in table.sum(axis=1):
        value = 0.0
        for drawn in itertools.product(range(3), repeat=int(size)):
            most = max(drawn.count(k) for k in range(3))
            value += math.prod(shares[k] for k in drawn) * most / size
        expected.append(value)
    assert mmf_expected_independent(table) == pytest.approx(np.mean(expected), abs=1e-12)
    # spec 4.3, 8 raters: win .60 tie .05 -> 64.4 %
    table = np.zeros((20, 3), int)
    table[:12, 0], table[12, 1], table[13:, 2] = 8, 8, 8  # 12 / 1 / 7 of 20 pairs
    assert mmf_expected_independent(table) == pytest.approx(0.644, abs=5e-4)


def test_kappa_alpha_and_pairwise_agreement_by_their_definitions():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, (12, 5))
    table = np.array([[np.count_nonzero(row == k) for k in range(3)] for row in labels])
    equal = np.mean(
        [row[a] == row[b] for row in labels for a, b in itertools.permutations(range(5), 2)]
    )
    assert pairwise_agreement(table) == pytest.approx(equal)
    chance = np.sum((table.sum(axis=0) / 60) ** 2)
    assert fleiss_kappa(table) == pytest.approx((equal - chance) / (1 - chance))
    values = labels.ravel()
    unequal = np.mean([a != b for a, b in itertools.permutations(values, 2)])
    assert krippendorff_alpha(table) == pytest.approx(1 - (1 - equal) / unequal)


def test_agreement_where_there_is_nothing_to_measure():
    assert fleiss_kappa(np.zeros((0, 3), int)) is None
    assert krippendorff_alpha(np.array([[1, 0, 0], [0, 1, 0]])) is None
    assert pairwise_agreement(np.array([[1, 0, 0]])) is None
    unanimous = np.array([[4, 0, 0], [4, 0, 0]])
    assert fleiss_kappa(unanimous) is None
    assert krippendorff_alpha(unanimous) is None
    with pytest.raises(ValueError, match="same number"):
        fleiss_kappa(np.array([[2, 0, 0], [2, 1, 0]]))


# --- ranking --------------------------------------------------------------------------------------

CELLS = [Cell("a", "b", 20, 4, 9), Cell("c", "a", 6, 5, 15), Cell("b", "c", 12, 2, 11)]


def davidson_loss(parameters, cells, names):
    strength = dict(zip(names, [*parameters[:-1], -sum(parameters[:-1])], strict=True))
    total = 0.0
    for cell in cells:
        first, second = strength[cell.first], strength[cell.second]
        logits = np.array([first, parameters[-1] + (first + second) / 2, second])
        total -= np.array([cell.win, cell.tie, cell.loss]) @ (logits - np.log(np.exp(logits).sum()))
    return total


def test_davidson_against_a_general_optimiser():
    names = ("a", "b", "c")
    best = optimize.minimize(davidson_loss, np.zeros(3), (CELLS, names), tol=1e-12)
    fit = fit_davidson(CELLS)
    assert fit.systems == names
    assert fit.log_strength == pytest.approx([*best.x[:2], -best.x[:2].sum()], abs=1e-5)
    assert fit.log_nu == pytest.approx(best.x[2], abs=1e-5)
    assert fit.loglik == pytest.approx(-best.fun, abs=1e-9)
    assert abs(fit.log_strength.sum()) < 1e-12
    step = 1e-4
    hessian = np.array(
        [
            [
                sum(
                    s
                    * t
                    * davidson_loss(
                        best.x + step * (s * np.eye(3)[i] + t * np.eye(3)[j]), CELLS, names
                    )
                    for s in (1, -1)
                    for t in (1, -1)
                )
                / (4 * step**2)
                for j in range(3)
            ]
            for i in range(3)
        ]
    )
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert fit.se[:2] == pytest.approx(errors[:2], rel=1e-3)


def test_two_systems_have_a_closed_form():
    fit = fit_bradley_terry([Cell("a", "b", 30, 4, 10)])
    assert fit.log_strength[0] * 2 == pytest.approx(math.log(32 / 12))
    davidson = fit_davidson([Cell("a", "b", 30, 4, 10)])
    assert davidson.log_strength[0] * 2 == pytest.approx(math.log(30 / 10))
    assert math.exp(davidson.log_nu) == pytest.approx(4 / math.sqrt(300))


def test_the_side_term_is_found_and_leaves_strengths_alone():
    true, side, nu = {"a": 0.4, "b": 0.0, "c": -0.4}, 0.5, 0.3
    cells = []
    for first, second in itertools.permutations(true, 2):
        weights = np.exp(
            [true[first] + side, (true[first] + side + true[second]) / 2, true[second]]
        )
        weights[1] *= nu
        cells.append(Cell(first, second, *map(float, 20000 * weights / weights.sum())))
    fit = fit_davidson_order(cells)
    assert fit.log_order == pytest.approx(side, abs=1e-6)
    assert fit.log_strength == pytest.approx([0.4, 0, -0.4], abs=1e-6)


def test_no_common_scale_is_refused_and_infinity_is_mended_aloud():
    apart = [Cell("a", "b", 3, 1, 2), Cell("c", "d", 3, 1, 2)]
    assert not is_connected(apart)
    assert fit_davidson(apart) is None
    assert fit_bradley_terry([]) is None
    for cells in (
        [Cell("a", "b", 5, 0, 0)],
        [Cell("a", "b", 5, 3, 0)],  # a tie does not stop a from running away
        [Cell("a", "b", 0, 6, 0)],
        [Cell("a", "b", 4, 1, 3), Cell("b", "c", 6, 0, 0)],
    ):
        fit = fit_davidson(cells)
        assert "half a win and half a loss were added" in fit.note
        assert np.isfinite([*fit.log_strength, *fit.se, fit.loglik]).all()
    # the tie parameter is known from a and b, so one tie is enough to hold c
    assert fit_davidson([Cell("a", "b", 4, 1, 3), Cell("b", "c", 6, 1, 0)]).note == ""
    ring = [Cell("a", "b", 5, 1, 0), Cell("b", "c", 5, 0, 0), Cell("c", "a", 5, 1, 0)]
    assert fit_davidson(ring).note == ""
    no_ties = fit_davidson([Cell("a", "b", 5, 0, 3)])
    assert (no_ties.note, no_ties.log_nu) == ("", None)
