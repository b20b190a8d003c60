# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, bones of a rig that turn with the face out."""

from __future__ import annotations

from typing import Any, Final

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.errors import InputError
from exomni_core.matching.bones import AXES, BoneTarget

from .. import character
from ..declare import Operator
from ..takes import bones
from .base import OnCharacter, button


@button(
    "use_rig",
    "Find jaw and eye bones",
    rig=StringProperty(
        name="Rig", description="An armature; empty is the one that the meshes follow"
    ),
)
class UseRig(OnCharacter, Operator):
    """Rotate the rig's jaw and eye bones with the face, where no shape keys do."""

    def work_on(self, item: Any, _context: Any) -> None:
        """Guess the bones by their names."""
        meshes = [target.object for target in character.live_targets(item)]
        near = [item.exomni.rig] if item.exomni.rig else bones.armatures(meshes)
        rig: Any = bpy.data.objects.get(self.rig) if self.rig else next(iter(near), None)
        if not bones.use_rig(item, rig):
            raise InputError(
                f"no bone of {rig.name} is named like a jaw or an eye that shape keys don't "
                "move; name the bone yourself"
            )


@button(
    "turn_bone",
    "Rotate a bone",
    bone=StringProperty(name="Bone", description="The bone that rotates"),
    axis=EnumProperty(
        name="Axis",
        description="The bone's own axis of rotation",
        items=tuple((axis, axis, "") for axis in AXES),
    ),
    degrees=FloatProperty(
        name="Angle",
        description="Degrees at full weight; negative rotates the other way",
        default=20.0,
        min=-180.0,
        max=180.0,
    ),
    channels=StringProperty(
        name="Channels",
        description="ARKit channels, separated by commas; -name subtracts",
        default="jawOpen",
    ),
)
class TurnBone(OnCharacter, Operator):
    """Rotate a bone with channels of the face; 0 degrees removes it."""

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Ask for bone, axis and angle."""
        done: set[str] = context.window_manager.invoke_props_dialog(self)
        return done

    def work_on(self, item: Any, _context: Any) -> None:
        """Remember it."""
        names = [name.strip() for name in self.channels.split(",") if name.strip()]
        shares = {name.lstrip("-"): -1.0 if name.startswith("-") else 1.0 for name in names}
        unknown = [name for name in shares if name not in CHANNEL_INDEX]
        if unknown:
            raise InputError(f"there is no channel {unknown[0]!r}")
        bones.turn(item, BoneTarget(self.bone, self.axis, self.degrees, shares))


CLASSES: Final = (UseRig, TurnBone)
