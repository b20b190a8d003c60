# SPDX-License-Identifier: GPL-3.0-or-later
"""A slider moved in, the take's keys written anew out, at once and from its stored clip."""

from __future__ import annotations

from typing import Any

import bpy

from exomni_core.errors import ExOmniError

from .quiet import quietly
from .takes import sequencer
from .takes import shown as takes
from .takes.curves import Shaping


def set_shaping(take: Any, **values: Any) -> None:
    """Change some adjustments of a take; the keys are not written yet."""
    with quietly():
        for name, value in values.items():
            setattr(take, name, value)


def reset(take: Any) -> None:
    """All adjustments as they were when the take was made; the keys are not written yet."""
    set_shaping(take, **vars(Shaping()))


def on_change(take: Any) -> None:
    """An adjustment was changed in the panel."""
    _write(take)


def on_start_moved(take: Any) -> None:
    """The start frame was changed in the panel: keys and strip move along."""
    sequencer.move(take.id, take.start_frame)
    _write(take)


def move(take: Any, start_frame: int, scene: Any) -> None:
    """Move a take's keys and strip to another start frame."""
    with quietly():
        take.start_frame = start_frame
    sequencer.move(take.id, start_frame)
    takes.rewrite(take.id_data, take, scene)


def _write(take: Any) -> None:
    from .session import session

    try:
        takes.rewrite(take.id_data, take, bpy.context.scene)
    except ExOmniError as error:  # a callback can't report, but the panel can
        session.fail(str(error))


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
            takes.rewrite(item, take, scene)
            moved += 1
    return moved
