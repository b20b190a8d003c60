# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's own animation of a mesh in; out: put away for a take, afterwards back unchanged.

An Action that isn't ours is moved to an NLA track of its own, where it goes on moving the keys that
the take doesn't; its curves are never written. Still values and slider limits are remembered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.keyframes import MAX_SLIDER

from .. import compat, stored

TRACK_NAME: Final = "Put away by Ex-Omni"


def check(keys: Any) -> None:
    """Raise InputError if the animation of these shape keys (or rig) can't be changed right now."""
    animation = keys.animation_data
    if animation is None:
        return
    if animation.use_tweak_mode:
        raise InputError("an NLA strip is being edited (tweak mode); press Tab in the NLA editor")
    soloed = [track.name for track in animation.nla_tracks if track.is_solo]
    if soloed:
        raise InputError(f"the NLA track {soloed[0]!r} plays solo; switch its star off")


def remember_rest(target: Any, keys: Any, limits: Mapping[str, tuple[float, float]]) -> None:
    """Note value and limits of shape keys before a take moves them; the first note counts.

    limits: shape key -> the range of values that the take may give it.
    """
    rest = dict(stored.rest_values(target))
    for name, (low, high) in limits.items():
        block = keys.key_blocks[name]
        rest.setdefault(name, (block.value, block.slider_min, block.slider_max))
        # A full weight must show, also where the user made the slider shorter.
        block.slider_max = min(MAX_SLIDER, max(block.slider_max, high))
        block.slider_min = max(-MAX_SLIDER, min(block.slider_min, low))
    target.rest = json.dumps(rest)


def put_away(target: Any, keys: Any) -> None:
    """Move the active Action onto an NLA track, so that it is below ours and can come back."""
    animation = keys.animation_data
    action, slot = animation.action, compat.slot_name(animation)
    target.foreign_action, target.foreign_slot = action, slot
    target.foreign_blend = animation.action_blend_type
    target.foreign_influence = animation.action_influence
    target.foreign_extrapolation = animation.action_extrapolation
    animation.action = None
    strip = compat.push_down(animation, action, slot, TRACK_NAME)
    strip.blend_type = target.foreign_blend
    strip.extrapolation = target.foreign_extrapolation
    if target.foreign_influence != 1.0:
        strip.use_animated_influence = True
        strip.influence = target.foreign_influence


def as_replacing(animation: Any, *, among_lines: bool = False) -> None:
    """Let the active Action replace what lies below it; among other lines only for its own time."""
    animation.action_blend_type = "REPLACE"
    animation.action_influence = 1.0
    animation.action_extrapolation = "NOTHING" if among_lines else "HOLD"


def bring_back(target: Any, keys: Any) -> None:
    """Undo `put_away`; does nothing where nothing was put away."""
    animation, action = keys.animation_data, target.foreign_action
    if animation is not None and action is not None:
        track = next((t for t in animation.nla_tracks if _holds(t, action)), None)
        if track is not None:
            animation.nla_tracks.remove(track)
        if animation.action is None:  # else the user has chosen another one meanwhile
            compat.assign(keys, action, target.foreign_slot)
            _set_choice(animation, "action_blend_type", target.foreign_blend)
            influence = stored.number(target.foreign_influence, 0.0, 1.0, 1.0)
            animation.action_influence = influence
            _set_choice(animation, "action_extrapolation", target.foreign_extrapolation)
    target.foreign_action = None


def _set_choice(animation: Any, name: str, value: str) -> None:
    """Set one of Blender's own choices; what is none of them changes nothing."""
    choices = animation.bl_rna.properties[name].enum_items.keys()
    setattr(animation, name, stored.choice(value, choices, getattr(animation, name)))


def restore_values(target: Any, keys: Any) -> None:
    """Undo `remember_rest`."""
    for name, (value, low, high) in stored.rest_values(target).items():
        block = keys.key_blocks.get(name)
        if block is not None:
            block.value = value
            block.slider_min, block.slider_max = low, high
    target.rest = ""


def _holds(track: Any, action: Any) -> bool:
    return track.name.startswith(TRACK_NAME) and any(s.action == action for s in track.strips)
