# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of values in, their means out; a value that is not defined (None) is left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def mean_of(values: Iterable[float | int | None]) -> float | None:
    """The mean of the values that are defined; None if none is."""
    there = [float(value) for value in values if value is not None]
    return math.fsum(there) / len(there) if there else None


def pooled_mean(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The mean over all frames of all rows of a per-frame mean `name`, by `frames_used`."""
    there = [(row["frames_used"], row[name]) for row in rows if row.get(name) is not None]
    frames = sum(count for count, _ in there)
    return math.fsum(count * value for count, value in there) / frames if frames else None
