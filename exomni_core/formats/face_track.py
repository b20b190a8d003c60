# SPDX-License-Identifier: GPL-3.0-or-later
"""Named columns in, a checked face track out; files in, their bytes, text or JSON out.

What all face formats share. Columns are found by name, never by place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.arkit import ARKIT_52, order_by_name
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.formats.mending import in_range
from exomni_core.storage.foreign import parse_json, read_at_most

MAX_FILE_BYTES: Final = 256 << 20
MAX_FRAMES: Final = 1_000_000
MIN_FPS, MAX_FPS = 1.0, 240.0
ROTATIONS: Final = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll",
    "RightEyeYaw", "RightEyePitch", "RightEyeRoll",
)  # fmt: skip
# Columns that other tools write and that are no ARKit blendshapes: dropped, and said so.
IGNORED_COLUMNS: Final = (
    "_neutral",  # MediaPipe
    *ROTATIONS,
    "TongueTipUp", "TongueTipDown", "TongueTipLeft", "TongueTipRight", "TongueRollUp",
    "TongueRollDown", "TongueRollLeft", "TongueRollRight", "TongueUp", "TongueDown", "TongueLeft",
    "TongueRight", "TongueIn", "TongueStretch", "TongueWide", "TongueNarrow",  # Audio2Face-3D
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """A face without sound. weights: (T, 52) float32 in ARKIT_52 order at `fps`, as in the file
    (not clipped). missing: channels that the file lacks, zero here. ignored: its other columns.
    notes: sentences about what was guessed or replaced, which a clip of it keeps. remarks:
    sentences for who reads the file now.
    """

    weights: FloatArray
    fps: float
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def track_of(names: Sequence[Any], values: Any, fps: object, path: Path) -> FaceTrack:
    """A table (T, len(names)) with named columns at `fps` -> a FaceTrack.

    path: for the sentences of errors. Raises InputError for doubtful names, a rate outside 1 to
    240, no frames, and values that are no finite numbers.
    """
    ignored = tuple(n for n in names if isinstance(n, str) and is_known_extra(n))
    try:
        weights, missing = order_by_name(values, names, ignore=ignored)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if len(missing) == len(ARKIT_52):
        raise InputError(f"{path} holds none of ARKit's 52 channels")
    if not 0 < len(weights) <= MAX_FRAMES:
        raise InputError(f"{path} holds {len(weights)} frames; 1 to {MAX_FRAMES} can be used")
    if not np.isfinite(weights).all():
        row, column = np.argwhere(~np.isfinite(weights))[0]
        raise InputError(f"{path} holds no finite number for {ARKIT_52[column]} in frame {row}")
    weights, notes = in_range(weights, str(path))
    return FaceTrack(weights, checked_fps(fps, str(path)), missing, ignored, notes)


def is_known_extra(name: str) -> bool:
    """Whether a column is one that other tools write beside the channels (IGNORED_COLUMNS)."""
    return _squeeze(name) in {_squeeze(one) for one in IGNORED_COLUMNS}


def read_bytes(path: Path) -> bytes:
    """The file's bytes; InputError if it can't be read, is empty or above MAX_FILE_BYTES."""
    try:
        data = read_at_most(path, MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} can't be read: {reason}") from error
    if not data.strip():
        raise InputError(f"{path} is empty; export it again")
    return data


def read_text(path: Path) -> str:
    """The file's text; InputError if it isn't UTF-8."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; export it again") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in the file; InputError if it holds none."""
    try:
        data = parse_json(read_text(path))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path} is broken JSON ({error.msg} at {place})") from error
    except ValueError as error:
        raise InputError(f"{path} is no usable JSON ({error}); export it again") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} should hold a JSON object")
    return data


def stated(value: object) -> object:
    """A number that a file writes as a text ("30", "29,97") as a number; all else unchanged."""
    text = value.strip().replace(",", ".") if isinstance(value, str) else ""
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,9})?", text) else value


def checked_fps(fps: object, where: str) -> float:
    """`fps` if it is a number from 1 to 240; InputError(field="fps") that begins with `where`."""
    if fps is None:
        raise InputError(
            f"{where} has no number as frames per second; give its frame rate with --fps",
            field="fps",
        )
    number = isinstance(fps, (int, float)) and not isinstance(fps, bool)
    if not number or not MIN_FPS <= fps <= MAX_FPS:  # type: ignore[operator]
        shown = repr(fps)[:20] if isinstance(fps, (float, str)) else "no number"
        if type(fps) is int and abs(fps) < 10**9:
            shown = str(fps)
        raise InputError(f"{where} has {shown} as frames per second; 1 to 240 can be used",
                         field="fps")  # fmt: skip
    return float(fps)  # type: ignore[arg-type]


def _squeeze(name: str) -> str:
    return name.replace("_", "").replace(" ", "").lower()
