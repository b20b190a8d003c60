# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes in, strips on one NLA track out: a character says several lines, one after the other.

A shown take is the active Action and can be alone. Kept as lines, takes stand side by side on a
track of their own; between two of them the face holds where the earlier one ended.
"""

from __future__ import annotations

from typing import Any, Final

from .. import compat
from .records import owner_of

TRACK_NAME: Final = "Ex-Omni lines"


def place_take(take: Any) -> None:
    """Put all Actions of a take on tracks of lines, at the take's present place and length."""
    for entry in take.actions:
        if entry.action is not None and entry.object is not None:
            owner = owner_of(entry.object)
            if owner is not None:
                _remove(owner, entry.action)
                _place(owner, entry.action, take.name)


def remove_take(take: Any) -> None:
    """Take all Actions of a take off the tracks of lines."""
    for entry in take.actions:
        if entry.action is not None and entry.object is not None:
            owner = owner_of(entry.object)
            if owner is not None:
                _remove(owner, entry.action)
    take.kept = False


def _place(owner: Any, action: Any, name: str) -> None:
    """Put a take's Action on the track of lines, or on another such track where it has no room."""
    animation = owner.animation_data or owner.animation_data_create()
    if animation.action == action:
        animation.action = None
    slot = compat.first_slot(action)
    placed = (compat.add_strip(track, action, slot) for track in _tracks(animation))
    strip = next((strip for strip in placed if strip is not None), None)
    if strip is None:
        strip = compat.push_down(animation, action, slot, TRACK_NAME)
    strip.name = name
    _settle(animation)


def _remove(owner: Any, action: Any) -> None:
    """Take a take's Action off the tracks of lines; empty ones go."""
    animation = owner.animation_data
    for track in _tracks(animation) if animation is not None else ():
        for strip in list(track.strips):
            if strip.action == action:
                track.strips.remove(strip)
        if not track.strips:
            animation.nla_tracks.remove(track)
    if animation is not None:
        _settle(animation)


def _settle(animation: Any) -> None:
    """The lowest track of lines holds between them; those above count only while they speak.

    Without one that holds, Blender 5 would set the keys to 1 where nobody speaks.
    """
    for number, track in enumerate(_tracks(animation)):
        for strip in track.strips:
            strip.extrapolation = "HOLD" if number == 0 else "NOTHING"


def have_lines(owner: Any) -> bool:
    """Whether lines are on this datablock."""
    animation = owner.animation_data
    return animation is not None and bool(_tracks(animation))


def _tracks(animation: Any) -> list[Any]:
    return [track for track in animation.nla_tracks if track.name.startswith(TRACK_NAME)]
