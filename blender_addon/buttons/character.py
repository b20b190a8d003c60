# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, a character out: choose meshes, match and mend, add the built-in head."""

from __future__ import annotations

from typing import Any, Final

import bpy
from bpy.props import EnumProperty, FloatProperty, StringProperty

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.errors import ExOmniError, InputError
from exomni_core.matching import bones as bone_targets
from exomni_core.matching.families import families

from .. import character
from ..declare import Explained, Operator, fields, tr
from ..head import add_head
from ..session import session
from ..takes import bones
from .generate import busy_reason, fail, no_character_reason

_NAME = StringProperty(name="Character", description="Object name; empty is the chosen one")


def _tell_coverage(operator: Any, item: Any) -> None:
    text = tr("{name}: {coverage} channels matched", name=item.name,
              coverage=character.matching_of(item).coverage_text)  # fmt: skip
    session.say(text)
    operator.report({"INFO"}, text)


@fields(
    character=StringProperty(
        name="Character", description="Object that holds the character; empty is the active one"
    ),
    meshes=StringProperty(
        name="Meshes", description="Names of meshes, separated by commas; empty is the selection"
    ),
)
class UseSelected(Explained, Operator):
    """Make a character of the selected meshes."""

    bl_idname = "exomni.use_selected"
    bl_label = "Use selected"
    bl_description = "Make a character of the selected meshes: head, teeth, tongue, lashes"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """A clip is being made."""
        return busy_reason()

    def execute(self, context: Any) -> set[str]:
        """Match the meshes and remember them."""
        try:
            meshes = self._meshes(context)
            item = self._holder(context, meshes)
            character.set_targets(item, meshes)
        except ExOmniError as error:
            return fail(self, error)
        context.scene.exomni.character = item
        _tell_coverage(self, item)
        return {"FINISHED"}

    def _meshes(self, context: Any) -> list[Any]:
        if self.meshes:
            names = [name.strip() for name in self.meshes.split(",")]
            found = [bpy.data.objects.get(name) for name in names]
            for name, item in zip(names, found, strict=True):
                if item is None or item.type != "MESH":
                    raise InputError(f"there is no mesh called {name!r}")
            return found
        chosen = [o for o in context.view_layer.objects if o.select_get() and o.type == "MESH"]
        with_keys = [mesh for mesh in chosen if mesh.data.shape_keys]
        if chosen and not with_keys:
            character.check_editable(chosen[0])  # raises: it has no shape keys
        return with_keys

    def _holder(self, context: Any, meshes: list[Any]) -> Any:
        if self.character:
            item = bpy.data.objects.get(self.character)
            if item is None:
                raise InputError(f"there is no object called {self.character!r}")
            return item
        active = context.view_layer.objects.active
        if not meshes:
            raise InputError("select at least one mesh with shape keys")
        return active if active in meshes else meshes[0]


@fields(
    template=StringProperty(
        name="Template",
        description="A bundled head, or the path of an .npz head",
        default="head",
        subtype="FILE_PATH",
    ),
    name=StringProperty(name="Name", description="What the object is called", default="Head"),
)
class AddHead(Explained, Operator):
    """Add a head that can speak."""

    bl_idname = "exomni.add_head"
    bl_label = "Add the built-in head"
    bl_description = "Add a head with all 52 shape keys, for those who have no character yet"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """A clip is being made, or objects can't be added now."""
        if context.mode != "OBJECT":
            return "Go to Object Mode first"
        return busy_reason()

    def execute(self, context: Any) -> set[str]:
        """Build the head, select it, and make it the character."""
        try:
            item = add_head(context.scene, self.template, self.name)
            character.set_targets(item, [item])
        except ExOmniError as error:
            return fail(self, error)
        for other in context.view_layer.objects:
            other.select_set(other == item)
        context.view_layer.objects.active = item
        context.scene.exomni.character = item
        _tell_coverage(self, item)
        return {"FINISHED"}


class _ForCharacter(Explained):
    """For buttons that work on the character there is."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """There is no character, or a clip is being made."""
        return busy_reason() or no_character_reason(context)


@fields(character=_NAME)
class Match(_ForCharacter, Operator):
    """Match the names anew."""

    bl_idname = "exomni.match"
    bl_label = "Match again"
    bl_description = "Match the shape keys anew, for example after they were renamed"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: Any) -> set[str]:
        """Fill the lists anew."""
        try:
            item = character.find_character(context, self.character)
            character.refresh(item)
            character.check_moves(item)
        except ExOmniError as error:
            return fail(self, error)
        _tell_coverage(self, item)
        return {"FINISHED"}


@fields(
    character=_NAME,
    mesh=StringProperty(name="Mesh", description="The mesh; empty is the chosen one"),
    channel=StringProperty(name="Channel", description="An ARKit channel such as jawOpen"),
    key=StringProperty(name="Shape key", description="The shape key it moves; empty is none"),
    weight=FloatProperty(name="Weight", description="How strongly", default=1.0, min=-10, max=10),
)
class Mend(_ForCharacter, Operator):
    """Choose by hand which shape key a channel moves."""

    bl_idname = "exomni.mend"
    bl_label = "Mend"
    bl_description = "Choose which shape key a channel moves"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: Any) -> set[str]:
        """Remember the choice."""
        try:
            item = character.find_character(context, self.character)
            target = character.find_target(item, self.mesh)
            character.mend(item, target, self.channel, self.key, self.weight)
        except ExOmniError as error:
            return fail(self, error)
        _tell_coverage(self, item)
        return {"FINISHED"}


@fields(character=_NAME)
class ForgetMended(_ForCharacter, Operator):
    """Go back to what the names say."""

    bl_idname = "exomni.forget_mended"
    bl_label = "Forget my changes"
    bl_description = "Match by the names of the shape keys alone again"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: Any) -> set[str]:
        """Forget what was mended."""
        try:
            item = character.find_character(context, self.character)
            character.forget_mended(item)
        except ExOmniError as error:
            return fail(self, error)
        _tell_coverage(self, item)
        return {"FINISHED"}


def _families(_operator: Any, _context: Any) -> list[tuple[str, str, str]]:
    rows = [(family.id, family.label, "") for family in families()]
    return [("auto", "Automatic", "What explains most names"), *rows]


@fields(
    character=_NAME,
    family=EnumProperty(name="Names", description="Whose naming it is", items=_families),
)
class ChooseFamily(_ForCharacter, Operator):
    """Say whose naming the shape keys follow."""

    bl_idname = "exomni.choose_family"
    bl_label = "Naming"
    bl_description = "Whose naming the shape keys follow, where the names alone don't tell"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: Any) -> set[str]:
        """Match as that family."""
        try:
            item = character.find_character(context, self.character)
            character.choose_family(item, "" if self.family == "auto" else self.family)
        except ExOmniError as error:
            return fail(self, error)
        _tell_coverage(self, item)
        return {"FINISHED"}


@fields(
    character=_NAME,
    rig=StringProperty(
        name="Rig", description="An armature; empty is the one that the meshes follow"
    ),
)
class UseRig(_ForCharacter, Operator):
    """Let bones turn with the face."""

    bl_idname = "exomni.use_rig"
    bl_label = "Find jaw and eye bones"
    bl_description = "Let the rig's jaw and eyes turn with the face, where no shape keys show them"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def execute(self, context: Any) -> set[str]:
        """Guess the bones by their names."""
        try:
            item = character.find_character(context, self.character)
            meshes = [target.object for target in character.live_targets(item)]
            near = [item.exomni.rig] if item.exomni.rig else bones.armatures(meshes)
            rig: Any = bpy.data.objects.get(self.rig) if self.rig else next(iter(near), None)
            if not bones.use_rig(item, rig):
                raise InputError(
                    f"no bone of {rig.name} is named like a jaw or an eye that shape keys don't "
                    "move; name the bone yourself"
                )
        except ExOmniError as error:
            return fail(self, error)
        return {"FINISHED"}


@fields(
    character=_NAME,
    bone=StringProperty(name="Bone", description="The bone that turns"),
    axis=EnumProperty(
        name="Axis",
        description="The bone's own axis that it turns about",
        items=tuple((axis, axis, "") for axis in bone_targets.AXES),
    ),
    degrees=FloatProperty(
        name="Angle", description="Degrees at full weight; negative turns the other way",
        default=20.0, min=-180.0, max=180.0,
    ),
    channels=StringProperty(
        name="Channels", description="ARKit channels, separated by commas; -name counts against",
        default="jawOpen",
    ),
)  # fmt: skip
class TurnBone(_ForCharacter, Operator):
    """Let one bone turn with channels of the face."""

    bl_idname = "exomni.turn_bone"
    bl_label = "Turn a bone"
    bl_description = "Let a bone turn with channels of the face; 0 degrees takes it out"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Ask for bone, axis and angle."""
        done: set[str] = context.window_manager.invoke_props_dialog(self)
        return done

    def execute(self, context: Any) -> set[str]:
        """Remember it."""
        try:
            item = character.find_character(context, self.character)
            names = [name.strip() for name in self.channels.split(",") if name.strip()]
            shares = {name.lstrip("-"): -1.0 if name.startswith("-") else 1.0 for name in names}
            unknown = [name for name in shares if name not in CHANNEL_INDEX]
            if unknown:
                raise InputError(f"there is no channel {unknown[0]!r}")
            bones.turn(item, bone_targets.BoneTarget(self.bone, self.axis, self.degrees, shares))
        except ExOmniError as error:
            return fail(self, error)
        return {"FINISHED"}


CLASSES: Final = (
    UseSelected, AddHead, Match, Mend, ForgetMended, ChooseFamily, UseRig, TurnBone
)  # fmt: skip
