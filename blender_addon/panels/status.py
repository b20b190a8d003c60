# SPDX-License-Identifier: GPL-3.0-or-later
"""The session in, what is going on out: the panel that holds the others."""

from __future__ import annotations

from typing import Any, Final

from ..declare import Panel, tr
from ..session import session
from .base import panel, sentence, wrapped


def _progress_text() -> str:
    """What is being done and how much of it, or what is being waited for."""
    text = {
        "text": tr("Writing an answer"),
        "speech": tr("Making the sound"),
        "sound": tr("Making the sound"),
        "audio": tr("Reading the recording"),
        "listening": tr("Listening"),
        "face": tr("Animating the face"),
    }.get(session.status)
    return f"{text} {session.progress:.0%}" if text else tr(session.status)


@panel("main", "Ex-Omni", parent="")
class MainPanel(Panel):
    """What is going on, in words."""

    def draw(self, context: Any) -> None:
        """Status, progress, and the report after a failure."""
        layout = self.layout
        if session.is_busy:
            row = layout.row(align=True)
            row.progress(factor=session.progress, text=_progress_text())
            row.operator("exomni.cancel", text="", icon="X")
            if session.text:
                wrapped(layout, session.text, context)
            return
        if session.status:
            icon = "ERROR" if session.is_error else "INFO"
            text, values = session.said
            wrapped(layout, sentence(tr(text, **values)), context, icon)
        else:
            hint = tr("Choose a character, type a line, press Generate")
            wrapped(layout, hint, context)
        if session.is_error:
            layout.operator("exomni.copy_report", icon="COPYDOWN")


CLASSES: Final = (MainPanel,)
