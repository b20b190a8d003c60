# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished suite in, report.md and report.html out; the page is one file without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from exomni_core.storage.files import write_text
from render_jobs.evaluation.suite.report_face import face_sections
from render_jobs.evaluation.suite.report_speech import (
    consistency_sections,
    duration_section,
    latency_sections,
    sync_sections,
    tts_sections,
)
from render_jobs.evaluation.suite.run import Suite
from render_jobs.reporting.document import (
    Block,
    Bullets,
    Cell,
    Link,
    Section,
    Table,
    Text,
    to_html,
    to_markdown,
)

_MOST_FAILURES, _HASH_SHOWN = 100, 16
_CONFIG_HASH = "config_sha256="


def write_report(suite: Suite, out: Path) -> tuple[Path, ...]:
    """Write both files beside the data; returns all that a reader wants to open."""
    title, sections = suite.record["title"], sections_of(suite)
    files = out / "report.html", out / "report.md"
    write_text(files[0], to_html(title, sections))
    write_text(files[1], to_markdown(title, sections))
    data = [out / name for name in ("suite.json", "numbers.csv", "latency.json", "latency.csv")]
    return (*files, *(path for path in data if path.is_file()))


def sections_of(suite: Suite) -> list[Section]:
    """The whole report, in order."""
    return [
        _summary(suite),
        *face_sections(suite),
        *sync_sections(suite),
        *duration_section(suite),
        *consistency_sections(suite),
        *tts_sections(suite),
        *latency_sections(suite),
        *_failures(suite),
        _method(suite),
    ]


def _summary(suite: Suite) -> Section:
    record = suite.record
    prompts = sum(one["n"] for one in record["sets"])
    failed = sum(one["n_failed"] for one in record["clips"])
    wanted = sum(one["n"] for one in record["clips"])
    blocks: list[Block] = [
        Text(
            f"{len(record['systems'])} systems on {len(record['sets'])} sets of {prompts} "
            f"prompts: {wanted - failed} of {wanted} clips are there"
            + (f", {failed} failed and are counted." if failed else "."),
            "lead",
        )
    ]
    if warnings := _warnings(suite):
        blocks.append(Bullets(warnings))
    blocks.append(_clips_table(suite))
    return Section("What was measured", blocks)


def _warnings(suite: Suite) -> list[str]:
    found = [suite.config.note] if suite.config.note else []
    synthetic = [
        one.set_name
        for one in suite.of("face")
        if "model=synthetic" in one.result["settings"]["reference_config"]
    ]
    if synthetic:
        sets = ", ".join(dict.fromkeys(synthetic))
        makers = {s.synthetic.source for s in suite.config.sets if s.synthetic}
        whose = f" of {', '.join(sorted(makers))}" if makers else ""
        found.append(
            f"The references of {sets} are SYNTHETIC: made up from clips{whose} (smoothed, damped, "
            "delayed, disturbed). They show that the measuring works and say nothing about any "
            "system's quality: what resembles the recipe, such as a damped face, looks best."
        )
    if suite.record["settings"]["limit"]:
        found.append(
            f"Only the first {suite.record['settings']['limit']} prompts of each set were "
            "used (--limit)."
        )
    found += _face_warnings(suite)
    found += [
        f"{metric.capitalize()}: {chosen.note}"
        for metric, chosen in suite.config.metrics.items()
        if chosen.note
    ]
    if suite.head is not None:
        found += suite.head.facts["notes"]
    return found


def _face_warnings(suite: Suite) -> list[str]:
    """Each kind of warning once, with where it was met."""
    kinds: dict[str, tuple[str, list[str]]] = {}
    for one in suite.of("face"):
        for warning in one.result["warnings"]:
            kind = "".join(c for c in warning["warning"] if not c.isdigit())
            told = f"{one.system} on {one.set_name}, {warning['clips']} clips"
            kinds.setdefault(kind, (f"{warning['warning']} (such as {warning['example']})", []))
            kinds[kind][1].append(told)
    return [f"{first}: {'; '.join(where)}" for first, where in kinds.values()]


def _clips_table(suite: Suite) -> Table:
    rows: list[Sequence[Cell]] = []
    for system in suite.record["systems"]:
        cells = []
        for one in suite.record["sets"]:
            facts = next(
                c
                for c in suite.record["clips"]
                if (c["system"], c["set"]) == (system["name"], one["name"])
            )
            made = facts["n"] - facts["n_failed"]
            cells.append(f"{made} of {facts['n']}")
        rows.append([system["name"], system["description"] or system["kind"], *cells])
    header = ["system", "what it is", *(f"set {one['name']}" for one in suite.record["sets"])]
    sets = "; ".join(
        f"{one['name']}: {one['n']} prompts, {one['speech_in']} of them recordings"
        for one in suite.record["sets"]
    )
    return Table(header, rows, word_columns=2, caption=f"Clips that are there. Sets: {sets}.")


def _failures(suite: Suite) -> list[Section]:
    rows: list[Sequence[Cell]] = [
        [one.metric, one.system, one.set_name, Link(str(f["id"]), one.rows), f["reason"]]
        for one in suite.scored
        for f in one.result["failures"]
    ]
    if not rows:
        return []
    more = len(rows) - _MOST_FAILURES
    caption = f"{more} more stand in the files of rows." if more > 0 else ""
    return [
        Section(
            "Not scored",
            [
                Text(
                    "Counted in every table; the lip vertex error has a row in which each of "
                    "them is a face that never moves."
                ),
                Table(
                    ["metric", "system", "set", "id", "why"],
                    rows[:_MOST_FAILURES],
                    caption,
                    word_columns=5,
                ),
            ],
        )
    ]


def _method(suite: Suite) -> Section:
    settings = suite.record["settings"]
    packages = ", ".join(f"{k} {v}" for k, v in settings["packages"].items() if v)
    lines = [
        f"exorender {settings['exomni']}; {packages}.",
        f"Configuration {settings['config']}, SHA-256 {settings['config_sha256']}, seed "
        f"{settings['seed']}.",
        "numbers.csv has every number with the file of its rows; suite.json has all settings, "
        "counts and results; rows/METRIC/SYSTEM/SET.jsonl has one line for each prompt, also for "
        "those that failed, under the hash of what it was computed from.",
    ]
    if suite.of("latency"):
        lines.append("latency.json and latency.csv have what a clock has measured.")
    blocks: list[Block] = [Bullets(lines)]
    rows: list[Sequence[Cell]] = [
        [f"prompts of {one['name']}", one["prompts"], one["prompts_sha256"]]
        for one in suite.record["sets"]
    ]
    if suite.head is not None:
        rows += _head_rows(suite.head.facts)
    told: dict[str, list[str]] = {}
    for one in suite.of("face"):
        sets = told.setdefault(one.result["settings"]["reference_config"], [])
        sets += [one.set_name] if one.set_name not in sets else []
    rows += [_reference_row(which, sets) for which, sets in told.items()]
    short = [[*row[:2], str(row[2])[:_HASH_SHOWN]] for row in rows]
    blocks.append(
        Table(
            ["what", "which", "SHA-256"],
            short,
            word_columns=3,
            caption=f"The first {_HASH_SHOWN} digits of each hash; suite.json has all.",
        )
    )
    blocks.append(Bullets([_options(*one) for one in settings["metrics"].items()]))
    return Section("Settings, versions, hashes", blocks)


def _reference_row(config: str, sets: Sequence[str]) -> list[Cell]:
    parts = [part for part in config.split(", ") if not part.startswith(_CONFIG_HASH)]
    found = [p for p in config.split(", ") if p.startswith(_CONFIG_HASH)]
    sha256 = found[0].removeprefix(_CONFIG_HASH) if found else "not told"
    return [f"references of {', '.join(sets)}", ", ".join(parts), sha256]


def _head_rows(facts: Mapping[str, Any]) -> list[Sequence[Cell]]:
    return [
        ["template", f"{facts['template']}, 1 unit = {facts['unit_to_mm']:g} mm",
         facts["template_sha256"]],
        ["lip vertices", f"{facts['lips']}, {facts['lip_count']}", facts["lip_sha256"]],
        ["upper face", f"{facts['upper']}, {facts['upper_count']}", facts["upper_sha256"]],
    ]  # fmt: skip


def _options(metric: str, chosen: Mapping[str, Any]) -> str:
    """What was chosen for a metric; what was left out isn't told."""
    told = [
        f"{k} = {_shown(v)}"
        for k, v in chosen.items()
        if k != "note" and v not in (None, "", (), [], False)
    ]
    return f"{metric}: {', '.join(told) or 'as usual'}"


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
