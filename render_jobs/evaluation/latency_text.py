# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a latency measurement in, its Markdown table and terminal lines out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from exomni_core.metrics import latency
from render_jobs.evaluation.output import markdown_table, shown
from render_jobs.evaluation.speech_text import aligned

_HEADER: Final = ("", "items", "mean", "p50", "p90", "p95")
_METHOD: Final = (
    "One prompt at a time, warm-up and model loading left out, the device waited for before every "
    "stamp. RTF is time by speech time: the sum over all prompts first, the mean of the prompts' "
    "ratios beside it. A dash: this engine has no such moment."
)


def latency_markdown(result: Mapping[str, Any]) -> str:
    """The headline, the table and what it was measured on."""
    settings, counts = result["settings"], result["counts"]
    way = "streamed" if settings["stream"] else "not streamed"
    parts = [
        f"# Latency of {settings['engine']}, {way}\n",
        f"{counts['n_scored']} prompts measured, {counts['n_failed']} failed, drawn with seed "
        f"{settings['seed']} from {settings['prompts']}; {settings['warmup']} for the warm-up. "
        f"{_METHOD}\n",
        _headline(result) + "\n",
    ]
    if result["summary"]:
        parts.append(markdown_table(_HEADER, _rows(result["summary"])))
    parts += ["## Measured on\n", "\n".join(f"- {line}" for line in _where(settings)) + "\n"]
    if result["failures"]:
        rows = [(f["id"], f["reason"]) for f in result["failures"][:50]]
        parts += ["## Failed\n", markdown_table(("id", "why"), rows)]
    if notes := settings["notes"]:
        parts += ["## Notes\n", "\n".join(f"- {note}" for note in notes) + "\n"]
    return "\n".join(parts)


def latency_lines(result: Mapping[str, Any]) -> list[str]:
    """The same for a terminal."""
    if not result["summary"]:
        return ["nothing was measured"]
    return [*aligned([_HEADER, *_rows(result["summary"])]), _headline(result)]


def _headline(result: Mapping[str, Any]) -> str:
    summary = result["summary"]
    if not summary:
        return "Nothing was measured."
    return (
        f"RTF {shown(summary['rtf_sum'])} (mean of ratios {shown(summary['rtf_mean'])}) over "
        f"{summary['speech_s']:.1f} s of speech"
    )


def _rows(summary: Mapping[str, Any]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for metric in sorted(latency.MEASURES, key=lambda metric: not metric.in_seconds):
        unit = 1000.0 if metric.in_seconds else 1.0
        for line in metric.lines:
            spread = summary["measures"][line.key]
            values = [spread[key] for key in ("mean", "p50", "p90", "p95")]
            rows.append((line.title, spread["n"], *(v if v is None else unit * v for v in values)))
    return rows


def _where(settings: Mapping[str, Any]) -> list[str]:
    names = ("device", "device_name", "dtype", "quantize", "compat", "graphs", "attention", "torch",
             "cuda", "threads", "cpu", "cores", "platform", "python", "engine_version")  # fmt: skip
    return [
        f"{n.replace('_', ' ')}: {settings[n]}" for n in names if settings.get(n) not in ("", None)
    ]
