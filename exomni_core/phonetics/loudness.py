# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples in -> loudness per frame, where there is speech, and what loudness does to the jaw."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import Array

FLOOR_DB: Final = -100.0
_GATE_BELOW_PEAK_DB: Final = 45.0
_GATE_FLOOR_DB: Final = -60.0  # below this a recording holds no speech, whatever its peak
_WINDOW_S: Final = 0.04
_GAIN_SMOOTHING_S: Final = 0.12


def loudness_db(
    samples: npt.NDArray[np.floating[Any]], sample_rate_hz: int, frames: int, fps: float
) -> Array:
    """Level around each frame's time k / fps in dB of full scale, (frames,), at least -100."""
    squares = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    centre = np.arange(frames) / fps * sample_rate_hz
    half = _WINDOW_S / 2 * sample_rate_hz
    low = np.clip(np.round(centre - half), 0, len(samples)).astype(np.intp)
    high = np.clip(np.round(centre + half), 0, len(samples)).astype(np.intp)
    power = np.maximum(squares[high] - squares[low], 0.0) / np.maximum(high - low, 1)
    return np.asarray(10.0 * np.log10(power + 10.0 ** (FLOOR_DB / 10)), np.float64)


def speech_gate(level_db: Array, fps: float, *, hangover_s: float = 0.06) -> npt.NDArray[np.bool_]:
    """Which frames are loud enough to be speech, (T,): within 45 dB of the peak, and shortly after.

    The threshold also keeps 6 dB above the noise floor, where there is that much room.
    """
    peak = float(level_db.max(initial=FLOOR_DB))
    if peak < _GATE_FLOOR_DB:
        return np.zeros(len(level_db), np.bool_)
    noise = float(np.percentile(level_db, 5)) + 6.0
    threshold = max(peak - _GATE_BELOW_PEAK_DB, min(noise, peak - 30.0), _GATE_FLOOR_DB - 10.0)
    loud = level_db > threshold
    reach = max(1, round(hangover_s * fps))
    held = loud.copy()
    for shift in range(1, reach + 1):
        held[shift:] |= loud[:-shift]
    return held


def jaw_gain(level_db: Array, gate: npt.NDArray[np.bool_], fps: float) -> Array:
    """How much wider (up to 1.4) or less wide (down to 0.6) the jaw opens, (T,), by loudness."""
    if not gate.any():
        return np.ones(len(level_db))
    excess = np.where(gate, level_db - level_db[gate].mean(), 0.0)
    half = max(1, round(_GAIN_SMOOTHING_S * fps / 2))
    kernel = np.hanning(2 * half + 3)
    # As long as the input also when the kernel is longer than it.
    smooth = np.convolve(excess, kernel / kernel.sum())[half + 1 : half + 1 + len(excess)]
    return np.asarray(np.clip(1.0 + 0.35 * smooth / 12.0, 0.6, 1.4), np.float64)
