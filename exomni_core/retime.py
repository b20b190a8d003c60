# SPDX-License-Identifier: GPL-3.0-or-later
"""Face weights at one rate in, weights or reduced keys at any other rate out; pure numpy, seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from exomni_core.errors import InputError


@dataclass(frozen=True)
class FrameRate:
    """A frame rate as Blender keeps it: `frames / base` per second (30 / 1.001 = 29.97)."""

    frames: int
    base: float = 1.0

    @property
    def fps(self) -> float:
        """Frames per second as one number."""
        return self.frames / self.base

    def __str__(self) -> str:
        return f"{self.fps:.5g}"


def parse_frame_rate(value: str | float) -> FrameRate:
    """`24`, `29.97`, `23.976`, `59.94`, `30000/1001` -> FrameRate; InputError outside 1 to 240."""
    try:
        top, _, bottom = str(value).partition("/")
        fps = float(top) / float(bottom or 1)
    except (ValueError, ZeroDivisionError):
        fps = math.nan
    if not 1.0 <= fps <= 240.0:
        raise InputError(f"{value!r} is not a frame rate from 1 to 240 per second", field="fps")
    whole = math.ceil(fps - 1e-9)
    if abs(fps - whole) < 1e-9:
        return FrameRate(whole)
    if abs(fps - whole / 1.001) < 0.006:  # 29.97 and 23.976 are shorthands for n / 1.001
        return FrameRate(whole, 1.001)
    return FrameRate(whole, whole / fps)
