# SPDX-License-Identifier: GPL-3.0-or-later
"""A take in, that take on the face out: shown, taken off, kept as a line, or deleted.

The user's own Action is put away on an NLA track while a take is shown (see foreign.py).
"""

from __future__ import annotations

from typing import Any

import bpy

from exomni_core.errors import InputError

from .. import character, compat
from . import bones, curves, foreign, lines, records, sequencer, writing


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
        lines.remove_take(take)
    rig = bones.rig_of(item)
    if rig is not None:
        bones.remember_rest(item, rig)
    whole = {e.object for e in take.actions if e.action is not None}
    wanted = [*(target.object for target in targets), *([rig] if rig else [])]
    if any(moved not in whole for moved in wanted):
        writing.rewrite(item, take, scene)
    ours, matching = records.owned_actions(), character.matching_of(item)
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
    ours = records.owned_actions()
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
    bones.unassign(item, records.owned_actions())
    take.kept = True
    lines.place_take(take)
    item.exomni.shown, item.exomni.shown_before = "", take.id
    _let_sound(item, scene)


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
        lines.remove_take(take)
        _give_back(item)
    if was_shown:
        show_none(item, scene)
    kept = []
    for entry in take.actions:
        if entry.action is None:
            continue
        if records.is_shared(entry.action, item):
            continue
        if writing.is_touched(entry):
            writing.release(entry.action)
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
