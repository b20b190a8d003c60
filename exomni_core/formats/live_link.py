# SPDX-License-Identifier: GPL-3.0-or-later
"""Live Link Face CSV (and Audio2Face's) text in, named columns and a frame rate out; and back.

Rows carry a time: a timecode `HH:MM:SS:FF.sub` whose frames per second nobody writes down, or
plain seconds. The rate is found from how the frames wrap at each full second.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from exomni_core.arkit import CHANNEL_INDEX, LIVE_LINK_52
from exomni_core.arrays import Array, FloatArray
from exomni_core.errors import InputError
from exomni_core.formats.face_track import (
    ROTATIONS,
    FaceTrack,
    read_text,
    track_of,
)
from exomni_core.formats.format import Format, Wishes
from exomni_core.storage.files import write_text

_TIMECODE: Final = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})[:;](\d{1,3})(?:\.(\d{1,9}))?")
_DAY_S: Final = 86_400
# Rates that cameras and films use; a measured rate this close to one is meant to be it.
_COMMON_FPS: Final = tuple(
    sorted({*range(1, 241), *(n / 1.001 for n in (24, 30, 48, 60, 120, 240))})
)
_TIMECODE_RATES: Final = (24, 25, 30, 48, 50, 60, 100, 120)
_SNAP: Final = 3e-4


@dataclass(frozen=True, eq=False)
class NamedTable:
    """Columns by name as a file has them. values: (T, len(names)) float64 at `fps`."""

    names: tuple[str, ...]
    values: Array
    fps: float


def read_live_link(path: Path, wishes: Wishes) -> FaceTrack:
    """Read a take; InputError if it is no such table or doesn't tell its rate."""
    table = parse_csv(read_text(path), wishes.fps, str(path))
    return track_of(table.names, table.values, table.fps, path)


def write_live_link(path: Path, weights: FloatArray, fps: float) -> None:
    """Write (T, 52) weights at `fps` as the app writes a take."""
    write_text(path, csv_text(weights, fps))


def csv_text(weights: FloatArray, fps: float) -> str:
    """(T, 52) weights in ARKIT_52 order at `fps` -> a take as the app writes it, 61 columns.

    The timecode starts at zero and counts real time, so 29.97 can be told from 30; the sub-frame
    is in thousandths. Head and eye rotations are zero. Values are exact float32.
    """
    names = [name[0].upper() + name[1:] for name in LIVE_LINK_52]
    columns = [CHANNEL_INDEX[name] for name in LIVE_LINK_52]
    lines = [",".join(("Timecode", "BlendShapeCount", *names, *ROTATIONS))]
    tail = ",0" * len(ROTATIONS)
    for k, row in enumerate(weights[:, columns]):
        values = ",".join(np.format_float_positional(v, unique=True, trim="-") for v in row)
        lines.append(f"{_timecode(k, fps)},{len(names) + len(ROTATIONS)},{values}{tail}")
    return "\n".join(lines) + "\n"


def parse_csv(text: str, fps: float | None, where: str) -> NamedTable:
    """Read a take: channel columns by header name, on an even clock.

    fps: the rate, if the caller knows it; else it is found from the times. Rows that were dropped
    or jitter are put on the even clock by linear interpolation. Raises InputError.
    """
    header, rows = _cells(text, where)
    time_column = next((i for i, n in enumerate(header) if n.lower() == "timecode"), None)
    skipped = {i for i, n in enumerate(header) if n.lower() in ("", "timecode", "blendshapecount")}
    if unnamed := [i for i in skipped if i > 0 and not header[i]]:  # an index may stand first
        raise InputError(
            f"{where}: column {unnamed[0] + 1} of {len(header)} has no name; name it or remove it"
        )
    columns = [i for i in range(len(header)) if i not in skipped]
    names = tuple(header[i].removeprefix("blendShapes.") for i in columns)
    values = np.empty((len(rows), len(columns)))
    for number, row in enumerate(rows):
        for target, column in enumerate(columns):
            values[number, target] = _value(row[column], number, header[column], where)
    if time_column is None:
        if fps is None:
            raise InputError(f"{where} has no Timecode column; give its frame rate", field="fps")
        return NamedTable(names, values, fps)
    found, times_s = _clock([row[time_column] for row in rows], fps, where)
    return NamedTable(names, _on_even_clock(values, times_s, found, where), found)


def _cells(text: str, where: str) -> tuple[list[str], list[list[str]]]:
    try:
        table = [row for row in csv.reader(text.splitlines(), strict=True) if any(row)]
    except csv.Error as error:
        raise InputError(f"{where} is not readable CSV ({error}); export it again") from error
    if len(table) < 2:
        raise InputError(f"{where} holds no frames; export it again")
    header = [name.strip() for name in table[0]]
    for number, row in enumerate(table[1:]):
        if len(row) != len(header):
            raise InputError(
                f"{where} is ragged: frame {number} has {len(row)} cells, its header {len(header)}"
            )
    return header, table[1:]


def _value(cell: str, number: int, name: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{where} holds {cell[:20]!r} for {name[:40]} in frame {number}; a number is needed"
        )
    return value


def _timecode(frame: int, fps: float) -> str:
    per_second = math.ceil(fps - 1e-9)
    ticks = round(frame / fps * per_second * 1000)  # thousandths of a timecode frame
    seconds, rest = divmod(ticks, per_second * 1000)
    minutes, hours = seconds // 60, seconds // 3600
    frames, sub = divmod(rest, 1000)
    return f"{hours % 24:02d}:{minutes % 60:02d}:{seconds % 60:02d}:{frames:02d}.{sub:03d}"


def _clock(cells: list[str], fps: float | None, where: str) -> tuple[float, Array]:
    """The rate in rows per second, and each row's time in seconds from the first row."""
    seconds, frames = np.empty(len(cells)), np.zeros(len(cells))
    timecode = _TIMECODE.fullmatch(cells[0].strip()) is not None
    for number, cell in enumerate(cells):
        found = _TIMECODE.fullmatch(cell.strip()) if timecode else None
        if found is not None:
            hours, minutes, whole, frame, sub = found.groups()
            seconds[number] = int(hours) * 3600 + int(minutes) * 60 + int(whole)
            frames[number] = float(f"{frame}.{sub or 0}")
        else:
            plain = re.fullmatch(r"\d{1,9}(\.\d*)?(e[-+]?\d{1,2})?", cell.strip())
            if timecode or plain is None:
                raise InputError(f"{where} holds the timecode {cell[:20]!r} in frame {number}; "
                                 "HH:MM:SS:FF is needed")  # fmt: skip
            seconds[number] = float(cell)
    if timecode:
        seconds += _DAY_S * np.concatenate(([0], np.cumsum(np.diff(seconds) < -_DAY_S / 2)))
        per_second = _frames_per_second(seconds, frames, fps, where)
        seconds += frames / per_second
    steps = np.diff(seconds)
    if (steps <= 0).any():
        number = int(np.argmax(steps <= 0)) + 1
        raise InputError(f"{where}: frame {number} is not later than the frame before it")
    if fps is None:
        fps = _rate(seconds, where)
    return fps, seconds - seconds[0]


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
            "give the rate (fps)",
            field="fps",
        )
    return max(float(math.ceil(fps - 1e-9)), float(np.floor(frames.max())) + 1.0)


def _rate(seconds: Array, where: str) -> float:
    if len(seconds) < 2:
        raise InputError(f"{where} has one frame only; give its frame rate", field="fps")
    step = float(np.median(np.diff(seconds)))
    # Dropped rows must not count: number the rows by the usual step, then fit a line. Rounding
    # each step by itself keeps a jittering step's small error from adding up.
    steps = np.maximum(np.round(np.diff(seconds) / step), 1.0)
    index = np.concatenate(([0.0], np.cumsum(steps)))
    slope = float(np.polyfit(index, seconds, 1)[0]) if len(seconds) > 2 else step
    fps = 1.0 / slope if slope > 0 else math.inf
    if not 1.0 - _SNAP <= fps <= 1000.0:
        raise InputError(
            f"{where} has {fps:.4g} frames per second; give the true rate", field="fps"
        )
    nearest = min(_COMMON_FPS, key=lambda common: abs(common - fps))
    return float(nearest) if abs(nearest - fps) < _SNAP * fps else round(fps, 4)


def _on_even_clock(values: Array, times_s: Array, fps: float, where: str) -> Array:
    even = np.arange(len(values)) / fps
    if np.abs(times_s - even).max() <= 0.1 / fps:
        return values
    count = round(float(times_s[-1]) * fps) + 1
    if count > 4 * len(values) + 100:
        raise InputError(f"{where} has gaps longer than its frames; cut it into takes")
    grid = np.arange(count) / fps
    return np.column_stack([np.interp(grid, times_s, column) for column in values.T])


FORMAT: Final = Format(
    "live_link", "Live Link Face CSV", ".csv", "the face exactly; the rate as a timecode",
    read_live_link, write_live_link,
)  # fmt: skip
