# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for any rating table; each wrong way of counting the spec names fails here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rating_tables import catch, made_up, of_outcomes, rating, relabelled, sides_flipped

from render_jobs.study.report.analysis import analyse, comparison
from render_jobs.study.report.cleaning import ExclusionRules, clean_ratings, outcomes
from render_jobs.study.report.tallies import mmf_macro, mmf_micro

SHAPES = [
    {},
    {"seed": 1, "systems": ("a", "b"), "languages": ("en",), "raters": 3, "items": 5},
    {"seed": 2, "raters": 12, "items": 4, "missing": 0.4, "tie": 0.4},
    {"seed": 3, "systems": ("a", "b", "c", "d"), "languages": ("en", "zh", "de"), "items": 3},
    {"seed": 4, "missing": 0, "tie": 0, "catches": 0},
]


def leaves(facts):
    """Every comparison and language of an analysis."""
    for which in ("raw", "clean"):
        for entry in facts[which]["comparisons"].values():
            yield from entry.values()


@pytest.mark.parametrize("shape", SHAPES)
def test_identities(shape):
    for one in leaves(analyse(made_up(**shape), "a")):
        shares = one["rating_level"]
        assert sum(one["counts"].values()) == one["n_ratings"]
        assert shares["win"] + shares["tie"] + shares["loss"] == pytest.approx(1)
        assert shares["overall"] == pytest.approx(shares["win"] + shares["tie"] / 2)
        assert one["mmf_micro"] >= max(shares["win"], shares["tie"], shares["loss"]) - 1e-12
        assert 1 / 3 <= one["mmf_macro"] <= 1
        assert sum(one["pair_majority"]["counts"].values()) == one["n_pairs"]
        assert one["pair_majority"]["n_modal_ties"] <= one["pair_majority"]["counts"]["tie"]
        side = one["side"]
        assert side["left"] + side["right"] + side["tie"] == one["n_ratings"]
        low, high = one["bootstrap_ci95_approx"]
        assert low <= shares["overall"] <= high


def mirror(one):
    """The same numbers from the other system's point of view."""

    def turned(counts):
        return {"win": counts["loss"], "tie": counts["tie"], "loss": counts["win"]}

    return {
        "counts": turned(one["counts"]),
        "pairs": turned(one["pair_majority"]["counts"]),
        "strict": turned(one["pair_strict_majority"]["counts"]),
        "overall": pytest.approx(1 - one["rating_level"]["overall"]),
        "pair_overall": pytest.approx(1 - one["pair_majority"]["overall"]),
        "same": pytest.approx([one[k] for k in ("mmf_macro", "mmf_micro", "p_trinomial",
                               "p_sign_no_ties", "p_cluster_t", "p_rater_signflip_exact",
                               "krippendorff_alpha_nominal", "mmf_expected_independent")]),
    }  # fmt: skip


def seen(one):
    """What `mirror` is compared with."""
    return {
        "counts": one["counts"], "pairs": one["pair_majority"]["counts"],
        "strict": one["pair_strict_majority"]["counts"],
        "overall": one["rating_level"]["overall"],
        "pair_overall": one["pair_majority"]["overall"],
        "same": [one[k] for k in ("mmf_macro", "mmf_micro", "p_trinomial", "p_sign_no_ties",
                                  "p_cluster_t", "p_rater_signflip_exact",
                                  "krippendorff_alpha_nominal", "mmf_expected_independent")],
    }  # fmt: skip


def test_the_other_system_as_target_mirrors_everything():
    rows = made_up(seed=5)
    ours, theirs = analyse(rows, "a"), analyse(rows, "b")
    for which in ("raw", "clean"):
        one = ours[which]["comparisons"]["a__vs__b"]
        other = theirs[which]["comparisons"]["b__vs__a"]
        assert one.keys() == other.keys() == {"all", "en", "zh"}
        for language in one:
            assert seen(other[language]) == mirror(one[language])
        strengths = [f[which]["ranking"]["davidson"]["log_strength"] for f in (ours, theirs)]
        assert strengths[0] == pytest.approx(strengths[1], abs=1e-9)


def test_flipping_every_side_changes_nothing_but_the_sides():
    rows = made_up(seed=6)
    before, after = analyse(rows, "a"), analyse(sides_flipped(rows), "a")
    for one, other in zip(leaves(before), leaves(after), strict=True):
        side, turned = one.pop("side"), other.pop("side")
        assert (side["left"], side["right"]) == (turned["right"], turned["left"])
        assert side["left"] != side["right"]  # so a measure of sides would have shown
    assert before == after


def test_registering_a_pair_the_other_way_round_changes_nothing():
    rows = made_up(seed=7)
    turned = [replace(row, system_a=row.system_b, system_b=row.system_a) for row in rows]
    assert analyse(turned, "a") == analyse(rows, "a")


def test_renaming_systems_renames_the_results():
    rows = made_up(seed=8)
    renamed = analyse(relabelled(rows, {"a": "x", "b": "y", "c": "z"}), "x")
    plain = analyse(rows, "a")
    for which in ("raw", "clean"):
        for name, entry in plain[which]["comparisons"].items():
            new = "__vs__".join({"a": "x", "b": "y", "c": "z"}[s] for s in name.split("__vs__"))
            assert renamed[which]["comparisons"][new] == entry


def test_the_order_of_rows_does_not_matter():
    rows = made_up(seed=9)
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    assert analyse(shuffled, "a") == analyse(rows, "a")


# --- the mutations that the spec names ------------------------------------------------------------


def test_duplicates_do_not_count_twice():
    rows = made_up(seed=10, missing=0)
    once = analyse(rows, "a")
    twice = analyse([*rows, *rows], "a")
    assert once["raw"] == twice["raw"]
    assert twice["cleaning"]["dropped_superseded"] > once["cleaning"]["dropped_superseded"]


def test_the_later_answer_counts_wherever_it_stands():
    early = rating(response="left", submitted_at="2026-01-01T00:00:09Z")
    late = rating(response="right", submitted_at="2026-01-01T00:00:09.500Z")
    empty = rating(response="", submitted_at="2026-01-01T00:01:00Z")
    for rows in ([early, late], [late, early], [late, early, empty]):
        assert [row.response for row in clean_ratings(rows).raw] == ["right"]
    again = replace(late, response="tie")
    assert clean_ratings([late, again]).raw == (again,)  # equal times: the later row
    eastern = replace(early, submitted_at="2026-01-01T01:00:10+01:00", response="tie")
    assert clean_ratings([eastern, late]).raw == (eastern,)  # compared as moments, not as text


def test_ties_count_half_and_stay_in_the_overall():
    found = comparison(outcomes(of_outcomes({"1": ["win", "tie", "tie", "tie"]}), "a"))
    assert found["rating_level"]["overall"] == 0.625  # without ties it would be 1
    assert found["pair_majority"]["overall"] == 0.5


def test_macro_and_micro_are_not_swapped():
    table = np.array([[1, 0, 0], [1, 1, 2]])
    assert mmf_macro(table) == pytest.approx((1 + 0.5) / 2)
    assert mmf_micro(table) == pytest.approx(3 / 5)


def test_agreement_is_about_systems_not_sides():
    # all four prefer a, two of them with a on the right
    found = comparison(outcomes(of_outcomes({"1": ["win"] * 4, "2": ["win"] * 4}), "a"))
    assert found["side"] == {"left": 4, "right": 4, "tie": 0, "p_left_vs_right": 1.0}
    assert found["mmf_macro"] == found["mmf_micro"] == 1.0
    # all four click left: they agree on the side and on nothing else
    rows = [rating(f"R{n}", response="left", flipped=bool(n % 2)) for n in range(4)]
    assert comparison(outcomes(rows, "a"))["mmf_macro"] == 0.5


def test_a_split_pair_is_a_tie_and_is_counted():
    labels = {"1": ["win", "win", "loss", "loss"], "2": ["win", "win", "tie", "loss"]}
    found = comparison(outcomes(of_outcomes(labels), "a"))
    pairs, strict = found["pair_majority"], found["pair_strict_majority"]
    assert pairs["counts"] == {"win": 1, "tie": 1, "loss": 0}
    assert pairs["n_modal_ties"] == 1
    assert strict["counts"] == {"win": 0, "tie": 2, "loss": 0}  # two of four is not more than half


# --- exclusions -----------------------------------------------------------------------------------


def test_exclusions_are_exact_at_their_bounds():
    rows = [rating(r, pair=f"a__b__en__{n}") for r in ("R1", "R2", "R3") for n in range(4)]
    rows += [catch("R1", n, passed=n != 0) for n in range(4)]  # 3 of 4: stays
    rows += [catch("R2", n, passed=n > 1) for n in range(4)]  # 2 of 4: out
    rows[8] = replace(rows[8], rt_ms=7999)
    rows[9] = replace(rows[9], rt_ms=8000)
    cleaned = clean_ratings(rows)
    assert dict(cleaned.excluded) == {"R2": "passed 2 of 4 catch trials"}
    assert cleaned.catch == {"R1": (3, 4), "R2": (2, 4)}
    assert (len(cleaned.raw), len(cleaned.clean), cleaned.too_fast) == (12, 7, 1)


def test_coverage_and_completeness_only_where_they_are_known():
    rows = [rating("R1", pair=f"a__b__en__{n}", coverage=0.9 + n / 50) for n in range(4)]
    cleaned = clean_ratings(rows)
    assert (cleaned.low_coverage, len(cleaned.clean)) == (3, 1)
    assert not clean_ratings(rows, assigned={"R1": 5}).excluded  # exactly 80 %
    unfinished = clean_ratings(rows, assigned={"R1": 6})
    assert dict(unfinished.excluded) == {"R1": "answered 4 of 6 trials"}
    assert len(unfinished.raw) == 4
    assert clean_ratings(rows, ExclusionRules(min_coverage=0.9)).low_coverage == 0


def test_a_catch_trial_never_replaces_a_main_trial_of_its_pair():
    same = replace(
        rating(),
        trial_kind="catch_identical",
        catch_expected="tie",
        response="tie",
        submitted_at="2027-01-01T00:00:00Z",
    )
    practice = replace(same, trial_kind="practice")
    assert len(clean_ratings([rating(), same, practice]).raw) == 1
