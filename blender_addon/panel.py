# SPDX-License-Identifier: GPL-3.0-or-later
"""Scene and session in, the sidebar's tab "Ex-Omni" out; draws only, changes nothing."""

from __future__ import annotations

import textwrap
from typing import Any, Final

from exomni_core.errors import InputError

from . import character
from .declare import Panel, UIList, tr
from .session import session
from .takes import bones
from .takes import shown as takes

_CHARACTERS_PER_PIXEL: Final = 0.14
_MOST_LINES: Final = 8


def wrapped(layout: Any, text: str, width: float, icon: str = "NONE") -> None:
    """Draw a long sentence as several labels; Blender itself cuts them off."""
    limit = max(20, int(width * _CHARACTERS_PER_PIXEL))
    column = layout.column(align=True)
    column.scale_y = 0.8
    rest = "BLANK1" if icon != "NONE" else "NONE"  # lines stand below each other
    for number, line in enumerate(textwrap.wrap(text, limit)[:_MOST_LINES]):
        column.label(text=line, icon=icon if number == 0 else rest, translate=False)


def _width(context: Any) -> float:
    region = getattr(context, "region", None)
    scale = float(context.preferences.system.ui_scale) or 1.0
    return float(region.width) / scale if region is not None else 260.0


def _item(context: Any) -> Any:
    try:
        return character.find_character(context)
    except InputError:
        return None


def _sentence(text: str) -> str:
    """An error's half sentence with a capital, as everything else in the panel has."""
    return text[:1].upper() + text[1:]


def _progress_text() -> str:
    """What is being done and how much of it, or what is being waited for."""
    text = {
        "text": tr("Thinking of an answer"),
        "speech": tr("Making the sound"),
        "sound": tr("Making the sound"),
        "audio": tr("Reading the recording"),
        "listening": tr("Listening"),
        "face": tr("Moving the face"),
    }.get(session.status)
    return f"{text} {session.progress:.0%}" if text else tr(session.status)


class _Sidebar:
    """Where all of the panels are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Ex-Omni"


class MainPanel(_Sidebar, Panel):
    """What is going on, in words."""

    bl_idname = "EXOMNI_PT_main"
    bl_label = "Ex-Omni"

    def draw(self, context: Any) -> None:
        """Status, progress, and the report after a failure."""
        layout = self.layout
        if session.is_busy:
            row = layout.row(align=True)
            row.progress(factor=session.progress, text=_progress_text())
            row.operator("exomni.cancel", text="", icon="X")
            if session.text:
                wrapped(layout, session.text, _width(context))
            return
        if session.status:
            icon = "ERROR" if session.is_error else "INFO"
            text, values = session.said
            wrapped(layout, _sentence(tr(text, **values)), _width(context), icon)
        else:
            hint = tr("Choose a character, type a line, press Generate")
            wrapped(layout, hint, _width(context))
        if session.is_error:
            layout.operator("exomni.copy_report", icon="COPYDOWN")


class CharacterPanel(_Sidebar, Panel):
    """Which meshes move, and how their shape keys are matched."""

    bl_idname = "EXOMNI_PT_character"
    bl_parent_id = "EXOMNI_PT_main"
    bl_label = "Character"

    def draw(self, context: Any) -> None:
        """The choice, and how much of it is matched."""
        layout = self.layout
        layout.prop(context.scene.exomni, "character", text="")
        row = layout.row(align=True)
        row.operator("exomni.use_selected", icon="RESTRICT_SELECT_OFF")
        item = _item(context)
        if item is None:
            layout.operator("exomni.add_head", icon="USER")
            return
        row.operator("exomni.match", text="", icon="FILE_REFRESH")
        matching = character.matching_of(item)
        text = tr("{coverage} channels matched", coverage=matching.coverage_text)
        layout.label(text=text, icon="CHECKMARK" if matching.targets else "ERROR", translate=False)
        for sentence in matching.problems:
            wrapped(layout, sentence, _width(context), "ERROR")


class MeshesPanel(_Sidebar, Panel):
    """The list to see and mend each channel."""

    bl_idname = "EXOMNI_PT_meshes"
    bl_parent_id = "EXOMNI_PT_character"
    bl_label = "Meshes and channels"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only with a character."""
        return _item(context) is not None

    def draw(self, context: Any) -> None:
        """Meshes above, the chosen one's channels below."""
        layout = self.layout
        item = _item(context)
        state = item.exomni
        layout.template_list(
            "EXOMNI_UL_targets", "", state, "targets", state, "target_index", rows=2
        )
        if not 0 <= state.target_index < len(state.targets):
            return
        target = state.targets[state.target_index]
        if target.object is None or not target.object.data.shape_keys:
            layout.label(text="This mesh has no shape keys any more", icon="ERROR")
            return
        layout.template_list(
            "EXOMNI_UL_channels", "", target, "channels", target, "channel_index", rows=6
        )
        family = character.matching_of(item).families.get(target.object.name, tr("no known naming"))
        layout.operator_menu_enum("exomni.choose_family", "family", text=family)
        layout.operator("exomni.forget_mended", icon="LOOP_BACK")


class BonesPanel(_Sidebar, Panel):
    """Jaw and eyes of a rig."""

    bl_idname = "EXOMNI_PT_bones"
    bl_parent_id = "EXOMNI_PT_character"
    bl_label = "Bones"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Only with a character."""
        return _item(context) is not None

    def draw(self, context: Any) -> None:
        """The rig, and how its bones turn."""
        layout = self.layout
        item = _item(context)
        layout.prop(item.exomni, "rig", text="")
        for target in bones.targets_of(item):
            layout.label(text=bones.describe(target), icon="BONE_DATA", translate=False)
        layout.operator("exomni.use_rig", icon="VIEWZOOM")
        layout.operator_context = "INVOKE_DEFAULT"
        layout.operator("exomni.turn_bone", icon="DRIVER_ROTATIONAL_DIFFERENCE")


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


class SpeakPanel(_Sidebar, Panel):
    """What to say, and the button."""

    bl_idname = "EXOMNI_PT_speak"
    bl_parent_id = "EXOMNI_PT_main"
    bl_label = "Speak"

    def draw(self, context: Any) -> None:
        """Mode, text or recording, and Generate."""
        layout = self.layout
        wish = context.scene.exomni
        layout.prop(wish, "mode", text="")
        if wish.mode == "lipsync":
            _draw_recording(layout, context, wish)
            layout.prop(wish, "transcript")
        elif wish.text_block is None:
            layout.prop(wish, "text", text="")
            if wish.mode == "reply" and not wish.text:  # it may also be asked aloud
                _draw_recording(layout, context, wish)
        layout.operator_context = "INVOKE_DEFAULT"
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.operator("exomni.generate", icon="PLAY")
        if session.is_busy:
            row.operator("exomni.cancel", text="", icon="X")


def _draw_recording(layout: Any, context: Any, wish: Any) -> None:
    layout.prop(wish, "audio_source", expand=True)
    if wish.audio_source == "microphone":
        on = session.recording == "on"
        text = tr("Stop recording") if on else tr("Record")
        layout.operator("exomni.record", text=text, icon="PAUSE" if on else "REC")
        if session.recorded and not session.recording:
            layout.label(text="A recording is there", icon="CHECKMARK")
    elif wish.audio_source == "file":
        layout.prop(wish, "audio", text="")
    elif context.scene.sequence_editor is not None:
        editor = context.scene.sequence_editor
        where = "strips" if hasattr(editor, "strips") else "sequences"
        layout.prop_search(wish, "strip", editor, where, text="")
    else:
        layout.label(text="The sequencer has no strips", icon="INFO")


class VoicePanel(_Sidebar, Panel):
    """How it is said, and by what."""

    bl_idname = "EXOMNI_PT_voice"
    bl_parent_id = "EXOMNI_PT_speak"
    bl_label = "Voice and engine"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: Any) -> None:
        """Everything that has a sensible default."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        wish = context.scene.exomni
        if wish.mode != "lipsync":
            layout.prop(wish, "text_block")
        for name in ("language", "voice", "style", "rate", "seed", "engine", "streaming"):
            layout.prop(wish, name)
        text = tr("The engine is running") if session.is_running else tr(
            "The engine starts by itself when it is needed"
        )  # fmt: skip
        wrapped(layout, text, _width(context), "INFO")
        reason = session.engine_reason(wish.engine)
        if reason:
            wrapped(layout, _sentence(reason), _width(context), "ERROR")
        layout.operator("exomni.stop_engine", icon="CANCEL")


class TakesPanel(_Sidebar, Panel):
    """What was made so far."""

    bl_idname = "EXOMNI_PT_takes"
    bl_parent_id = "EXOMNI_PT_main"
    bl_label = "Takes"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: Any) -> None:
        """The list and its buttons."""
        layout = self.layout
        item = _item(context)
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


class TakeList(UIList):
    """One take in a row."""

    bl_idname = "EXOMNI_UL_takes"

    def draw_item(self, _c: Any, layout: Any, data: Any, item: Any, _i: Any, _a: Any) -> None:
        """Its name, and whether it is shown."""
        icon = "NLA" if item.kept else "HIDE_OFF" if data.shown == item.id else "BLANK1"
        layout.prop(item, "name", text="", emboss=False, icon=icon)


class AdjustPanel(_Sidebar, Panel):
    """Changes that need no new clip."""

    bl_idname = "EXOMNI_PT_adjust"
    bl_parent_id = "EXOMNI_PT_main"
    bl_label = "Adjust"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: Any) -> None:
        """The shown take's sliders."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        item = _item(context)
        take = takes.shown_take(item) if item is not None else None
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


class AudioPanel(_Sidebar, Panel):
    """Where the sound lies."""

    bl_idname = "EXOMNI_PT_audio"
    bl_parent_id = "EXOMNI_PT_main"
    bl_label = "Audio"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: Any) -> None:
        """The strip and its place."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(context.scene.exomni, "add_strip")
        layout.prop(context.scene.exomni, "follow_strip")
        layout.prop(context.scene, "sync_mode")
        item = _item(context)
        take = takes.shown_take(item) if item is not None else None
        if take is not None:
            layout.prop(take, "start_frame")
        layout.operator("exomni.follow_strips", icon="NLA")


class ExportPanel(_Sidebar, Panel):
    """The take for other programs."""

    bl_idname = "EXOMNI_PT_export"
    bl_parent_id = "EXOMNI_PT_main"
    bl_label = "Export"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

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


CLASSES: Final = (
    TargetList, ChannelList, TakeList, MainPanel, CharacterPanel, MeshesPanel, BonesPanel,
    SpeakPanel, VoicePanel, TakesPanel, AdjustPanel, AudioPanel, ExportPanel,
)  # fmt: skip
