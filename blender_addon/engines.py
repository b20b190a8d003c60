# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines known here and to the running engine process in, the items of the menu out."""

from __future__ import annotations

import functools
import zlib
from typing import Any, Final

from exomni_core.engine import DEFAULT_ENGINE, ENGINE_KINDS

from .session import session

Item = tuple[str, str, str, str, int]  # name, title, description, icon, number
# A .blend stores the number: ours keep the places that they always had, an engine of another
# package gets one that depends on its name alone.
_FIRST_FOREIGN: Final = 1 << 10
_MOST_FOREIGN: Final = 1 << 30


def engine_items(_: Any, __: Any) -> tuple[Item, ...]:
    """For an EnumProperty: the default engine first.

    An engine process elsewhere may have engines that this Blender's Python has not.
    """
    described = tuple(
        (name, str(state["title"]), str(state["about"]))
        for name, state in session.engines.items()
        if "title" in state
    )
    return _items(described)


@functools.cache  # Blender needs the texts to stay where they are
def _items(described: tuple[tuple[str, str, str], ...]) -> tuple[Item, ...]:
    here = {name: (kind.title, kind.about) for name, kind in ENGINE_KINDS.members().items()}
    there = {name: (title, about) for name, title, about in described}
    own = list(ENGINE_KINDS.built_in)
    assert own[0] == DEFAULT_ENGINE
    return tuple(
        (name, title, about, "NONE", own.index(name) if name in own else _number(name))
        for name, (title, about) in (here | there).items()
    )


def _number(name: str) -> int:
    return _FIRST_FOREIGN + zlib.crc32(name.encode()) % (_MOST_FOREIGN - _FIRST_FOREIGN)
