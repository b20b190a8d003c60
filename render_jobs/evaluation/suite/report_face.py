# SPDX-License-Identifier: GPL-3.0-or-later
"""Face results of a suite in, their sections out: the paper's table, baselines, cases, pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from exomni_core.metrics.faces import dynamics, registry
from render_jobs.evaluation.face_text import BASELINE_TITLES, caption
from render_jobs.evaluation.output import shown, with_interval
from render_jobs.evaluation.suite import literature, plots
from render_jobs.evaluation.suite.case import LONGEST_S, case_of
from render_jobs.evaluation.suite.run import Suite
from render_jobs.evaluation.suite.scoring import Scored
from render_jobs.reporting.document import Block, Cell, Figure, Link, Section, Table, Text

_SAME: Final = 1e-9


def face_sections(suite: Suite) -> list[Section]:
    """Everything about faces against references; [] where it wasn't asked for."""
    results = suite.of("face")
    if not results:
        return []
    names = [one.name for one in suite.config.sets if suite.of("face", one.name)]
    blocks: list[Block] = [
        Text(
            "The largest distance of a lip vertex from the reference in each frame, averaged over "
            "frames, then over clips, with 95 % intervals. Less is better. Every number leads to "
            "the rows behind it."
        ),
        lve_table(suite, names),
        Text(literature.NOT_COMPARABLE, "soft"),
    ]
    scored = next((r for r in results if r.result["counts"]["n_scored"]), results[0])
    told = caption(scored.result).replace("`", "")
    blocks.append(Text(f"Here {scored.system} on {scored.set_name}: {told}", "soft"))
    blocks += _by_input(suite, names)
    sections = [Section("Lip vertex error", blocks)]
    sections.append(Section("What the errors are worth", _worth(suite, names)))
    if cases := _cases(suite, names):
        sections.append(Section("Mouths over the sounds", cases))
    sections.append(Section("Companions of the lip vertex error", _companions(suite, names)))
    if suite.record["paired"]:
        sections.append(Section("System against system, prompt by prompt", [_paired(suite)]))
    sections.append(Section("Lip vertex error by duration", [_durations(suite)]))
    return sections


def lve_table(suite: Suite, names: Sequence[str]) -> Table:
    """Rows: systems, baselines, the paper's. Columns: sets, and the paper's own."""
    rows: list[Sequence[Cell]] = [
        [system.name, *(_lve_cell(suite, system.name, name, "") for name in names), "–"]
        for system in suite.config.systems
    ]
    for baseline, words in BASELINE_TITLES.items():
        values = [_baseline_text(suite, name, "", baseline) for name in names]
        rows.append([f"baseline: {words}", *values, "–"])
    for words, value in literature.LVE:
        rows.append([f"{words} {literature.MARK}", *("–" for _ in names), value])
    return Table(["LVE, L2 (mm)", *names, literature.LVE_COLUMN], rows)


def _by_input(suite: Suite, names: Sequence[str]) -> list[Block]:
    """Speech in and text in apart, as the paper has them, for the sets that have both."""
    both = [n for n in names if any(one.result["by_mode"] for one in suite.of("face", n))]
    if not both:
        return []
    rows: list[Sequence[Cell]] = []
    for name in both:
        for system in suite.config.systems:
            cells = [_lve_cell(suite, system.name, name, mode) for mode in ("speech", "text")]
            rows.append([system.name, name, *cells])
        for baseline, words in BASELINE_TITLES.items():
            values = [_baseline_text(suite, name, mode, baseline) for mode in ("speech", "text")]
            rows.append([f"baseline: {words}", name, *values])
    header = ["LVE, L2 (mm)", "set", "speech in", "text in"]
    return [Table(header, rows, word_columns=2, folded="By the kind of input: speech in, text in")]


def _lve_cell(suite: Suite, system: str, set_name: str, mode: str) -> Cell:
    found = suite.of("face", set_name, system)
    if not found:
        return "–"
    summary = _summary(found[0], mode)
    if summary is None:
        return "–"
    failed = summary["counts"]["n_failed"]
    words = with_interval(summary["metrics"]["lve_l2_mm"])
    return Link(words + (f" ({failed} failed)" if failed else ""), found[0].rows)


def _summary(one: Scored, mode: str) -> Mapping[str, Any] | None:
    if not mode:
        return one.result
    part: Mapping[str, Any] | None = one.result["by_mode"].get(mode)
    return part


def _baseline_values(suite: Suite, set_name: str, mode: str, name: str) -> dict[str, float]:
    found = {}
    for one in suite.of("face", set_name):
        summary = _summary(one, mode)
        value = summary["baselines"][name]["lve_l2_mm"] if summary else None
        if value is not None:
            found[one.system] = value
    return found


def _baseline_text(suite: Suite, set_name: str, mode: str, name: str) -> str:
    values = list(_baseline_values(suite, set_name, mode, name).values())
    if not values:
        return "–"
    low, high = min(values), max(values)
    return shown(low) if shown(low) == shown(high) else f"{shown(low)} to {shown(high)}"


def _worth(suite: Suite, names: Sequence[str]) -> list[Block]:
    blocks: list[Block] = [
        Text(
            "Systems among faces that know nothing of the speech, or come late: what does not "
            "beat a frozen mean pose is worth nothing, however small its error looks."
        )
    ]
    for name in names:
        bars = [
            plots.Bar(one.system, m["mean"], m["low"], m["high"], note=with_interval(m))
            for one in suite.of("face", name)
            if (m := one.result["metrics"]["lve_l2_mm"])["mean"] is not None
        ]
        for baseline, words in BASELINE_TITLES.items():
            values = _baseline_values(suite, name, "", baseline)
            low, high = (min(values.values()), max(values.values())) if values else (0.0, 0.0)
            if values and high - low <= _SAME * max(high, 1.0):
                bars.append(plots.Bar(words, low, pale=True, note=shown(low)))
            else:
                bars += [
                    plots.Bar(f"{words} ({system})", value, pale=True, note=shown(value))
                    for system, value in values.items()
                ]
        if bars:
            drawn = plots.errors(sorted(bars, key=lambda b: (b.value, b.label)), "LVE, L2 (mm)")
            clips = suite.of("face", name)[0].result["counts"]
            blocks.append(
                Figure(
                    drawn,
                    f"Set {name}, {clips['n']} prompts. Blue: systems with "
                    "their 95 % intervals over clips; grey: baselines.",
                )
            )
    return blocks


def _cases(suite: Suite, names: Sequence[str]) -> list[Block]:
    blocks: list[Block] = []
    for name in names:
        case = case_of(suite, name)
        if case is None:
            continue
        words = f": “{case.text}”" if case.text else ""
        for number, panel in enumerate(case.panels, 1):
            which = f", sound {number} of {len(case.panels)}" if len(case.panels) > 1 else ""
            blocks.append(
                Figure(
                    plots.openings(panel),
                    f"Set {name}, prompt {case.item_id}{which}{words} Opening of the mouth over "
                    f"time (at most {LONGEST_S:g} s); below, the sounds; shaded, where lips must "
                    "meet (p, b, m). Dashed: the reference.",
                )
            )
    return blocks


def _companions(suite: Suite, names: Sequence[str]) -> list[Block]:
    blocks: list[Block] = []
    companions = [
        (line.report, line.key)
        for metric in registry.METRICS
        for line in metric.lines
        if line.report
    ]
    lively = [
        line for metric in reversed(dynamics.LIVELINESS) for line in metric.lines if line.report
    ]
    for name in names:
        results = suite.of("face", name)
        rows: list[Sequence[Cell]] = [
            [words, *(Link(with_interval(one.result["metrics"][key]), one.rows) for one in results)]
            for words, key in companions
        ]
        rows += [[line.report, *(_pair(one, line.key) for one in results)] for line in lively]
        counts = [one.result["counts"] for one in results]
        rows.append(["clips scored", *(f"{c['n_scored']} of {c['n']}" for c in counts)])
        rows.append(["failed", *(str(c["n_failed"]) for c in counts)])
        rows.append(["shorter than 0.5 s, skipped", *(str(c["n_skipped_short"]) for c in counts)])
        header = [f"set {name}", *(one.system for one in results)]
        folded = "" if name == names[0] else f"Companions on the set {name}"
        blocks.append(Table(header, rows, folded=folded))
    return blocks


def _pair(one: Scored, name: str) -> str:
    values = one.result["dynamics"]
    return f"{shown(values[f'{name}_pred'])} ({shown(values[f'{name}_ref'])})"


def _paired(suite: Suite) -> Table:
    rows = [
        [f"{one['a']} minus {one['b']}", one["set"], _signed(one), str(one["n"])]
        for one in suite.record["paired"]
    ]
    return Table(
        ["difference of LVE (mm)", "set", "mean [95 % interval]", "prompts"],
        rows,
        word_columns=2,
        caption="Over the prompts that both have answered. Below 0: the first one is nearer to the "
        "reference. Paired by prompt, bootstrapped over prompts, never over frames.",
    )


def _signed(one: Mapping[str, Any]) -> str:
    if one["mean"] is None:
        return "–"
    if one["low"] is None:
        return f"{one['mean']:+.3f}"
    return f"{one['mean']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"


def _durations(suite: Suite) -> Table:
    rows: list[Sequence[Cell]] = []
    buckets = [one.result["buckets"] for one in suite.of("face")]
    used = [k for k in range(len(buckets[0])) if any(b[k]["n"] for b in buckets)]
    for one in suite.of("face"):
        parts = [one.result["buckets"][k] for k in used]
        cells: list[Cell] = [
            f"{shown(b['lve_l2_mm'])} ({b['n']})" if b["n"] else "–" for b in parts
        ]
        lengths = [row["duration_s"] for row in one.result["rows"] if row["status"] == "scored"]
        mean = f"{sum(lengths) / len(lengths):.1f}" if lengths else "–"
        rows.append([one.system, one.set_name, mean, *cells])
    header = ["system", "set", "mean s", *(_edge(buckets[0][k]) for k in used)]
    return Table(
        header,
        rows,
        word_columns=2,
        caption="LVE, L2 (mm), and the number of clips, by the "
        "reference's length: longer answers are harder.",
    )


def _edge(bucket: Mapping[str, Any]) -> str:
    if bucket["to_s"] is None:
        return f"over {bucket['from_s']} s"
    return f"{bucket['from_s']} to {bucket['to_s']} s"
