# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of a study in, sentences that claim no more than the numbers carry out.

A preference is claimed only by the two-way cluster-robust test, Holm-adjusted when the target was
compared with several systems. Shares of pairs and MMF are described, never called evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Facts = Mapping[str, Any]
ALPHA: Final = 0.05
_FEW: Final = 10  # degrees of freedom below which the t interval is rough
# Landis & Koch 1977, Biometrics 33:159: bounds and their names, a convention without theory
_AGREEMENT: Final = (
    (0.0, "no agreement beyond chance"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"),
    (0.8, "substantial"), (1.01, "almost perfect"),
)  # fmt: skip


def percent(share: float | None, digits: int = 1) -> str:
    """`67.0 %`; a dash when there is none."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def interval(ends: Sequence[float] | None) -> str:
    """`54.3 to 79.7 %`, kept inside 0 and 100; a dash when there is none."""
    if ends is None:
        return "–"
    low, high = (100 * min(1.0, max(0.0, end)) for end in ends)
    return f"{low:.1f} to {high:.1f} %"


def headline_interval(facts: Facts) -> Sequence[float] | None:
    """The 95 % interval of the headline test; None where there is no test, though a formula gives
    one of no width.
    """
    ends: Sequence[float] | None = facts["cluster_ci95_t"]
    return None if facts["p_cluster_t"] is None else ends


def p_value(p: float | None) -> str:
    """`0.016`, `< 0.001`; a dash when there is none."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_equals(p: float) -> str:
    """`p = 0.016`, `p < 0.001`."""
    return "p " + (p_value(p) if p < 0.001 else f"= {p_value(p)}")


def number(value: float | None, digits: int = 3) -> str:
    """Plain digits; a dash when there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def counts(tally: Facts) -> str:
    """`14 / 0 / 6`: win, tie, loss."""
    return f"{tally['win']} / {tally['tie']} / {tally['loss']}"


def versus(name: str) -> tuple[str, str]:
    """The two systems of `target__vs__other`."""
    target, _, other = name.partition("__vs__")
    return target, other


def title(name: str) -> str:
    """`ex_omni vs emotalk`."""
    return " vs ".join(versus(name))


def verdict(name: str, facts: Facts, adjusted_p: float | None, of: int) -> tuple[str, str]:
    """What the headline test says about one comparison: the claim, and what it rests on.

    adjusted_p: Holm's over `of` comparisons, None where the target takes no part.
    """
    target, other = versus(name)
    overall, p = facts["rating_level"]["overall"], facts["p_cluster_t"]
    raters = "1 rater" if facts["n_raters"] == 1 else f"{facts['n_raters']} raters"
    size = f"{facts['n_ratings']} ratings of {facts['n_pairs']} pairs by {raters}"
    found = f"overall of {target} {percent(overall)}"
    if p is None:
        return (
            f"Nothing can be said about {target} and {other} beyond these answers: {found}.",
            f"Too few raters or pairs for a test, or all answers alike; {size}.",
        )
    found += f", 95 % interval {interval(headline_interval(facts))}"
    basis = f"Two-way cluster-robust t, {p_equals(p)}"
    if adjusted_p is not None and of > 1:
        basis += f", Holm-adjusted over {of} comparisons {p_equals(adjusted_p)}"
    basis += f"; bootstrap interval {interval(facts['bootstrap_ci95_approx'])}; {size}."
    if (p if adjusted_p is None else adjusted_p) < ALPHA:
        better, worse = (target, other) if overall > 0.5 else (other, target)
        return f"{better} was preferred to {worse}: {found}.", basis
    if p < ALPHA:
        basis += " Alone this would count as a preference; among several comparisons it does not."
    else:
        basis += " That is no evidence that they are equal, either."
    return f"No evidence of a preference between {target} and {other}: {found}.", basis


def pair_caution(name: str, facts: Facts) -> str:
    """What the share of pairs means by itself: usually nothing, as there are few pairs."""
    target, _ = versus(name)
    pairs, p = facts["pair_majority"], facts["p_sign_pair_majority"]
    n, won = facts["n_pairs"], pairs["counts"]["win"]
    text = f"{target} won {won} of {n} pairs by majority ({percent(pairs['win'], 0)})"
    if pairs["n_modal_ties"]:
        text += f", {pairs['n_modal_ties']} more had no single majority"
    shown = p_equals(p)
    if p < ALPHA:
        return f"{text}; by pairs alone the sign test has {shown}, raters taken as fixed."
    return f"{text}; {n} pairs alone are no evidence of a preference (sign test {shown})."


def agreement_words(facts: Facts) -> str:
    """Alpha with its customary name, and MMF beside what chance gives."""
    alpha = facts["krippendorff_alpha_nominal"]
    gap = facts["mmf_macro"] - facts["mmf_expected_independent"]
    chance = (
        f"MMF {percent(facts['mmf_macro'])} where raters without any agreement on single pairs "
        f"would reach {percent(facts['mmf_expected_independent'])} ({100 * gap:+.1f} points)"
    )
    if alpha is None:
        return f"{chance}; alpha can't be had (all answers alike, or one rating per pair)."
    name = next(word for bound, word in _AGREEMENT if alpha <= bound)
    return f"{chance}; Krippendorff's alpha {alpha:.3f} ({name})."


def cautions(facts: Facts, more: Facts) -> list[str]:
    """Warnings that the numbers of one comparison call for. more: its entry in `details`."""
    out = []
    if facts["side"]["p_left_vs_right"] < ALPHA:
        side = facts["side"]
        out.append(
            f"Raters favoured a side: {side['left']} left, {side['right']} right "
            f"({p_equals(side['p_left_vs_right'])}). Flipped sides even this out only where each "
            "system stood on both sides equally often."
        )
    if 0 < facts["cluster_df"] < _FEW:
        out.append(
            f"{facts['cluster_df']} degrees of freedom (the smaller of raters and pairs, less 1) "
            "make the interval wide and rough."
        )
    p, ends = facts["p_cluster_t"], facts["bootstrap_ci95_approx"]
    if p is not None and p < ALPHA and ends[0] <= 0.5 <= ends[1]:
        out.append(
            f"The bootstrap interval ({interval(ends)}) holds 50 % though the headline test does "
            "not: with few raters or pairs they can differ, so take this as not settled."
        )
    thirds = [third["overall"] for third in more["by_third"]]
    if all(value is not None for value in thirds) and max(thirds) - min(thirds) > 0.2:
        shown = ", ".join(percent(value, 0) for value in thirds)
        out.append(
            f"Overall drifts over the session ({shown} by thirds): tired or learning raters?"
        )
    if facts["rating_level"]["tie"] > 0.3:
        out.append(
            f"Ties are {percent(facts['rating_level']['tie'], 0)} of the ratings: many saw no "
            "difference."
        )
    return out
