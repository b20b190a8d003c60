# SPDX-License-Identifier: GPL-3.0-or-later
"""Layouts in, panels out: their declaration, the character they show, and long sentences."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, Final, TypeVar

from exomni_core.errors import InputError

from .. import character
from ..declare import Mixin
from ..takes.records import shown_take

_CHARACTERS_PER_PIXEL: Final = 0.14
_MOST_LINES: Final = 8
_T = TypeVar("_T", bound=type)


def panel(
    name: str, label: str, *, parent: str = "main", closed: bool = False
) -> Callable[[_T], _T]:
    """Declare a class as the panel EXOMNI_PT_NAME of our tab, inside EXOMNI_PT_PARENT ('': none).

    closed: folded until the user unfolds it.
    """

    def declare(kind: _T) -> _T:
        declared: Any = kind
        declared.bl_space_type, declared.bl_region_type = "VIEW_3D", "UI"
        declared.bl_category = "Ex-Omni"
        declared.bl_idname, declared.bl_label = f"EXOMNI_PT_{name}", label
        if parent:
            declared.bl_parent_id = f"EXOMNI_PT_{parent}"
        if closed:
            declared.bl_options = {"DEFAULT_CLOSED"}
        return kind

    return declare


def chosen_character(context: Any) -> Any:
    """The character's object, or None."""
    try:
        return character.find_character(context)
    except InputError:
        return None


def take_on_face(context: Any) -> Any:
    """The take that the character shows, or None."""
    item = chosen_character(context)
    return shown_take(item) if item is not None else None


class NeedsCharacter(Mixin):
    """For panels that are there only with a character."""

    @classmethod
    def poll(cls, context: Any) -> bool:
        """Blender asks whether the panel is to be there."""
        return chosen_character(context) is not None


def split_layout(layout: Any) -> Any:
    """The layout with labels in a column of their own and without animation dots."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    return layout


def wrapped(layout: Any, text: str, context: Any, icon: str = "NONE") -> None:
    """Draw a long sentence as several labels; Blender itself cuts them off."""
    limit = max(20, int(_width(context) * _CHARACTERS_PER_PIXEL))
    column = layout.column(align=True)
    column.scale_y = 0.8
    rest = "BLANK1" if icon != "NONE" else "NONE"  # lines stand below each other
    for number, line in enumerate(textwrap.wrap(text, limit)[:_MOST_LINES]):
        column.label(text=line, icon=icon if number == 0 else rest, translate=False)


def _width(context: Any) -> float:
    region = getattr(context, "region", None)
    scale = float(context.preferences.system.ui_scale) or 1.0
    return float(region.width) / scale if region is not None else 260.0


def sentence(text: str) -> str:
    """An error's half sentence with a capital, as everything else in the panel has."""
    return text[:1].upper() + text[1:]
