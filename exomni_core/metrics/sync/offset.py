# SPDX-License-Identifier: GPL-3.0-or-later
"""Mouth openings and sounds of many clips in, by how much the face is late out; no reference model.

The aperture is cross-correlated with the sound's level at 100 Hz, and the correlations of all clips
are pooled before the peak is found, because a single clip may be off by a quarter of a second. In
natural speech the mouth opens 10 to 20 ms before the sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import Array
from exomni_core.phonetics.loudness import loudness_db
from exomni_core.retime import lip_gap

RATE_HZ: Final = 100.0
REACH: Final = 40  # steps of 10 ms to each side
FLOOR_DB: Final = 45.0  # below the peak, where sound is no speech
FEWEST_S, FEWEST_CLIPS = 60.0, 10  # below both, the offset is not to be trusted
_SMOOTHING_S: Final = 0.05
_RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Offset:
    """ms: positive where the face is late, None if nothing can be correlated.

    low, high: 95 % bootstrap interval over clips. r: correlation at the peak, r0: without shift.
    quartiles_ms: of the clips' own offsets. enough: at least 10 clips or 60 s were pooled.
    """

    ms: float | None
    low: float | None
    high: float | None
    r: float | None
    r0: float | None
    quartiles_ms: tuple[float, float] | None
    clips: int
    seconds: float
    enough: bool


def correlations(
    weights: npt.NDArray[Any], fps: float, samples: npt.NDArray[Any], sample_rate_hz: int
) -> Array | None:
    """One clip's (2 REACH + 1,) correlations of aperture and level, by the aperture's delay.

    weights: (T, 52). None for a clip shorter than twice the reach, a still mouth or an even sound.
    """
    seconds = min(len(weights) / fps, len(samples) / sample_rate_hz)
    count = int(seconds * RATE_HZ)
    if count < 4 * REACH:
        return None
    time_s = np.arange(count) / RATE_HZ
    gap = lip_gap(np.asarray(weights, np.float32)).astype(np.float64)
    aperture = np.interp(time_s, np.arange(len(weights)) / fps, gap)
    level = loudness_db(samples, sample_rate_hz, count, RATE_HZ)
    level = _smoothed(np.maximum(level, level.max() - FLOOR_DB))
    if aperture.std() < 1e-6 or level.std() < 1e-6:
        return None
    a, b = ((x - x.mean()) / x.std() for x in (aperture, level))
    found = np.empty(2 * REACH + 1)
    for k, shift in enumerate(range(-REACH, REACH + 1)):
        late, sound = a[max(0, shift) : count + min(0, shift)], b[max(0, -shift) :]
        found[k] = float(late @ sound[: len(late)]) / len(late)
    return found


def pooled_offset(
    clips: Sequence[Array | None], seconds: Sequence[float], *, seed: int = 0
) -> Offset:
    """The offset of many clips; each counts by its length in seconds."""
    there = [(c, s) for c, s in zip(clips, seconds, strict=True) if c is not None]
    total = sum(s for _, s in there)
    if not there:
        return Offset(None, None, None, None, None, None, 0, 0.0, False)
    table = np.stack([c for c, _ in there])
    weight = np.array([s for _, s in there])
    pooled = weight @ table / weight.sum()
    own = [ms for ms in (peak_ms(c) for c in table) if ms is not None]
    low, high = _interval(table, weight, seed)
    quartiles = tuple(float(q) for q in np.percentile(own, [25, 75])) if own else None
    return Offset(
        ms=peak_ms(pooled),
        low=low,
        high=high,
        r=float(pooled.max()),
        r0=float(pooled[REACH]),
        quartiles_ms=(quartiles[0], quartiles[1]) if quartiles else None,
        clips=len(there),
        seconds=total,
        enough=total >= FEWEST_S or len(there) >= FEWEST_CLIPS,
    )


def peak_ms(curve: Array) -> float | None:
    """The delay of the peak of (2 REACH + 1,) correlations, by the parabola through its top.

    None where the top lies at an end: then there is no peak.
    """
    best = int(np.argmax(curve))
    if not 0 < best < len(curve) - 1:
        return None
    left, top, right = curve[best - 1 : best + 2]
    bend = left - 2 * top + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float((best - REACH + shift) / RATE_HZ * 1000)


def _interval(table: Array, weight: Array, seed: int) -> tuple[float | None, float | None]:
    if len(table) < 3:
        return None, None
    drawn = np.random.default_rng(seed).integers(len(table), size=(_RESAMPLES, len(table)))
    found = [peak_ms(weight[draw] @ table[draw] / weight[draw].sum()) for draw in drawn]
    usable = [ms for ms in found if ms is not None]
    if not usable:
        return None, None
    low, high = np.percentile(usable, [2.5, 97.5])
    return float(low), float(high)


def _smoothed(level: Array) -> Array:
    half = round(_SMOOTHING_S * RATE_HZ / 2)
    kernel = np.ones(2 * half + 1) / (2 * half + 1)
    return np.convolve(np.pad(level, half, mode="edge"), kernel, "valid")
