# SPDX-License-Identifier: GPL-3.0-or-later
"""Classes in, properties saved in the .blend out: the scene's wishes, each character's takes.

`scene.exomni` holds what to say, `object.exomni` a character with its targets and matching. Takes
belong to the character's object, so that they travel with it; Actions are found by pointer, never
by name.
"""

from __future__ import annotations

from typing import Any, Final

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .declare import PropertyGroup, fields
from .engines import engine_items
from .updates import on_adjust, on_mend, on_start_moved

MODES: Final = (
    ("say", "Say this", "Speak the text that you type"),
    ("lipsync", "Lip-sync a recording", "Animate the face to a recording of speech"),
    ("reply", "Ask and answer", "Ask the character something; it answers (neural engine)"),
)
STYLES: Final = (
    ("quiet", "Quiet", "Small movements"),
    ("neutral", "Neutral", "Movements as in normal speech"),
    ("lively", "Lively", "Large movements"),
)
AUDIO_SOURCES: Final = (
    ("file", "File", "A sound file on disk"),
    ("strip", "Sequencer strip", "A sound strip that is already in the sequencer"),
    ("microphone", "Microphone", "The microphone of the machine on which the engine runs"),
)
KEYING: Final = (
    ("every", "Every frame", "One key on each frame"),
    ("reduced", "Reduced", "As few keys as the largest error allows"),
    ("stepped", "Stepped", "Poses held for some frames, for 2D styles"),
)


def saved(**properties: Any) -> Any:
    """As `fields`, and editable where the object is a library override."""
    for declared in properties.values():
        rights = {"LIBRARY_OVERRIDABLE"}
        if declared.function is CollectionProperty:
            rights.add("USE_INSERTION")
        declared.keywords["override"] = rights
    return fields(**properties)


def _foreign() -> dict[str, Any]:
    """What is remembered of an Action that was put away (see foreign.py)."""
    return {
        "foreign_action": PointerProperty(type=bpy.types.Action),
        "foreign_slot": StringProperty(),
        "foreign_blend": StringProperty(),
        "foreign_influence": FloatProperty(default=1.0),
        "foreign_extrapolation": StringProperty(),
    }


def _is_armature(_: Any, item: Any) -> bool:
    return bool(item.type == "ARMATURE")


def _is_mesh(_: Any, item: Any) -> bool:
    return bool(item.type == "MESH")


def _gain(name: str, description: str, update: Any) -> Any:
    return FloatProperty(
        name=name,
        description=description,
        default=1.0,
        min=0.0,
        max=4.0,
        soft_max=2.0,
        subtype="FACTOR",
        update=update,
    )


def shaping_fields(update: Any = None) -> dict[str, Any]:
    """The adjustments of a take: one property for each field of takes.curves.Shaping.

    update: what Blender calls after a change.
    """
    return {
        "jaw": _gain("Jaw", "How far the jaw moves", update),
        "lips": _gain("Lips", "How far lips, cheeks and tongue move", update),
        "brows": _gain("Brows", "How far the brows move", update),
        "eyes": _gain("Eyes", "How far lids and gaze move", update),
        "smooth_s": FloatProperty(
            name="Smoothing",
            description="Smooths the motion over this time, in seconds; closed lips stay closed",
            min=0.0,
            max=2.0,
            soft_max=0.3,
            step=1,
            precision=3,
            update=update,
        ),
        "offset_s": FloatProperty(
            name="Time offset",
            description="Moves the face later (or earlier) against the sound, in seconds",
            min=-10.0,
            max=10.0,
            soft_min=-0.5,
            soft_max=0.5,
            step=1,
            precision=3,
            update=update,
        ),
        "blinks": BoolProperty(
            name="Blinks",
            description="Keep the blinks that came with the take",
            default=True,
            update=update,
        ),
        "keying": EnumProperty(
            name="Keys", description="How many keys are written", items=KEYING, update=update
        ),
        "max_error": FloatProperty(
            name="Largest error",
            description="How far a reduced curve may be from the full one (1: a whole shape key)",
            default=0.01,
            min=0.0,
            max=0.5,
            soft_max=0.1,
            step=0.1,
            precision=3,
            update=update,
        ),
        "step_frames": IntProperty(
            name="Hold",
            description="For how many frames each pose is held",
            default=2,
            min=1,
            max=24,
            update=update,
        ),
    }


def wish_fields() -> dict[str, Any]:
    """What to say and how: the same properties in the panel and of the operator Generate."""
    return {
        "mode": EnumProperty(name="Mode", description="What to make", items=MODES),
        "text": StringProperty(name="Text", description="What to say, or what to ask"),
        "audio": StringProperty(
            name="Recording", description="The sound file to lip-sync", subtype="FILE_PATH"
        ),
        "transcript": StringProperty(
            name="Transcript",
            description="The words of the recording, if known; they make the mouth more accurate",
        ),
        "language": StringProperty(
            name="Language", description="Such as en, zh or de; empty guesses it from the text"
        ),
        "voice": StringProperty(
            name="Voice", description="A voice of the engine; empty is its default"
        ),
        "style": EnumProperty(
            name="Style", description="How strongly the face moves", items=STYLES, default="neutral"
        ),
        "rate": FloatProperty(
            name="Rate", description="Speaking rate; 1 is normal", default=1.0, min=0.5, max=2.5
        ),
        "seed": IntProperty(
            name="Seed", description="The same seed gives the same take", default=0, min=0
        ),
        "engine": EnumProperty(
            name="Engine", description="The engine that makes the clip", items=engine_items
        ),
        "streaming": BoolProperty(
            name="Live keys",
            description="Write keys while the clip is still being made",
            default=True,
        ),
    }


WISHES: Final = tuple(wish_fields())


@saved(
    name=StringProperty(name="Channel", description="An ARKit channel"),
    key=StringProperty(
        name="Shape key",
        description="The shape key that this channel moves; empty leaves it out",
        update=on_mend,
    ),
    how=StringProperty(name="How", description="How the shape key was found"),
)
class Channel(PropertyGroup):
    """One row of the list to mend: a channel and the shape key it moves."""


@saved(
    object=PointerProperty(
        type=bpy.types.Object, name="Mesh", description="A mesh with shape keys", poll=_is_mesh
    ),
    channels=CollectionProperty(type=Channel),
    channel_index=IntProperty(name="Channel", description="The chosen channel"),
    # What stood here before the first take: given back when no take is shown.
    rest=StringProperty(),
    **_foreign(),
)
class Target(PropertyGroup):
    """A mesh that a character's face drives."""


@saved(
    object=PointerProperty(type=bpy.types.Object),
    action=PointerProperty(type=bpy.types.Action),
    written=StringProperty(),  # JSON: data path -> checksum of the keys that we wrote
)
class TakeAction(PropertyGroup):
    """The Action that a take has for one target."""


@saved(
    name=StringProperty(name="Name", description="Name of the take"),
    id=StringProperty(),
    text=StringProperty(name="Text", description="What is said"),
    engine=StringProperty(),
    route=StringProperty(),
    seed=StringProperty(),  # may be larger than Blender's integers
    duration_s=FloatProperty(),
    sound=PointerProperty(type=bpy.types.Sound),
    kept=BoolProperty(),  # as a line on the NLA
    clip_file=StringProperty(),  # '' if the clip is packed into the .blend
    actions=CollectionProperty(type=TakeAction),
    start_frame=IntProperty(
        name="Start frame",
        description="The frame on which the take begins; keys and sound strip move with it",
        default=1,
        update=on_start_moved,
    ),
    **shaping_fields(on_adjust),
)
class Take(PropertyGroup):
    """One generation: where its clip lies, its Actions, and how it is adjusted."""


@saved(
    targets=CollectionProperty(type=Target),
    target_index=IntProperty(name="Target", description="The chosen mesh"),
    mended=StringProperty(name="Channels set by hand", description="Choices made by hand, as JSON"),
    rig=PointerProperty(
        type=bpy.types.Object,
        name="Rig",
        description="An armature whose jaw and eye bones rotate with the face",
        poll=_is_armature,
    ),
    rig_rest=StringProperty(),
    **_foreign(),
    takes=CollectionProperty(type=Take),
    take_index=IntProperty(name="Take", description="The chosen take"),
    shown=StringProperty(),  # id of the take that is on the face; '' is the user's own animation
    shown_before=StringProperty(),  # what `compare` goes back to
)
class Character(PropertyGroup):
    """A character: the meshes that move, how they are matched, and its takes."""


@fields(
    character=PointerProperty(
        type=bpy.types.Object,
        name="Character",
        description="The object that holds the character; usually its head",
    ),
    **wish_fields(),
    text_block=PointerProperty(
        type=bpy.types.Text,
        name="Text block",
        description="For long lines: speak this text of Blender's text editor instead",
    ),
    audio_source=EnumProperty(
        name="From", description="Where the recording comes from", items=AUDIO_SOURCES
    ),
    strip=StringProperty(name="Strip", description="The sound strip to lip-sync"),
    follow_strip=BoolProperty(
        name="Keys follow the strip",
        description="When you move a take's sound strip, its keys move along",
        default=True,
    ),
    add_strip=BoolProperty(
        name="Sound strip",
        description="Put the sound into the sequencer at the start frame",
        default=True,
    ),
    export_adjusted=BoolProperty(
        name="As adjusted",
        description="Export the face as adjusted; otherwise as it was made",
        default=True,
    ),
)
class SceneSettings(PropertyGroup):
    """What the panel asks for; one set for each scene."""


CLASSES: Final = (Channel, Target, TakeAction, Take, Character, SceneSettings)


def attach() -> None:
    """Hang the groups on Blender's types, after CLASSES are registered."""
    bpy.types.Object.exomni = PointerProperty(type=Character)
    bpy.types.Scene.exomni = PointerProperty(type=SceneSettings)


def detach() -> None:
    """Undo `attach`."""
    del bpy.types.Scene.exomni
    del bpy.types.Object.exomni
