# SPDX-License-Identifier: GPL-3.0-or-later
"""A wish in, its effect out, in the way that this version of Blender (4.2 to 5.2) wants.

The only file of the add-on that may ask for Blender's version. Facts: Actions got slots, layers
and strips in 4.4 and lost `Action.fcurves` in 5.0; the sequencer's `sequences`
became `strips`.
"""

from __future__ import annotations

from typing import Any, Final

import bpy

from exomni_core.keyframes import has_slots

VERSION: Final[tuple[int, int, int]] = tuple(bpy.app.version)
SLOTTED: Final = has_slots()


def new_action(name: str, owner: Any) -> Any:
    """A new Action, with a slot for the datablock `owner`; not assigned to it yet."""
    action = bpy.data.actions.new(name)
    action.use_fake_user = True  # a take that is not shown is still kept in the file
    if SLOTTED:
        action.slots.new(id_type=owner.id_type, name=owner.name)
        action.layers.new("Layer").strips.new(type="KEYFRAME")
    return action


def has_curves_of_one(action: Any) -> bool:
    """Whether an Action is built as `new_action` builds one."""
    if not SLOTTED:
        return True
    return bool(action.slots and action.layers and action.layers[0].strips)


def own_curves(action: Any) -> Any:
    """The collection of F-curves of an Action that `new_action` made."""
    if not SLOTTED:
        return action.fcurves
    slot = action.slots[0]
    return action.layers[0].strips[0].channelbag(slot, ensure=True).fcurves


def first_slot(action: Any) -> str:
    """What identifies the first slot of an Action; '' where there are none."""
    return str(action.slots[0].identifier) if SLOTTED and action.slots else ""


def all_curves(action: Any) -> list[Any]:
    """Every F-curve of any Action, whatever slots and layers it has."""
    if not SLOTTED:
        return list(action.fcurves)
    return [
        curve
        for layer in action.layers
        for strip in layer.strips
        for slot in action.slots
        for bag in [strip.channelbag(slot)]
        if bag is not None
        for curve in bag.fcurves
    ]


def slot_name(animation: Any) -> str:
    """What identifies the slot that `animation` uses of its Action; '' where there are none."""
    slot = animation.action_slot if SLOTTED else None
    return slot.identifier if slot is not None else ""


def assign(owner: Any, action: Any, slot: str = "") -> None:
    """Make `action` the active one of `owner`, by the slot called `slot`, else its first."""
    animation = owner.animation_data or owner.animation_data_create()
    animation.action = action
    if SLOTTED and action.slots:
        found = action.slots.get(slot) if slot else action.slots[0]
        animation.action_slot = found


def push_down(animation: Any, action: Any, slot: str, name: str) -> Any:
    """Put `action` on a new NLA track at its own frames and return the strip."""
    track = animation.nla_tracks.new()
    track.name = name
    strip = add_strip(track, action, slot)
    assert strip is not None  # the track is empty
    return strip


def add_strip(track: Any, action: Any, slot: str) -> Any:
    """Put `action` on a track at its own frames; None if another strip is in the way."""
    start, end = action.frame_range
    if any(s.frame_start < end and s.frame_end > start for s in track.strips):
        return None
    try:
        strip = track.strips.new(action.name, int(start), action)
    except RuntimeError:  # not enough room for it
        return None
    if SLOTTED and slot:
        strip.action_slot = action.slots.get(slot)
    strip.action_frame_start, strip.action_frame_end = start, max(end, start + 1e-3)
    strip.frame_start = start
    strip.extrapolation = "HOLD"
    return strip


def sound_strips(scene: Any) -> Any:
    """The scene's collection of sequencer strips, which is made if need be."""
    editor = scene.sequence_editor or scene.sequence_editor_create()
    return getattr(editor, strips_place(editor))


def strips_place(editor: Any) -> str:
    """The name of the property of a sequence editor that holds its strips."""
    return "strips" if hasattr(editor, "strips") else "sequences"


def existing_strips(scene: Any) -> list[Any]:
    """The sequencer strips of `scene`; makes nothing."""
    return list(sound_strips(scene)) if scene.sequence_editor else []


def strip_last_frame(strip: Any) -> int:
    """The last frame that `strip` covers."""
    return int(strip.frame_final_end) - 1


def principled(material: Any) -> Any:
    """The Principled shader of a new material; from 5.0 materials always have nodes."""
    if VERSION < (5, 0, 0):
        material.use_nodes = True
    return material.node_tree.nodes.get("Principled BSDF")


def one_line(error: BaseException) -> str:
    """Blender's own error as one line of at most 300 characters, without its prefix."""
    return " ".join(str(error).split()).removeprefix("Error: ")[:300]
