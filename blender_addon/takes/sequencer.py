# SPDX-License-Identifier: GPL-3.0-or-later
"""A take's sound in, a strip at its start frame out; the scene's end is extended, never cut."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import bpy

from .. import compat, stored

_NAME_LENGTH: Final = 50


def scene_fps(scene: Any) -> float:
    """Frames per second that the scene really plays."""
    return float(scene.render.fps / scene.render.fps_base)


def add(scene: Any, take: Any, sound_file: Path, *, pack: bool) -> str:
    """Place the sound of `take` at its start frame on the lowest free channel.

    pack: the sound's bytes go into the .blend. Returns '' or a sentence: why there is no strip.
    """
    strips = compat.sound_strips(scene)
    length = max(1, math.ceil(stored.duration_s(take) * scene_fps(scene) - 1e-6))
    channel = free_channel(scene, take.start_frame, length)
    path = bpy.path.relpath(str(sound_file)) if not pack else str(sound_file)
    extend_scene(scene, take.start_frame + length - 1)
    try:
        strip = strips.new_sound(take.name[:_NAME_LENGTH], path, channel, take.start_frame)
    except RuntimeError as error:  # a Blender that was built without sound
        return f"the take has no sound strip: {compat.one_line(error)}"
    strip[stored.MARK] = take.id
    take.sound = strip.sound
    if pack and strip.sound.packed_file is None:
        strip.sound.pack()
    return ""


def extend_scene(scene: Any, last_frame: int) -> None:
    """Make the scene's last frame at least `last_frame`."""
    scene.frame_end = max(scene.frame_end, last_frame)


def free_channel(scene: Any, start: int, length: int) -> int:
    """The lowest channel on which no strip overlaps `length` frames from `start`."""
    taken = {
        strip.channel
        for strip in compat.existing_strips(scene)
        if strip.frame_final_start < start + length and strip.frame_final_end > start
    }
    return next(channel for channel in range(1, 129) if channel not in taken or channel == 128)


def find(take_id: str) -> list[tuple[Any, Any]]:
    """All (scene, strip) that hold this take's sound."""
    return [
        (scene, strip)
        for scene in bpy.data.scenes
        for strip in compat.existing_strips(scene)
        if take_id and stored.mark_of(strip) == take_id
    ]


def remove(take_id: str) -> None:
    """Remove the strips of a take; its sound stays with the take."""
    for scene, strip in find(take_id):
        compat.sound_strips(scene).remove(strip)


def move(take_id: str, start_frame: int) -> None:
    """Move the take's strips so that their sound begins at `start_frame`."""
    for scene, strip in find(take_id):
        if int(strip.frame_start) != start_frame:
            strip.frame_start = start_frame
        extend_scene(scene, compat.strip_last_frame(strip))


def sound_only(scene: Any, take_ids: Sequence[str], audible: Collection[str]) -> None:
    """Mute the strips of these takes but for the audible ones."""
    for strip in compat.existing_strips(scene):
        mark = stored.mark_of(strip)
        if mark in take_ids and strip.mute != (mark not in audible):
            strip.mute = mark not in audible


def moved_takes(scene: Any) -> dict[str, int]:
    """Take id -> the frame at which its strip's sound begins, for the strips of `scene`."""
    return {
        mark: int(stored.number(strip.frame_start, -stored.MAX_FRAME, stored.MAX_FRAME, 1))
        for strip in compat.existing_strips(scene)
        if (mark := stored.mark_of(strip))
    }


def sound_path(scene: Any, name: str) -> Path | None:
    """The sound file behind the strip called `name`, or None if there is no such sound strip."""
    for strip in compat.existing_strips(scene):
        if strip.name == name and strip.type == "SOUND":
            return Path(bpy.path.abspath(strip.sound.filepath))
    return None
