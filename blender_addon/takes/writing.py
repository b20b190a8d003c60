# SPDX-License-Identifier: GPL-3.0-or-later
"""A take and a face in, keys in Actions of its own out, one curve at a time.

Nothing is written into an Action that isn't ours. Keys that the user set by hand in one of our
Actions make that Action the user's: it is kept, under a name of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError
from exomni_core.keyframes import PACKED, KeyPlan
from exomni_core.retime import resample_weights

from .. import character, compat, stored
from . import bones, clips, curves, lines, records, sequencer


def write_steps(
    item: Any, take: Any, weights: npt.NDArray[np.float32], fps: float, scene: Any
) -> Iterator[None]:
    """Write a face (T, 52) at `fps` into the take's Actions, adjusted; one curve at each step.

    Between two steps the user may delete anything, so that nothing of Blender's is held across
    them: InputError if the take is gone. After undo it must not be resumed (see `epoch`).
    """
    item_name, take_id, shaping = item.name, take.id, records.shaping_of(take)
    start, rate = stored.start_frame(take), sequencer.scene_fps(scene)
    shaped = curves.shape_face(weights, fps, shaping)
    yield
    rows = resample_weights(shaped, fps, rate)
    yield
    plans = curves.plan_keys(
        rows, character.matching_of(living_character(item_name)), shaping, start
    )
    yield
    for target in character.live_targets(living_character(item_name)):
        plans.setdefault(target.object.name, KeyPlan(()))
    rig = bones.rig_of(living_character(item_name))
    if rig is not None:
        plans[rig.name] = bones.plan(living_character(item_name), rows, shaping, start)
        yield
    for mesh, plan in plans.items():
        entry = _own_entry(item_name, take_id, mesh)
        written = stored.written_keys(entry)
        for curve in plan.curves:
            entry = _entry(item_name, take_id, mesh)
            curves.write_curve(compat.own_curves(entry.action), curve, shaping, written)
            entry.written = json.dumps(written)
            yield
        entry = _entry(item_name, take_id, mesh)
        curves.drop_others(compat.own_curves(entry.action), plan, written)
        entry.written = json.dumps(written)


def living_character(item_name: str) -> Any:
    """The character's object by name; InputError if it was deleted while its clip was made."""
    item = bpy.data.objects.get(item_name)
    if item is None:
        raise InputError(f"the character {item_name} was deleted; the clip is lost")
    return item


def _entry(item_name: str, take_id: str, mesh: str) -> Any:
    """What a take holds for a mesh; InputError if somebody deleted it."""
    take = records.find_take(living_character(item_name), take_id)
    entries = take.actions if take is not None else ()
    for entry in entries:
        if entry.object is not None and entry.object.name == mesh and entry.action is not None:
            return entry
    raise InputError(f"what was being written for {mesh} was deleted; make the take again")


def write(item: Any, take: Any, weights: npt.NDArray[np.float32], fps: float, scene: Any) -> None:
    """`write_steps`, all at once."""
    for _ in write_steps(item, take, weights, fps, scene):
        pass


def rewrite(item: Any, take: Any, scene: Any) -> None:
    """Write the take's Actions anew from its stored clip, for example after an adjustment."""
    face = clips.face_of(take)
    write(item, take, face.weights, face.fps, scene)
    if take.kept:  # its strips must have the new length and place
        lines.place_take(take)


def _own_entry(item_name: str, take_id: str, mesh: str) -> Any:
    """The take's Action for a mesh: the one there is, unless the user changed it by hand."""
    item, target = living_character(item_name), bpy.data.objects.get(mesh)
    take = records.find_take(item, take_id)
    if take is None or target is None or records.owner_of(target) is None:
        raise InputError(f"what was being written for {mesh} was deleted; make the take again")
    entry = next((e for e in take.actions if e.object == target), None)
    if entry is None:
        entry = take.actions.add()
        entry.object = target
    action = entry.action
    shared = action is not None and records.is_shared(action, item)
    if action is not None and not shared and not is_touched(entry):
        return entry
    owner = records.owner_of(target)
    fresh = compat.new_action(f"{target.name} {take.name.split(':')[0]}", owner)
    fresh[stored.MARK] = take.id
    entry.action, entry.written = fresh, ""
    if action is not None:
        packed = stored.packed_clip(action)
        if packed is not None:
            fresh[PACKED] = packed
        if not shared:
            release(action)
        _exchange(owner, action, fresh)
    return entry


def _exchange(owner: Any, old: Any, fresh: Any) -> None:
    """Let `owner` play another Action where it plays `old`."""
    animation = owner.animation_data
    if animation is None:
        return
    if animation.action == old:
        compat.assign(owner, fresh)
    for track in animation.nla_tracks:
        for strip in track.strips:
            if strip.action == old and track.name.startswith((bones.TRACK_NAME, lines.TRACK_NAME)):
                strip.action = fresh


def is_touched(entry: Any) -> bool:
    """Whether somebody changed keys of this Action of a take by hand."""
    if not compat.has_curves_of_one(entry.action):
        return True
    return curves.is_edited(compat.own_curves(entry.action), stored.written_keys(entry))


def release(action: Any) -> None:
    """Give an Action that holds hand-made keys to the user: it isn't a take's any more."""
    for name in (stored.MARK, PACKED):
        if name in action:
            del action[name]
    action.name = f"{action.name} (edited)"
