# SPDX-License-Identifier: GPL-3.0-or-later
"""The character's takes in, their panels out: choose, adjust, place the sound, export."""

from __future__ import annotations

from typing import Any, Final

from ..declare import Panel, UIList
from ..takes import adjust, clips
from .base import chosen_character, panel, split_layout, take_on_face


class TakeList(UIList):
    """One take in a row."""

    bl_idname = "EXOMNI_UL_takes"

    def draw_item(self, _c: Any, layout: Any, data: Any, item: Any, _i: Any, _a: Any) -> None:
        """Its name, and whether it is shown."""
        icon = "NLA" if item.kept else "HIDE_OFF" if data.shown == item.id else "BLANK1"
        layout.prop(item, "name", text="", emboss=False, icon=icon)


@panel("takes", "Takes", closed=True)
class TakesPanel(Panel):
    """What was made so far."""

    def draw(self, context: Any) -> None:
        """The list and its buttons."""
        layout = self.layout
        item = chosen_character(context)
        if item is not None and item.exomni.takes:
            state = item.exomni
            layout.template_list("EXOMNI_UL_takes", "", state, "takes", state, "take_index", rows=3)
        row = layout.row(align=True)
        row.operator("exomni.take_step", text="", icon="TRIA_LEFT").step = -1
        row.operator("exomni.take_show", text="Show", icon="HIDE_OFF")
        row.operator("exomni.take_step", text="", icon="TRIA_RIGHT").step = 1
        row.operator("exomni.take_compare", text="Compare", icon="ARROW_LEFTRIGHT")
        row.operator("exomni.take_delete", text="", icon="TRASH")
        layout.operator("exomni.take_keep", icon="NLA_PUSHDOWN")
        layout.operator("exomni.take_hide", icon="ACTION")
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("exomni.import_clip", icon="IMPORT")


@panel("adjust", "Adjust", closed=True)
class AdjustPanel(Panel):
    """Changes that need no new clip."""

    def draw(self, context: Any) -> None:
        """The shown take's sliders."""
        layout = split_layout(self.layout)
        take = take_on_face(context)
        if take is None:
            layout.label(text="Show a take to adjust it", icon="INFO")
            return
        for name in ("jaw", "lips", "brows", "eyes", "smooth_s", "offset_s", "blinks", "keying"):
            layout.prop(take, name)
        if take.keying == "reduced":
            layout.prop(take, "max_error")
        elif take.keying == "stepped":
            layout.prop(take, "step_frames")
        layout.operator("exomni.adjust_reset", icon="LOOP_BACK")


@panel("audio", "Audio", closed=True)
class AudioPanel(Panel):
    """Where the sound lies."""

    def draw(self, context: Any) -> None:
        """The strip and its place."""
        layout = split_layout(self.layout)
        layout.prop(context.scene.exomni, "add_strip")
        layout.prop(context.scene.exomni, "follow_strip")
        layout.prop(context.scene, "sync_mode")
        take = take_on_face(context)
        if take is not None:
            layout.prop(take, "start_frame")
        if any(not clips.is_at_hand(take) for take, _ in adjust.moved_takes(context.scene)):
            layout.label(text="A strip moved; its keys wait for this button", icon="INFO")
        layout.operator("exomni.follow_strips", icon="NLA")


@panel("export", "Export", closed=True)
class ExportPanel(Panel):
    """The take for other programs."""

    def draw(self, context: Any) -> None:
        """One button for each format."""
        layout = self.layout
        layout.prop(context.scene.exomni, "export_adjusted")
        layout.operator_context = "INVOKE_DEFAULT"
        column = layout.column(align=True)
        column.operator("exomni.export_a2f")
        column.operator("exomni.export_live_link")
        column.operator("exomni.export_gltf")
        column.operator("exomni.export_clip")
        layout.operator("exomni.render_job", icon="RENDER_ANIMATION")


CLASSES: Final = (TakeList, TakesPanel, AdjustPanel, AudioPanel, ExportPanel)
