# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a latency measurement in, its Markdown table and terminal lines out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from render_jobs.evaluation.output import markdown_table, shown
from render_jobs.evaluation.speech_text import aligned

_TITLES: Final = {
    "ttft": "first text token (ms)",
    "text_time": "text done (ms)",
    "ttfu_component": "first unit, from the speech generator's start (ms)",
    "ttfu_e2e": "first unit, from the request (ms)",
    "unit_time": "all units, from the speech generator's start (ms)",
    "ttfa": "first audio, from the request (ms)",
    "face_latency": "face, from its start to its end (ms)",
    "face_busy": "face, time spent on it (ms)",
    "done": "sound and face done (ms)",
    "delivered": "delivered (ms)",
}
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
    for name, title in _TITLES.items():
        spread = summary["measures"][name]
        values = [spread[key] for key in ("mean", "p50", "p90", "p95")]
        rows.append((title, spread["n"], *(None if v is None else 1000.0 * v for v in values)))
    for name, title in (("rtf", "time by speech time"), ("face_fps", "face frames per second")):
        spread = summary["measures"][name]
        rows.append((title, *(spread[key] for key in ("n", "mean", "p50", "p90", "p95"))))
    return rows


def _where(settings: Mapping[str, Any]) -> list[str]:
    names = ("device", "device_name", "dtype", "quantize", "compat", "graphs", "attention", "torch",
             "cuda", "threads", "cpu", "cores", "platform", "python", "engine_version")  # fmt: skip
    return [
        f"{n.replace('_', ' ')}: {settings[n]}" for n in names if settings.get(n) not in ("", None)
    ]
