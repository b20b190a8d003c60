# SPDX-License-Identifier: GPL-3.0-or-later
"""A character in, the records of its takes out: found, added and named; whose an Action is."""

from __future__ import annotations

import uuid
from typing import Any, Final

import bpy

from exomni_core.errors import InputError

from .. import stored
from ..quiet import quietly
from .curves import Shaping

_TEXT_SHOWN: Final = 30
SHAPING: Final = tuple(Shaping.__dataclass_fields__)  # the names of a take's adjustments


def find_take(item: Any, take_id: str) -> Any:
    """The take with this id, or None."""
    return next((take for take in item.exomni.takes if take.id == take_id), None)


def shown_take(item: Any) -> Any:
    """The take that is on the face, or None."""
    return find_take(item, item.exomni.shown) if item.exomni.shown else None


def chosen_take(item: Any, name: str = "") -> Any:
    """A take by name or id, else the shown one, else the chosen one; InputError if there's none."""
    state = item.exomni
    if name:
        found = next((t for t in state.takes if name in (t.id, t.name, t.name.split(":")[0])), None)
        if found is None:
            raise InputError(f"{item.name} has no take {name!r}")
        return found
    shown = shown_take(item)
    if shown is not None:
        return shown
    if not state.takes:
        raise InputError("there are no takes yet; press Generate first")
    return state.takes[min(max(state.take_index, 0), len(state.takes) - 1)]


def shaping_of(take: Any) -> Shaping:
    """The take's adjustments as plain values."""
    return Shaping(**{name: stored.setting(take, name) for name in SHAPING})


def new_id() -> str:
    """An id that no take has yet."""
    return uuid.uuid4().hex[:12]


def new_take(item: Any, start_frame: int, text: str = "", take_id: str = "") -> Any:
    """Add an empty take to the character; nothing on the face changes yet."""
    take = item.exomni.takes.add()
    take.id = take_id or new_id()
    with_numbers = [t.name.split(":")[0].removeprefix("Take ") for t in item.exomni.takes]
    number = 1 + max((int(n) for n in with_numbers if n.isdigit()), default=0)
    take.name = f"Take {number}"
    with quietly():
        take.start_frame = start_frame
    describe(take, text)
    return take


def describe(take: Any, text: str) -> None:
    """Let the take's name tell what is said."""
    take.text = text
    short = " ".join(text.split())
    if short:
        cut = short if len(short) <= _TEXT_SHOWN else short[: _TEXT_SHOWN - 1] + "…"
        take.name = f"{take.name.split(':')[0]}: {cut}"


def owned_actions() -> set[Any]:
    """All Actions in this .blend that belong to takes."""
    return {
        entry.action
        for item in bpy.data.objects
        for take in item.exomni.takes
        for entry in take.actions
        if entry.action is not None
    }


def is_shared(action: Any, item: Any) -> bool:
    """Whether another character, such as a copy of this one, has the same Action in a take."""
    return any(
        entry.action == action
        for other in bpy.data.objects
        if other != item
        for take in other.exomni.takes
        for entry in take.actions
    )


def owner_of(target: Any) -> Any:
    """What holds a character's animation: shape keys, or the rig itself; None if nothing."""
    if target.type == "ARMATURE":
        return target
    return target.data.shape_keys if target.type == "MESH" else None
