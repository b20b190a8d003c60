# SPDX-License-Identifier: GPL-3.0-or-later
"""The times that a face table gives its rows in, each row's seconds and the frame rate out.

A timecode `HH:MM:SS:FF.sub` does not write down its frames per second: they are seen where the
frames wrap at each full second. Drop-frame timecode (29.97 and 59.94) leaves out the numbers of
two (four) frames in every minute but each tenth; no frame is lost there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from exomni_core.arrays import Array
from exomni_core.errors import InputError
from exomni_core.formats.table import number, squeezed

_TIMECODE: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})([:;])(\d{1,3})(?:[.,](\d{1,9}))?")
_DAYTIME: Final = re.compile(
    r"(?:\d{4}-\d\d-\d\d[T ])?(\d{1,2}):(\d{1,2}):(\d{1,2}(?:[.,]\d{1,9})?)(?:Z|[-+]\d\d:?\d\d)?"
)
_DAY_S: Final = 86_400
# Rates that cameras and films use; a measured rate this close to one is meant to be it.
_COMMON_FPS: Final = tuple(
    sorted({*range(1, 241), *(n / 1.001 for n in (24, 30, 48, 60, 120, 240))})
)
# The usual rates, the likeliest first: for clocks that are rounded to milliseconds.
_USUAL_FPS: Final = (30, 60, 25, 24, 50, 120, 30 / 1.001, 60 / 1.001, 24 / 1.001, 48, 100, 15, 90)
_TIMECODE_RATES: Final = (24, 25, 30, 48, 50, 60, 100, 120)
_SNAP: Final = 3e-4
_FINE_S: Final = 1e-5  # a clock this fine or finer is not rounded
# Columns that hold a clock, by their squeezed name, and how long its unit is in seconds (0: to be
# seen from the steps). The best clock stands first.
_CLOCKS: Final = {
    "timecode": 1.0, "times": 1.0, "timesec": 1.0, "timeseconds": 1.0, "timeinseconds": 1.0,
    "timestamps": 1.0, "timestampsec": 1.0, "timestampseconds": 1.0, "seconds": 1.0, "sec": 1.0,
    "timestampms": 1e-3, "timems": 1e-3, "msec": 1e-3, "ms": 1e-3, "milliseconds": 1e-3,
    "timemillis": 1e-3, "timestampmillis": 1e-3, "timemsec": 1e-3, "timestampmsec": 1e-3,
    "timestampus": 1e-6, "timeus": 1e-6, "timestampns": 1e-9, "timens": 1e-9,
    "timestamp": 0.0, "time": 0.0, "t": 0.0,
}  # fmt: skip
_COUNTERS: Final = ("frame", "frameid", "frameindex", "frameidx", "framenumber", "framenum",
                    "frameno", "index")  # fmt: skip
_UNITS: Final = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}


@dataclass(frozen=True, eq=False)
class Clock:
    """fps: rows per second. times_s: (T,) seconds from the first row. note: "" or a sentence."""

    fps: float
    times_s: Array
    note: str = ""


def clock_column(header: Sequence[str]) -> int | None:
    """Which column tells the time, the best one first; or a frame counter; None for neither."""
    names = [squeezed(name) for name in header]
    return next((names.index(one) for one in (*_CLOCKS, *_COUNTERS) if one in names), None)


def is_clock(name: str) -> bool:
    """Whether a column of this name tells times or counts frames."""
    return squeezed(name) in _CLOCKS or squeezed(name) in _COUNTERS


def read_clock(cells: Sequence[str], name: str, fps: float | None, where: str) -> Clock:
    """A column of times -> when its rows are. name: of the column, which tells the unit.

    fps: the rate, if the caller knows it; else it is found. Raises InputError, with field="fps"
    where a given rate would help.
    """
    if squeezed(name) in _COUNTERS:
        return _counted(cells, name, fps, where)
    if _TIMECODE.fullmatch(cells[0].strip()) is not None:
        seconds = _timecode_s(cells, fps, where)
        _check_order(seconds, where)
        return Clock(_rate(seconds, where) if fps is None else fps, seconds - seconds[0])
    seconds, resolution_s, note = _plain_s(cells, name, where)
    _check_order(seconds, where)
    if fps is None:
        fps = _rounded_rate(seconds, resolution_s) or _rate(seconds, where)
    return Clock(fps, seconds - seconds[0], note)


def _counted(cells: Sequence[str], name: str, fps: float | None, where: str) -> Clock:
    if fps is None:
        raise InputError(
            f"{where} counts its frames but tells no time; give its frame rate with --fps",
            field="fps",
        )
    counts = np.array([_clock_number(cell, k, name, where) for k, cell in enumerate(cells)])
    _check_order(counts, where)
    step = float(np.median(np.diff(counts))) if len(counts) > 1 else 1.0
    return Clock(fps, (counts - counts[0]) / step / fps)


def _plain_s(cells: Sequence[str], name: str, where: str) -> tuple[Array, float, str]:
    """Seconds of plain numbers or times of day, how finely they are written, and a note."""
    unit = _CLOCKS.get(squeezed(name), 1.0)
    if _DAYTIME.fullmatch(cells[0].strip()) is not None:
        return _daytime_s(cells, name, where), _fineness(cells), ""
    values = np.array([_clock_number(cell, k, name, where) for k, cell in enumerate(cells)])
    note = ""
    if unit == 0.0:
        unit = _unit_of(values)
        note = f"its column {name!r:.40} is read as {_UNITS[unit]}" if unit != 1.0 else ""
    return values * unit if unit != 1.0 else values, _fineness(cells) * unit, note


def _clock_number(cell: str, row: int, name: str, where: str) -> float:
    value = number(cell)
    if value is None or not 0 <= value < 1e19 or not re.match(r"\d", cell.strip()):
        wanted = "HH:MM:SS:FF" if squeezed(name) == "timecode" else "a number"
        word = "timecode" if squeezed(name) == "timecode" else name[:40]
        raise InputError(f"{where} holds the {word} {cell[:20]!r} in frame {row}; "
                         f"{wanted} is needed")  # fmt: skip
    return value


def _unit_of(values: Array) -> float:
    """The unit in which the steps are those of a film: 1 to 240 frames per second."""
    step = float(np.median(np.diff(values))) if len(values) > 1 else 0.0
    return next((unit for unit in (1e-9, 1e-6, 1e-3) if step * unit > 1 / 250), 1.0)


def _fineness(cells: Sequence[str]) -> float:
    """The last digit that the cells write, as a part of their unit."""
    written = [re.search(r"[.,](\d+)", cell) for cell in cells]
    if any("e" in cell.lower() for cell in cells):
        return 0.0
    return 10.0 ** -max((len(one[1]) for one in written if one), default=0)


def _daytime_s(cells: Sequence[str], name: str, where: str) -> Array:
    seconds = np.empty(len(cells))
    for row, cell in enumerate(cells):
        found = _DAYTIME.fullmatch(cell.strip())
        if found is None:
            raise InputError(
                f"{where} holds {cell[:30]!r} for {name[:40]} in frame {row}; HH:MM:SS is needed"
            )
        rest = float(found[3].replace(",", "."))
        seconds[row] = int(found[1]) * 3600 + int(found[2]) * 60 + rest
    return _past_midnight(seconds)


def _timecode_s(cells: Sequence[str], fps: float | None, where: str) -> Array:
    seconds, frames = np.empty(len(cells)), np.zeros(len(cells))
    semicolons = 0
    for row, cell in enumerate(cells):
        found = _TIMECODE.fullmatch(cell.strip())
        if found is None:
            raise InputError(f"{where} holds the timecode {cell[:20]!r} in frame {row}; "
                             "HH:MM:SS:FF is needed")  # fmt: skip
        hours, minutes, whole, mark, frame, sub = found.groups()
        seconds[row] = int(hours) * 3600 + int(minutes) * 60 + int(whole)
        frames[row] = float(f"{frame}.{sub or 0}")
        semicolons += mark == ";"
    seconds = _past_midnight(seconds)
    per_second = _frames_per_second(seconds, frames, fps, where)
    if per_second in (30.0, 60.0) and _drops(seconds, frames, per_second, semicolons > 0):
        dropped = per_second / 15.0  # numbers in every minute but each tenth
        minutes_in = np.floor(seconds / 60)
        left_out = dropped * (minutes_in - np.floor(minutes_in / 10))
        counted: Array = (seconds * per_second + frames - left_out) * (1.001 / per_second)
        return counted
    return seconds + frames / per_second


def _drops(seconds: Array, frames: Array, per_second: float, is_marked: bool) -> bool:
    """Whether the timecode leaves out numbers: the frames at the start of a minute tell.

    is_marked: it is written with a semicolon, as drop-frame timecode is; one written with colons
    must show the leap in each minute that it passes.
    """
    dropped = per_second / 15.0
    minutes = np.floor(seconds / 60)
    if ((minutes % 10 != 0) & (seconds % 60 == 0) & (frames < dropped)).any():
        return False
    if is_marked:
        return True
    if len(seconds) < 3:
        return False
    steps = np.diff(seconds) * per_second + np.diff(frames)
    usual = float(np.median(steps))
    passed = np.diff(minutes) == 1
    leaps = passed & (minutes[1:] % 10 != 0)
    expected = usual + np.where(leaps, dropped, 0.0)
    fits = np.abs(steps - expected) < 0.25 * usual
    return bool(leaps.any() and fits[passed].all())


def _past_midnight(seconds: Array) -> Array:
    days = np.concatenate(([0], np.cumsum(np.diff(seconds) < -_DAY_S / 2)))
    return seconds + _DAY_S * days


def _check_order(seconds: Array, where: str) -> None:
    steps = np.diff(seconds)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise InputError(f"{where}: frame {row} is not later than the frame before it")


def _frames_per_second(seconds: Array, frames: Array, fps: float | None, where: str) -> float:
    """How many timecode frames make a second: seen where the frame number wraps around."""
    same = np.diff(seconds) == 0
    wraps = np.diff(seconds) == 1
    if same.any() and wraps.any():
        # At a wrap, step = per_second + frames_after - frames_before.
        step = np.median(np.diff(frames)[same])
        seen = float(np.median(step - np.diff(frames)[wraps]))
        nearest = min(_TIMECODE_RATES, key=lambda common: abs(common - seen))
        jittery = abs(seen - round(seen)) > 0.02 and abs(nearest - seen) < 0.75
        return max(float(nearest if jittery else round(seen)), float(np.floor(frames.max())) + 1.0)
    if wraps.any() and len(seconds) > 2:  # one row per second or fewer
        return float(np.floor(frames.max())) + 1.0
    if fps is None:
        raise InputError(
            f"{where} is shorter than a second, so its timecode does not tell the frame rate; "
            "give the rate (fps) with --fps",
            field="fps",
        )
    return max(float(math.ceil(fps - 1e-9)), float(np.floor(frames.max())) + 1.0)


def _rounded_rate(seconds: Array, resolution_s: float) -> float | None:
    """The usual rate that a rounded clock fits, or None: milliseconds give 33, 33, 34."""
    if len(seconds) < 3 or not _FINE_S < resolution_s <= 0.34 * float(np.median(np.diff(seconds))):
        return None
    steps = np.maximum(np.round(np.diff(seconds) / float(np.median(np.diff(seconds)))), 1.0)
    index = np.concatenate(([0.0], np.cumsum(steps)))
    for fps in _USUAL_FPS:
        off = seconds - index / fps
        if float(off.max() - off.min()) <= 1.001 * resolution_s:
            return float(fps)
    return None


def _rate(seconds: Array, where: str) -> float:
    if len(seconds) < 2:
        raise InputError(f"{where} has one frame only; give its frame rate with --fps", field="fps")
    step = float(np.median(np.diff(seconds)))
    # Dropped rows must not count: number the rows by the usual step, then fit a line. Rounding
    # each step by itself keeps a jittering step's small error from adding up.
    steps = np.maximum(np.round(np.diff(seconds) / step), 1.0)
    index = np.concatenate(([0.0], np.cumsum(steps)))
    slope = float(np.polyfit(index, seconds, 1)[0]) if len(seconds) > 2 else step
    fps = 1.0 / slope if slope > 0 else math.inf
    if not 1.0 - _SNAP <= fps <= 1000.0:
        raise InputError(
            f"{where} has {fps:.4g} frames per second; give the true rate with --fps", field="fps"
        )
    nearest = min(_COMMON_FPS, key=lambda common: abs(common - fps))
    return float(nearest) if abs(nearest - fps) < _SNAP * fps else round(fps, 4)
