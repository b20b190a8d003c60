# SPDX-License-Identifier: GPL-3.0-or-later
"""A button's work in, an operator out that is grey with a reason and fails with one sentence.

A button is a class of these mix-ins and Blender's Operator, declared by `button`; it writes `work`
(or `work_on` a character) and raises ExOmniError where it can't go on.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from bpy.props import IntProperty, StringProperty

from exomni_core.errors import ExOmniError, InputError, WorkerError

from .. import character
from ..declare import Mixin, fields, tr
from ..session import session
from ..takes.records import chosen_take

_T = TypeVar("_T", bound=type)


def button(name: str, label: str, /, *, undo: bool = True, **properties: Any) -> Callable[[_T], _T]:
    """Declare a class as the operator `exomni.NAME`; its docstring is the button's tooltip.

    properties: Blender properties beside those of the class's mix-ins. undo: one step to undo.
    """

    def declare(kind: _T) -> _T:
        declared: Any = fields(**properties)(kind)
        declared.bl_idname, declared.bl_label = f"exomni.{name}", label
        declared.bl_description = (inspect.getdoc(kind) or "").removesuffix(".")
        if undo:
            declared.bl_options = {"REGISTER", "UNDO"}
        return kind

    return declare


def start_frame() -> Any:
    """The property `start_frame` of what makes a take."""
    return IntProperty(
        name="Start frame", description="Where the take begins; the current frame if not given"
    )


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


class Button(Mixin):
    """What all buttons share; `execute` is also the form for scripts."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:  # noqa: ARG003
        """Why this can't run now, as a sentence in English that has a translation, or ''."""
        return busy_reason()

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Blender asks whether the button is to be grey."""
        reason = cls.disabled_reason(context)
        if reason:
            cls.poll_message_set(tr(reason))  # type: ignore[attr-defined]
        return not reason

    def execute(self, context: Any) -> set[str]:
        """Do the work, and tell what went wrong."""
        try:
            self.work(context)
        except ExOmniError as error:
            return self.failed(error)
        except Exception as error:  # noqa: BLE001 (a .blend may hold what nobody foresaw)
            kind = type(error).__name__
            return self.failed(
                WorkerError(
                    f"something unexpected went wrong ({kind}); press Copy report and send it to us"
                ),
                traceback.format_exc(),
            )
        return {"FINISHED"}

    def work(self, context: Any) -> None:
        """What the button does; raises ExOmniError."""
        raise NotImplementedError

    def failed(self, error: Exception, details: str = "") -> set[str]:
        """Tell a failure to the panel and to whoever called; the operator is cancelled."""
        session.fail(str(error), details)
        self.report({"ERROR"}, str(error))
        return {"CANCELLED"}

    def tell(self, text: str) -> None:
        """Tell a success to the panel and to whoever called."""
        session.say(text)
        self.report({"INFO"}, text)

    def given(self, name: str) -> bool:
        """Whether the caller set this property."""
        return bool(self.properties.is_property_set(name))

    def first_frame(self, context: Any) -> int:
        """The start frame that was given, else the current one."""
        return int(self.start_frame if self.given("start_frame") else context.scene.frame_current)


@fields(
    character=StringProperty(name="Character", description="Object name; empty is the chosen one")
)
class OnCharacter(Button):
    """For buttons that work on the character there is."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """There is no character, or a clip is being made."""
        return busy_reason() or no_character_reason(context)

    def work(self, context: Any) -> None:
        """Find the character and work on it."""
        self.work_on(character.find_character(context, self.character), context)

    def work_on(self, item: Any, context: Any) -> None:
        """What the button does to the character's object `item`; raises ExOmniError."""
        raise NotImplementedError


class OnTakes(OnCharacter):
    """For buttons that need at least one take."""

    @classmethod
    def disabled_reason(cls, context: Any) -> str:
        """There is no character, no take, or a clip is being made."""
        reason = super().disabled_reason(context)
        if reason:
            return reason
        has_takes = character.find_character(context).exomni.takes
        return "" if has_takes else "There are no takes yet; press Generate first"


@fields(
    take=StringProperty(name="Take", description="Name or id of a take; empty is the chosen one")
)
class OnTake(OnTakes):
    """For buttons that work on one take."""

    def chosen(self, item: Any) -> Any:
        """The take that the caller named, else the shown one, else the chosen one."""
        return chosen_take(item, self.take)

    def chosen_in_list(self, item: Any) -> Any:
        """The take that the caller named, else the one chosen in the list."""
        index = min(max(item.exomni.take_index, 0), len(item.exomni.takes) - 1)
        return chosen_take(item, self.take or item.exomni.takes[index].id)
