# SPDX-License-Identifier: GPL-3.0-or-later
"""The character in, its panels out: which meshes and bones move, and how they are matched."""

from __future__ import annotations

from typing import Any, Final

from exomni_core.errors import InputError

from .. import character
from ..declare import Panel, UIList, tr
from ..takes import bones
from .base import NeedsCharacter, chosen_character, panel, sentence, wrapped


class TargetList(UIList):
    """One mesh in a row."""

    bl_idname = "EXOMNI_UL_targets"

    def draw_item(self, _c: Any, layout: Any, _d: Any, item: Any, _i: Any, _a: Any) -> None:
        """Its name and how much of it is matched."""
        name = item.object.name if item.object else tr("(deleted)")
        count = sum(bool(channel.key) for channel in item.channels)
        layout.label(text=f"{name}: {count}", icon="MESH_DATA", translate=False)


class ChannelList(UIList):
    """One channel in a row."""

    bl_idname = "EXOMNI_UL_channels"

    def draw_item(self, _c: Any, layout: Any, data: Any, item: Any, _i: Any, _a: Any) -> None:
        """Its name, and the shape key it moves, to choose."""
        row = layout.split(factor=0.55)
        row.label(text=item.name, translate=False)
        row.prop_search(item, "key", data.object.data.shape_keys, "key_blocks", text="")


@panel("character", "Character")
class CharacterPanel(Panel):
    """Which meshes move, and how their shape keys are matched."""

    def draw(self, context: Any) -> None:
        """The choice, and how much of it is matched."""
        layout = self.layout
        layout.prop(context.scene.exomni, "character", text="")
        row = layout.row(align=True)
        row.operator("exomni.use_selected", icon="RESTRICT_SELECT_OFF")
        item = chosen_character(context)
        if item is None:
            layout.operator("exomni.add_head", icon="USER")
            return
        row.operator("exomni.match", text="", icon="FILE_REFRESH")
        matching = character.matching_of(item)
        text = tr("{coverage} channels matched", coverage=matching.coverage_text)
        layout.label(text=text, icon="CHECKMARK" if matching.targets else "ERROR", translate=False)
        for problem in matching.problems:
            wrapped(layout, problem, context, "ERROR")


@panel("meshes", "Meshes and channels", parent="character", closed=True)
class MeshesPanel(NeedsCharacter, Panel):
    """The list to see and mend each channel."""

    def draw(self, context: Any) -> None:
        """Meshes above, the chosen one's channels below."""
        layout = self.layout
        item = chosen_character(context)
        state = item.exomni
        layout.template_list(
            "EXOMNI_UL_targets", "", state, "targets", state, "target_index", rows=2
        )
        if not 0 <= state.target_index < len(state.targets):
            return
        target = state.targets[state.target_index]
        if not character.has_keys(target.object):
            layout.label(text="This mesh has no shape keys any more", icon="ERROR")
            return
        layout.template_list(
            "EXOMNI_UL_channels", "", target, "channels", target, "channel_index", rows=6
        )
        family = character.matching_of(item).families.get(
            target.object.name, tr("unknown naming convention")
        )
        layout.operator_menu_enum("exomni.choose_family", "family", text=family)
        layout.operator("exomni.forget_mended", icon="LOOP_BACK")


@panel("bones", "Bones", parent="character", closed=True)
class BonesPanel(NeedsCharacter, Panel):
    """Jaw and eyes of a rig."""

    def draw(self, context: Any) -> None:
        """The rig, and how its bones turn."""
        layout = self.layout
        item = chosen_character(context)
        layout.prop(item.exomni, "rig", text="")
        try:
            targets = bones.targets_of(item)
        except InputError as error:
            wrapped(layout, sentence(str(error)), context, "ERROR")
            return
        for target in targets:
            layout.label(text=bones.describe(target), icon="BONE_DATA", translate=False)
        layout.operator("exomni.use_rig", icon="VIEWZOOM")
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("exomni.turn_bone", icon="DRIVER_ROTATIONAL_DIFFERENCE")


CLASSES: Final = (TargetList, ChannelList, CharacterPanel, MeshesPanel, BonesPanel)
