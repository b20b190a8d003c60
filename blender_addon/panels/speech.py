# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene's wishes in, their panels out: what to say, how, and by which engine."""

from __future__ import annotations

from typing import Any, Final

from .. import compat
from ..declare import Panel, tr
from ..session import session
from .base import panel, sentence, split_layout, wrapped


@panel("speak", "Speak")
class SpeakPanel(Panel):
    """What to say, and the button."""

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
    editor = context.scene.sequence_editor
    if wish.audio_source == "microphone":
        on = session.recording == "on"
        text = tr("Stop recording") if on else tr("Record")
        layout.operator("exomni.record", text=text, icon="PAUSE" if on else "REC")
        if session.recorded and not session.recording:
            layout.label(text="A recording is ready", icon="CHECKMARK")
    elif wish.audio_source == "file":
        layout.prop(wish, "audio", text="")
    elif editor is not None:
        layout.prop_search(wish, "strip", editor, compat.strips_place(editor), text="")
    else:
        layout.label(text="The sequencer has no strips", icon="INFO")


@panel("voice", "Voice and engine", parent="speak", closed=True)
class VoicePanel(Panel):
    """How it is said, and by what."""

    def draw(self, context: Any) -> None:
        """Everything that has a sensible default."""
        layout = split_layout(self.layout)
        wish = context.scene.exomni
        if wish.mode != "lipsync":
            layout.prop(wish, "text_block")
        for name in ("language", "voice", "style", "rate", "seed", "engine", "streaming"):
            layout.prop(wish, name)
        running = tr("The engine is running")
        waiting = tr("The engine starts by itself when it is needed")
        wrapped(layout, running if session.is_running else waiting, context, "INFO")
        reason = session.engine_reason(wish.engine)
        if reason:
            wrapped(layout, sentence(reason), context, "ERROR")
        layout.operator("exomni.stop_engine", icon="CANCEL")


CLASSES: Final = (SpeakPanel, VoicePanel)
