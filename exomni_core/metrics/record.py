# SPDX-License-Identifier: GPL-3.0-or-later
"""A metric's name, function and words in, one record out, which rows and tables are made from.

To add a metric, add a record to a registry (such as `exomni_core.metrics.faces.registry`): rows,
summaries, the tables of `exorender eval`, the suite's report and the docs follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Measured = TypeVar("Measured")
Value = float | int | None  # None where it is not defined


@dataclass(frozen=True)
class Line:
    """A line of a table. key: which number of the summary. title: its words in `exorender eval`.

    report: its words in the suite's report; "" leaves it out there.
    """

    key: str
    title: str
    report: str = ""


@dataclass(frozen=True)
class Metric(Generic[Measured]):
    """One number of one clip.

    name: its key in rows and results. measure: what is measured -> the number. formula: for the
    docs. lines: where tables show it or numbers made from it; (): only rows have it.
    interval: its mean has a confidence interval. pooled: it is a mean over frames, so the summary
    also has the mean over all frames of all clips, `<name>_frame_pooled`. absolute: it has a sign,
    so the summary also has the mean of its absolute values, `<name>_abs`.
    """

    name: str
    measure: Callable[[Measured], Value]
    formula: str
    lines: tuple[Line, ...] = ()
    interval: bool = False
    pooled: bool = False
    absolute: bool = False
