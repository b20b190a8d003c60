# SPDX-License-Identifier: GPL-3.0-or-later
"""Bones that turn about the world's axes, and how the bones lie at rest, in; out: the same turns
about the bones' own axes.

A bone turns about its own axes, and every rig lays them in its own way: the eye bones of Ready
Player Me, Mixamo, VRM and Unity point up, Rigify's point forward. A turn of the gaze to the side is
one about Y there, and one about Z here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from exomni_core.errors import InputError
from exomni_core.matching.bones import AXES, BoneTarget, Vector, guess_bones

_LEFT: Final[Vector] = (1.0, 0.0, 0.0)  # the character's left, for a head that looks along -Y
_UP: Final[Vector] = (0.0, 0.0, 1.0)
_ALIGNED: Final = math.cos(math.radians(3.0))  # within 3 degrees an axis counts as the world's


@dataclass(frozen=True)
class RestFrame:
    """How a bone lies at rest, in the world: its own axes (unit vectors), and where it begins."""

    x: Vector
    y: Vector
    z: Vector
    head: Vector = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        """Check that the numbers are finite; raises InputError."""
        for vector in (self.x, self.y, self.z, self.head):
            if len(vector) != 3 or not all(math.isfinite(number) for number in vector):
                raise InputError("a bone's rest frame needs vectors of three finite numbers")


def guess_laid_bones(
    frames: Mapping[str, RestFrame], missing: Sequence[str]
) -> tuple[BoneTarget, ...]:
    """Targets for the jaw and the eyes of a rig, turning as its bones lie.

    frames: bone name -> its rest frame. missing: channels that no shape key shows.
    The character's left is where its left eye lies; without two eyes it looks along the world's -Y.
    """
    found = guess_bones(list(frames), missing)
    left, up = _facing(frames)
    return tuple(lay(target, frames[target.bone], left, up) for target in found)


def lay(target: BoneTarget, frame: RestFrame, left: Vector = _LEFT, up: Vector = _UP) -> BoneTarget:
    """A target about the head's X (`left`) or Z (`up`) as one about the bone's own axes."""
    wanted = {"X": left, "Z": up}.get(target.axis)
    if wanted is None:
        return target
    own = _unit((_dot(wanted, frame.x), _dot(wanted, frame.y), _dot(wanted, frame.z)))
    if own is None:
        return target
    at = max(range(3), key=lambda index: abs(own[index]))
    if abs(own[at]) >= _ALIGNED:
        return replace(target, axis=AXES[at], degrees=math.copysign(1.0, own[at]) * target.degrees)
    return replace(target, axis=AXES[at], about=own)


def _facing(frames: Mapping[str, RestFrame]) -> tuple[Vector, Vector]:
    """(the character's left, its up), as its eyes lie."""
    heads = {
        side: frames[target.bone].head
        for target in guess_bones(list(frames))
        for side in ("Left", "Right")
        if f"eyeLookIn{side}" in target.channels
    }
    if len(heads) < 2:
        return _LEFT, _UP
    (ax, ay, az), (bx, by, bz) = heads["Left"], heads["Right"]
    left = _unit((ax - bx, ay - by, az - bz))
    if left is None:
        return _LEFT, _UP
    share = _dot(_UP, left)
    up = _unit((-share * left[0], -share * left[1], 1.0 - share * left[2]))
    return (left, up) if up is not None else (_LEFT, _UP)


def _dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(vector: Vector) -> Vector | None:
    length = math.hypot(*vector)
    if length < 1e-6:
        return None
    return vector[0] / length, vector[1] / length, vector[2] / length
