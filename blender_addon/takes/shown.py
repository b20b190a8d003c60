# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in, takes out: each generation is Actions of its own that can be shown, compared, deleted.

Nothing is written into an Action that isn't ours. The user's own Action is put away on an NLA track
while a take is shown (`foreign.py`). Keys that the user set by hand in one of our Actions make that
Action the user's: it is kept, under a name of its own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError
from exomni_core.keyframes import KeyPlan
from exomni_core.retime import resample_weights

from .. import character, compat
from ..quiet import quietly
from . import bones, clips, curves, foreign, lines, sequencer
from .curves import Shaping
from .foreign import MARK

_TEXT_SHOWN: Final = 30
_SHAPING: Final = tuple(Shaping.__dataclass_fields__)


def scene_fps(scene: Any) -> float:
    """Frames per second that the scene really plays."""
    return float(scene.render.fps / scene.render.fps_base)


def find_take(item: Any, take_id: str) -> Any:
    """The take with this id, or None."""
    return next((take for take in item.exomni.takes if take.id == take_id), None)


def shown_take(item: Any) -> Any:
    """The take that is on the face, or None."""
    return find_take(item, item.exomni.shown) if item.exomni.shown else None


def shaping_of(take: Any) -> Shaping:
    """The take's adjustments as plain values."""
    return Shaping(**{name: getattr(take, name) for name in _SHAPING})


def new_take(item: Any, start_frame: int, text: str = "", take_id: str = "") -> Any:
    """Add an empty take to the character; nothing on the face changes yet."""
    take = item.exomni.takes.add()
    take.id = take_id or uuid.uuid4().hex[:12]
    with_numbers = [t.name.split(":")[0].removeprefix("Take ") for t in item.exomni.takes]
    number = 1 + max((int(n) for n in with_numbers if n.isdigit()), default=0)
    take.name = f"Take {number}"
    with quietly():
        take.start_frame = start_frame
    describe(take, text)
    return take


def describe(take: Any, text: str) -> None:
    """Let the take's name tell what is said."""
    take.text = text
    short = " ".join(text.split())
    if short:
        cut = short if len(short) <= _TEXT_SHOWN else short[: _TEXT_SHOWN - 1] + "…"
        take.name = f"{take.name.split(':')[0]}: {cut}"


def write_steps(
    item: Any, take: Any, weights: npt.NDArray[np.float32], fps: float, scene: Any
) -> Iterator[None]:
    """Write a face (T, 52) at `fps` into the take's Actions, adjusted; one curve at each step.

    Between two steps the user may delete anything, so that nothing of Blender's is held across
    them: InputError if the take is gone. After undo it must not be resumed (see `epoch`).
    """
    item_name, take_id, shaping = item.name, take.id, shaping_of(take)
    start, rate = take.start_frame, scene_fps(scene)
    shaped = curves.shape_face(weights, fps, shaping)
    yield
    rows = resample_weights(shaped, fps, rate)
    yield
    plans = curves.plan_keys(rows, character.matching_of(_found(item_name)), shaping, start)
    yield
    for target in character.live_targets(_found(item_name)):
        plans.setdefault(target.object.name, KeyPlan(()))
    rig = bones.rig_of(_found(item_name))
    if rig is not None:
        plans[rig.name] = bones.plan(_found(item_name), rows, shaping, start)
        yield
    for mesh, plan in plans.items():
        entry = _own_entry(item_name, take_id, mesh)
        written = _written(entry)
        for curve in plan.curves:
            entry = _entry(item_name, take_id, mesh)
            curves.write_curve(compat.own_curves(entry.action), curve, shaping, written)
            entry.written = json.dumps(written)
            yield
        entry = _entry(item_name, take_id, mesh)
        curves.drop_others(compat.own_curves(entry.action), plan, written)
        entry.written = json.dumps(written)


def _found(item_name: str) -> Any:
    item = bpy.data.objects.get(item_name)
    if item is None:
        raise InputError(f"the character {item_name} was deleted; the clip is lost")
    return item


def _entry(item_name: str, take_id: str, mesh: str) -> Any:
    """What a take holds for a mesh; InputError if somebody deleted it."""
    take = find_take(_found(item_name), take_id)
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
        _place_lines(take)


def _written(entry: Any) -> dict[str, int]:
    return dict(json.loads(entry.written or "{}"))


def _own_entry(item_name: str, take_id: str, mesh: str) -> Any:
    """The take's Action for a mesh: the one there is, unless the user changed it by hand."""
    item, target = _found(item_name), bpy.data.objects.get(mesh)
    take = find_take(item, take_id)
    if take is None or target is None or _moved(target) is None:
        raise InputError(f"what was being written for {mesh} was deleted; make the take again")
    entry = next((e for e in take.actions if e.object == target), None)
    if entry is None:
        entry = take.actions.add()
        entry.object = target
    action = entry.action
    shared = action is not None and _is_shared(action, item)
    if action is not None and not shared and not _is_touched(entry):
        return entry
    owner = _moved(target)
    fresh = compat.new_action(f"{target.name} {take.name.split(':')[0]}", owner)
    fresh[MARK] = take.id
    entry.action, entry.written = fresh, ""
    if action is not None:
        if clips.PACKED in action:
            fresh[clips.PACKED] = action[clips.PACKED]
        if not shared:
            _release(action)
        _exchange(owner, action, fresh)
    return entry


def _moved(target: Any) -> Any:
    """The datablock whose animation moves an object of a character: its shape keys, or the rig."""
    return target if target.type == "ARMATURE" else target.data.shape_keys


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


def _is_shared(action: Any, item: Any) -> bool:
    """Whether another character, such as a copy of this one, has the same Action in a take."""
    return any(
        entry.action == action
        for other in bpy.data.objects
        if other != item
        for take in other.exomni.takes
        for entry in take.actions
    )


def _is_touched(entry: Any) -> bool:
    return curves.is_edited(compat.own_curves(entry.action), _written(entry))


def _release(action: Any) -> None:
    """Give an Action that holds hand-made keys to the user: it isn't a take's any more."""
    for name in (MARK, clips.PACKED):
        if name in action:
            del action[name]
    action.name = f"{action.name} (edited)"


def is_edited(take: Any) -> bool:
    """Whether somebody changed keys of this take by hand."""
    return any(e.action is not None and _is_touched(e) for e in take.actions)


def owned_actions() -> set[Any]:
    """All Actions in this .blend that belong to takes."""
    return {
        entry.action
        for item in bpy.data.objects
        for take in item.exomni.takes
        for entry in take.actions
        if entry.action is not None
    }


def check_ready(item: Any) -> list[Any]:
    """The character's targets, or InputError if a take can't be shown on it right now, and why."""
    targets = character.live_targets(item)
    if not targets:
        raise InputError("the character's meshes are gone; choose them again")
    for target in targets:
        character.check_editable(target.object)
        foreign.check(target.object.data.shape_keys)
    if bones.rig_of(item) is not None:
        bones.check_editable(bones.rig_of(item))
    else:
        character.check_moves(item)
    return targets


def show(item: Any, take: Any, scene: Any) -> None:
    """Put a take on the face; what was there before is put away or just no longer assigned."""
    targets = check_ready(item)
    if take.kept:
        _remove_lines(take)
    rig = bones.rig_of(item)
    if rig is not None:
        bones.remember_rest(item, rig)
    whole = {e.object for e in take.actions if e.action is not None}
    wanted = [*(target.object for target in targets), *([rig] if rig else [])]
    if any(moved not in whole for moved in wanted):
        rewrite(item, take, scene)
    ours, matching = owned_actions(), character.matching_of(item)
    for target in targets:
        keys = target.object.data.shape_keys
        entry = next(e for e in take.actions if e.object == target.object)
        foreign.remember_rest(target, keys, curves.key_limits(matching, target.object.name))
        if keys.animation_data and keys.animation_data.action not in (None, *ours):
            foreign.put_away(target, keys)
        compat.assign(keys, entry.action)
        foreign.as_replacing(keys.animation_data, among_lines=lines.have_lines(keys))
    if rig is not None:
        bones.show(item, next(e.action for e in take.actions if e.object == rig), ours)
    state = item.exomni
    if state.shown != take.id:
        state.shown_before, state.shown = state.shown, take.id
    state.take_index = next(i for i, t in enumerate(state.takes) if t.id == take.id)
    _let_sound(item, scene)


def show_none(item: Any, scene: Any) -> None:
    """Take the take off the face; without lines the user's own animation and values are back."""
    ours = owned_actions()
    for target in character.live_targets(item):
        keys = target.object.data.shape_keys
        if keys.animation_data and keys.animation_data.action in ours:
            keys.animation_data.action = None
    bones.unassign(item, ours)
    state = item.exomni
    if state.shown:
        state.shown_before, state.shown = state.shown, ""
    _give_back(item)
    _let_sound(item, scene)


def keep_as_line(item: Any, take: Any, scene: Any) -> None:
    """Put a take on the NLA's track of lines, where it stays while other takes are shown."""
    if item.exomni.shown != take.id:
        show(item, take, scene)
    bones.unassign(item, owned_actions())
    take.kept = True
    _place_lines(take)
    item.exomni.shown, item.exomni.shown_before = "", take.id
    _let_sound(item, scene)


def _place_lines(take: Any) -> None:
    for entry in take.actions:
        if entry.action is not None and entry.object is not None:
            lines.remove(_moved(entry.object), entry.action)
            lines.place(_moved(entry.object), entry.action, take.name)


def _remove_lines(take: Any) -> None:
    for entry in take.actions:
        if entry.action is not None and entry.object is not None:
            lines.remove(_moved(entry.object), entry.action)
    take.kept = False


def _give_back(item: Any) -> None:
    """The user's own animation, values and poses, once no take is shown or kept."""
    if item.exomni.shown or any(take.kept for take in item.exomni.takes):
        return
    for target in character.live_targets(item):
        keys = target.object.data.shape_keys
        foreign.bring_back(target, keys)
        foreign.restore_values(target, keys)
    bones.give_back(item)


def _let_sound(item: Any, scene: Any) -> None:
    """Only what is shown or kept is heard."""
    state = item.exomni
    audible = {state.shown, *(take.id for take in state.takes if take.kept)}
    sequencer.sound_only(scene, [take.id for take in state.takes], audible)


def delete(item: Any, take: Any, scene: Any) -> list[str]:
    """Delete a take with its Actions and its strip; the take before it is shown, if there is one.

    Actions with hand-made keys are not deleted; their names are returned. Clip files beside the
    .blend stay, so that undo can bring the take back.
    """
    state = item.exomni
    index = next(i for i, t in enumerate(state.takes) if t.id == take.id)
    was_shown, take_id, sound = state.shown == take.id, take.id, take.sound
    if take.kept:
        _remove_lines(take)
        _give_back(item)
    if was_shown:
        show_none(item, scene)
    kept = []
    for entry in take.actions:
        if entry.action is None:
            continue
        if _is_shared(entry.action, item):
            continue
        if _is_touched(entry):
            _release(entry.action)
            kept.append(entry.action.name)
        else:
            bpy.data.actions.remove(entry.action)
    sequencer.remove(take_id)
    state.takes.remove(index)
    if sound is not None and sound.users == 0:
        bpy.data.sounds.remove(sound)
    if state.shown_before == take_id:
        state.shown_before = ""
    state.take_index = max(0, min(index, len(state.takes) - 1))
    if was_shown and state.takes:
        show(item, state.takes[max(0, index - 1)], scene)
    return kept


def finish(item: Any, take: Any, clip: clips.StoredClip, folder: Any, scene: Any) -> str:
    """Store the clip of a take whose keys are written, show it and place its sound.

    Returns a sentence where the sound can't be placed, else ''.
    """
    facts = clip.facts
    describe(take, str(facts.get("text") or take.text))
    take.engine, take.route = str(facts.get("engine", "")), str(facts.get("route", ""))
    take.seed = str(facts.get("seed", ""))
    take.duration_s = clip.face.duration_s
    sound_file = clips.keep(take, clip, folder)
    show(item, take, scene)
    if not scene.exomni.add_strip:
        return ""
    return sequencer.add(scene, take, sound_file, pack=folder is None)
