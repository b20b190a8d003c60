# SPDX-License-Identifier: GPL-3.0-or-later
"""Two series on their own clocks in, both on one clock and equally long out.

Never stretched in time: resampled linearly, each on its own clock, then cut to the shorter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from exomni_core.arrays import Array
from exomni_core.errors import InputError

FPS: Final = 30.0
MIN_S: Final = 0.5  # clips below are skipped and counted, as UniTalker does
FEW_FRAMES: Final = 3  # every tool rounds its frame count in its own way
_MOST_S, _MOST_SHARE = 0.5, 0.10


@dataclass(frozen=True, eq=False)
class Aligned:
    """pred, ref: (T, K) at one rate. frames_pred, frames_ref: before the cut. warning: or empty."""

    pred: Array
    ref: Array
    frames_pred: int
    frames_ref: int
    warning: str = ""


def to_rate(weights: Array, fps: float, to_fps: float = FPS) -> Array:
    """(T, K) at `fps` -> (n, K) at `to_fps`: frame k at k / to_fps s, linear, none invented.

    n = floor((T - 1) / fps * to_fps + 1e-9) + 1.
    """
    if fps == to_fps or len(weights) == 1:
        return weights
    count = math.floor((len(weights) - 1) / fps * to_fps + 1e-9) + 1
    position = np.minimum(np.arange(count) * (fps / to_fps), len(weights) - 1.0)
    before = position.astype(np.intp)
    after = np.minimum(before + 1, len(weights) - 1)
    share = (position - before)[:, None]
    return np.asarray(weights[before] * (1.0 - share) + weights[after] * share, np.float64)


def align(
    pred: Array,
    pred_fps: float,
    ref: Array,
    ref_fps: float,
    *,
    to_fps: float = FPS,
    allow_mismatch: bool = False,
) -> Aligned:
    """Bring both to `to_fps` and cut to the shorter.

    More than 3 frames apart: a warning. More than 0.5 s or 10 % apart: InputError, unless allowed.
    """
    a, b = to_rate(pred, pred_fps, to_fps), to_rate(ref, ref_fps, to_fps)
    count, apart = min(len(a), len(b)), abs(len(a) - len(b))
    warning = ""
    if apart > FEW_FRAMES:
        warning = f"{len(a)} frames against {len(b)} of the reference"
        if not allow_mismatch and (
            apart / to_fps > _MOST_S or apart > _MOST_SHARE * max(len(a), len(b))
        ):
            raise InputError(
                f"{warning} ({apart / to_fps:.2f} s apart): they don't belong together; "
                "--allow-length-mismatch cuts to the shorter",
                field="length",
            )
    return Aligned(a[:count], b[:count], len(a), len(b), warning)
