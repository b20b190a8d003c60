# SPDX-License-Identifier: GPL-3.0-or-later
"""Results in, one flat line per number out, with the file of the rows that it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from render_jobs.evaluation.suite.scoring import Scored

Number = dict[str, Any]


def numbers_of(scored: Sequence[Scored]) -> list[Number]:
    """Every number of every result, with `rows`, the file of its rows.

    The others are metric, system, set, part, measure, value, low, high and n.
    """
    makers = {
        "face": _face,
        "sync": _sync,
        "consistency": _speech,
        "tts": _speech,
        "latency": _latency,
    }
    found = []
    for one in scored:
        where = {"metric": one.metric, "system": one.system, "set": one.set_name}
        for part, measure, entry in makers[one.metric](one.result):
            found.append(
                {
                    **where,
                    "part": part,
                    "measure": measure,
                    **{key: entry.get(key) for key in ("value", "low", "high", "n")},
                    "rows": one.rows,
                }
            )
    return found


Entries = Iterator[tuple[str, str, Mapping[str, Any]]]


def _counts(result: Mapping[str, Any]) -> Entries:
    for name, count in result["counts"].items():
        yield "all", name, {"value": count}


def _face(result: Mapping[str, Any]) -> Entries:
    yield from _counts(result)
    for part, summary in (("all", result), *result["by_mode"].items()):
        for name, entry in summary["metrics"].items():
            yield part, name, {**entry, "value": entry["mean"]}
        for name, entry in summary["baselines"].items():
            for measure, value in entry.items():
                yield part, f"baseline_{name}_{measure}", {"value": value}
    for bucket in result["buckets"]:
        part = f"{bucket['from_s']}-{bucket['to_s'] or ''} s"
        yield part, "lve_l2_mm", {"value": bucket["lve_l2_mm"], "n": bucket["n"]}
    for name, value in result["dynamics"].items():
        yield "all", name, {"value": value}


def _sync(result: Mapping[str, Any]) -> Entries:
    yield from _counts(result)
    for group in result["groups"]:
        part = f"{group['language']}, {group['route']}"
        for name, share in group["shares"].items():
            yield part, name, {"value": share["value"], "n": share["of"]}
            yield part, f"{name}_if_shifted", {"value": share["if_shifted"], "n": share["of"]}
        offset = group["offset"]
        yield part, "offset_ms", {**offset, "value": offset["ms"], "n": offset["clips"]}
        for name, value in group["smoothness"].items():
            yield part, name, {"value": value, "n": group["clips"]}
        for vowel, mean in group["aperture"]["means"].items():
            yield part, f"aperture_{vowel}", {"value": mean, "n": group["aperture"]["n"][vowel]}


def _speech(result: Mapping[str, Any]) -> Entries:
    yield from _counts(result)
    groups = result["groups"]
    named = (
        groups.items()
        if isinstance(groups, dict)
        else ((f"{g['language']}, {g['bucket_s']} s", g) for g in groups)
    )
    for part, group in named:
        for name, value in group.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield part, name, {"value": value, "n": group["scored"]}


def _latency(result: Mapping[str, Any]) -> Entries:
    yield from _counts(result)
    summary = result["summary"]
    if not summary:
        return
    for name in ("rtf_sum", "rtf_mean", "speech_s"):
        yield "all", name, {"value": summary[name], "n": summary["items"]}
    for name, spread in summary["measures"].items():
        for kind in ("mean", "p50", "p90", "p95"):
            yield kind, name, {"value": spread[kind], "n": spread["n"]}
