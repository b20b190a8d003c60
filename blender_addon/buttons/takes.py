# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, another take on the face out: show, compare, keep, delete, import."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import IntProperty, StringProperty

from .. import character, preferences
from ..declare import Operator, tr
from ..session import session
from ..takes import clips, making, records, showing
from .base import OnCharacter, OnTake, OnTakes, button, start_frame


@button("take_show", "Show take")
class TakeShow(OnTake, Operator):
    """Show this take on the face; your own animation is kept and can come back."""

    def work_on(self, item: Any, context: Any) -> None:
        """Show it."""
        showing.show(item, self.chosen_in_list(item), context.scene)


@button(
    "take_step",
    "Next take",
    step=IntProperty(name="Step", description="1 is the next take, -1 the previous", default=1),
)
class TakeStep(OnTakes, Operator):
    """Show the next or the previous take."""

    def work_on(self, item: Any, context: Any) -> None:
        """Step round and round."""
        ids = [take.id for take in item.exomni.takes]
        shown = item.exomni.shown
        here = ids.index(shown) if shown in ids else (-1 if self.step > 0 else 0)
        showing.show(item, item.exomni.takes[(here + self.step) % len(ids)], context.scene)


@button("take_compare", "Compare")
class TakeCompare(OnTakes, Operator):
    """Switch between this take and the one that was shown before."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """As above, or nothing was shown before."""
        reason = super().disabled_reason(context)
        if reason:
            return reason
        item = character.find_character(context)
        known = records.find_take(item, item.exomni.shown_before)
        return "" if known else "Show another take first; then you can compare the two"

    def work_on(self, item: Any, context: Any) -> None:
        """Swap the two."""
        showing.show(item, records.chosen_take(item, item.exomni.shown_before), context.scene)


@button("take_hide", "Show my own animation")
class TakeHide(OnTakes, Operator):
    """Remove the take from the face and restore what was there before."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """As above, or no take is shown."""
        reason = super().disabled_reason(context)
        if reason:
            return reason
        return "" if character.find_character(context).exomni.shown else "No take is shown"

    def work_on(self, item: Any, context: Any) -> None:
        """Hide it."""
        showing.show_none(item, context.scene)


@button("take_keep", "Keep as a line")
class TakeKeep(OnTake, Operator):
    """Put this take on an NLA track, so that the next line can follow it."""

    def work_on(self, item: Any, context: Any) -> None:
        """Move it to the NLA."""
        showing.keep_as_line(item, self.chosen(item), context.scene)


@button("take_delete", "Delete take")
class TakeDelete(OnTake, Operator):
    """Delete this take with its keys and its strip; keys you set by hand are kept."""

    def work_on(self, item: Any, context: Any) -> None:
        """Delete it, and tell what was kept."""
        kept = showing.delete(item, self.chosen_in_list(item), context.scene)
        if kept:
            session.say(tr("Your own keys are kept in {names}", names=", ".join(kept)))


@button(
    "import_clip",
    "Open clip as take",
    filepath=StringProperty(name="Clip", description="A .clip file", subtype="FILE_PATH"),
    start_frame=start_frame(),
)
class ImportClip(OnCharacter, Operator):
    """Add a .clip file to the character as a new take; needs no engine."""

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Let the user choose the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def work_on(self, item: Any, context: Any) -> None:
        """Read the clip and apply it."""
        clip = clips.read_clip_file(Path(bpy.path.abspath(self.filepath)))
        storage = preferences.preferences().storage
        start = self.first_frame(context)
        take, note = making.apply_clip(item, clip, start, context.scene, storage)
        session.say(note or tr("{name} is shown", name=take.name))


CLASSES: Final = (TakeShow, TakeStep, TakeCompare, TakeHide, TakeKeep, TakeDelete, ImportClip)
