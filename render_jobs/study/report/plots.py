# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of a study in, drawings (SVG text, coloured by the page's style sheet) out.

The same numbers give the same bytes: no dates, no random marks. Shares are 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from render_jobs.reporting.svg import WIDTH, circle, drawing, line, rect, text, title

_LABEL: Final = 250.0  # where the plot begins
_RIGHT: Final = 640.0  # where it ends; values stand after it
_ROW: Final = 30.0
_TOP: Final = 14.0
_FOOT: Final = 44.0
_LONGEST: Final = 30  # characters of a label


@dataclass(frozen=True)
class Estimate:
    """A row of a forest plot. pale: drawn as a ring (a sensitivity row beside the main one)."""

    label: str
    value: float
    low: float | None
    high: float | None
    pale: bool = False
    note: str = ""


def forest(rows: Sequence[Estimate], axis: str) -> str:
    """Estimates with intervals on 0..1, a dashed line at one half."""
    bottom = _TOP + _ROW * len(rows)
    parts = _grid(bottom, axis)
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        parts.append(_label(y + 4, row.label, "end soft" if row.pale else "end"))
        if row.low is not None and row.high is not None:
            low, high = max(0.0, row.low), min(1.0, row.high)
            kind = "whisker pale" if row.pale else "whisker"
            parts.append(line(_x(low), y, _x(high), y, kind))
            parts += [line(_x(end), y - 4, _x(end), y + 4, kind) for end in (low, high)]
        parts.append(circle(_x(row.value), y, 5, "ring" if row.pale else "dot"))
        parts.append(text(_RIGHT + 14, y + 4, row.note, "soft" if row.pale else ""))
    return drawing(parts, bottom + _FOOT, axis)


@dataclass(frozen=True)
class Shares:
    """A row of stacked bars: shares of win, tie and loss, and what stands at its end."""

    label: str
    win: float
    tie: float
    loss: float
    note: str = ""


def stacked(rows: Sequence[Shares], axis: str) -> str:
    """One bar per row, split into win, tie and loss; numbers where there is room."""
    bottom = _TOP + _ROW * len(rows)
    parts = _grid(bottom, axis)
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number + 5
        parts.append(_label(y + 14, row.label))
        left = 0.0
        for kind, share in (("win", row.win), ("tie", row.tie), ("loss", row.loss)):
            x, width = _x(left), share * (_RIGHT - _LABEL)
            parts.append(rect(x, y, width, _ROW - 10, kind))
            if width > 34:
                inside = "in-tie" if kind == "tie" else "in-bar"
                parts.append(text(x + width / 2, y + 14.5, f"{share:.0%}", f"middle {inside}"))
            left += share
        parts.append(text(_RIGHT + 14, y + 14, row.note, "soft"))
    parts.append(line(_x(0.5), _TOP, _x(0.5), bottom, "null"))
    return drawing(parts, bottom + _FOOT, axis)


def raters(rows: Mapping[str, Mapping[str, float]], out: Sequence[str], axis: str) -> str:
    """One row per comparison, one dot per rater; those in `out` (excluded) as rings.

    Dots of equal value are stacked upwards, so that none hides another.
    """
    stacks = {label: _stack(values) for label, values in rows.items()}
    most = max((level for stack in stacks.values() for _, level in stack.values()), default=0)
    height = 48.0 + 10 * most
    bottom = _TOP + height * len(rows)
    parts = _grid(bottom, axis)
    for number, (label, stack) in enumerate(stacks.items()):
        base = _TOP + height * (number + 1) - 12
        parts.append(_label(base, label))
        parts.append(line(_LABEL, base + 6, _RIGHT, base + 6, "axis"))
        for rater, (value, level) in stack.items():
            kind = "ring" if rater in out else "dot"
            shown = title(f"{rater}: {value:.1%}")
            parts.append(circle(_x(value), base - 1 - 10 * level, 4.5, kind, shown))
        parts.append(text(_RIGHT + 14, base, f"{len(stack)} raters", "soft"))
    return drawing(parts, bottom + _FOOT, axis)


def _stack(values: Mapping[str, float]) -> dict[str, tuple[float, int]]:
    """Rater -> value and level; a dot is about as wide as a fiftieth of the axis."""
    levels: dict[int, int] = {}
    placed = {}
    for rater, value in sorted(values.items(), key=lambda entry: (entry[1], entry[0])):
        place = round(value * 50)
        placed[rater] = (value, levels.get(place, 0))
        levels[place] = levels.get(place, 0) + 1
    return placed


def histogram(values: Sequence[float], axis: str, width: float = 0.1, last: float = 3.0) -> str:
    """Counts in steps of `width` from 0 to `last` (the last step holds all beyond), line at 1."""
    steps = round(last / width)
    counts = [0] * steps
    for value in values:
        counts[min(steps - 1, int(value / width + 1e-9))] += 1
    left, right, top, bottom = 60.0, WIDTH - 20, 16.0, 190.0
    most, step = max([*counts, 1]), (right - left) / steps
    parts = [line(left, bottom, right, bottom, "axis")]
    for number, count in enumerate(counts):
        tall = (bottom - top) * count / most
        kind = "loss" if (number + 1) * width <= 1 + 1e-9 else "win"
        parts.append(rect(left + step * number + 1, bottom - tall, step - 2, tall, kind))
    for number in range(0, steps + 1, 5):
        mark = f"{number * width:g}" + ("+" if number == steps else "")
        parts.append(text(left + step * number, bottom + 18, mark, "middle soft"))
    at_one = left + step / width
    parts.append(line(at_one, top, at_one, bottom, "null"))
    parts.append(text(left - 8, top + 8, str(most), "end soft"))
    parts.append(text(left - 8, bottom, "0", "end soft"))
    parts.append(text((left + right) / 2, bottom + 38, axis, "middle soft"))
    return drawing(parts, bottom + 50, axis)


def strengths(rows: Sequence[Estimate], axis: str) -> str:
    """Estimates with intervals on a scale of their own, a dashed line at 0."""
    ends = [abs(v) for row in rows for v in (row.value, row.low or 0.0, row.high or 0.0)]
    reach = max(0.1, *ends) * 1.1

    def x(value: float) -> float:
        return _x(0.5 + value / (2 * reach))

    bottom = _TOP + _ROW * len(rows)
    parts = [line(_LABEL, bottom, _RIGHT, bottom, "axis"), line(x(0), _TOP, x(0), bottom, "null")]
    parts += [
        text(x(mark), bottom + 18, f"{mark:+.2f}" if mark else "0", "middle soft")
        for mark in (-reach / 1.1, 0.0, reach / 1.1)
    ]
    parts.append(text((_LABEL + _RIGHT) / 2, bottom + 38, axis, "middle soft"))
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        parts.append(_label(y + 4, row.label))
        if row.low is not None and row.high is not None:
            parts.append(line(x(row.low), y, x(row.high), y, "whisker"))
        parts.append(circle(x(row.value), y, 5, "dot"))
        parts.append(text(_RIGHT + 14, y + 4, row.note, ""))
    return drawing(parts, bottom + _FOOT, axis)


def _label(y: float, label: str, kind: str = "end") -> str:
    """`label` left of the plot; a long `A vs B` on two lines, and longer names cut."""
    if len(label) <= _LONGEST:
        return text(_LABEL - 14, y, label, kind)
    first, versus, second = label.partition(" vs ")
    if not versus:
        return text(_LABEL - 14, y, _cut(label), kind)
    lines = (y - 6.5, _cut(first)), (y + 6.5, _cut(f"vs {second}"))
    return "".join(text(_LABEL - 14, at, line, f"{kind} small") for at, line in lines)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _x(share: float) -> float:
    return _LABEL + share * (_RIGHT - _LABEL)


def _grid(bottom: float, axis: str) -> list[str]:
    parts = []
    for quarter in range(5):
        share = quarter / 4
        kind = "null" if quarter == 2 else "axis"
        parts.append(line(_x(share), _TOP, _x(share), bottom, kind))
        parts.append(text(_x(share), bottom + 18, f"{share:.0%}", "middle soft"))
    parts.append(text((_LABEL + _RIGHT) / 2, bottom + 38, axis, "middle soft"))
    return parts
