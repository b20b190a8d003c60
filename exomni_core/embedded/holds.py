# SPDX-License-Identifier: GPL-3.0-or-later
"""When closures and vowels sound in -> the frames in which the lips are held together out.

A closure needs one frame to be seen and keeps to its own sound, so that the vowels beside it keep
theirs. Between two closures the mouth opens for two frames or not at all: one frame of an open
mouth reads as chattering teeth.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import Array

EARLY_FRAMES: Final = 0.4  # frames: a hold begins so much before its sound
_LATE: Final = 0.5  # frames: a hold ends so much before the end of its sound
_SEEN_S: Final = 0.05  # a vowel as long as this between closures gets its two frames
_SHORTEST_OPENING_S: Final = 2.0 / 30.0
_SHORT_OPENING_S: Final = 0.25  # longer ones are open by themselves

IntArray = npt.NDArray[np.intp]


def hold_spans(start_s: Array, end_s: Array, fps: float) -> IntArray:
    """(N, 2) first and last frame of each hold, at least one frame each, for (N,) sounds in s."""
    first = np.ceil(start_s * fps - EARLY_FRAMES)
    last = np.floor(end_s * fps - _LATE)
    middle = np.round((start_s + end_s) / 2 * fps)
    none = last < first
    spans: IntArray = np.stack(
        [np.where(none, middle, first), np.where(none, middle, last)], axis=1
    ).astype(np.intp)
    return spans


def make_room_for_vowels(
    spans: IntArray, vowels: Sequence[tuple[float, float]], fps: float
) -> IntArray:
    """Shorten holds beside a vowel that they would leave less than two frames, or join them.

    spans: (N, 2) frames of closures in order of time, changed in place. vowels: (start_s, end_s) in
    order of time. A vowel that is too short to be seen stays closed, as do other sounds. Returns
    the (M, 2) first and last frames of the short openings for vowels that there are.
    """
    wanted = max(1, int(np.ceil(_SHORTEST_OPENING_S * fps - 1e-6)))
    starts = np.array([start_s for start_s, _ in vowels])
    lengths = np.concatenate(([0.0], np.cumsum([end_s - start_s for start_s, end_s in vowels])))
    parted = []
    for before, after in pairwise(spans):
        inside = np.searchsorted(starts, [before[0] / fps, after[0] / fps])
        vowel_s = lengths[inside[1]] - lengths[inside[0]]
        seen = vowel_s >= _SEEN_S
        while seen and after[0] - before[1] - 1 < wanted:
            if before[1] - before[0] >= max(1, after[1] - after[0]):
                before[1] -= 1
            elif after[1] > after[0]:
                after[0] += 1
            else:
                break
        if vowel_s > 0.0 and wanted <= after[0] - before[1] - 1 <= _SHORT_OPENING_S * fps:
            parted.append((before[1] + 1, after[0] - 1))
        elif not seen and after[0] - before[1] - 1 < wanted:
            before[1] = max(before[1], after[0] - 1)
    return np.array(parted, np.intp).reshape(-1, 2)


def held_frames(spans: IntArray, frames: int) -> npt.NDArray[np.bool_]:
    """(T,) True in the frames of any span."""
    held = np.zeros(frames, np.bool_)
    for first, last in spans:
        held[max(0, first) : max(0, last + 1)] = True
    return held
