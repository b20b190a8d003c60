# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a face evaluation in, its Markdown table with a caption that tells all out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Final

from exomni_core.metrics.faces import dynamics, registry
from render_jobs.evaluation.output import markdown_table, shown, with_interval

BASELINE_TITLES: Final = {
    "neutral": "face that never moves",
    "meanpose": "frozen mean pose of the reference",
    "shuffled": "reference of another clip",
    "delayed_3": "reference, 3 frames late",
    "delayed_6": "reference, 6 frames late",
    "damped_0.7": "reference at 0.7 of its amplitude",
}


def face_markdown(result: Mapping[str, Any]) -> str:
    """The whole text: counts, metrics with intervals, baselines, durations, failures, caption."""
    metrics, counts = result["metrics"], result["counts"]
    title = result["settings"]["system"] or result["settings"]["pred"]
    parts = [f"# Face metrics: {title}\n", caption(result) + "\n"]
    parts.append(
        markdown_table(
            ("metric", "mean [95 % interval]", "clips"),
            [
                (name, with_interval(metrics[key]), metrics[key].get("n", counts["n_scored"]))
                for name, key in _rows()
            ],
        )
    )
    own = metrics["lve_l2_mm"]["mean"], metrics["lve_l2_mm_frame_pooled"]["mean"]
    squared = metrics["lve_sq_mm2"]["mean"]
    rows = [("**this system**", *own, squared)]
    rows += [
        (
            BASELINE_TITLES[name],
            *(b[k] for k in ("lve_l2_mm", "lve_l2_mm_frame_pooled")),
            b["lve_sq_mm2"],
        )
        for name, b in result["baselines"].items()
    ]
    parts.append("## What it is worth\n")
    parts.append(markdown_table(("face", "LVE (mm)", "pooled (mm)", "squared (mm²)"), rows))
    parts.append("## By duration\n")
    parts.append(markdown_table(("seconds", "clips", "mean", "LVE (mm)"), _buckets(result)))
    parts.append("## Liveliness\n")
    parts.append(markdown_table(("", "system", "reference"), _dynamics(result)))
    parts += _lists(result)
    return "\n".join(parts)


def _rows() -> list[tuple[str, str]]:
    """Title and key of every line of the table."""
    return [(line.title, line.key) for metric in registry.METRICS for line in metric.lines]


def caption(result: Mapping[str, Any]) -> str:
    """What a table must say for its numbers to mean something."""
    s, c, ci = result["settings"], result["counts"], result["ci"]
    return (
        f"{c['n_scored']} of {c['n']} clips scored ({c['n_failed']} failed, {c['n_skipped_short']} "
        f"too short), {c['frames']:,} frames at 30 fps. Unit: mm (template {s['template']} "
        f"`{s['template_sha256'][:12]}`, 1 unit = {s['unit_to_mm']:g} mm). Lips: {s['lips']}, "
        f"{s['lip_count']} vertices, `{s['lip_sha256'][:12]}`; upper face: {s['upper']}, "
        f"{s['upper_count']} vertices. Reference: {s['reference_config']}; its mouthClose: "
        f"{s['options']['ref_mouthclose']}; clipped to [0, 1]: "
        f"{'yes, both sides' if s['options']['clip01'] else 'no'}. Intervals: {ci['method']}, "
        f"{ci['level']:.0%}, {ci['resamples']:,} resamples, seed {ci['seed']}. Compare ratios and "
        "order only with numbers of the same unit, lip list, template and reference."
    )


def face_lines(result: Mapping[str, Any]) -> list[str]:
    """The few lines for a terminal: LVE among its baselines, then what matters most."""
    if not result["counts"]["n_scored"]:
        return [f"none of {result['counts']['n']} clips could be scored"]
    metrics = result["metrics"]
    ranked = [("this system", metrics["lve_l2_mm"]["mean"])]
    ranked += [(BASELINE_TITLES[n], b["lve_l2_mm"]) for n, b in result["baselines"].items()]
    ranked.sort(key=lambda row: (row[1] is None, row[1]))
    lines = [
        *textwrap.wrap(caption(result), 100),
        "",
        f"{'LVE, L2, mm (least first)':44} {'mean':>8}",
    ]
    for name, value in ranked:
        mark = "> " if name == "this system" else "  "
        tail = f"  {with_interval(metrics['lve_l2_mm'])}" if mark == "> " else ""
        lines.append(f"{mark}{name:42} {shown(value):>8}{tail}")
    lines.append("")
    lines += [f"{name:44} {with_interval(metrics[key])}" for name, key in _rows()[1:]]
    return lines


def _buckets(result: Mapping[str, Any]) -> list[tuple[object, ...]]:
    return [
        (
            f"{b['from_s']} to {b['to_s']}" if b["to_s"] else f"over {b['from_s']}",
            b["n"],
            b["duration_s"],
            b["lve_l2_mm"],
        )
        for b in result["buckets"]
    ]


def _dynamics(result: Mapping[str, Any]) -> list[tuple[object, ...]]:
    values = result["dynamics"]
    lines = [line for metric in dynamics.LIVELINESS for line in metric.lines]
    return [(line.title, values[f"{line.key}_pred"], values[f"{line.key}_ref"]) for line in lines]


def _lists(result: Mapping[str, Any]) -> list[str]:
    parts = []
    if result["failures"]:
        parts.append("## Not scored\n")
        rows = [(f["id"], f["reason"]) for f in result["failures"][:50]]
        parts.append(markdown_table(("id", "why"), rows))
        if (more := len(result["failures"]) - 50) > 0:
            parts.append(f"{more} more stand in rows.csv.\n")
    notes = [f"- {note}" for note in result["settings"]["notes"]]
    notes += [
        f"- {w['warning']} ({w['clips']} clips, such as {w['example']})" for w in result["warnings"]
    ]
    return [*parts, "## Notes\n", "\n".join(notes) + "\n"] if notes else parts
