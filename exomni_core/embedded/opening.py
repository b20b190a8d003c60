# SPDX-License-Identifier: GPL-3.0-or-later
"""The mouth's weights and where its lips are shut in -> lips that part no faster than people's.

Opening is counted in units of what jawOpen at 1 parts the lips by (31 mm on the built-in head): all
channels that part them count, since a jaw, a lower and an upper lip that each move moderately add
up to lips that jump 13 mm within a frame.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import Array, Bools

FULL_OPENING_MM: Final = 31.0
# Lips part at up to 220 mm/s and meet at up to 250 mm/s.
RELEASE_PER_S, CLOSING_PER_S = 220.0 / FULL_OPENING_MM, 250.0 / FULL_OPENING_MM
LEAST_OPENING: Final = 3.0 / FULL_OPENING_MM  # of a vowel between two closures: less is not seen
LARGEST_JOLT: Final = 0.48  # third difference at 30 fps; the promise is 0.5
# How much mouthClose may take back, one and two frames beside a closure.
_CLOSE_BESIDE: Final = (0.16, 0.08)
_JOLT_PASSES: Final = 12
_JAW, _CLOSE = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
# How far the lips part at 1, as measured on the built-in head's inner lips.
_LIPS: Final = {
    CHANNEL_INDEX["mouthLowerDownLeft"]: 0.11, CHANNEL_INDEX["mouthLowerDownRight"]: 0.11,
    CHANNEL_INDEX["mouthUpperUpLeft"]: 0.11, CHANNEL_INDEX["mouthUpperUpRight"]: 0.11,
    CHANNEL_INDEX["mouthFunnel"]: 0.43,
}  # fmt: skip
_LIP_CHANNELS: Final = tuple(_LIPS)
_LIP_SHARES: Final = np.array(tuple(_LIPS.values()))


def lip_opening(weights: npt.NDArray[np.floating[Any]]) -> Array:
    """(T,) how far the lips of (T, 52) weights are apart, in units of jawOpen at 1; 0 is shut."""
    net = np.asarray(weights[:, _JAW] - weights[:, _CLOSE], np.float64)
    lips = np.asarray(weights[:, _LIP_CHANNELS], np.float64) @ _LIP_SHARES
    opening: Array = np.maximum(net + lips, 0.0)
    return opening


def limit_opening_speed(weights: Array, shut: Bools, fps: float) -> None:
    """Let the lips of (T, 52) `weights` part and meet at people's speed, in place.

    shut: (T,) the frames in which the lips are held together. Only ever lowers the opening; beside
    a closure mouthClose gives way first, so that the chin need not dip.
    """
    opening = lip_opening(weights)
    opening[shut] = 0.0
    limited = opening.copy()
    rise, fall = RELEASE_PER_S / fps, CLOSING_PER_S / fps
    for k in range(1, len(limited)):
        limited[k] = min(limited[k], limited[k - 1] + rise)
    for k in range(len(limited) - 2, -1, -1):
        limited[k] = min(limited[k], limited[k + 1] + fall)
    touched = (limited < opening - 1e-9) & ~shut
    share = np.where(touched, limited / np.maximum(opening, 1e-9), 1.0)
    net = (weights[:, _JAW] - weights[:, _CLOSE]) * share
    weights[:, _LIP_CHANNELS] *= share[:, None]
    close = np.minimum(weights[:, _JAW] - net, _room_for_close(shut, fps))
    weights[touched, _CLOSE] = close[touched]
    weights[touched, _JAW] = (net + close)[touched]


def part_for_vowels(weights: Array, parted: Bools) -> None:
    """Open the jaw of (T, 52) `weights` in place, until the lips are seen apart where `parted`."""
    missing = np.maximum(LEAST_OPENING - lip_opening(weights), 0.0)
    weights[parted, _JAW] += missing[parted]


def _room_for_close(shut: Bools, fps: float) -> Array:
    """(T,) the most that mouthClose may hold back in each frame."""
    room = np.zeros(len(shut))
    for distance, most in enumerate(_CLOSE_BESIDE, 1):
        shift = max(1, round(distance * fps / 30.0))
        beside = np.zeros(len(shut), np.bool_)
        beside[shift:] |= shut[:-shift]
        beside[:-shift] |= shut[shift:]
        room = np.maximum(room, np.where(beside, most, 0.0))
    return room


def soften_jolts(curves: Array, limit: float) -> None:
    """Smooth (T, C) `curves` in place where a third difference exceeds `limit`, and only there."""
    for channel in range(curves.shape[1]):
        curve = curves[:, channel]
        for _ in range(_JOLT_PASSES):
            sharp = np.flatnonzero(np.abs(np.diff(curve, 3)) > limit)
            if not len(sharp):
                break
            near = np.zeros(len(curve), np.bool_)
            for offset in range(4):
                near[sharp + offset] = True
            padded = np.pad(curve, 1, mode="edge")
            smooth = 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]
            curve[near] += 0.5 * (smooth - curve)[near]
