# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's undo and file loading in, a number out that changes with every such event.

Both replace all datablocks: whoever holds one across ticks must compare this number first, because
touching a datablock that is gone crashes Blender.
"""

from __future__ import annotations

_count = 0


def current() -> int:
    """A number that is the same as long as datablocks stay valid."""
    return _count


def end() -> None:
    """Datablocks were replaced."""
    global _count
    _count += 1
