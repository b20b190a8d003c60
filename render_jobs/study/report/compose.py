# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's numbers in; report.md, report.html and report.json out, and a few lines for a terminal.

What stands where: the answer and its picture first, then the paper's table with its twins, tests,
sensitivity, agreement, ranking, raters and sides, times, every prompt, and how it was all counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exomni_core import __version__
from exomni_core.storage.files import write_text
from render_jobs.reporting.document import Bullets, Section, Text, to_html, to_markdown
from render_jobs.study.report import report_tables as tables
from render_jobs.study.report.cleaning import clean_ratings
from render_jobs.study.report.details import details
from render_jobs.study.report.report_method import about, method_section
from render_jobs.study.report.sources import ReportSource
from render_jobs.study.report.wording import (
    agreement_words,
    cautions,
    headline_interval,
    interval,
    p_value,
    pair_caution,
    percent,
    title,
    verdict,
)

Facts = Mapping[str, Any]


def write_report(
    source: ReportSource, facts: Facts, folder: Path, *, seed: int
) -> tuple[Path, ...]:
    """Write the three files under `folder`; facts: what `analyse` said about the same source.

    The same ratings give the same bytes. Raises InputError when the folder can't be written.
    """
    cleaned = clean_ratings(source.rows, source.rules, source.assigned)
    more = {
        "raw": details(cleaned.raw, source.target, seed),
        "clean": details(cleaned.clean, source.target, seed),
    }
    facts_about = about(source, cleaned, seed)
    heading = str(facts_about["title"])
    sections = compose(facts, more, facts_about)
    page = folder / "report.html"
    text = folder / "report.md"
    data = folder / "report.json"
    write_text(page, to_html(heading, sections))
    write_text(text, to_markdown(heading, sections))
    whole = {**facts, "details": more, "about": facts_about, "version": __version__}
    write_text(data, json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    return text, page, data


def compose(facts: Facts, more: Facts, facts_about: Facts) -> list[Section]:
    """All sections in order. more: `details` of raw and clean."""
    return [
        _answer(facts, more, facts_about),
        tables.paper_section(facts),
        tables.tests_section(facts, more),
        tables.sensitivity_section(facts, more),
        tables.agreement_section(facts, [
            f"{title(name)}: {agreement_words(entry['all'])}"
            for name, entry in tables.ordered(facts["raw"])
        ]),
        tables.ranking_section(facts, more),
        tables.raters_section(facts, more, facts_about),
        tables.times_section(more),
        tables.prompts_section(facts, more),
        method_section(facts, facts_about),
    ]  # fmt: skip


def main_analysis(facts: Facts) -> str:
    """Which analysis carries the answer: `clean`, unless nothing is left in it."""
    return "clean" if facts["clean"]["comparisons"] else "raw"


def _answer(facts: Facts, more: Facts, facts_about: Facts) -> Section:
    which = main_analysis(facts)
    chosen, extra = facts[which], more[which]
    adjusted = extra["holm_p_cluster_t"]
    blocks: list[Any] = [Text(facts_about["size"])]
    warnings: dict[str, list[str]] = {}  # text -> the comparisons it is about
    names = tables.in_order(chosen)
    for name in names:
        entry = chosen["comparisons"][name]["all"]
        claim, basis = verdict(name, entry, adjusted.get(name), len(adjusted))
        blocks += [Text(claim, kind="lead"), Text(basis, kind="soft")]
        for text in (pair_caution(name, entry), *cautions(entry, extra["comparisons"][name])):
            warnings.setdefault(text, []).append(title(name))
    told = [
        text if len(names) == 1 else f"{_all_or(about, names)}: {text}"
        for text, about in sorted(warnings.items(), key=lambda entry: len(entry[1]))
    ]
    blocks += [tables.forest_figure(facts), Bullets(told)]
    if which == "raw":
        blocks.append(Text("The exclusion rules leave no rating, so all ratings are shown here."))
    return Section("What the study shows", blocks)


def _all_or(about: Sequence[str], names: Sequence[str]) -> str:
    return "All comparisons" if len(about) == len(names) else ", ".join(about)


def summary_lines(facts: Facts, target: str) -> list[str]:
    """A few lines for a terminal: who was kept, then one line per comparison."""
    cleaning = facts["cleaning"]
    why = cleaning.get("excluded_why", {})
    out = [f"{name} ({why[name]})" if name in why else name for name in cleaning["excluded_raters"]]
    which = main_analysis(facts)
    lines = [
        f"{cleaning['main_ratings']} main ratings; left out: {cleaning['dropped_missing']} "
        f"unanswered, {cleaning['dropped_superseded']} corrected, {cleaning['too_fast_main']} too "
        f"fast, raters {', '.join(out) if out else 'none'}.",
        f"Target {target}; {'after exclusions' if which == 'clean' else 'all ratings'}:",
    ]
    lines += [
        f"  {title(name)}: {_one_line(entry['all'])}"
        for name, entry in tables.ordered(facts[which])
    ]
    return lines


def _one_line(facts: Facts) -> str:
    pairs = facts["pair_majority"]
    return (
        f"overall {percent(facts['rating_level']['overall'])} "
        f"({interval(headline_interval(facts))}), cluster t p {p_value(facts['p_cluster_t'])}; "
        f"pairs: win {percent(pairs['win'])}, tie {percent(pairs['tie'])}, overall "
        f"{percent(pairs['overall'])}, MMF {percent(facts['mmf_macro'])} (chance "
        f"{percent(facts['mmf_expected_independent'])})"
    )
