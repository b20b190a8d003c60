# SPDX-License-Identifier: GPL-3.0-or-later
"""A take and new adjustments or a new start in, its keys written again from its stored clip out."""

from __future__ import annotations

from typing import Any

import bpy

from .. import stored
from ..quiet import quietly
from . import clips, sequencer, writing
from .curves import Shaping


def set_shaping(take: Any, **values: Any) -> None:
    """Change some adjustments of a take; the keys are not written yet."""
    with quietly():
        for name, value in values.items():
            setattr(take, name, value)


def reset(take: Any) -> None:
    """All adjustments as they were when the take was made; the keys are not written yet."""
    set_shaping(take, **vars(Shaping()))


def rewrite_now(take: Any) -> None:
    """Write the keys of `take` again, for the scene in the window."""
    writing.rewrite(take.id_data, take, bpy.context.scene)


def follow_start(take: Any) -> None:
    """Move the take's keys and strip to the start frame that it has."""
    sequencer.move(take.id, take.start_frame)
    rewrite_now(take)


def move(take: Any, start_frame: int, scene: Any) -> None:
    """Move a take's keys and strip to another start frame."""
    with quietly():
        take.start_frame = start_frame
    sequencer.move(take.id, start_frame)
    writing.rewrite(take.id_data, take, scene)


def moved_takes(scene: Any) -> list[tuple[Any, int]]:
    """The takes whose strip isn't where their keys begin, and the frame where it is."""
    places = sequencer.moved_takes(scene)
    if not places:
        return []
    return [
        (take, places[take.id])
        for item in bpy.data.objects
        for take in item.exomni.takes
        if places.get(take.id, stored.start_frame(take)) != stored.start_frame(take)
    ]


def follow_strips(scene: Any, *, at_hand: bool = False) -> None:
    """Move the keys of takes whose strip was moved; at_hand: only where no file need be opened."""
    for take, start in moved_takes(scene):
        if at_hand and not clips.is_at_hand(take):
            continue
        with quietly():
            take.start_frame = start
        writing.rewrite(take.id_data, take, scene)
