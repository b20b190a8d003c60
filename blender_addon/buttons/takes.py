# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, another take on the face out: show, compare, delete, adjust, move."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    StringProperty,
)

from exomni_core.errors import ExOmniError, InputError

from .. import adjust, character, preferences
from ..declare import Explained, Operator, fields, tr
from ..properties import KEYING
from ..session import session
from ..takes import clips, sequencer
from ..takes import shown as takes
from ..takes.curves import Shaping
from .generate import busy_reason, fail, no_character_reason

_NAME = StringProperty(name="Character", description="Object name; empty is the chosen one")
_TAKE = StringProperty(name="Take", description="Name or id of a take; empty is the chosen one")


class _OnTakes(Explained):
    """For buttons that need at least one take."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """There is no character, no take, or a clip is being made."""
        reason = busy_reason() or no_character_reason(context)
        if reason:
            return reason
        item = character.find_character(context)
        return "" if item.exomni.takes else "There are no takes yet; press Generate first"

    def execute(self, context: Any) -> set[str]:
        """Do the work on the character, and tell what went wrong."""
        try:
            item = character.find_character(context, self.character)  # type: ignore[attr-defined]
            self.work(item, context.scene)
        except ExOmniError as error:
            return fail(self, error)
        return {"FINISHED"}

    def work(self, item: Any, scene: Any) -> None:
        """What the button does; raises ExOmniError."""
        raise NotImplementedError


def chosen_take(item: Any, name: str = "") -> Any:
    """A take by name or id, else the shown one, else the chosen one; InputError if there's none."""
    state = item.exomni
    if name:
        found = next((t for t in state.takes if name in (t.id, t.name, t.name.split(":")[0])), None)
        if found is None:
            raise InputError(f"{item.name} has no take {name!r}")
        return found
    shown = takes.shown_take(item)
    if shown is not None:
        return shown
    if not state.takes:
        raise InputError("there are no takes yet; press Generate first")
    return state.takes[min(max(state.take_index, 0), len(state.takes) - 1)]


@fields(character=_NAME, take=_TAKE)
class TakeShow(_OnTakes, Operator):
    """Put a take on the face."""

    bl_idname = "exomni.take_show"
    bl_label = "Show take"
    bl_description = "Put this take on the face; your own animation is put away meanwhile"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Show it."""
        index = min(max(item.exomni.take_index, 0), len(item.exomni.takes) - 1)
        takes.show(item, chosen_take(item, self.take or item.exomni.takes[index].id), scene)


@fields(
    character=_NAME,
    step=IntProperty(name="Step", description="1 is the next take, -1 the previous", default=1),
)
class TakeStep(_OnTakes, Operator):
    """Show the next or the previous take."""

    bl_idname = "exomni.take_step"
    bl_label = "Next take"
    bl_description = "Show the next or the previous take"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Step round and round."""
        ids = [take.id for take in item.exomni.takes]
        shown = item.exomni.shown
        here = ids.index(shown) if shown in ids else (-1 if self.step > 0 else 0)
        takes.show(item, item.exomni.takes[(here + self.step) % len(ids)], scene)


@fields(character=_NAME)
class TakeCompare(_OnTakes, Operator):
    """Go back and forth between two takes."""

    bl_idname = "exomni.take_compare"
    bl_label = "Compare"
    bl_description = "Go back to the take that was shown before, and forth again"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """As above, or nothing was shown before."""
        reason = super().disabled_reason(context)
        if reason:
            return reason
        item = character.find_character(context)
        known = takes.find_take(item, item.exomni.shown_before)
        return "" if known else "Show another take first; then you can compare the two"

    def work(self, item: Any, scene: Any) -> None:
        """Swap the two."""
        takes.show(item, chosen_take(item, item.exomni.shown_before), scene)


@fields(character=_NAME)
class TakeHide(_OnTakes, Operator):
    """Take the take off the face."""

    bl_idname = "exomni.take_hide"
    bl_label = "Show my own animation"
    bl_description = "Take the take off the face; what was there before is back, unchanged"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """As above, or no take is shown."""
        reason = super().disabled_reason(context)
        if reason:
            return reason
        return "" if character.find_character(context).exomni.shown else "No take is shown"

    def work(self, item: Any, scene: Any) -> None:
        """Hide it."""
        takes.show_none(item, scene)


@fields(character=_NAME, take=_TAKE)
class TakeKeep(_OnTakes, Operator):
    """Keep a take as a line."""

    bl_idname = "exomni.take_keep"
    bl_label = "Keep as a line"
    bl_description = "Put this take on an NLA track, so that the next line can follow it"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Move it to the NLA."""
        takes.keep_as_line(item, chosen_take(item, self.take), scene)


@fields(character=_NAME, take=_TAKE)
class TakeDelete(_OnTakes, Operator):
    """Delete a take."""

    bl_idname = "exomni.take_delete"
    bl_label = "Delete take"
    bl_description = "Delete this take with its keys and its strip; keys you set by hand are kept"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Delete it, and tell what was kept."""
        index = min(max(item.exomni.take_index, 0), len(item.exomni.takes) - 1)
        kept = takes.delete(
            item, chosen_take(item, self.take or item.exomni.takes[index].id), scene
        )
        if kept:
            session.say(tr("Your own keys are kept in {names}", names=", ".join(kept)))


@fields(
    character=_NAME,
    filepath=StringProperty(name="Clip", description="A .clip file", subtype="FILE_PATH"),
    start_frame=IntProperty(
        name="Start frame", description="Where the take begins; the current frame if not given"
    ),
)
class ImportClip(Explained, Operator):
    """Open a .clip file as a take."""

    bl_idname = "exomni.import_clip"
    bl_label = "Open clip as take"
    bl_description = "Put a .clip file on the character as a new take; needs no engine"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """There is no character, or a clip is being made."""
        return busy_reason() or no_character_reason(context)

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Let the user choose the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: Any) -> set[str]:
        """Read the clip and apply it."""
        given = self.properties.is_property_set("start_frame")
        start = self.start_frame if given else context.scene.frame_current
        try:
            item = character.find_character(context, self.character)
            clip = clips.read_clip_file(Path(bpy.path.abspath(self.filepath)))
            apply_clip(item, clip, start, context.scene)
        except ExOmniError as error:
            return fail(self, error)
        return {"FINISHED"}


def apply_clip(item: Any, clip: clips.StoredClip, start_frame: int, scene: Any) -> Any:
    """A whole clip as a new take that is shown; on failure nothing of it is left."""
    takes.check_ready(item)
    take = takes.new_take(item, start_frame, str(clip.facts.get("text") or ""))
    take_id = take.id
    try:
        takes.write(item, take, clip.weights, clip.face.fps, scene)
        folder = clips.store_folder(preferences.preferences().storage)
        note = takes.finish(item, take, clip, folder, scene)
    except BaseException:
        takes.delete(item, takes.find_take(item, take_id), scene)
        raise
    session.say(note or tr("{name} is on the face", name=take.name))
    return take


def _given(operator: Any, names: tuple[str, ...]) -> dict[str, Any]:
    given = operator.properties.is_property_set
    return {name: getattr(operator, name) for name in names if given(name)}


def _factor(name: str) -> Any:
    return FloatProperty(name=name, description="Factor; 1 changes nothing", default=1.0, min=0.0,
                         max=4.0)  # fmt: skip


@fields(
    character=_NAME,
    take=_TAKE,
    jaw=_factor("Jaw"),
    lips=_factor("Lips"),
    brows=_factor("Brows"),
    eyes=_factor("Eyes"),
    smooth_s=FloatProperty(name="Smoothing", description="In seconds", min=0.0, max=2.0),
    offset_s=FloatProperty(name="Time offset", description="In seconds", min=-10.0, max=10.0),
    blinks=BoolProperty(name="Blinks", description="Keep the blinks", default=True),
    keying=EnumProperty(name="Keys", description="How many keys are written", items=KEYING),
    max_error=FloatProperty(
        name="Largest error", description="Of reduced curves", default=0.01, min=0.0, max=0.5
    ),
    step_frames=IntProperty(
        name="Hold", description="Frames for which a pose is held", default=2, min=1, max=24
    ),
)
class AdjustTake(_OnTakes, Operator):
    """Adjust a take from a script; what is not given stays."""

    bl_idname = "exomni.adjust"
    bl_label = "Adjust take"
    bl_description = "Write a take's keys anew with other intensity, smoothing or key density"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Set what is given, write once."""
        take = chosen_take(item, self.take)
        adjust.set_shaping(take, **_given(self, tuple(Shaping.__dataclass_fields__)))
        takes.rewrite(item, take, scene)


@fields(character=_NAME, take=_TAKE)
class AdjustReset(_OnTakes, Operator):
    """Undo all adjustments of a take."""

    bl_idname = "exomni.adjust_reset"
    bl_label = "Reset"
    bl_description = "The take as it was made"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Reset and write."""
        take = chosen_take(item, self.take)
        adjust.reset(take)
        takes.rewrite(item, take, scene)


@fields(
    character=_NAME,
    take=_TAKE,
    start_frame=IntProperty(name="Start frame", description="Where the take begins", default=1),
)
class TakeMove(_OnTakes, Operator):
    """Move a take in time."""

    bl_idname = "exomni.take_move"
    bl_label = "Move take"
    bl_description = "Move a take's keys and sound strip to another start frame"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    def work(self, item: Any, scene: Any) -> None:
        """Move both."""
        take = chosen_take(item, self.take)
        adjust.move(take, self.start_frame, scene)


class FollowStrips(Explained, Operator):
    """Move keys to where their strips are."""

    bl_idname = "exomni.follow_strips"
    bl_label = "Move keys to the strips"
    bl_description = "After strips were moved: move the keys of their takes along"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """No take has a strip."""
        if busy_reason():
            return busy_reason()
        return "" if sequencer.moved_takes(context.scene) else "No take has a strip in this scene"

    def execute(self, context: Any) -> set[str]:
        """Move them."""
        try:
            adjust.follow_strips(context.scene)
        except ExOmniError as error:
            return fail(self, error)
        return {"FINISHED"}


CLASSES: Final = (
    TakeShow, TakeStep, TakeCompare, TakeHide,
    TakeKeep, TakeDelete, ImportClip, AdjustTake, AdjustReset,
    TakeMove, FollowStrips,
)  # fmt: skip
