# SPDX-License-Identifier: GPL-3.0-or-later
"""Buttons and scripts in, a new take on the character out: `bpy.ops.exomni.generate` and `cancel`.

Called from a script (or headless) Generate blocks until the take is there; pressed in the panel it
is modal: a timer polls the session and writes keys for a few milliseconds at a time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import bpy

from exomni_core.engine import DEFAULT_ENGINE
from exomni_core.errors import ExOmniError, InputError

from .. import character, preferences
from ..declare import Operator
from ..properties import WISHES, wish_fields
from ..service import ENDS, Happening, Request
from ..session import session
from ..takes import sequencer, showing
from ..takes.making import ArrivingTake
from .base import Button, OnCharacter, busy_reason, button, start_frame
from .redraw import redraw

TICK_S: Final = 0.03
BUDGET_S: Final = 0.004  # of main-thread work in one tick


@button("generate", "Generate", **wish_fields(), start_frame=start_frame())
class Generate(OnCharacter, Operator):
    """Make a clip and add it to the character as a new take."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """Why the button is off: a sentence while a clip is being made, else "".

        Missing fields are no reason; pressing the button says what is missing.
        """
        return busy_reason()

    def execute(self, context: Any) -> set[str]:
        """Blocking form, for scripts and headless use."""
        try:
            arriving = self._begin(context)
        except ExOmniError as error:
            return self.failed(error)
        try:
            for happening in session.wait():
                note_happening(arriving, happening)
                if happening.kind in ("failed", "cancelled"):
                    arriving.discard()
                    self.report({"ERROR"}, happening.text)
                    return {"CANCELLED"}
            while not arriving.work(1.0):
                pass
        except ExOmniError as error:
            session.abandon()
            arriving.discard()
            return self.failed(error)
        except BaseException:  # such as Ctrl-C in a terminal
            session.abandon()
            arriving.discard()
            raise
        tell_note(arriving)
        return {"FINISHED"}

    def invoke(self, context: Any, _: Any) -> set[str]:
        """Modal form: returns at once, a timer does the rest."""
        if bpy.app.background:
            return self.execute(context)
        try:
            self._arriving = self._begin(context)
        except ExOmniError as error:
            return self.failed(error)
        self._timer = context.window_manager.event_timer_add(TICK_S, window=context.window)
        self._ended = False
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: Any, event: Any) -> set[str]:
        """One tick: a few milliseconds of work, then back to Blender."""
        if event.type != "TIMER":
            return {"PASS_THROUGH"}
        started = time.perf_counter()
        try:
            result = self._tick()
        except ExOmniError as error:
            self._give_up(context)
            return self.failed(error)
        except BaseException:
            self._give_up(context)
            raise
        redraw(context)
        session.slowest_tick_s = max(session.slowest_tick_s, time.perf_counter() - started)
        if result:
            self._stop_timer(context)
            return result
        return {"PASS_THROUGH"}

    def cancel(self, context: Any) -> None:
        """Blender opens another file, or ends, or closes this window."""
        self._give_up(context)

    def _give_up(self, context: Any) -> None:
        session.abandon()
        self._stop_timer(context)
        self._arriving.discard()

    def _tick(self) -> set[str]:
        """What the operator returns, or an empty set to go on."""
        for happening in session.poll():
            note_happening(self._arriving, happening)
            if happening.kind in ("failed", "cancelled"):
                self._arriving.discard()
                if happening.kind == "failed":
                    self.report({"ERROR"}, happening.text)
                return {"CANCELLED"}
            self._ended = self._ended or happening.kind in ENDS
        if not self._arriving.work(BUDGET_S):
            if not self._ended and not session.is_busy:  # another file was opened
                return {"CANCELLED"}
            return set()
        tell_note(self._arriving)
        return {"FINISHED"}

    def _stop_timer(self, context: Any) -> None:
        context.window_manager.event_timer_remove(self._timer)

    def _begin(self, context: Any) -> ArrivingTake:
        """Check everything that can be checked now, and start; raises ExOmniError."""
        wish = self._wishes(context.scene.exomni)
        item = character.find_character(context, self.character)
        showing.check_ready(item)
        prompt, audio = prompt_of(wish)
        place, chosen = preferences.chosen_place(), preferences.preferences()
        arriving = ArrivingTake(
            item,
            context.scene,
            start_frame=self.first_frame(context),
            text=str(prompt.get("text") or prompt.get("transcript") or ""),
            storage=chosen.storage,
        )
        session.begin(
            Request(
                place=place,
                prompt=prompt,
                engine=wish["engine"] or DEFAULT_ENGINE,  # '': one that is no longer there
                audio=audio,
                stream=wish["streaming"],
                idle_s=60.0 * chosen.idle_minutes,
            )
        )
        return arriving

    def _wishes(self, settings: Any) -> dict[str, Any]:
        """What was given to the operator, and for the rest what the panel says."""
        wish = {name: getattr(self if self.given(name) else settings, name) for name in WISHES}
        if not self.given("text") and settings.text_block is not None:
            wish["text"] = settings.text_block.as_string()
        if not self.given("mode") and self.given("audio") and not self.given("text"):
            wish["mode"] = "lipsync"
        elif not self.given("mode") and self.given("text"):
            wish["mode"] = "say" if wish["mode"] == "lipsync" else wish["mode"]
        if not self.given("audio"):
            if settings.audio_source == "strip":
                path = sequencer.sound_path(bpy.context.scene, settings.strip)
                wish["audio"] = str(path) if path else ""
            elif settings.audio_source == "microphone":
                wish["audio"], wish["recorded"] = "", session.recorded
        return wish


def note_happening(arriving: ArrivingTake, happening: Happening) -> None:
    """Hand a piece of the clip, or the whole of it, to the take."""
    if happening.kind == "piece":
        arriving.add_piece(happening.weights, happening.fps)
    elif happening.clip is not None:
        arriving.complete(happening.clip)


def tell_note(arriving: ArrivingTake) -> None:
    """Show in the panel what the take says of its sound, if anything."""
    if arriving.note:
        session.say(arriving.note)


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


@button("cancel", "Cancel", undo=False)
class Cancel(Button, Operator):
    """Stop making the clip; nothing of it is kept."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """Nothing is being made."""
        return "" if session.is_busy else "Nothing is being made"

    def work(self, _context: Any) -> None:
        """Ask the session to stop."""
        session.cancel()


CLASSES: Final = (Generate, Cancel)
