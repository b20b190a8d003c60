# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's source in, what its report says about how it was made and counted out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from exomni_core import __version__
from render_jobs.reporting.document import Bullets, Section, Text
from render_jobs.study.plan import plan_hash
from render_jobs.study.report.cleaning import Cleaned
from render_jobs.study.report.sources import ReportSource

Facts = Mapping[str, Any]
_SOURCES: Final = (
    "Win, Tie, Overall and MMF: arXiv:2602.07106 (human study and its appendix).",
    "Two-way cluster-robust variance: Cameron, Gelbach and Miller 2011, J Bus Econ Stat 29:238.",
    "Bootstrap over raters and items: Owen 2007, Ann Appl Stat 1:386. Intervals of shares: Wilson "
    "1927.",
    "Sign test and split ties: Dixon and Mood 1946. Trinomial test: Bian, McAleer and Wong 2011. "
    "Holm 1979.",
    "Davidson 1970, Davidson and Beaver 1977, Bradley and Terry 1952. Kappa: Fleiss 1971. Alpha: "
    "Krippendorff 2011.",
)


def about(source: ReportSource, cleaned: Cleaned, seed: int) -> dict[str, Any]:
    """Title, size, exclusions, plan and settings, as plain data; the same source gives the same."""
    study, raw = source.study, cleaned.raw
    days = sorted({row.submitted_at[:10] for row in raw if row.submitted_at})
    systems = sorted({name for row in raw for name in (row.system_a, row.system_b)})
    kept = {row.rater_id for row in cleaned.clean}
    facts: dict[str, Any] = {
        "title": study.title if study and study.title else "Human A/B study",
        "size": _size(source, cleaned, days),
        "systems": systems,
        "target": source.target,
        "seed": seed,
        "raters": len({row.rater_id for row in raw}),
        "raters_kept": len(kept),
        "excluded": dict(cleaned.excluded),
        "bad_rows": [str(row) for row in source.bad],
        "plan_sha256": study.plan_sha256 if study else None,
    }
    if study:
        facts["plan_intact"] = plan_hash(study) == study.plan_sha256
        facts["plan"] = dict(study.plan)
        facts["protocol"] = dict(study.protocol)
        facts["stimulus"], facts["audio"] = study.stimulus, study.audio
        facts["system_descriptions"] = dict(study.systems)
        facts["dropped_items"] = [[one.item, one.reason] for one in study.dropped]
    return facts


def _size(source: ReportSource, cleaned: Cleaned, days: list[str]) -> str:
    raw = cleaned.raw
    raters, pairs = {row.rater_id for row in raw}, {row.pair_id for row in raw}
    when = "" if not days else f", {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")
    languages = sorted({row.language for row in raw if row.language})
    return (
        f"{len(raw)} ratings by {_raters(raters)} of {len(pairs)} pairs of videos"
        f"{' in ' + ', '.join(languages) if languages else ''}{when}. After exclusions "
        f"{len(cleaned.clean)} ratings by {_raters({row.rater_id for row in cleaned.clean})} "
        f"remain. Target: {source.target}."
    )


def _raters(raters: set[str]) -> str:
    return "1 rater" if len(raters) == 1 else f"{len(raters)} raters"


def method_section(facts: Facts, about_facts: Facts) -> Section:
    """How ratings became numbers: the plan's hash, exclusions with reasons, definitions."""
    lines = (*_plan_lines(about_facts), *_cleaning_lines(facts, about_facts))
    return Section("How it was counted", (Bullets(lines), Text("Formulas:"), Bullets(_SOURCES)))


def _plan_lines(about_facts: Facts) -> list[str]:
    digest = about_facts["plan_sha256"]
    if digest is None:
        return [
            "No study plan came with these ratings, so nothing shows that the analysis was "
            "fixed beforehand; the default rules were used."
        ]
    lines = [f"Plan fixed before the first rating, SHA-256 {digest}."]
    if not about_facts["plan_intact"]:
        lines.append("WARNING: the plan on disk no longer matches that hash; it was changed.")
    lines.append(
        "Both videos of a pair play the same sound, so the question is about the face alone."
        if about_facts["audio"] == "shared"
        else "Each video plays its own system's sound, so voices and timing of speech differ too."
    )
    for name, words in about_facts["system_descriptions"].items():
        lines.append(f"System {name}: {words or 'no description'}.")
    for name, value in about_facts["plan"].items():
        words = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        )
        lines.append(f"Planned {name.replace('_', ' ')}: {words}.")
    for language, words in about_facts["protocol"].items():
        lines.append(f"Question put to raters ({language}): {words}")
    if dropped := about_facts["dropped_items"]:
        listed = "; ".join(f"{item} ({reason})" for item, reason in dropped[:20])
        lines.append(f"Items left out before sampling, {len(dropped)}: {listed}.")
    return lines


def _cleaning_lines(facts: Facts, about_facts: Facts) -> list[str]:
    cleaning = facts["cleaning"]
    excluded = about_facts["excluded"]
    lines = [
        f"{cleaning['rows_read']} rows: {cleaning['dropped_missing']} unanswered and "
        f"{cleaning['dropped_superseded']} corrected later left out; {cleaning['main_ratings']} "
        "main ratings remain (practice and catch trials are no ratings).",
        f"Too fast (answered before the clip could have ended): {cleaning['too_fast_main']} main "
        "ratings, out after exclusions.",
    ]
    if "low_coverage_main" in cleaning:
        lines.append(
            f"Clip not played far enough: {cleaning['low_coverage_main']} main ratings, "
            "out after exclusions."
        )
    if not cleaning["catch"]:
        lines.append("There were no catch trials, so nobody could be excluded by them.")
    names = "; ".join(f"{rater} ({why})" for rater, why in excluded.items())
    lines.append(f"Raters excluded: {names or 'none'}.")
    if about_facts["bad_rows"]:
        shown = "; ".join(about_facts["bad_rows"][:10])
        lines.append(f"Rows that could not be read, {len(about_facts['bad_rows'])}: {shown}.")
    lines.append(f"Seed of the bootstraps: {about_facts['seed']}. Exorender {__version__}.")
    return lines
