# SPDX-License-Identifier: GPL-3.0-or-later
"""A take and new adjustments or a new start in, its keys written again from its stored clip out."""

from __future__ import annotations

from typing import Any

import bpy

from ..quiet import quietly
from . import sequencer, writing
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


def follow_strips(scene: Any) -> int:
    """Move the keys of takes whose strip was moved; returns how many takes moved."""
    places, moved = sequencer.moved_takes(scene), 0
    for item in bpy.data.objects:
        for take in item.exomni.takes:
            start = places.get(take.id, take.start_frame)
            if start == take.start_frame:
                continue
            with quietly():
                take.start_frame = start
            writing.rewrite(item, take, scene)
            moved += 1
    return moved
