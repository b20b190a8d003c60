# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of scored clips in, the table out: means, baselines, intervals, buckets and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.metrics.aggregate import mean_of, pooled_mean
from exomni_core.metrics.bootstrap import LEVEL, RESAMPLES, intervals
from exomni_core.metrics.faces import dynamics, registry
from exomni_core.metrics.faces.baselines import BASELINES

Row = Mapping[str, Any]
BUCKETS_S: Final = ((0, 10), (10, 20), (20, 40), (40, 60), (60, None))


def summarise(rows: Sequence[Row], *, seed: int) -> dict[str, Any]:
    """The table of one system.

    rows: as `score` makes them, of every id, also failed ones. Returns plain data: `counts`,
    `metrics` (name -> mean, low, high, n), `baselines`, `buckets`, `dynamics`, `failures`,
    `ci`. Undefined values are None.
    """
    scored = [row for row in rows if row["status"] == "scored"]
    return {
        "counts": _counts(rows),
        "metrics": _metrics(rows, scored, seed),
        "baselines": {name: _baseline(scored, name) for name in BASELINES},
        "buckets": [_bucket(scored, *edges) for edges in BUCKETS_S],
        "dynamics": {
            f"{name}_{side}": mean_of(row[f"{name}_{side}"] for row in scored)
            for name in (metric.name for metric in dynamics.LIVELINESS)
            for side in ("pred", "ref")
        },
        "outside_0_1": {
            side: mean_of(row[f"outside_{side}"] for row in scored) for side in ("pred", "ref")
        },
        "failures": [{"id": r["id"], "reason": r["reason"]} for r in rows if r["reason"]],
        "warnings": _warnings(scored),
        "ci": {
            "method": "percentile bootstrap over clips", "level": LEVEL,
            "resamples": RESAMPLES, "seed": seed,
        },
    }  # fmt: skip


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    status = Counter(row["status"] for row in rows)
    return {
        "n": len(rows),
        "n_scored": status["scored"],
        "n_failed": status["failed"],
        "n_skipped_short": status["skipped"],
        "frames": sum(int(r["frames_used"]) for r in rows if r["status"] == "scored"),
    }


def _metrics(rows: Sequence[Row], scored: Sequence[Row], seed: int) -> dict[str, Any]:
    """Every metric's mean over clips, with its interval where one is asked for."""
    metrics = registry.METRICS
    single, pooled = intervals(
        scored,
        [m.name for m in metrics if m.interval],
        seed=seed,
        pooled=[m.name for m in metrics if m.pooled],
    )
    table: dict[str, Any] = {}
    for metric in metrics:
        name = metric.name
        values = [row[name] for row in scored]
        entry = {"mean": mean_of(values), "n": sum(value is not None for value in values)}
        if name in single:
            entry |= vars(single[name])
        table[name] = entry
        if metric.pooled:
            bounds = vars(pooled[name])
            table[f"{name}_frame_pooled"] = {"mean": pooled_mean(scored, name)} | bounds
    for name in (m.name for m in metrics if m.absolute):
        there = (row[name] for row in scored if row[name] is not None)
        table[f"{name}_abs"] = {"mean": mean_of(abs(value) for value in there)}
    used = sum(row["bilabial_intervals_used"] or 0 for row in scored)
    for side in ("pred", "ref"):
        hits = sum(row[f"bilabial_closed_{side}"] or 0 for row in scored)
        table[f"bilabial_hit_{side}"] = {"mean": hits / used if used else None, "n": used}
    for name in ("lve_l2_mm", "lve_sq_mm2"):
        table[_with_failures_name(name)] = _with_failures(rows, scored, name)
    return table


def _with_failures_name(name: str) -> str:
    return name.replace("lve_", "lve_with_failures_")


def _with_failures(rows: Sequence[Row], scored: Sequence[Row], name: str) -> dict[str, Any]:
    """The mean in which a failed clip counts as a neutral face.

    Where its reference can't be read either, as the mean neutral face of the scored clips.
    """
    neutral = f"baseline_neutral_{name}"
    usual = mean_of(row[neutral] for row in scored)
    values = [row[name] for row in scored]
    values += [row.get(neutral, usual) for row in rows if row["status"] == "failed"]
    return {"mean": mean_of(values), "n": len(values)}


def _baseline(scored: Sequence[Row], name: str) -> dict[str, Any]:
    l2, squared = f"baseline_{name}_lve_l2_mm", f"baseline_{name}_lve_sq_mm2"
    return {
        "lve_l2_mm": mean_of(row[l2] for row in scored),
        "lve_l2_mm_frame_pooled": pooled_mean(scored, l2),
        "lve_sq_mm2": mean_of(row[squared] for row in scored),
    }


def _bucket(scored: Sequence[Row], low: int, high: int | None) -> dict[str, Any]:
    inside = [
        r for r in scored if low <= r["duration_s"] and (high is None or r["duration_s"] < high)
    ]
    return {
        "from_s": low,
        "to_s": high,
        "n": len(inside),
        "duration_s": mean_of(row["duration_s"] for row in inside),
        "lve_l2_mm": mean_of(row["lve_l2_mm"] for row in inside),
        "lve_l2_mm_frame_pooled": pooled_mean(inside, "lve_l2_mm"),
    }


def _warnings(scored: Sequence[Row]) -> list[dict[str, Any]]:
    """Each kind of warning once, with the number of clips and one of them."""
    found: dict[str, list[str]] = {}
    for row in scored:
        for warning in row["warnings"]:
            kind = "".join(c for c in warning if not c.isdigit())
            found.setdefault(kind, [warning]).append(row["id"])
    return [
        {"warning": first, "clips": len(ids), "example": ids[0]} for first, *ids in found.values()
    ]


COMPARABLE: Final = (
    "unit",
    "template_sha256",
    "lips",
    "lip_sha256",
    "upper_sha256",
    "reference_config",
)
_SAME_OPTIONS: Final = ("clip01", "ref_mouthclose")


def check_comparable(results: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError unless the results may stand in one table.

    They must share unit, template, lip list (a listed one never beside an automatic one),
    reference, and how weights were treated.
    """
    for result in results[1:]:
        first, other = results[0]["settings"], result["settings"]
        differing = [key for key in COMPARABLE if first[key] != other[key]]
        differing += [k for k in _SAME_OPTIONS if first["options"][k] != other["options"][k]]
        if differing:
            raise InputError(
                f"these results can't stand in one table, they differ in {', '.join(differing)}: "
                f"{first['pred']} and {other['pred']}"
            )
