# SPDX-License-Identifier: GPL-3.0-or-later
"""Every number of the shared golden study, by the command that the acceptance run uses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from rating_tables import of_outcomes

from render_jobs.cli.commands import main
from render_jobs.study.ratings import read_ratings, write_ratings
from render_jobs.study.report.analysis import analyse, comparison
from render_jobs.study.report.cleaning import outcomes

STRENGTH_KEYS = ("log_strength", "nu", "log_nu", "loglik")


def tolerance(path, expected):
    """The golden README's: shares and counts 1e-9, p and alpha 1e-6, strengths 1e-5, their errors
    1e-4 relative, bootstrap 0.02."""
    if "bootstrap_ci95_approx" in path:
        return 0.02
    if "ranking" in path:
        if "se" in path:
            return 1e-4 * abs(expected)
        return 1e-5 if set(path) & set(STRENGTH_KEYS) else 1e-9
    if any(str(key).startswith(("p_", "holm_p")) or "alpha" in str(key) for key in path):
        return 1e-6
    return 1e-6 if "rater_ttest" in path else 1e-9


def differences(expected, found, path=()):
    """Every leaf that is missing, of another type, or beyond its tolerance."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or set(expected) != set(found):
            return [(path, "keys")]
        return [d for k in expected for d in differences(expected[k], found[k], (*path, k))]
    if isinstance(expected, list):
        if not isinstance(found, list) or len(expected) != len(found):
            return [(path, "length")]
        pairs = enumerate(zip(expected, found, strict=True))
        return [d for n, (e, f) in pairs for d in differences(e, f, (*path, n))]
    if isinstance(expected, float):
        near = isinstance(found, int | float) and abs(expected - found) <= tolerance(path, expected)
        return [] if near else [(path, expected, found)]
    return [] if expected == found and type(expected) is type(found) else [(path, expected, found)]


@pytest.fixture(scope="module")
def public(shared):
    folder = shared / "golden" / "study"
    expected = json.loads((folder / "expected_public.json").read_text(encoding="utf-8"))
    return folder / "ratings_public.csv", expected


def test_every_leaf_of_the_public_study(public):
    table, expected = public
    done = CliRunner().invoke(
        main, ["study", "report", "--ratings", str(table), "--target", "ex_omni", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 1
    assert differences(expected, json.loads(done.stdout)) == []


def test_the_comparison_of_leaves_sees_small_errors(public):
    _, expected = public
    wrong = json.loads(json.dumps(expected))
    entry = wrong["raw"]["comparisons"]["ex_omni__vs__emotalk"]["all"]
    entry["mmf_macro"] += 1e-8
    entry["p_trinomial"] += 2e-6
    entry["counts"]["win"] = float(entry["counts"]["win"])
    wrong["clean"]["ranking"]["davidson"]["se"]["emotalk"] *= 1.001
    del wrong["cleaning"]["too_fast_main"]
    assert len(differences(expected, wrong)) == 5


def test_a_table_written_and_read_again_gives_the_same(public, tmp_path):
    table, _ = public
    rows = read_ratings(table)
    write_ratings(rows, tmp_path / "copy.csv")
    again = read_ratings(tmp_path / "copy.csv")
    assert again == rows
    assert analyse(again, "ex_omni") == analyse(rows, "ex_omni")


def test_the_example_to_do_on_paper(shared):
    data = json.loads((shared / "golden/study/hand_example.json").read_text(encoding="utf-8"))
    found = comparison(outcomes(of_outcomes(data["pairs"]), "a"))
    expected = data["expected"]
    assert found["rating_level"] == pytest.approx(expected["rating_level"], abs=1e-12)
    for key in ("win", "tie", "loss", "overall", "n_modal_ties"):
        assert found["pair_majority"][key] == pytest.approx(expected["pair_majority"][key])
    labels = [expected["pair_majority"][pair] for pair in ("P1", "P2", "P3")]
    counts = {name: labels.count(name) for name in ("win", "tie", "loss")}
    assert found["pair_majority"]["counts"] == counts
    assert found["mmf_macro"] == pytest.approx(expected["mmf_macro"], abs=1e-12)
    assert found["mmf_micro"] == pytest.approx(expected["mmf_micro"], abs=1e-12)
    assert found["fleiss_kappa_complete_pairs"] == pytest.approx(expected["fleiss_kappa"])
    alpha = expected["krippendorff_alpha_nominal"]
    assert found["krippendorff_alpha_nominal"] == pytest.approx(alpha)


def test_the_example_with_one_rating_missing(shared):
    data = json.loads((shared / "golden/study/hand_example.json").read_text(encoding="utf-8"))
    drop = data["drop_one"]
    found = comparison(outcomes(of_outcomes({**data["pairs"], "P3": drop["P3"]}), "a"))
    for key in ("mmf_macro", "mmf_micro", "krippendorff_alpha_nominal"):
        assert found[key] == pytest.approx(drop[key], abs=1e-9)
    # unequal numbers of ratings are what tells the two forms apart
    assert found["mmf_macro"] > found["mmf_micro"]
