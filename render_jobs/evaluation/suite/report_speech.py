# SPDX-License-Identifier: GPL-3.0-or-later
"""Sync, speech and latency results of a suite in, their sections out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from exomni_core.metrics import latency
from render_jobs.evaluation.latency_text import latency_markdown
from render_jobs.evaluation.output import shown
from render_jobs.evaluation.suite import literature, plots
from render_jobs.evaluation.suite.run import Suite
from render_jobs.evaluation.suite.scoring import Scored
from render_jobs.evaluation.sync_text import table_rows
from render_jobs.reporting.document import Block, Bullets, Cell, Figure, Link, Section, Table, Text

# A face early by more (sound late), or late by more (sound early), is noticed: ITU-R BT.1359.
UNNOTICED_MS: Final = (-125.0, 45.0)
_SHARES: Final = (
    ("p, b, m closed", "closure_hit"), ("closed in vowels (false)", "false_closure"),
    ("f, v tucked", "tuck_hit"), ("u, o, w rounded", "rounding_hit"),
    ("rounded in i, e (false)", "false_rounding"), ("nearest pose", "viseme_recall"),
)  # fmt: skip
_WIDTHS_S, _MOST_BINS = (0.5, 1.0, 2.0, 5.0, 10.0), 12
_BUCKETS: Final = ("0-20", "20-40", "40-60", "0-60")
_FIRST: Final = "ttfa"  # what a listener waits for


def sync_sections(suite: Suite) -> list[Section]:
    """Mouths against their own sounds, one table for each system, by language and route."""
    results = suite.of("sync")
    if not results:
        return []
    blocks: list[Block] = [
        Text("No reference is needed: do the lips do what the clip's own sounds demand? In "
             "brackets, what the same face half a clip later reaches by chance.")
    ]  # fmt: skip
    rows = [_lag(suite, one, g) for one in results for g in one.result["groups"]
            if g["language"] != "all" and g["offset"]["ms"] is not None]  # fmt: skip
    if rows:
        drawn = plots.lags(rows, UNNOTICED_MS, "the face is early  |  ms  |  the face is late")
        blocks.append(Figure(drawn, "How late the mouth is against loudness, pooled over the clips "
                             "of a language and route, with 95 % intervals where there are three "
                             "clips. Shaded: what people don't notice (ITU-R BT.1359: sound up to "
                             "45 ms early or 125 ms late)."))  # fmt: skip
    blocks.append(_sync_overview(results))
    for system in suite.config.systems:
        blocks += _sync_table(system.name, suite.of("sync", system=system.name))
    notes = sorted({n for one in results for n in one.result["settings"]["notes"]})
    if notes:
        blocks.append(Bullets(notes))
    return [Section("Sync without a reference", blocks)]


def _sync_overview(results: Sequence[Scored]) -> Table:
    """All systems, languages and routes in one table, with what chance reaches."""
    rows: list[Sequence[Cell]] = []
    for one in results:
        for group in one.result["groups"]:
            if group["language"] == "all":
                continue
            cells = [Link(_by_chance(group["shares"][name]), one.rows) for _, name in _SHARES]
            order = f"{group['aperture']['in_order']} of {group['aperture']['pairs']}"
            where = [one.system, group["language"], group["route"].replace("_", " ")]
            rows.append([*where, str(group["clips"]), *cells, order])
    header = ["system", "language", "route", "clips", *(words for words, _ in _SHARES),
              "vowels in order"]  # fmt: skip
    caption = (
        "Shares of the sounds concerned; in brackets what the shifted face reaches. Route: how the "
        "face was found (from the synthesiser's own events, or by aligning a recording's "
        "transcript)."
    )
    return Table(header, rows, word_columns=3, caption=caption)


def _by_chance(share: Mapping[str, Any]) -> str:
    if share["value"] is None:
        return "–"
    chance = "" if share["if_shifted"] is None else f" ({share['if_shifted']:.2f})"
    return f"{share['value']:.2f}{chance}"


def _sync_table(system: str, results: Sequence[Scored]) -> list[Block]:
    header, columns = [system], []
    for one in results:
        groups = [g for g in one.result["groups"] if g["language"] != "all"]
        header += [f"{one.set_name}: {g['language']}, {g['route']}" for g in groups]
        columns += [(one, g) for g in groups]
    if not columns:
        return []
    rows: list[Sequence[Cell]] = []
    for row in table_rows([g for _, g in columns]):
        cells = [Link(c, one.rows) for (one, _), c in zip(columns, row[1:], strict=True)]
        rows.append([row[0], *cells])
    order = [f"{g['aperture']['in_order']} of {g['aperture']['pairs']}" for _, g in columns]
    rows.append(["vowels in order a > o > e > i > u", *order])
    return [Table(header, rows, folded=f"All measures of {system}, with counts and intervals")]


def _lag(suite: Suite, one: Scored, group: Mapping[str, Any]) -> plots.Lag:
    offset = group["offset"]
    number = [s.name for s in suite.config.systems].index(one.system)
    note = f"{offset['ms']:+.0f} ms, {offset['clips']} clips"
    label = f"{one.system}, {group['language']}, {group['route'].replace('_', ' ')}"
    return plots.Lag(label, offset["ms"], offset["low"], offset["high"], number,
                     note if offset["enough"] else f"{note}, too few")  # fmt: skip


def duration_section(suite: Suite) -> list[Section]:
    """How long the clips are, by system."""
    series: dict[str, list[float]] = {}
    for system in suite.config.systems:
        series[system.name] = _durations(suite, system.name)
    lengths = [v for values in series.values() for v in values]
    if not lengths:
        return []
    width = next((w for w in _WIDTHS_S if max(lengths) < _MOST_BINS * w), _WIDTHS_S[-1])
    count = math.floor(max(lengths) / width) + 1
    edges = [width * k for k in range(count + 1)]
    parts = [
        plots.Series(name, [sum(math.floor(v / width) == k for v in values) for k in range(count)])
        for name, values in series.items()
    ]
    total = ", ".join(f"{name} {len(v)} clips, mean {sum(v) / len(v):.1f} s"
                      for name, v in series.items() if v)  # fmt: skip
    drawn = plots.columns(parts, edges, "seconds", "clips")
    return [Section("Durations", [Figure(drawn, f"Lengths of the clips: {total}.")])]


def _durations(suite: Suite, system: str) -> list[float]:
    """Seconds of all clips of a system, from the first metric that knows them."""
    for metric in ("sync", "consistency", "face"):
        found = [
            float(row["duration_s"])
            for one in suite.of(metric, system=system)
            for row in one.result["rows"]
            if row.get("duration_s") is not None and row["status"] == "scored"
        ]
        if found:
            return found
    return []


def consistency_sections(suite: Suite) -> list[Section]:
    """Speech against the text of the answers, by duration."""
    results = suite.of("consistency")
    if not results:
        return []
    rows = [_consistency_row(one, language) for one in results for language in _languages(one)]
    blocks: list[Block] = [
        Text("Transcripts of the speech against the text that was to be spoken, normalised as "
             "Seed-TTS-Eval does; mean error rate of the clips in per cent, and their number."),
        Table(["system", "set", "language", *(f"{b} s" for b in _BUCKETS), "pooled",
               "with missing", "cut short", "failed"], rows, word_columns=3,
              caption=f"Transcripts by {_recognisers(suite)}. The paper's table has these columns, "
              "but its values aren't known."),
    ]  # fmt: skip
    for name in [one.name for one in suite.config.sets]:
        blocks += _by_duration(name, suite.of("consistency", name))
    return [Section("Speech and text", blocks)]


def _languages(one: Scored) -> list[str]:
    return sorted({g["language"] for g in one.result["groups"]}) or [""]


def _consistency_row(one: Scored, language: str) -> Sequence[Cell]:
    groups = {g["bucket_s"]: g for g in one.result["groups"] if g["language"] == language}
    cells: list[Cell] = [one.system, one.set_name, language or "–"]
    for bucket in _BUCKETS:
        group = groups.get(bucket)
        known = group is not None and group["scored"]
        cells.append(Link(f"{shown(group['error_rate'])} ({group['scored']})", one.rows)
                     if group is not None and known else "–")  # fmt: skip
    whole = groups.get("0-60")
    names = ("error_rate_pooled", "error_rate_with_missing", "cut_short")
    cells += [shown(whole[name]) if whole else "–" for name in names]
    return [*cells, str(one.result["counts"]["n_failed"])]


def _recognisers(suite: Suite) -> str:
    chosen = suite.config.metrics["consistency"]
    return f"the file {chosen.hyp}" if chosen.hyp else f"the command {chosen.asr}"


def _by_duration(name: str, results: Sequence[Scored]) -> list[Block]:
    blocks: list[Block] = []
    languages = sorted({b["language"] for one in results for b in one.result["bins"]})
    for language in languages:
        parts = {
            one.system: b
            for one in results
            for b in one.result["bins"]
            if b["language"] == language
        }
        edges = max((b["from_s"] for b in parts.values()), key=len)
        series = [
            plots.Series(
                system,
                [*b["error_rate"], *[None] * (len(edges) - len(b["error_rate"]))],
                [f"{n} clips" if n != 1 else "1 clip" for n in
                 [*b["scored"], *[0] * (len(edges) - len(b["scored"]))]],
            )
            for system, b in parts.items()
        ]  # fmt: skip
        where = name if name == language else f"{name}, {language}"
        width = 5.0
        drawn = plots.columns(series, [*edges, edges[-1] + width], "seconds", "error rate (%)")
        blocks.append(Figure(drawn, f"Set {where}: mean error rate by the clips' length "
                             "in bins of 5 s, with the number of clips."))  # fmt: skip
    return blocks


def tts_sections(suite: Suite) -> list[Section]:
    """Seed-TTS-Eval's score, with the paper's known values beside."""
    results = suite.of("tts")
    if not results:
        return []
    names = ("utterances", "scored", "missing", "error_rate", "error_rate_with_missing",
             "error_rate_pooled")  # fmt: skip
    rows: list[Sequence[Cell]] = []
    for one in results:
        groups = one.result["groups"]
        named = groups.items() if isinstance(groups, dict) else ()
        for language, group in named:
            rows.append([one.system, one.set_name, language,
                         *(Link(shown(group[n]), one.rows) for n in names)])  # fmt: skip
        if not groups:
            rows.append([one.system, one.set_name, "–", str(one.result["counts"]["n"]), "0",
                         *("–" for _ in names[2:])])  # fmt: skip
    for words, value in literature.TTS:
        row = [f"{words} {literature.MARK}", f"test-hard {literature.MARK}", "zh"]
        rows.append([*row, "–", "–", "–", value, "–", "–"])
    header = ["system", "set", "", "utterances", "scored", "missing", "error rate (%)",
              "with missing", "pooled"]  # fmt: skip
    return [Section("Seed-TTS-Eval", [
        Table(header, rows, word_columns=3), Text(literature.NOT_COMPARABLE, "soft"),
    ])]  # fmt: skip


def latency_sections(suite: Suite) -> list[Section]:
    """The paper's columns, then percentiles, and what it was measured on."""
    results = suite.of("latency")
    if not results:
        return []
    rows: list[Sequence[Cell]] = [_latency_row(one) for one in results]
    words, *values = literature.LATENCY
    rows.append([f"{words} {literature.MARK}", f"CommonEval {literature.MARK}", "–", values[0], "–",
                 *values[1:], "–"])  # fmt: skip
    header = ["system", "set", "prompts", "RTF", "RTF, mean of ratios", "first speech unit (s)",
              "face (s)", "first audio (s)"]  # fmt: skip
    blocks: list[Block] = [
        Text("One prompt at a time, warm-up and loading left out. Times depend on the machine and "
             "differ from run to run; all else in this report does not."),
        Table(header, rows, word_columns=2, caption="A dash: the engine has no such moment."),
        Text(literature.NOT_COMPARABLE, "soft"),
        _percentiles(results),
    ]  # fmt: skip
    where = [line for one in results[:1] for line in _measured_on(one)]
    if where:
        blocks.append(Bullets(where))
    return [Section("Latency", blocks)]


def _latency_row(one: Scored) -> Sequence[Cell]:
    summary, counts = one.result["summary"], one.result["counts"]
    prompts = f"{counts['n_scored']} of {counts['n']}"
    if not summary:
        return [one.system, one.set_name, prompts, *("–" for _ in range(5))]
    measures = summary["measures"]
    seconds = [measures[n]["mean"] for n in ("ttfu_component", "face_latency", "ttfa")]
    return [one.system, one.set_name, prompts, Link(shown(summary["rtf_sum"]), one.rows),
            shown(summary["rtf_mean"]), *(shown(s) for s in seconds)]  # fmt: skip


def _percentiles(results: Sequence[Scored]) -> Table:
    rows: list[Sequence[Cell]] = []
    lines = [line for metric in latency.MEASURES for line in metric.lines if line.report]
    lines.sort(key=lambda line: line.key != _FIRST)
    for one in results:
        summary = one.result["summary"]
        for line in lines if summary else ():
            spread = summary["measures"][line.key]
            if spread["n"]:
                rows.append([one.system, one.set_name, line.report, *(
                    shown(1000.0 * spread[k]) for k in ("mean", "p50", "p90", "p95"))])  # fmt: skip
    return Table(["system", "set", "measure", "mean", "p50", "p90", "p95"], rows, word_columns=3)


def _measured_on(one: Scored) -> list[str]:
    if not one.result["summary"]:
        return []
    text = latency_markdown(one.result).partition("## Measured on")[2].partition("\n## ")[0]
    return [line[2:] for line in text.splitlines() if line.startswith("- ")]
