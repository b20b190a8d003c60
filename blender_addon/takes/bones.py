# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones that turn with the face (jaw, eyes): a rig and weights in, curves of its pose out.

The user's Action of the rig stays the active one and moves everything else: a take lies on an NLA
track of its own. Only where that Action moves the same bones is it put away as those of meshes are.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

import mathutils
import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.keyframes import KeyPlan
from exomni_core.matching.bone_frames import RestFrame, guess_laid_bones
from exomni_core.matching.bones import AXES, BoneTarget, bone_curves

from .. import character, compat, stored
from . import curves, foreign, lines
from .curves import Shaping

TRACK_NAME: Final = "Ex-Omni take"
_EULER: Final = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")


def rig_of(item: Any) -> Any:
    """The character's rig, or None if it has none or no bone of it turns."""
    rig = item.exomni.rig
    return rig if rig is not None and rig.type == "ARMATURE" and targets_of(item) else None


def targets_of(item: Any) -> tuple[BoneTarget, ...]:
    """What turns with the face."""
    return character.overrides_of(item).bones


def use_rig(item: Any, rig: Any) -> int:
    """Let the jaw and the eyes of `rig` turn, as far as shape keys don't show them; how many do."""
    check_editable(rig)
    found = guess_laid_bones(_rest_frames(rig), character.matching_of(item).missing)
    item.exomni.rig = rig
    store(item, found)
    return len(found)


def _rest_frames(rig: Any) -> dict[str, RestFrame]:
    """How the bones of a rig lie in the world at rest."""
    place = rig.matrix_world
    turn = place.to_quaternion()  # without scale: FBX files bring 0.01
    frames = {}
    for bone in rig.data.bones:
        x, y, z = (tuple(turn @ bone.matrix_local.col[i].xyz.normalized()) for i in range(3))
        frames[bone.name] = RestFrame(x, y, z, tuple(place @ bone.head_local))
    return frames


def store(item: Any, targets: tuple[BoneTarget, ...]) -> None:
    """Remember which bones turn."""
    character.store_overrides(item, replace(character.overrides_of(item), bones=targets))


def turn(item: Any, target: BoneTarget) -> None:
    """Add a bone, or change how it turns about that axis; 0 degrees takes it out."""
    rig = item.exomni.rig
    if rig is None or target.bone not in rig.pose.bones:
        raise InputError(f"the rig has no bone {target.bone!r}; choose the rig first")
    others = [t for t in targets_of(item) if (t.bone, t.axis) != (target.bone, target.axis)]
    store(item, (*others, target) if target.degrees else tuple(others))


def check_editable(rig: Any) -> None:
    """Raise InputError if this rig can't be animated, and why."""
    if rig is None or rig.type != "ARMATURE":
        raise InputError("choose an armature")
    if rig.library is not None:
        raise InputError(f"{rig.name} is linked from a library; make a library override of it")
    foreign.check(rig)


def plan(item: Any, rows: FloatArray, shaping: Shaping, start: float) -> KeyPlan:
    """Keys for the rig's bones, from weights (T, 52) with one row per scene frame."""
    rig = rig_of(item)
    if rig is None:
        return KeyPlan(())
    planned = []
    rest = stored.rest_poses(item)
    there = [target for target in targets_of(item) if target.bone in rig.pose.bones]
    for name, angles in bone_curves(there, rows, ARKIT_52).items():
        bone = rig.pose.bones[name]
        still = None if _is_animated(item, bone) else rest.get(name, _pose(bone))[1]
        tilted = any(target.about for target in there if target.bone == name)
        path, values = _channels(bone, angles, still, tilted)
        step = curves.choose_frames
        for index in range(values.shape[1]):
            column = np.ascontiguousarray(values[:, index])
            # A quaternion's four curves need the same keys.
            chosen = step(column, shaping if bone.rotation_mode in _EULER else _whole(shaping))
            at = (start + chosen).astype(np.float32)
            planned.append((f"{bone.path_from_id()}.{path}[{index}]", at, column[chosen]))
    return KeyPlan(tuple(planned))


def _whole(shaping: Shaping) -> Shaping:
    return replace(shaping, keying="every") if shaping.keying == "reduced" else shaping


def _is_animated(item: Any, bone: Any) -> bool:
    """Whether the user's own Action turns this bone, so that it has no one pose to start from."""
    animation = bone.id_data.animation_data
    found = [item.exomni.foreign_action, animation.action if animation else None]
    start = f"{bone.path_from_id()}.rotation"
    return any(
        curve.data_path.startswith(start)
        for action in found
        if action is not None and stored.MARK not in action
        for curve in compat.all_curves(action)
    )


def _channels(bone: Any, angles: Any, rest: Any, tilted: bool) -> tuple[str, FloatArray]:
    """Name and values (T, 3 or 4) of the property that turns a bone; rest: where it starts from.

    tilted: the bone turns about a direction between its axes, so the angles make a rotation vector.
    """
    count = len(next(iter(angles.values())))
    still = np.zeros(count, np.float32)
    by_axis = np.stack([angles.get(axis, still) for axis in AXES], axis=1)  # (T, 3)
    if bone.rotation_mode in _EULER and tilted:
        return "rotation_euler", _tilted_eulers(bone.rotation_mode, by_axis, rest)
    if bone.rotation_mode in _EULER:
        base = np.array(rest or (0.0, 0.0, 0.0), np.float32)
        return "rotation_euler", by_axis + base
    if bone.rotation_mode != "QUATERNION":
        raise InputError(f"bone {bone.name} turns by axis and angle; make it quaternion or Euler")
    base = mathutils.Quaternion(rest or (1.0, 0.0, 0.0, 0.0))
    if tilted:
        turned = [base @ _turn(row) for row in by_axis.tolist()]
    else:
        turned = [base @ mathutils.Euler(row).to_quaternion() for row in by_axis.tolist()]
    return "rotation_quaternion", np.array([tuple(q) for q in turned], np.float32)


def _turn(rotation: Any) -> Any:
    """A rotation vector in radians as a quaternion."""
    vector = mathutils.Vector(rotation)
    return mathutils.Quaternion(vector, vector.length) if vector.length else mathutils.Quaternion()


def _tilted_eulers(order: str, rotations: FloatArray, rest: Any) -> FloatArray:
    """Rotation vectors (T, 3) on top of the rest pose as Euler angles (T, 3) without jumps."""
    last = mathutils.Euler(rest or (0.0, 0.0, 0.0), order)
    base = last.to_quaternion()
    rows = []
    for rotation in rotations.tolist():
        last = (base @ _turn(rotation)).to_euler(order, last)
        rows.append(tuple(last))
    return np.array(rows, np.float32)


def remember_rest(item: Any, rig: Any) -> None:
    """Note how the bones stand before a take turns them; the first note counts."""
    rest = stored.rest_poses(item)
    for target in targets_of(item):
        bone = rig.pose.bones.get(target.bone)
        if bone is not None and target.bone not in rest:
            rest[target.bone] = _pose(bone)
    item.exomni.rig_rest = json.dumps(rest)


def _pose(bone: Any) -> tuple[str, tuple[float, ...]]:
    """The property that turns a bone, and its values now."""
    path = "rotation_euler" if bone.rotation_mode in _EULER else "rotation_quaternion"
    return path, tuple(getattr(bone, path))


def show(item: Any, action: Any, ours: set[Any]) -> None:
    """Let the rig play a take's Action."""
    rig = rig_of(item)
    animation = rig.animation_data or rig.animation_data_create()
    _remove_tracks(animation, ours)
    active = animation.action
    if active is not None and active not in ours:
        paths = {curve.data_path for curve in compat.own_curves(action)}
        if paths & {curve.data_path for curve in compat.all_curves(active)}:
            foreign.put_away(item.exomni, rig)
            compat.assign(rig, action)
            foreign.as_replacing(animation, among_lines=lines.have_lines(rig))
            return
        compat.push_down(animation, action, compat.first_slot(action), TRACK_NAME)
        return
    compat.assign(rig, action)
    foreign.as_replacing(animation, among_lines=lines.have_lines(rig))


def unassign(item: Any, ours: set[Any]) -> None:
    """Let the rig play no shown take; its lines go on."""
    animation = item.exomni.rig.animation_data if item.exomni.rig is not None else None
    if animation is not None:
        _remove_tracks(animation, ours)
        if animation.action in ours:
            animation.action = None


def give_back(item: Any) -> None:
    """Give the rig back to the user, as it was."""
    rig = item.exomni.rig
    if rig is None:
        return
    foreign.bring_back(item.exomni, rig)
    for name, (path, values) in stored.rest_poses(item).items():
        bone = rig.pose.bones.get(name)
        if bone is not None:
            setattr(bone, path, values)
    item.exomni.rig_rest = ""


def _remove_tracks(animation: Any, ours: set[Any]) -> None:
    for track in list(animation.nla_tracks):
        if track.name.startswith(TRACK_NAME) and any(s.action in ours for s in track.strips):
            animation.nla_tracks.remove(track)


def describe(target: BoneTarget) -> str:
    """Such as `jaw: X, 20°`; `~X` where the bone turns about a direction near its X."""
    near = "~" if target.about else ""
    return f"{target.bone}: {near}{target.axis}, {target.degrees:g}°"


def armatures(meshes: list[Any]) -> list[Any]:
    """The armatures that these meshes follow."""
    found = []
    for mesh in meshes:
        rigs = [m.object for m in mesh.modifiers if m.type == "ARMATURE" and m.object is not None]
        if mesh.parent is not None and mesh.parent.type == "ARMATURE":
            rigs.append(mesh.parent)
        found += [rig for rig in rigs if rig not in found]
    return found
