# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, takes on the character out: `bpy.ops.exomni.*` for making and cancelling.

Called from a script (or headless) Generate blocks until the take is there; pressed in the panel it
is modal: a timer polls the session and writes keys for a few milliseconds at a time.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from exomni_core.errors import ExOmniError, InputError

from .. import character, epoch, preferences
from ..declare import Explained, Operator, fields, tr
from ..properties import ENGINES, MODES, STYLES
from ..session import ENDS, Happening, Request, session
from ..takes import clips, foreign, sequencer
from ..takes import shown as takes

TICK_S: Final = 0.03
BUDGET_S: Final = 0.004  # of main-thread work in one tick
_FROM_PANEL: Final = (
    "mode", "text", "audio", "transcript", "language", "voice", "style", "rate", "seed", "engine",
    "streaming",
)  # fmt: skip


def fail(operator: Any, error: Exception) -> set[str]:
    """Tell a failure to the panel and to whoever called; the operator is cancelled."""
    session.fail(str(error))
    operator.report({"ERROR"}, str(error))
    return {"CANCELLED"}


def log_path() -> Path:
    """Where this Blender's engine process writes its log."""
    return Path(tempfile.gettempdir()) / f"exomni-engine-{os.getpid()}.log"


def busy_reason() -> str:
    """Why nothing else can be made now, or ''."""
    return "A clip is being made; wait for it or cancel it" if session.is_busy else ""


def no_character_reason(context: Any) -> str:
    """Why there is no character to work with, or ''."""
    try:
        character.find_character(context)
    except InputError:
        return "Choose a character first: select its meshes and press Use selected"
    return ""


class Job:
    """One request and the take it becomes; every step leaves the file in a usable state.

    The take is looked up by name and id each time, because undo may replace every datablock.
    """

    def __init__(self, item: Any, scene: Any, start_frame: int, text: str) -> None:
        self.item_name, self.scene_name = item.name, scene.name
        self.start_frame, self.text = start_frame, text
        self.take_id = uuid.uuid4().hex[:12]
        self.storage = preferences.preferences().storage
        self._pieces: list[Any] = []
        self._fps = 0.0
        self._steps: Iterator[None] | None = None
        self._epoch = epoch.current()
        self._written_rows = 0
        self._clip: clips.StoredClip | None = None

    def take(self, happening: Happening) -> None:
        """Note a piece of the clip, or the whole of it."""
        if happening.kind == "piece":
            self._pieces.append(happening.weights)
            self._fps = happening.fps
        elif happening.kind == "done":
            self._clip, self._steps = happening.clip, None

    def work(self, budget_s: float) -> bool:
        """Write keys for about `budget_s` seconds; True once the whole take is there."""
        if self._epoch != epoch.current():  # undo or redo: what is half written is gone
            self._steps, self._written_rows, self._epoch = None, 0, epoch.current()
        end = time.perf_counter() + budget_s
        while time.perf_counter() < end:
            if self._steps is None:
                if self._clip is None and self._rows() == self._written_rows:
                    return False
                self._steps = self._write()
            if next(self._steps, self) is self:
                self._steps = None
                if self._clip is not None:
                    return True
        return False

    def discard(self) -> None:
        """Remove the take as if it had never been begun."""
        item, scene = self._item(), self._scene()
        take = takes.find_take(item, self.take_id) if item is not None else None
        if take is not None:
            before = item.exomni.shown_before
            takes.delete(item, take, scene)
            earlier = takes.find_take(item, before)
            if earlier is not None:
                takes.show(item, earlier, scene)
        for action in list(bpy.data.actions):  # of a character that was deleted meanwhile
            if action.get(foreign.MARK) == self.take_id:
                bpy.data.actions.remove(action)

    def _rows(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    def _item(self) -> Any:
        return bpy.data.objects.get(self.item_name)

    def _scene(self) -> Any:
        return bpy.data.scenes.get(self.scene_name) or bpy.context.scene

    def _write(self) -> Iterator[None]:
        """Write what is there so far, at the end the whole clip with its sound."""
        item, clip = self._item(), self._clip
        if item is None:
            raise InputError(f"the character {self.item_name} was deleted; the clip is lost")
        take = takes.find_take(item, self.take_id)
        if take is None:
            take = takes.new_take(item, self.start_frame, self.text, self.take_id)
        rows = self._rows()
        weights, fps = (
            (np.concatenate(self._pieces), self._fps)
            if clip is None
            else (clip.weights, clip.face.fps)
        )
        yield from takes.write_steps(item, take, weights, fps, self._scene())
        self._written_rows = rows
        item = self._item()  # time has passed
        take = takes.find_take(item, self.take_id)
        if clip is None:
            takes.show(item, take, self._scene())
            return
        folder = clips.store_folder(self.storage)
        note = takes.finish(item, take, clip, folder, self._scene())
        if note:
            session.say(note)


@fields(
    character=StringProperty(name="Character", description="Object name; empty is the chosen one"),
    mode=EnumProperty(name="Mode", description="What to make", items=MODES),
    text=StringProperty(name="Text", description="What to say, or what to ask"),
    audio=StringProperty(
        name="Recording", description="The sound file to lip-sync", subtype="FILE_PATH"
    ),
    transcript=StringProperty(name="Transcript", description="The words of the recording"),
    language=StringProperty(name="Language", description="Such as en, zh or de"),
    voice=StringProperty(name="Voice", description="A voice of the engine"),
    style=EnumProperty(
        name="Style", description="How strongly the face moves", items=STYLES, default="neutral"
    ),
    rate=FloatProperty(
        name="Rate", description="Speaking rate; 1 is normal", default=1.0, min=0.5, max=2.5
    ),
    seed=IntProperty(
        name="Seed", description="The same seed gives the same take", default=0, min=0
    ),
    engine=EnumProperty(name="Engine", description="What makes the clip", items=ENGINES),
    streaming=BoolProperty(
        name="Live keys",
        description="Write keys already while pieces of the clip arrive",
        default=True,
    ),
    start_frame=IntProperty(
        name="Start frame", description="Where the take begins; the current frame if not given"
    ),
)
class Generate(Explained, Operator):
    """Make a take: what is not given is taken from the panel."""

    bl_idname = "exomni.generate"
    bl_label = "Generate"
    bl_description = "Make the clip and put it on the character as a new take"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """A clip is being made."""
        return busy_reason()

    def execute(self, context: Any) -> set[str]:
        """Blocking form, for scripts and headless use."""
        try:
            job = self._begin(context)
        except ExOmniError as error:
            return fail(self, error)
        try:
            for happening in session.wait():
                job.take(happening)
                if happening.kind in ("failed", "cancelled"):
                    job.discard()
                    self.report({"ERROR"}, happening.text)
                    return {"CANCELLED"}
            while not job.work(1.0):
                pass
        except ExOmniError as error:
            session.abandon()
            job.discard()
            return fail(self, error)
        except BaseException:  # such as Ctrl-C in a terminal
            session.abandon()
            job.discard()
            raise
        return {"FINISHED"}

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Modal form: returns at once, a timer does the rest."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._job = self._begin(context)
        except ExOmniError as error:
            return fail(self, error)
        self._timer = context.window_manager.event_timer_add(TICK_S, window=context.window)
        self._arrived = False
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        """One tick: a few milliseconds of work, then back to Blender."""
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        started = time.perf_counter()
        try:
            ended = self._tick()
        except ExOmniError as error:
            self._give_up(context)
            return fail(self, error)
        except BaseException:
            self._give_up(context)
            raise
        redraw(context)
        session.slowest_tick_s = max(session.slowest_tick_s, time.perf_counter() - started)
        if ended:
            self._end(context)
            return ended
        return {"PASS_THROUGH"}

    def cancel(self, context: Any) -> None:
        """Blender opens another file, or ends, or closes this window."""
        self._give_up(context)

    def _give_up(self, context: Any) -> None:
        session.abandon()
        self._end(context)
        self._job.discard()

    def _tick(self) -> set[str]:
        for happening in session.poll():
            self._job.take(happening)
            if happening.kind in ("failed", "cancelled"):
                self._job.discard()
                if happening.kind == "failed":
                    self.report({"ERROR"}, happening.text)
                return {"CANCELLED"}
            self._arrived = self._arrived or happening.kind in ENDS
        if not self._job.work(BUDGET_S):
            if not self._arrived and not session.is_busy:  # another file was opened
                return {"CANCELLED"}
            return set()
        return {"FINISHED"}

    def _end(self, context: Any) -> None:
        context.window_manager.event_timer_remove(self._timer)

    def _begin(self, context: Any) -> Job:
        """Check everything that can be checked now, and start; raises ExOmniError."""
        scene = context.scene
        wish = self._wishes(scene.exomni)
        item = character.find_character(context, self.character)
        takes.check_ready(item)
        prompt, audio = prompt_of(wish)
        place = preferences.chosen_place()
        given = self.properties.is_property_set("start_frame")
        start = self.start_frame if given else scene.frame_current
        job = Job(item, scene, start, str(prompt.get("text") or prompt.get("transcript") or ""))
        session.begin(
            Request(
                place=place,
                prompt=prompt,
                engine=wish["engine"],
                audio=audio,
                stream=wish["streaming"],
                idle_s=60.0 * preferences.preferences().idle_minutes,
                log=log_path(),
            )
        )
        return job

    def _wishes(self, settings: Any) -> dict[str, Any]:
        """What was given to the operator, and for the rest what the panel says."""
        wish = {
            name: getattr(self if self.properties.is_property_set(name) else settings, name)
            for name in _FROM_PANEL
        }
        given = self.properties.is_property_set
        if not given("text") and settings.text_block is not None:
            wish["text"] = settings.text_block.as_string()
        if not given("mode") and given("audio") and not given("text"):
            wish["mode"] = "lipsync"
        elif not given("mode") and given("text"):
            wish["mode"] = "say" if wish["mode"] == "lipsync" else wish["mode"]
        if not given("audio"):
            if settings.audio_source == "strip":
                path = sequencer.sound_path(bpy.context.scene, settings.strip)
                wish["audio"] = str(path) if path else ""
            elif settings.audio_source == "microphone":
                wish["audio"], wish["recorded"] = "", session.recorded
        return wish


def prompt_of(wish: dict[str, Any]) -> tuple[dict[str, Any], Path | None]:
    """Wishes -> a prompt as plain data and the recording; InputError where something is missing."""
    mode = wish["mode"]
    prompt: dict[str, Any] = {"id": "take", "mode": mode, "seed": wish["seed"]}
    prompt |= {"style": wish["style"], "rate": wish["rate"]}
    prompt |= {name: wish[name] for name in ("language", "voice") if wish[name]}
    recorded, has_text = wish.get("recorded", ""), bool(wish["text"].strip())
    if mode == "say" or (mode == "reply" and (has_text or not (wish["audio"] or recorded))):
        if not has_text:
            raise InputError("there is no text; type a line first", field="text")
        return prompt | {"text": wish["text"]}, None
    if mode == "lipsync" and wish["transcript"].strip():
        prompt["transcript"] = wish["transcript"]
    if recorded:
        return prompt | {"audio": recorded}, None
    if not wish["audio"]:
        raise InputError("there is no recording; choose a sound file or strip", field="audio")
    audio = Path(bpy.path.abspath(wish["audio"]))
    if not audio.is_file():
        raise InputError(f"there is no file {audio}; choose another", field="audio")
    return prompt, audio


class Cancel(Explained, Operator):
    """Stop making the clip."""

    bl_idname = "exomni.cancel"
    bl_label = "Cancel"
    bl_description = "Stop making the clip; nothing of it is kept"

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """Nothing is being made."""
        return "" if session.is_busy else "Nothing is being made"

    def execute(self, _: Any) -> set[str]:
        """Ask the session to stop."""
        session.cancel()
        return {"FINISHED"}


class StopEngine(Explained, Operator):
    """End the engine's process."""

    bl_idname = "exomni.stop_engine"
    bl_label = "Stop engine"
    bl_description = "End the engine's process and free its memory; it starts again when needed"

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """It isn't running, or it is at work."""
        return busy_reason() or ("" if session.is_running else "The engine isn't running")

    def execute(self, _: Any) -> set[str]:
        """End it."""
        session.close()
        session.say(tr("The engine is stopped"))
        return {"FINISHED"}


class CopyReport(Explained, Operator):
    """Put what helps to find a fault on the clipboard."""

    bl_idname = "exomni.copy_report"
    bl_label = "Copy report"
    bl_description = "Copy versions, what happened and the engine's log, to send to us"

    def execute(self, context: Any) -> set[str]:
        """Fill the clipboard."""
        context.window_manager.clipboard = session.report(bpy.app.version_string)
        self.report({"INFO"}, tr("The report is on the clipboard"))
        return {"FINISHED"}


def redraw(context: Any) -> None:
    """Draw the sidebars again, so that progress shows."""
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
            if area.type == "PREFERENCES":
                area.tag_redraw()


CLASSES: Final = (Generate, Cancel, StopEngine, CopyReport)
