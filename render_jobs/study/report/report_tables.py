# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's numbers in; the report's tables and figures out, with captions that define them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from render_jobs.reporting.document import Block, Figure, Section, Table, Text
from render_jobs.study.report import plots
from render_jobs.study.report.wording import (
    counts,
    headline_interval,
    interval,
    number,
    p_value,
    percent,
    title,
    versus,
)

Facts = Mapping[str, Any]
SETS: Final = (("raw", "all ratings"), ("clean", "after exclusions"))


def in_order(analysis: Facts) -> list[str]:
    """The comparisons that hold the target first."""
    return sorted(
        analysis["comparisons"], key=lambda n: (n not in analysis["holm_p_sign_no_ties"], n)
    )


def ordered(analysis: Facts) -> list[tuple[str, Facts]]:
    """Comparisons and their entries, those that hold the target first."""
    return [(name, analysis["comparisons"][name]) for name in in_order(analysis)]


def _rows(analysis: Facts) -> Iterator[tuple[str, str, Facts]]:
    """Comparison, language (`all` first) and its numbers."""
    for name, entry in ordered(analysis):
        for language, facts in entry.items():
            yield name, language, facts


def _by_language(
    columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str, folded: str = ""
) -> Table:
    """A table whose second column is the language; that column goes when it never varies."""
    if len({row[1] for row in rows}) > 1:
        return Table(columns, rows, caption, word_columns=2, folded=folded)
    shorter = [(row[0], *row[2:]) for row in rows]
    return Table((columns[0], *columns[2:]), shorter, caption, folded=folded)


def forest_figure(facts: Facts) -> Figure:
    """Overall with the headline interval, after exclusions and without any, and by language."""
    rows: list[plots.Estimate] = []
    for name in in_order(facts["raw"]):
        for which, words in reversed(SETS):
            for language, one in facts[which]["comparisons"].get(name, {}).items():
                if language != "all" and which == "raw":
                    continue
                overall = one["rating_level"]["overall"]
                low, high = headline_interval(one) or (None, None)
                label = words if which == "raw" else title(name)
                label = f"{language} only" if language != "all" else label
                pale = which == "raw" or language != "all"
                ends = interval(headline_interval(one)).removesuffix(" %")
                note = f"{100 * overall:.1f} % ({ends})"
                rows.append(plots.Estimate(label, overall, low, high, pale, note))
    caption = (
        "Overall = (wins + half the ties) / ratings of the first-named system, with the 95 % "
        "interval of the two-way cluster-robust t. Filled: after the exclusions the plan fixed. "
        "Rings: all ratings, or one language after exclusions. Dashed: no difference."
    )
    return Figure(plots.forest(rows, "overall of the first-named system"), caption)


def paper_section(facts: Facts) -> Section:
    """Win, Tie, Overall and MMF over all ratings, with the rating-level twins beside them."""
    columns = (
        "Comparison", "Language", "Pairs", "Win", "Tie", "Overall", "MMF", "MMF by chance",
        "MMF pooled", "Ratings", "Win, ratings", "Tie, ratings", "Overall, ratings",
    )  # fmt: skip
    rows, bars = [], []
    for name, language, one in _rows(facts["raw"]):
        pairs, ratings = one["pair_majority"], one["rating_level"]
        rows.append((
            title(name), language, str(one["n_pairs"]), percent(pairs["win"]),
            percent(pairs["tie"]), percent(pairs["overall"]), percent(one["mmf_macro"]),
            percent(one["mmf_expected_independent"]), percent(one["mmf_micro"]),
            str(one["n_ratings"]), percent(ratings["win"]), percent(ratings["tie"]),
            percent(ratings["overall"]),
        ))  # fmt: skip
        if language == "all":
            for label, part in ((title(name), pairs), ("by ratings", ratings)):
                note = f"overall {percent(part['overall'])}"
                bars.append(plots.Shares(label, part["win"], part["tie"], part["loss"], note))
    caption = (
        "All ratings, nobody excluded. Win, Tie: shares of pairs by the outcome most raters gave; "
        "a pair whose most frequent outcomes are equally frequent counts as a tie. Overall = Win + "
        "Tie / 2. MMF: mean over pairs of the share of raters who gave the most frequent outcome; "
        "MMF by chance: what it would be if every rating were an independent draw from the pooled "
        "shares (exact); MMF pooled: the sum of most frequent counts over all ratings. The last "
        "four columns count every rating once; majorities make shares of pairs more extreme than "
        "shares of ratings."
    )
    figure = Figure(
        plots.stacked(bars, "share of pairs by majority, and of ratings"),
        "Wins (blue), ties (grey) and losses (orange) of the first-named system: pairs by their "
        "majority, and below them single ratings.",
    )
    return Section(
        "Win, Tie, Overall and MMF as in the paper",
        (_by_language(columns, rows, caption), figure),
    )


def tests_section(facts: Facts, more: Facts) -> Section:
    """The headline test and what stands beside it."""
    head, other = [], []
    for which, words in reversed(SETS):
        adjusted = more[which]["holm_p_cluster_t"]
        holm_flip = facts[which]["holm_p_rater_signflip"]
        for name, language, one in _rows(facts[which]):
            if language != "all":
                continue
            ttest = one["rater_ttest"] or {"p": None}
            head.append((
                title(name), words, percent(one["rating_level"]["overall"]),
                interval(headline_interval(one)), str(one["cluster_df"]),
                p_value(one["p_cluster_t"]), p_value(adjusted.get(name)),
                interval(one["bootstrap_ci95_approx"]),
            ))  # fmt: skip
            other.append((
                title(name), words, p_value(one["p_rater_signflip_exact"]),
                p_value(holm_flip.get(name)), p_value(ttest["p"]),
                p_value(one["p_sign_pair_majority"]), p_value(one["p_sign_no_ties"]),
                p_value(one["p_sign_ties_split"]), p_value(one["p_trinomial"]),
                interval(one["wilson95_overall_half_ties"]),
            ))  # fmt: skip
    return Section("Tests", (
        Table(
            ("Comparison", "Ratings used", "Overall", "95 % interval", "df", "p", "p, Holm",
             "Bootstrap 95 %"), head,
            "Headline: two-way cluster-robust t against 50 %, raters and items as clusters, df = "
            "the smaller of raters and pairs, less 1. Holm adjusts over the comparisons that hold "
            "the target. Bootstrap: raters and items drawn anew independently.", word_columns=2,
        ),
        Table(
            ("Comparison", "Ratings used", "Rater sign flip", "same, Holm", "Rater t",
             "Sign, pairs", "Sign, ratings", "Ties split", "Trinomial", "Wilson, overall"), other,
            "p-values beside the headline. Rater sign flip and t treat raters as the sample and "
            "items as fixed; the sign test of pairs treats pairs as the sample and raters as "
            "fixed. The last four treat all ratings as independent: they are too sure, and are "
            "shown because others report them.", word_columns=2,
        ),
    ))  # fmt: skip


def sensitivity_section(facts: Facts, more: Facts) -> Section:
    """The same answer counted in other ways."""
    rows = []
    for name in in_order(facts["raw"]):
        for which, words in SETS:
            one = facts[which]["comparisons"].get(name, {}).get("all")
            if one is None:
                continue
            untied = more[which]["comparisons"][name]["without_ties"] or {}
            pairs, strict = one["pair_majority"], one["pair_strict_majority"]
            rows.append((
                title(name), words, percent(one["rating_level"]["overall"]),
                p_value(one["p_cluster_t"]), percent(untied.get("share")),
                p_value(untied.get("p_cluster_t")), counts(pairs["counts"]),
                percent(pairs["overall"]), counts(strict["counts"]), percent(strict["overall"]),
                str(pairs["n_modal_ties"]),
            ))  # fmt: skip
    caption = (
        "Ties dropped: win share of the untied ratings. Strict: a pair counts for an outcome only "
        "when more than half of its ratings agree, else as a tie. Counts are win / tie / loss."
    )
    columns = ("Comparison", "Ratings used", "Overall", "p", "Ties dropped", "p", "Pairs W/T/L",
               "Overall, pairs", "Strict W/T/L", "Overall, strict", "Split pairs")  # fmt: skip
    return Section(
        "Does it depend on how one counts?", (Table(columns, rows, caption, word_columns=2),)
    )


def agreement_section(facts: Facts, sentences: Sequence[str]) -> Section:
    """How far raters agree on single pairs."""
    rows = [
        (
            title(name), language, number(one["krippendorff_alpha_nominal"]),
            number(one["fleiss_kappa_complete_pairs"]), str(one["n_complete_pairs"]),
            percent(one["pairwise_agreement"]), percent(one["mmf_macro"]),
            percent(one["mmf_expected_independent"]),
        )
        for name, language, one in _rows(facts["raw"])
    ]  # fmt: skip
    caption = (
        "All ratings. Alpha (Krippendorff) and kappa (Fleiss, only pairs that every rater judged) "
        "are 0 at chance and 1 at full agreement. Pairwise: share of equal answers among two "
        "raters of the same pair. MMF has a high floor: read it beside its value by chance."
    )
    columns = ("Comparison", "Language", "Alpha", "Kappa", "Complete pairs", "Pairwise", "MMF",
               "MMF by chance")  # fmt: skip
    lines = [Text(sentence) for sentence in sentences]
    return Section("Do raters agree?", (*lines, _by_language(columns, rows, caption)))


def ranking_section(facts: Facts, more: Facts) -> Section:
    """Strengths of all systems, by two models, with two kinds of interval."""
    ranking = facts["raw"]["ranking"]
    note = [Text(ranking["note"])] if "note" in ranking else []
    davidson, simple = ranking["davidson"], ranking["bt_half_ties"]
    if davidson is None:
        return Section("Ranking", note or [Text("There is nothing to rank.")])
    bootstrap = more["raw"]["ranking_bootstrap_ci95"] or {}
    order = sorted(davidson["log_strength"], key=lambda name: -davidson["log_strength"][name])
    rows, estimates = [], []
    for name in order:
        value = davidson["log_strength"][name]
        low, high = bootstrap.get(name, (None, None))
        shown = "–" if low is None else f"{low:+.3f} to {high:+.3f}"
        rows.append((name, f"{value:+.3f}", number(davidson["se"][name]), shown,
                     f"{simple['log_strength'][name]:+.3f}"))  # fmt: skip
        estimates.append(plots.Estimate(name, value, low, high, note=f"{value:+.3f}"))
    side = more["raw"]["left_side"]
    words = f"Tie parameter nu {davidson['nu']:.3f}. "
    if side:
        words += (
            f"With a term for the side, standing on the left adds {side['log_advantage']:+.3f} to "
            "a log strength (Davidson and Beaver)."
        )
    caption = (
        "All ratings. Davidson: log strengths with ties as their own outcome, summing to 0; the "
        "standard error treats ratings as independent, the interval draws raters and items anew. "
        "Bradley-Terry: a tie as half a win to each."
    )
    columns = ("System", "Davidson", "Standard error", "Bootstrap 95 %", "Bradley-Terry")
    figure = Figure(
        plots.strengths(estimates, "log strength (Davidson), bootstrap 95 % interval"),
        "Log strengths; 0 is the mean of all systems.",
    )
    return Section("Ranking", (*note, Table(columns, rows, caption), Text(words), figure))


def raters_section(facts: Facts, more: Facts, about: Facts) -> Section:
    """Each rater, the catch trials, the sides, the drift over the session."""
    excluded = about["excluded"]
    dots = {title(n): e["all"]["per_rater_overall"] for n, e in ordered(facts["raw"])}
    axis = "overall of the first-named system, one mark per rater"
    figure = Figure(
        plots.raters(dots, list(excluded), axis),
        "All ratings. One mark per rater: filled when kept, a ring when excluded.",
    )
    catch = facts["cleaning"]["catch"]
    times = more["raw"]["response_times"]["per_rater"]
    people = sorted(set(catch) | set(times))
    rows = []
    for rater in people:
        score, time = catch.get(rater), times.get(rater)
        rows.append((
            rater, f"out: {excluded[rater]}" if rater in excluded else "kept",
            f"{score['passed']} of {score['total']}" if score else "–",
            str(time["n"]) if time else "0", f"{time['median']:.2f}" if time else "–",
            str(time["below_1"]) if time else "–",
        ))  # fmt: skip
    sides = []
    for name, language, one in _rows(facts["raw"]):
        if language != "all":
            continue
        extra, side = more["raw"]["comparisons"][name], one["side"]
        stood = extra["by_side"]
        sides.append((
            title(name), f"{side['left']} / {side['tie']} / {side['right']}",
            p_value(side["p_left_vs_right"]), percent(stood["left"]["overall"]),
            percent(stood["right"]["overall"]),
            *(percent(third["overall"]) for third in extra["by_third"]),
        ))  # fmt: skip
    blocks: list[Block] = [
        figure,
        Table(
            ("Comparison", "Left / no difference / right", "p, left or right", "Overall, on left",
             "Overall, on right", "First third", "Second", "Last"), sides,
            "Side: exact binomial test of left against right answers. Overall of the first-named "
            "system when it stood on the left, on the right, and by thirds of the session.",
        ),
        Table(
            ("Rater", "Fate", "Catch trials passed", "Ratings", "Median time / clip", "Too fast"),
            rows, "Too fast: answered before the clip could have ended.", word_columns=2,
            folded=f"All {len(people)} raters",
        ),
    ]  # fmt: skip
    return Section("Raters, sides, order", blocks)


def times_section(more: Facts) -> Section:
    """How long answers took."""
    times = more["raw"]["response_times"]
    whole = times["all"]
    if whole is None:
        return Section("Response times", (Text("The table holds no times."),))
    ratios = [value for values in times["ratios"].values() for value in values]
    played = times["playback"]
    words = (
        f"Half of the answers came within {whole['median']:.2f} clip lengths (quartiles "
        f"{whole['q1']:.2f} and {whole['q3']:.2f}); {whole['below_1']} came before the clip could "
        "have ended."
    )
    if played:
        words += " On average: " + ", ".join(f"{n} {v:.2f}" for n, v in played.items()) + "."
    figure = Figure(
        plots.histogram(ratios, "answer time divided by the clip's length"),
        "All main ratings. Orange: answered before the clip could have ended; these leave the "
        "analysis after exclusions.",
    )
    return Section("Response times", (Text(words), figure))


def prompts_section(facts: Facts, more: Facts) -> Section:
    """Every pair of videos, most wins first."""
    blocks = []
    for name in in_order(facts["raw"]):
        extra = more["raw"]["comparisons"][name]
        target, _ = versus(name)
        ordered = sorted(
            extra["pairs"], key=lambda row: (row["loss"] - row["win"], row["item_id"])
        )  # fmt: skip
        rows = [
            (row["item_id"], row["language"], f"{row['win']} / {row['tie']} / {row['loss']}",
             row["label"] + (" (split)" if row["modal_tie"] else ""), percent(row["agree"], 0))
            for row in ordered
        ]  # fmt: skip
        caption = (
            f"Ratings for {target}, all raters; label: the most frequent outcome, (split) where "
            "several are equally frequent; agree: the share that gave it."
        )
        columns = ("Item", "Language", "Win / tie / loss", "Label", "Agree")
        folded = f"{title(name)}: {len(rows)} pairs"
        blocks.append(_by_language(columns, rows, caption, folded))
    return Section("Every prompt", blocks)
