# SPDX-License-Identifier: GPL-3.0-or-later
"""Live Link Face CSV (also Audio2Face's, MediaPipe's) in, named columns and a rate out; and back.

Rows carry a time (see `clock.py`). Columns that are no channels are passed over by name. Rows in
which the app lost the face are filled from their neighbours, and counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52, canonical_name
from exomni_core.arrays import Array, FloatArray
from exomni_core.errors import InputError
from exomni_core.formats.clock import clock_column, is_clock, read_clock
from exomni_core.formats.face_track import (
    ROTATIONS,
    FaceTrack,
    is_known_extra,
    track_of,
)
from exomni_core.formats.format import Format, Wishes
from exomni_core.formats.mending import fill_lost, unknown_note
from exomni_core.formats.table import Table, number, parse_table, ragged, squeezed, table_text
from exomni_core.storage.files import write_text

_COUNT: Final = "blendshapecount"
_SERVICE: Final = ("", "timecode", _COUNT)  # neither channels nor worth a word
_A2F: Final = "blendShapes."  # before each channel in Audio2Face's tables
_NOTHING: Final = ("", "nan", "null", "none", "n/a", "na", "-")


@dataclass(frozen=True, eq=False)
class NamedTable:
    """Columns by name as a file has them. values: (T, len(names)) float64 at `fps`.

    passed: columns that are no channels. notes, remarks: as in FaceTrack.
    """

    names: tuple[str, ...]
    values: Array
    fps: float
    passed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def read_live_link(path: Path, wishes: Wishes) -> FaceTrack:
    """Read a take; InputError if it is no such table or doesn't tell its rate."""
    table = parse_csv(table_text(path), wishes.fps, str(path))
    track = track_of(table.names, table.values, table.fps, path)
    unknown = [one for one in table.passed if not is_known_extra(one) and not is_clock(one)]
    return replace(
        track,
        ignored=table.passed,
        notes=(*table.notes, *unknown_note(unknown), *track.notes),
        remarks=table.remarks,
    )


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
    or jitter are put on the even clock by linear interpolation; rows in which the app had lost the
    face are filled from their neighbours and told. Raises InputError.
    """
    table = parse_table(text, where)
    if not table.rows:
        raise InputError(f"{where} holds no frames; export it again")
    time_column = clock_column(table.header)
    faces = _face_columns(table, time_column, where)
    values, is_lost = _values(table, list(faces.values()), where)
    if is_lost.all():
        raise InputError(f"{where} holds no face in any of its {len(values)} rows")
    names = tuple(faces)
    rest = [i for i in range(len(table.header)) if i not in (*faces.values(), time_column)]
    passed = tuple(
        table.header[i].removeprefix(_A2F)
        for i in rest
        if squeezed(table.header[i]) not in _SERVICE
    )
    if time_column is None:
        if fps is None:
            raise InputError(
                f"{where} has no Timecode column or other clock; give its frame rate with --fps",
                field="fps",
            )
        times_s = np.arange(len(values)) / fps
        filled, notes = fill_lost(values, is_lost, times_s)
        return NamedTable(names, filled, fps, passed, notes)
    cells = [row[time_column] for row in table.rows]
    clock = read_clock(cells, table.header[time_column], fps, where)
    filled, notes = fill_lost(values, is_lost, clock.times_s)
    even, remarks = _on_even_clock(filled, clock.times_s, clock.fps, where)
    notes = (*notes, clock.note) if clock.note else notes
    return NamedTable(names, even, clock.fps, passed, notes, remarks)


def _face_columns(table: Table, time_column: int | None, where: str) -> dict[str, int]:
    """The columns that hold channels, by name; InputError for doubtful ones."""
    found: dict[str, int] = {}
    unknown = []
    for column, name in enumerate(table.header):
        cells = (row[column] for row in table.rows if column < len(row))
        if not name and column > 0 and any(cell.strip() for cell in cells):  # an index may be first
            place = f"column {column + 1} of {len(table.header)}"
            raise InputError(f"{where}: {place} has no name; name it or remove it")
        plain = name.removeprefix(_A2F)
        if column == time_column or squeezed(name) in _SERVICE:
            continue
        if canonical_name(plain) is None:
            unknown.append(plain)
        elif plain in found:
            raise InputError(f"{where}: channel {canonical_name(plain)} stands twice, as {plain!r}")
        else:
            found[plain] = column
    if not found:
        raise InputError(f"{where} holds none of ARKit's 52 channels")
    lacking = [name for name in ARKIT_52 if name not in {canonical_name(one) for one in found}]
    for name in unknown:  # a channel that is merely misspelt must not be lost
        near = get_close_matches(squeezed(name), [one.lower() for one in lacking], 1, 0.85)
        if near and not is_known_extra(name):
            meant = next(one for one in lacking if one.lower() == near[0])
            raise InputError(
                f"{where}: {name!r:.60} is no ARKit blendshape but {meant} is missing; "
                "rename that column"
            )
    return found


def _values(table: Table, columns: list[int], where: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """(T, len(columns)) values, and in which rows the face was lost; those are zero."""
    values = np.zeros((len(table.rows), len(columns)))
    is_lost = np.zeros(len(table.rows), bool)
    count = next((i for i, n in enumerate(table.header) if squeezed(n) == _COUNT), None)
    for index, row in enumerate(table.rows):
        cells = [row[column] if column < len(row) else "" for column in columns]
        is_zero = count is not None and count < len(row) and row[count].strip() == "0"
        is_lost[index] = all(cell.strip().lower() in _NOTHING for cell in cells) and (
            len(row) <= len(table.header)
        )
        if is_lost[index]:
            continue
        if len(row) != len(table.header):
            raise ragged(table, index, where, f"frame {index}")
        for place, (cell, column) in enumerate(zip(cells, columns, strict=True)):
            values[index, place] = _value(cell, index, table.header[column], where)
        is_lost[index] = is_zero and not values[index].any()
    if count is not None and not any(_has_face(row, count) for row in table.rows):
        # A tool that always writes 0 there tells nothing by it.
        is_lost &= np.array([len(row) < len(table.header) or not "".join(
            row[column] for column in columns).strip() for row in table.rows])  # fmt: skip
    return values, is_lost


def _has_face(row: tuple[str, ...], count: int) -> bool:
    return count < len(row) and row[count].strip() not in ("", "0")


def _value(cell: str, row: int, name: str, where: str) -> float:
    value = number(cell)
    if value is None or not math.isfinite(value):
        raise InputError(
            f"{where} holds {cell[:20]!r} for {name[:40]} in frame {row}; a number is needed"
        )
    return value


def _timecode(frame: int, fps: float) -> str:
    per_second = math.ceil(fps - 1e-9)
    ticks = round(frame / fps * per_second * 1000)  # thousandths of a timecode frame
    seconds, rest = divmod(ticks, per_second * 1000)
    minutes, hours = seconds // 60, seconds // 3600
    frames, sub = divmod(rest, 1000)
    return f"{hours % 24:02d}:{minutes % 60:02d}:{seconds % 60:02d}:{frames:02d}.{sub:03d}"


def _on_even_clock(
    values: Array, times_s: Array, fps: float, where: str
) -> tuple[Array, tuple[str, ...]]:
    """The values at even times, and what is to be said of it."""
    even = np.arange(len(values)) / fps
    if np.abs(times_s - even).max() <= 0.1 / fps:
        return values, ()
    count = round(float(times_s[-1]) * fps) + 1
    if count > 4 * len(values) + 100:
        raise InputError(f"{where} has gaps longer than its frames; cut it into takes")
    grid = np.arange(count) / fps
    remark = f"its rows are put on an even clock of {fps:g} frames per second"
    if count > len(values):
        remark = f"{count - len(values)} rows are missing in its times; they are filled in between"
    return np.column_stack([np.interp(grid, times_s, column) for column in values.T]), (remark,)


FORMAT: Final = Format(
    "live_link", "Live Link Face CSV", ".csv", "the face exactly; the rate as a timecode",
    read_live_link, write_live_link,
)  # fmt: skip
