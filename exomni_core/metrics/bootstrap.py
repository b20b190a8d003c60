# SPDX-License-Identifier: GPL-3.0-or-later
"""Values per clip in, confidence intervals of their means out; clips are resampled, never frames.

Percentile bootstrap (Efron and Tibshirani, 1993): frames of one clip are not independent, so only
clips are drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from exomni_core.arrays import Array

RESAMPLES: Final = 10_000
LEVEL: Final = 0.95
_AT_ONCE: Final = 2_000_000  # draws held in memory


@dataclass(frozen=True)
class Interval:
    """low, high: the bounds; None where fewer than two clips have a value."""

    low: float | None
    high: float | None


def intervals(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    seed: int,
    pooled: Sequence[str] = (),
    resamples: int = RESAMPLES,
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Intervals of the mean over rows of each of `names`, and of the frame-pooled mean of `pooled`.

    Rows hold numbers or None (left out of that mean) and, for pooling, `frames_used`.
    """
    frames = np.array([float(row.get("frames_used") or 0.0) for row in rows])
    columns = [(_column(rows, name), np.ones(len(rows))) for name in names]
    columns += [(_column(rows, name), frames) for name in pooled]
    found = [Interval(None, None)] * len(columns)
    if columns and len(rows) >= 2:
        means = _resampled_means(columns, np.random.default_rng(seed), resamples)
        found = [_interval(m, v) for m, (v, _) in zip(means.T, columns, strict=True)]
    split = len(names)
    return (
        dict(zip(names, found[:split], strict=True)),
        dict(zip(pooled, found[split:], strict=True)),
    )


def paired_difference(
    rows_a: Sequence[Mapping[str, Any]],
    rows_b: Sequence[Mapping[str, Any]],
    name: str,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Mean of A - B over the ids that both have a value for, with its interval and their number."""
    values_b = {row["id"]: row.get(name) for row in rows_b}
    pairs = [
        {"difference": row[name] - values_b[row["id"]]}
        for row in rows_a
        if row.get(name) is not None and values_b.get(row["id"]) is not None
    ]
    interval = intervals(pairs, ["difference"], seed=seed, resamples=resamples)[0]["difference"]
    values = [pair["difference"] for pair in pairs]
    return {
        "n": len(pairs),
        "mean": float(np.mean(values)) if values else None,
        "low": interval.low,
        "high": interval.high,
    }


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Array:
    return np.array([np.nan if row.get(name) is None else float(row[name]) for row in rows])


def _resampled_means(
    columns: Sequence[tuple[Array, Array]], rng: np.random.Generator, resamples: int
) -> Array:
    """(resamples, columns) weighted means over drawn rows; every column sees the same draws."""
    values = np.stack([np.nan_to_num(v) * w for v, w in columns], axis=1)
    shares = np.stack([np.isfinite(v) * w for v, w in columns], axis=1)
    count, means = len(values), []
    done = 0
    while done < resamples:
        batch = min(resamples - done, max(1, _AT_ONCE // count))
        drawn = rng.integers(count, size=(batch, count)) + np.arange(batch)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=batch * count).reshape(batch, count)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append((times @ values) / (times @ shares))
        done += batch
    return np.concatenate(means)


def _interval(means: Array, values: Array) -> Interval:
    usable = means[np.isfinite(means)]
    if np.isfinite(values).sum() < 2 or len(usable) == 0:
        return Interval(None, None)
    tail = (1.0 - LEVEL) / 2 * 100
    low, high = np.percentile(usable, [tail, 100 - tail])
    return Interval(float(low), float(high))
