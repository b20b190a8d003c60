# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that a .blend holds for us in, checked plain values out: the only way to read them.

A .blend may come from anybody, so what doesn't fit counts as not there. Nothing here opens a file
but `own_clip_file`, which a user's act must have asked for.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, Final

import bpy

from exomni_core.errors import InputError
from exomni_core.keyframes import BESIDE, MAX_SLIDER, PACKED
from exomni_core.storage.foreign import open_regular

MARK: Final = "exomni_take"  # custom property of our Actions and strips: the take's id
MAX_CLIP_BYTES: Final = 100 << 20
MAX_FRAME: Final = 1_048_574  # Blender's own limit
_MAX_TEXT: Final = 16 << 20
_MAX_DURATION_S: Final = 86_400.0
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,64}")
_POSES: Final = {"rotation_euler": 3, "rotation_quaternion": 4}


def is_id(value: object) -> bool:
    """Whether this can be a take's id: letters and digits, so that it is safe in a file's name."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def mark_of(owner: Any) -> str:
    """The id of the take that an Action or a strip belongs to; '' if none."""
    mark = owner.get(MARK)
    return str(mark) if is_id(mark) else ""


def empty_broken_texts(group: Any) -> int:
    """Empty the texts of a group, and of those in it, that are no UTF-8; returns how many.

    Python can't read them at all, so they go when a file was opened.
    """
    count = 0
    for declared in group.bl_rna.properties:
        if declared.type == "COLLECTION":
            rows = getattr(group, declared.identifier)
            count += sum(empty_broken_texts(row) for row in rows)
        elif declared.type == "STRING":
            try:
                getattr(group, declared.identifier)
            except UnicodeDecodeError:
                group.property_unset(declared.identifier)
                count += 1
    return count


def packed_clip(action: Any) -> bytes | None:
    """The bytes of the clip that an Action holds, or None."""
    data = action.get(PACKED)
    fits = isinstance(data, bytes) and 0 < len(data) <= MAX_CLIP_BYTES
    return data if fits else None


def own_clip_name(take: Any) -> str:
    """The only path that a take may name; '' if its id can't be in one."""
    return f"//{BESIDE}/{take.id}.clip" if is_id(take.id) else ""


def is_beside(take: Any) -> bool:
    """Whether the take's clip lies beside the .blend, under the take's own name."""
    return bool(take.clip_file) and take.clip_file == own_clip_name(take)


def names_foreign_file(take: Any) -> bool:
    """Whether the take names a file that isn't its own clip."""
    return bool(take.clip_file) and not is_beside(take)


def store_folder() -> Path:
    """The folder for clips beside the .blend; InputError if a link leads it elsewhere."""
    folder = Path(bpy.path.abspath("//")) / BESIDE
    _check_inside(folder)
    return folder


def _check_inside(path: Path) -> None:
    root = Path(bpy.path.abspath("//")).resolve()
    if not bpy.data.filepath or not path.resolve().is_relative_to(root):
        raise InputError(
            f"{path} leads out of the folder of the .blend; replace the link by the real files"
        )


def own_clip_file(take: Any) -> bytes:
    """The bytes of a take's clip beside the .blend; InputError if it is no plain file there."""
    if not is_beside(take):
        raise InputError(f"{take.name} names a file that isn't its own clip; make the take again")
    path = Path(bpy.path.abspath("//")) / BESIDE / f"{take.id}.clip"
    _check_inside(path)
    try:
        return _read_regular(path)
    except OSError as error:
        raise InputError(
            f"the clip of {take.name} is missing at {path}; put it back or make the take again"
        ) from error


def _read_regular(path: Path) -> bytes:
    real = path.resolve()
    if real.exists() and not real.is_file():
        raise InputError(f"{path} is no regular file; put the clip back")
    with open_regular(real) as source:  # never waits, whatever lies there by now
        size = os.fstat(source.fileno()).st_size
        if size > MAX_CLIP_BYTES:
            most = MAX_CLIP_BYTES >> 20
            raise InputError(f"{path} has {size >> 20} MB; {most} are the most")
        return source.read(MAX_CLIP_BYTES)


def number(value: object, low: float, high: float, default: float) -> float:
    """A finite number within its range; `default` for anything else than a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return default
    return float(min(max(value, low), high))


def duration_s(take: Any) -> float:
    """How long the take lasts, from 0 to a day."""
    return number(take.duration_s, 0.0, _MAX_DURATION_S, 0.0)


def start_frame(take: Any) -> int:
    """Where the take begins, within Blender's frames."""
    return int(number(take.start_frame, -MAX_FRAME, MAX_FRAME, 1))


def choice(value: object, choices: Any, default: str) -> str:
    """One of `choices`, else `default`."""
    return str(value) if isinstance(value, str) and value in choices else default


def setting(owner: Any, name: str) -> Any:
    """A property of a registered group within the limits of its declaration."""
    declared, value = owner.bl_rna.properties[name], getattr(owner, name)
    if declared.type == "ENUM":
        return choice(value, declared.enum_items.keys(), declared.default)
    if declared.type == "BOOLEAN":
        return bool(value)
    found = number(value, declared.hard_min, declared.hard_max, declared.default)
    return int(found) if declared.type == "INT" else found


def written_keys(entry: Any) -> dict[str, int]:
    """Data path -> checksum of the keys that we wrote into a take's Action."""
    rows = _json_object(entry.written).items()
    return {path: value for path, value in rows if type(value) is int}


def rest_values(target: Any) -> dict[str, tuple[float, float, float]]:
    """Shape key -> value and limits that it had before a take moved it."""
    rows = {name: _numbers(row, 3) for name, row in _json_object(target.rest).items()}
    kept = {name: row for name, row in rows.items() if row}
    return {
        name: tuple(min(max(x, -MAX_SLIDER), MAX_SLIDER) for x in row)  # type: ignore[misc]
        for name, row in kept.items()
    }


def rest_poses(item: Any) -> dict[str, tuple[str, tuple[float, ...]]]:
    """Bone -> the property that turns it, and its values before a take turned it."""
    poses = {}
    for name, row in _json_object(item.exomni.rig_rest).items():
        if isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and row[0] in _POSES:
            values = _numbers(row[1], _POSES[row[0]])
            if values:
                poses[name] = (row[0], values)
    return poses


def _numbers(row: object, count: int) -> tuple[float, ...]:
    if not isinstance(row, list) or len(row) != count:
        return ()
    values = [number(value, -1e6, 1e6, math.nan) for value in row]
    return () if any(math.isnan(value) for value in values) else tuple(values)


def _json_object(text: object) -> dict[str, Any]:
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_TEXT:
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
