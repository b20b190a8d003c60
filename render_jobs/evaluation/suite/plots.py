# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of an evaluation in, drawings (SVG text, coloured by the page's style sheet) out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from exomni_core.clip import Phone
from render_jobs.reporting.svg import WIDTH, circle, curve, drawing, line, rect, text, title

COLOURS: Final = 5  # classes c0 to c4, f0 to f4 of the style sheet
_LABEL: Final = 270.0
_RIGHT: Final = 640.0
_ROW: Final = 27.0
_TOP: Final = 12.0
_LEFT: Final = 62.0
_LONGEST: Final = 36


@dataclass(frozen=True)
class Bar:
    """A row of `errors`: a system with its interval, or a baseline (pale)."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    pale: bool = False
    note: str = ""


def errors(rows: Sequence[Bar], axis: str) -> str:
    """Bars from 0 with intervals, least first as given; baselines are pale."""
    largest = max((v for r in rows for v in (r.value, r.high or 0.0)), default=0.0)
    ticks = nice_ticks(largest)
    bottom = _TOP + _ROW * len(rows)

    def x(value: float) -> float:
        return _LABEL + (_RIGHT - _LABEL) * value / ticks[-1]

    parts = []
    for tick in ticks:
        parts.append(line(x(tick), _TOP, x(tick), bottom, "axis"))
        parts.append(text(x(tick), bottom + 18, f"{tick:g}", "middle soft"))
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number + 5
        parts.append(text(_LABEL - 12, y + 13, _cut(row.label), "end soft" if row.pale else "end"))
        parts.append(
            rect(_LABEL, y, x(row.value) - _LABEL, _ROW - 10, "plain" if row.pale else "win")
        )
        if row.low is not None and row.high is not None:
            middle = y + (_ROW - 10) / 2
            parts.append(line(x(row.low), middle, x(row.high), middle, "whisker"))
            parts += [
                line(x(v), middle - 4, x(v), middle + 4, "whisker") for v in (row.low, row.high)
            ]
        parts.append(text(_RIGHT + 14, y + 13, row.note, "soft" if row.pale else ""))
    parts.append(text((_LABEL + _RIGHT) / 2, bottom + 38, axis, "middle soft"))
    return drawing(parts, bottom + 46, axis)


@dataclass(frozen=True)
class Curve:
    """A mouth's opening over time. colour: number of the system; None is the reference."""

    label: str
    times_s: Sequence[float]
    values: Sequence[float]
    colour: int | None = None


@dataclass(frozen=True)
class Panel:
    """Curves of one sound. phones: its sounds in time; closures: where lips must meet."""

    curves: Sequence[Curve]
    phones: Sequence[Phone] = ()
    closures: Sequence[tuple[float, float]] = field(default_factory=tuple)
    seconds: float = 0.0
    axis: str = "opening (mm)"


def openings(panel: Panel) -> str:
    """Openings over the sounds: p, b and m shaded, sounds as bands below, as in the paper."""
    left, right, top, bottom = _LEFT, WIDTH - 14.0, 34.0, 262.0
    highest = max((v for c in panel.curves for v in c.values), default=1.0)
    ticks = nice_ticks(highest)

    def x(seconds: float) -> float:
        return left + (right - left) * min(max(seconds / panel.seconds, 0.0), 1.0)

    def y(value: float) -> float:
        return bottom - (bottom - top) * max(value, 0.0) / ticks[-1]

    parts = [*_bands(panel, x, top, bottom)]
    for tick in ticks:
        parts.append(line(left, y(tick), right, y(tick), "axis"))
        parts.append(text(left - 8, y(tick) + 4, f"{tick:g}", "end soft small"))
    parts += [
        text(x(second), bottom + 40, f"{second:g}", "middle soft small")
        for second in _time_ticks(panel.seconds)
    ]
    ordered = sorted(panel.curves, key=lambda c: c.colour is None)  # the reference on top
    for one in ordered:
        points = [
            (x(t), y(v)) for t, v in zip(one.times_s, one.values, strict=True) if t <= panel.seconds
        ]
        parts.append(curve(points, f"curve {_colour(one.colour)}"))
    parts += _legend(panel.curves, left, 16.0)
    parts.append(text(right, 16, panel.axis, "end soft small"))
    parts.append(text((left + right) / 2, bottom + 58, "seconds", "middle soft small"))
    return drawing(parts, bottom + 66, "mouth opening over time")


def _bands(panel: Panel, x: Callable[[float], float], top: float, bottom: float) -> list[str]:
    parts = []
    spoken = [p for p in panel.phones if p.symbol and p.start_s < panel.seconds]
    for number, phone in enumerate(spoken):
        start, end = x(phone.start_s), x(phone.end_s)
        shown = title(f"{phone.symbol} {phone.start_s:.2f} to {phone.end_s:.2f} s")
        if number % 2:
            parts.append(rect(start, top, end - start, bottom - top, "band"))
        parts.append(rect(start, bottom + 4, end - start, 20, "band", shown))
        parts.append(line(start, bottom + 4, start, bottom + 24, "axis"))
        if end - start >= 7:
            parts.append(
                text((start + end) / 2, bottom + 18, phone.symbol, "middle small")
                if end - start >= 13
                else text((start + end) / 2, bottom + 18, phone.symbol, "middle tiny")
            )
    for start_s, end_s in panel.closures:
        if start_s < panel.seconds:
            width = max(1.5, x(end_s) - x(start_s))
            parts.append(rect(x(start_s), top, width, bottom - top, "shut"))
    return parts


@dataclass(frozen=True)
class Series:
    """Counts or means by bin. notes: what stands above a bar; values may hold None (no bar)."""

    label: str
    values: Sequence[float | None]
    notes: Sequence[str] = ()


def columns(series: Sequence[Series], edges: Sequence[float], axis: str, unit: str) -> str:
    """Grouped columns over bins that begin at `edges` (one more edge than bins)."""
    left, right, top, bottom = _LEFT, WIDTH - 14.0, 36.0, 210.0
    largest = max((v for s in series for v in s.values if v is not None), default=0.0)
    ticks = nice_ticks(largest, least=3)
    step = (right - left) / (len(edges) - 1)
    wide = min(46.0, (step - 4) / len(series))

    def y(value: float) -> float:
        return bottom - (bottom - top) * value / ticks[-1]

    parts = []
    for tick in ticks:
        parts.append(line(left, y(tick), right, y(tick), "axis"))
        parts.append(text(left - 8, y(tick) + 4, f"{tick:g}", "end soft small"))
    for number, one in enumerate(series):
        for k, value in enumerate(one.values):
            if not value and value != 0.0:
                continue
            middle = left + step * (k + 0.5)
            x = middle + wide * (number - len(series) / 2)
            note = one.notes[k] if one.notes else f"{value:g}"
            shown = title(f"{one.label}: {note}")
            parts.append(
                rect(
                    x + 0.5,
                    y(value),
                    max(0.5, wide - 1),
                    bottom - y(value),
                    f"f{number % COLOURS}",
                    shown,
                )
            )
            if one.notes and wide >= 16 and value is not None:
                parts.append(text(x + wide / 2, y(value) - 4, note, "middle soft tiny"))
    for k, edge in enumerate(edges):
        parts.append(text(left + step * k, bottom + 18, f"{edge:g}", "middle soft small"))
    parts += _legend([Curve(s.label, (), (), n) for n, s in enumerate(series)], left, 16.0)
    parts.append(text(right, 16, unit, "end soft small"))
    parts.append(text((left + right) / 2, bottom + 38, axis, "middle soft small"))
    return drawing(parts, bottom + 46, axis)


@dataclass(frozen=True)
class Lag:
    """A row of `lags`: how late a face is, in ms. colour: number of the system."""

    label: str
    ms: float
    low: float | None
    high: float | None
    colour: int = 0
    note: str = ""


def lags(rows: Sequence[Lag], limits_ms: tuple[float, float], axis: str) -> str:
    """Lags with intervals around 0; the span within which people notice nothing is shaded."""
    ends = [abs(v) for r in rows for v in (r.ms, r.low or 0.0, r.high or 0.0)]
    reach = max(150.0, *ends, *map(abs, limits_ms)) * 1.05 if ends else 150.0
    bottom = _TOP + _ROW * len(rows)

    def x(ms: float) -> float:
        return _LABEL + (_RIGHT - _LABEL) * (ms + reach) / (2 * reach)

    parts = [rect(x(limits_ms[0]), _TOP, x(limits_ms[1]) - x(limits_ms[0]), bottom - _TOP, "band")]
    for tick in (-100, -50, 0, 50, 100):
        parts.append(line(x(tick), _TOP, x(tick), bottom, "axis" if tick else "null"))
        parts.append(text(x(tick), bottom + 18, f"{tick:+d}" if tick else "0", "middle soft"))
    for number, row in enumerate(rows):
        y = _TOP + _ROW * (number + 0.5)
        parts.append(text(_LABEL - 12, y + 4, _cut(row.label), "end"))
        if row.low is not None and row.high is not None:
            parts.append(line(x(row.low), y, x(row.high), y, "whisker"))
        parts.append(circle(x(row.ms), y, 5, f"f{row.colour % COLOURS}"))
        parts.append(text(_RIGHT + 14, y + 4, row.note, "soft"))
    parts.append(text((_LABEL + _RIGHT) / 2, bottom + 38, axis, "middle soft"))
    return drawing(parts, bottom + 46, axis)


def nice_ticks(largest: float, least: int = 4) -> list[float]:
    """Round steps from 0 to at least `largest`."""
    if largest <= 0.0 or not math.isfinite(largest):
        return [0.0, 1.0]
    raw = largest / least
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * size >= raw * (1 - 1e-9))
    count = math.ceil(largest / step - 1e-9)
    return [round(step * k, 10) for k in range(count + 1)]


def _time_ticks(seconds: float) -> list[float]:
    step = 0.25 if seconds <= 2.0 else 0.5 if seconds <= 5.0 else 1.0
    return [step * k for k in range(math.floor(seconds / step + 1e-9) + 1)]


def _legend(curves: Sequence[Curve], left: float, y: float) -> list[str]:
    parts, x = [], left
    for one in curves:
        parts.append(line(x, y - 4, x + 22, y - 4, f"curve {_colour(one.colour)}"))
        parts.append(text(x + 28, y, _cut(one.label), "small"))
        x += 50 + 6.6 * min(len(one.label), _LONGEST)
    return parts


def _colour(number: int | None) -> str:
    return "cr" if number is None else f"c{number % COLOURS}"


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
