# SPDX-License-Identifier: GPL-3.0-or-later
"""Retimed face weights and a matching in, one Action with an F-curve per shape key out.

Two steps: `plan_keys` is pure and can be tested and shown before anything changes; `write_action`
executes the plan with bulk writes. This is the core's only module that knows Blender, and it
imports bpy only when called, so that planning works anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.matching.match import Matching

_SLOTTED_ACTIONS: Final = (4, 4, 0)  # since this version an Action holds slots, layers and strips
PACKED: Final = "exomni_clip"  # the custom property of an Action that holds its clip's bytes
BESIDE: Final = "exomni"  # or the folder beside the .blend that holds the clips
MAX_SLIDER: Final = 10.0  # Blender's own limit for a shape key's slider_max
# As Blender's own string escaping (BLI_str_escape) does it.
_ESCAPES: Final = str.maketrans({
    "\\": "\\\\", '"': '\\"', "\a": "\\a", "\b": "\\b",
    "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t",
})  # fmt: skip


@dataclass(frozen=True, eq=False)
class KeyPlan:
    """What to write: (data path, frames (N,) float32, values (N,) float32) for each F-curve.

    A data path is relative to the mesh's shape keys; frames ascend and need not be whole.
    """

    curves: tuple[tuple[str, FloatArray, FloatArray], ...]


def plan_keys(
    weights: npt.NDArray[np.floating[Any]],
    channels: Sequence[str],
    matching: Matching,
    first_frame: float = 1.0,
    *,
    frames_per_row: float = 1.0,
) -> KeyPlan:
    """Plan one key per row of `weights` (T, len(channels)), row 0 at `first_frame`."""
    table = np.asarray(weights, np.float32)
    if table.ndim != 2 or table.shape[1] != len(channels) or len(table) == 0:
        raise InputError(
            f"weights of shape {table.shape} can't be keyed for {len(channels)} channels"
        )
    # Counted in float64: single precision would drift on long clips at fractional steps.
    frames = (first_frame + frames_per_row * np.arange(len(table))).astype(np.float32)
    column = {name: i for i, name in enumerate(channels)}
    return KeyPlan(
        tuple(
            (data_path(key), frames, np.ascontiguousarray(table[:, column[channel]]))
            for channel, key in matching.key_of.items()
            if channel in column
        )
    )


def data_path(key_name: str) -> str:
    """The path from a mesh's shape keys to one key's value, for any name a user may give it."""
    return f'key_blocks["{key_name.translate(_ESCAPES)}"].value'


def write_action(shape_keys: Any, plan: KeyPlan, name: str) -> Any:
    """Write `plan` into a new Action called `name`, make it active on `shape_keys` and return it.

    `shape_keys` is the bpy Key datablock (`mesh.shape_keys`). An Action that was there before stays
    in the file but is no longer assigned. Raises InputError when a planned key is not on the mesh.
    """
    import bpy

    _make_room(shape_keys, plan)
    action = bpy.data.actions.new(name)
    curves = _assign(shape_keys, action)
    # Resolved by name, because the number behind an enum is Blender's business.
    modes = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items
    linear = modes["LINEAR"].value
    for path, frames, values in plan.curves:
        curve = curves.new(path)
        curve.keyframe_points.add(len(frames))
        points = np.stack([frames, values], axis=1, dtype=np.float32)
        curve.keyframe_points.foreach_set("co", points.ravel())
        modes_of_keys = np.full(len(frames), linear, np.int32)
        curve.keyframe_points.foreach_set("interpolation", modes_of_keys)
        curve.update()
    return action


def has_slots() -> bool:
    """Whether Actions of this Blender hold slots, layers and strips (4.4 and later)."""
    import bpy

    return bool(bpy.app.version >= _SLOTTED_ACTIONS)


def action_curves(action: Any, shape_keys: Any) -> Any:
    """The F-curves that `action` holds for `shape_keys`, in every Blender version we support."""
    if not has_slots():
        return action.fcurves
    slot = shape_keys.animation_data.action_slot
    return action.layers[0].strips[0].channelbag(slot, ensure=True).fcurves


def _assign(shape_keys: Any, action: Any) -> Any:
    """Make `action` active on `shape_keys` and return its (empty) collection of F-curves."""
    animation = shape_keys.animation_data or shape_keys.animation_data_create()
    animation.action = action
    if has_slots():
        action.layers.new("Layer").strips.new(type="KEYFRAME")
        animation.action_slot = action.slots.new(id_type=shape_keys.id_type, name=shape_keys.name)
    return action_curves(action, shape_keys)


def _make_room(shape_keys: Any, plan: KeyPlan) -> None:
    """Widen the sliders of keys whose planned values would otherwise be cut off when shown."""
    for path, _, values in plan.curves:
        try:
            key = shape_keys.path_resolve(path.removesuffix(".value"))
        except ValueError as error:
            raise InputError(
                f"the mesh has no shape key at {path}; match its names again", field="target"
            ) from error
        key.slider_max = min(MAX_SLIDER, max(key.slider_max, float(values.max())))
        key.slider_min = max(-MAX_SLIDER, min(key.slider_min, float(values.min())))
