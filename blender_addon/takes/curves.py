# SPDX-License-Identifier: GPL-3.0-or-later
"""A face and a take's adjustments in, curves per shape key out: planned, then written.

Planning is pure numpy; each curve is one bulk write, so that a caller with a clock can spread them
over several ticks.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import FloatArray
from exomni_core.keyframes import KeyPlan, data_path
from exomni_core.matching.match import Matching, apply
from exomni_core.retime import (
    Adjust,
    adjust_weights,
    closed_runs,
    lip_gap,
    reduce_keys,
)

_BLINKS: Final = (CHANNEL_INDEX["eyeBlinkLeft"], CHANNEL_INDEX["eyeBlinkRight"])
_LIP_CHANNELS: Final = ("jawOpen", "mouthClose")


@dataclass(frozen=True)
class Shaping:
    """How a face becomes keys: the take's adjustments as plain values (see properties.Take)."""

    jaw: float = 1.0
    lips: float = 1.0
    brows: float = 1.0
    eyes: float = 1.0
    smooth_s: float = 0.0
    offset_s: float = 0.0
    blinks: bool = True
    keying: str = "every"
    max_error: float = 0.01
    step_frames: int = 2

    @property
    def gains(self) -> dict[str, float]:
        """The factor of each region of the face."""
        return {
            "jaw": self.jaw,
            "lips": self.lips,
            "tongue": self.lips,
            "cheeks": self.lips,
            "brows": self.brows,
            "lids": self.eyes,
            "gaze": self.eyes,
        }

    @property
    def interpolation(self) -> str:
        """Blender's name for what lies between two keys."""
        return "CONSTANT" if self.keying == "stepped" else "LINEAR"


def shape_face(weights: npt.ArrayLike, fps: float, shaping: Shaping) -> FloatArray:
    """(T, 52) weights as the engine made them -> as adjusted, at the same rate."""
    adjust = Adjust(shaping.smooth_s, shaping.gains, shaping.offset_s)
    result = adjust_weights(weights, fps, adjust)
    if not shaping.blinks:
        result[:, _BLINKS] = 0.0
    return result


def plan_keys(
    rows: FloatArray, matching: Matching, shaping: Shaping, start: float
) -> dict[str, KeyPlan]:
    """Keys for each mesh, from weights (T, 52) with one row per scene frame.

    start: the scene frame of the first row.
    """
    closures = closure_rows(rows) if shaping.keying == "reduced" else []
    lips = {
        (target.mesh, target.key)
        for channel in _LIP_CHANNELS
        for target in matching.targets.get(channel, ())
    }
    plans = {}
    for mesh, curves in apply(matching, rows).items():
        planned = []
        for key, values in curves.items():
            keep = closures if (mesh, key) in lips else []
            chosen = choose_frames(values, shaping, keep)
            at = (start + chosen).astype(np.float32)
            planned.append((data_path(key), at, np.ascontiguousarray(values[chosen])))
        plans[mesh] = KeyPlan(tuple(planned))
    return plans


def key_limits(matching: Matching, mesh: str) -> dict[str, tuple[float, float]]:
    """The shape keys that a take moves on this mesh, with the range of their values."""
    keys = matching.keys.get(mesh, ())
    return {key: matching.ranges.get((mesh, key), (0.0, 1.0)) for key in keys}


def choose_frames(
    values: FloatArray, shaping: Shaping, keep: Sequence[int] = ()
) -> npt.NDArray[np.intp]:
    """The rows of one curve that become keys; `keep` are those that must."""
    if shaping.keying == "reduced":
        return reduce_keys(values, shaping.max_error, keep=keep)
    step = shaping.step_frames if shaping.keying == "stepped" else 1
    return np.arange(0, len(values), step, dtype=np.intp)


def closure_rows(rows: FloatArray) -> list[int]:
    """The tightest row of every lip closure."""
    gap = lip_gap(rows)
    return [a + int(np.argmin(gap[a : b + 1])) for a, b in closed_runs(rows)]


def write_curve(
    curves: Any,
    planned: tuple[str, FloatArray, FloatArray],
    shaping: Shaping,
    written: dict[str, int],
) -> None:
    """Write one planned curve (path, frames, values) into an Action's F-curves.

    written: data path -> checksum of what we wrote; kept up to date. A curve that it doesn't list
    is somebody else's and stays as it is.
    """
    path, frames, values = planned
    curve = find_curve(curves, path)
    if curve is None:
        place, index = _place(path)
        curve = curves.new(place, index=index)
    elif path not in written:
        return
    points = np.stack([frames, values], axis=1).astype(np.float32, copy=False)
    modes = np.full(len(frames), _mode_number(shaping.interpolation), np.int32)
    keys = curve.keyframe_points
    if len(keys) != len(frames):
        keys.clear()
        keys.add(len(frames))
    keys.foreach_set("co", points.ravel())
    keys.foreach_set("interpolation", modes)
    curve.update()
    written[path] = _checksum(points, modes)


def find_curve(curves: Any, path: str) -> Any:
    """The F-curve of a planned path, or None."""
    place, index = _place(path)
    return curves.find(place, index=index)


def _place(path: str) -> tuple[str, int]:
    """A planned path -> Blender's data path and array index (`...rotation_euler[0]`)."""
    found = re.fullmatch(r"(.*)\[(\d)\]", path)
    return (found[1], int(found[2])) if found else (path, 0)


def drop_others(curves: Any, plan: KeyPlan, written: dict[str, int]) -> None:
    """Remove the curves that we wrote earlier and that `plan` lacks."""
    wanted = {path for path, _, _ in plan.curves}
    for path in [path for path in written if path not in wanted]:
        curve = find_curve(curves, path)
        if curve is not None:
            curves.remove(curve)
        del written[path]


def is_edited(curves: Any, written: Mapping[str, int]) -> bool:
    """Whether somebody else changed the curves since we wrote them."""
    there = {}
    for curve in curves:
        try:
            path = curve.data_path
        except UnicodeDecodeError:  # none that we wrote
            return True
        there[path if path in written else f"{path}[{curve.array_index}]"] = curve
    if there.keys() != written.keys():
        return True
    return any(checksum_of(there[path]) != known for path, known in written.items())


def checksum_of(curve: Any) -> int:
    """A number that changes whenever the place or kind of a key on `curve` does."""
    count = len(curve.keyframe_points)
    points, modes = np.empty((count, 2), np.float32), np.empty(count, np.int32)
    curve.keyframe_points.foreach_get("co", points.ravel())
    curve.keyframe_points.foreach_get("interpolation", modes)
    return _checksum(points, modes)


def _checksum(points: FloatArray, modes: npt.NDArray[np.int32]) -> int:
    return zlib.crc32(modes.tobytes(), zlib.crc32(points.tobytes()))


def _mode_number(interpolation: str) -> int:
    # Resolved by name, because the number behind an enum is Blender's business.
    modes = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items
    return int(modes[interpolation].value)
