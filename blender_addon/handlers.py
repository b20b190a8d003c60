# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own events in, nothing left behind out: another file opened, a strip moved."""

from __future__ import annotations

import contextlib
from typing import Any

import bpy

from . import epoch, stored
from .quiet import quietly
from .session import session
from .takes import adjust, clips


def before_load(*_: Any) -> None:
    """Another file is about to be opened: what is being made has no place in it."""
    session.abandon()


def after_load(*_: Any) -> None:
    """Another file is open: clips in memory belong to the old one."""
    epoch.end()
    clips.forget_all()
    with quietly():
        broken = sum(stored.empty_broken_texts(o.exomni) for o in bpy.data.objects)
        broken += sum(stored.empty_broken_texts(scene.exomni) for scene in bpy.data.scenes)
    if broken:
        session.say("Texts of this .blend that can't be read were emptied")
    takes = [take for item in bpy.data.objects for take in item.exomni.takes]
    if any(stored.names_foreign_file(take) for take in takes):
        session.say("A take of this .blend names a file that isn't its own; it is not opened")


def after_undo(*_: Any) -> None:
    """Undo or redo replaced the datablocks."""
    epoch.end()


def after_change(scene: Any, *_: Any) -> None:
    """Something changed; if it was the place of a take's strip, the keys go along.

    Data may not be changed from here, so that is done a moment later.
    """
    settings = getattr(scene, "exomni", None)
    if settings is None or not settings.follow_strip or scene.sequence_editor is None:
        return
    moved = [take for take, _ in adjust.moved_takes(scene)]
    if any(clips.is_at_hand(take) for take in moved) and not bpy.app.timers.is_registered(_follow):
        bpy.app.timers.register(_follow, first_interval=0.0)


def _follow() -> None:
    with session.showing_failure():
        adjust.follow_strips(bpy.context.scene, at_hand=True)


def _lists() -> tuple[tuple[Any, Any], ...]:
    return (
        (bpy.app.handlers.load_pre, before_load),
        (bpy.app.handlers.load_post, after_load),
        (bpy.app.handlers.undo_post, after_undo),
        (bpy.app.handlers.redo_post, after_undo),
        (bpy.app.handlers.depsgraph_update_post, after_change),
    )


def attach() -> None:
    """Listen to Blender."""
    for handlers, handler in _lists():
        # Persistent: it goes on listening when another file is opened.
        handlers.append(bpy.app.handlers.persistent(handler))


def detach() -> None:
    """Listen no more."""
    for handlers, handler in _lists():
        with contextlib.suppress(ValueError):
            handlers.remove(handler)
    if bpy.app.timers.is_registered(_follow):
        bpy.app.timers.unregister(_follow)
