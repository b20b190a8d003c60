# SPDX-License-Identifier: GPL-3.0-or-later
"""TODO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, order_by_name
from exomni_core.errors import InputError
from exomni_core.formats.live_link import ROTATIONS

MAX_FILE_BYTES: Final = 256 << 20
MAX_FRAMES: Final = 1_000_000
MIN_FPS, MAX_FPS = 1.0, 240.0
# Columns that other tools write and that are no ARKit blendshapes: dropped, and said so.
IGNORED_COLUMNS: Final = (
    "_neutral",  # MediaPipe
    *ROTATIONS,
    "TongueTipUp", "TongueTipDown", "TongueTipLeft", "TongueTipRight", "TongueRollUp",
    "TongueRollDown", "TongueRollLeft", "TongueRollRight", "TongueUp", "TongueDown", "TongueLeft",
    "TongueRight", "TongueIn", "TongueStretch", "TongueWide", "TongueNarrow",  # Audio2Face-3D
)  # fmt: skip
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FaceTrack:
    """A face without sound. weights: (T, 52) float32 in ARKIT_52 order at `fps`, as in the file
    (not clipped). missing: channels that the file lacks, zero here. ignored: its other columns.
    """

    weights: FloatArray
    fps: float
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


def _track(names: Sequence[str], values: Any, fps: float, path: Path) -> FaceTrack:
    """Columns by name -> a FaceTrack, checked."""
    squeezed = {_squeeze(name) for name in IGNORED_COLUMNS}
    ignored = tuple(n for n in names if isinstance(n, str) and _squeeze(n) in squeezed)
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
    return FaceTrack(weights, _checked_fps(fps, str(path)), missing, ignored)


def _read_bytes(path: Path) -> bytes:
    try:
        with open(path, "rb") as handle:
            data = handle.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} can't be read: {reason}") from error
    if not data.strip():
        raise InputError(f"{path} is empty; export it again")
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MB; split it")
    return data


def _read_text(path: Path) -> str:
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; export it again") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path} is broken JSON ({error.msg} at {place})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no usable JSON; export it again") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} should hold a JSON object")
    return data


def _checked_fps(fps: object, where: str) -> float:
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
