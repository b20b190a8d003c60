# SPDX-License-Identifier: GPL-3.0-or-later
"""Face weights at one rate in, weights or reduced keys at any other rate out; pure numpy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, REGIONS
from exomni_core.arrays import FloatArray
from exomni_core.clip import frame_count
from exomni_core.errors import InputError

CLOSED_GAP: Final = 0.03  # lips touch while jawOpen - mouthClose is below this
MAX_SMOOTHING_S: Final = 2.0
MAX_GAIN: Final = 4.0
_JAW: Final = CHANNEL_INDEX["jawOpen"]
_CLOSE: Final = CHANNEL_INDEX["mouthClose"]
# What makes a closure; eyes and brows keep their own time.
_MOUTH_COLUMNS: Final = tuple(
    CHANNEL_INDEX[name] for region in ("jaw", "lips", "tongue") for name in REGIONS[region]
)

# How far a key is looked for beyond the last good one; bounds the work on curves of pure noise.
_LOOK_AHEAD: Final = 64


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


def resample_weights(
    weights: npt.ArrayLike,
    fps: float,
    to_fps: float,
    frames: int | None = None,
    *,
    start_s: float = 0.0,
    keep_closures: bool = True,
) -> FloatArray:
    """(T, 52) weights at `fps` -> (frames, 52) float32 at `to_fps`, linear in time.

    Output frame k shows the face at start_s + k / to_fps seconds; before the first and beyond the
    last row these are held.
    frames: how many to make; by default enough to cover T / fps seconds, rounded up.
    keep_closures: a lip closure (m, b, p) so short that it falls between two output frames is
    put, mouth channels only, on the output frame nearest to it.
    Values stay within those of the source. Raises InputError on bad shapes and rates.
    """
    source = _checked_weights(weights)
    fps, to_fps = _checked_fps(fps), _checked_fps(to_fps)
    if frames is None:
        frames = frame_count(len(source) / fps, to_fps)
    if frames < 1:
        raise InputError(f"at least one frame is needed, not {frames}")
    step, start = fps / to_fps, start_s * fps
    position = np.clip(start + np.arange(frames) * step, 0.0, len(source) - 1.0)
    before = position.astype(np.intp)
    after = np.minimum(before + 1, len(source) - 1)
    share = (position - before)[:, None]
    # In float64 the sum never leaves [before, after], so no clipping is needed, and a position that
    # misses a row by rounding still gives that row's float32 values exactly.
    low, high = source[before].astype(np.float64), source[after].astype(np.float64)
    result: FloatArray = (low + (high - low) * share).astype(np.float32)
    if keep_closures:
        _restore_closures(source, result, start, step)
    return result


def lip_gap(weights: FloatArray) -> FloatArray:
    """(T,) how far the lips are apart, as weights: jawOpen - mouthClose; negative is pressed."""
    gap: FloatArray = weights[:, _JAW] - weights[:, _CLOSE]
    return gap


def closed_runs(weights: FloatArray) -> list[tuple[int, int]]:
    """Closures as (first, last) rows: stretches of touching lips with open lips on both sides.

    A mouth at rest at the start or the end is no closure: nobody sees it missing.
    """
    closed = np.concatenate(([False], lip_gap(weights) < CLOSED_GAP, [False]))
    edges = np.flatnonzero(closed[1:] != closed[:-1])
    runs = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
    return [(a, b) for a, b in runs if a > 0 and b < len(weights) - 1]


def _restore_closures(source: FloatArray, result: FloatArray, start: float, step: float) -> None:
    """Put each lost closure of `source` on the nearest row of `result`, in place.

    Row k of the result shows row start + k * step of the source.
    """
    gap, result_gap = lip_gap(source), lip_gap(result)
    columns = np.array(_MOUTH_COLUMNS)
    for first, last in closed_runs(source):
        # Rows between the open ones on both sides of the run; interpolation may have closed them.
        begin = max(0, math.floor((first - 1 - start) / step) + 1)
        end = max(0, math.ceil((last + 1 - start) / step))
        if (result_gap[begin:end] < CLOSED_GAP).any():
            continue
        deepest = first + int(np.argmin(gap[first : last + 1]))
        row = round((deepest - start) / step)
        if 0 <= row < len(result):
            result[row, columns] = source[deepest, columns]


@dataclass(frozen=True)
class Adjust:
    """What an animator turns after the face was made; the defaults change nothing.

    smooth_s: width of the smoothing in seconds, 0 to 2 (how long a jerk spreads; see
        `smooth_weights`). gains: factor per region of arkit.REGIONS, 0 to 4, absent is 1.
    offset_s: moves the face later (positive) or earlier against the sound.
    """

    smooth_s: float = 0.0
    gains: Mapping[str, float] = field(default_factory=dict)
    offset_s: float = 0.0


def adjust_weights(weights: npt.ArrayLike, fps: float, adjust: Adjust) -> FloatArray:
    """(T, 52) weights at `fps` -> the same shape, smoothed, then scaled, then shifted in time.

    The result lies in [0, 1] and lips that close in the source close in it. Raises InputError.
    """
    result = smooth_weights(weights, fps, adjust.smooth_s)
    result = scale_regions(result, adjust.gains)
    return shift_weights(result, fps, adjust.offset_s)


def smooth_weights(weights: npt.ArrayLike, fps: float, width_s: float) -> FloatArray:
    """Low-pass (T, 52) weights without delay: a Gaussian of `width_s` full width at half height.

    Closures stay: within one the mouth is left as it was, with a soft way in and out of half the
    width. Values stay within those of the source. Raises InputError outside 0 to 2 s.
    """
    source, fps = _checked_weights(weights), _checked_fps(fps)
    if not 0.0 <= width_s <= MAX_SMOOTHING_S:
        raise InputError(
            f"smoothing must be 0 to {MAX_SMOOTHING_S:g} s, not {width_s}", field="smooth"
        )
    sigma = width_s * fps / 2.3548
    if sigma < 0.1:  # the neighbours would count for nothing
        return source.copy()
    reach = math.ceil(3.0 * sigma)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    taps /= taps.sum()
    padded = np.pad(source.astype(np.float64), ((reach, reach), (0, 0)), mode="edge")
    result = np.zeros(source.shape, np.float64)
    for k, tap in enumerate(taps):
        result += tap * padded[k : k + len(source)]
    result = np.clip(result, source.min(axis=0), source.max(axis=0))  # rounding only
    lock = _closure_lock(source, ramp_rows=max(1.0, width_s * fps / 2.0))[:, None]
    columns = np.array(_MOUTH_COLUMNS)
    result[:, columns] = lock * source[:, columns] + (1.0 - lock) * result[:, columns]
    return result.astype(np.float32)


def _closure_lock(weights: FloatArray, ramp_rows: float) -> npt.NDArray[np.float64]:
    """(T,) 1 on closed rows, sinking to 0 over `ramp_rows` on both sides of them."""
    rows = np.arange(len(weights))
    distance = np.full(len(weights), np.inf)
    for first, last in closed_runs(weights):
        reach = math.ceil(ramp_rows)
        near = slice(max(0, first - reach), last + reach + 1)
        away = np.maximum(np.maximum(first - rows[near], rows[near] - last), 0)
        distance[near] = np.minimum(distance[near], away)
    ramp = np.clip(1.0 - distance / ramp_rows, 0.0, 1.0)
    return ramp * ramp * (3.0 - 2.0 * ramp)


def scale_regions(weights: npt.ArrayLike, gains: Mapping[str, float]) -> FloatArray:
    """Multiply the regions of (T, 52) weights by `gains` and clip to [0, 1].

    mouthClose goes with the jaw, not with the lips: it undoes jawOpen, so the two must keep their
    ratio. Rows with closed lips keep their lip gap, whatever the gain. Raises InputError for an
    unknown region or a gain outside 0 to 4.
    """
    source = _checked_weights(weights)
    factors = np.ones(len(ARKIT_52), np.float32)
    for region, gain in gains.items():
        if region not in REGIONS:
            raise InputError(
                f"there is no region {region!r}; there are {', '.join(REGIONS)}", field="gain"
            )
        if not 0.0 <= gain <= MAX_GAIN:
            raise InputError(
                f"the gain of {region} must be 0 to {MAX_GAIN:g}, not {gain}", field="gain"
            )
        factors[[CHANNEL_INDEX[name] for name in REGIONS[region]]] = gain
    factors[_CLOSE] = factors[_JAW]
    result: FloatArray = np.clip(source * factors, 0.0, 1.0)
    if factors[_JAW] > 1.0:  # a gap of 0.02 would grow into an open mouth
        gap = lip_gap(source)
        wanted = np.clip(result[:, _JAW] - np.maximum(gap, 0.0), 0.0, 1.0)
        closed = gap < CLOSED_GAP
        result[closed, _CLOSE] = np.maximum(result[closed, _CLOSE], wanted[closed])
    return result


def shift_weights(weights: npt.ArrayLike, fps: float, offset_s: float) -> FloatArray:
    """(T, 52) weights moved `offset_s` later (earlier if negative); the ends are held."""
    if not math.isfinite(offset_s):
        raise InputError(f"{offset_s!r} is not a time in seconds", field="offset")
    source = _checked_weights(weights)
    if offset_s == 0.0:
        return source.copy()
    return resample_weights(source, fps, fps, len(source), start_s=-offset_s)


def reduce_keys(
    values: npt.ArrayLike, max_error: float, *, keep: Iterable[int] = ()
) -> npt.NDArray[np.intp]:
    """(N,) evenly spaced values -> ascending indices of the keys worth keeping.

    Straight lines between the kept values (held before the first and after the last) are nowhere
    further than `max_error` from the values dropped. A curve that stays within `max_error` of its
    first value becomes one key. keep: indices that must stay, such as closures.
    Each line reaches as far as a cone of allowed slopes lets it. Raises InputError.
    """
    curve = np.asarray(values, np.float64)
    if curve.ndim != 1 or len(curve) == 0 or not np.isfinite(curve).all():
        raise InputError("only a curve of one or more finite values can be reduced")
    if not 0.0 <= max_error < math.inf:
        raise InputError(f"the error must be 0 or more, not {max_error}", field="max_error")
    forced = sorted({int(index) for index in keep})
    if forced and not 0 <= forced[0] <= forced[-1] < len(curve):
        raise InputError("an index to keep lies outside the curve")
    if not forced and np.abs(curve - curve[0]).max() <= max_error:
        return np.zeros(1, np.intp)
    kept, here, points = [0], 0, curve.tolist()
    for stop in (*forced, len(points) - 1):
        while here < stop:
            here = _furthest_key(points, here, stop, max_error * (1.0 - 1e-9))
            kept.append(here)
    return np.array(kept, np.intp)


def _furthest_key(points: list[float], start: int, stop: int, error: float) -> int:
    """The last index whose straight line from `start` passes within `error` of all between."""
    origin, best = points[start], start + 1
    low, high = -math.inf, math.inf
    for distance in range(1, stop - start + 1):
        rise = points[start + distance] - origin
        slope, spread = rise / distance, error / distance
        if low <= slope <= high:
            best = start + distance
        elif start + distance - best > _LOOK_AHEAD:
            break
        # Plain comparisons: this is the inner loop of 100 000 points, and min() costs a call.
        if slope - spread > low:
            low = slope - spread
        if slope + spread < high:
            high = slope + spread
        if low > high:
            break
    return best


def _checked_weights(weights: npt.ArrayLike) -> FloatArray:
    table = np.asarray(weights, np.float32)
    if table.ndim != 2 or table.shape[1] != len(ARKIT_52) or len(table) == 0:
        raise InputError(f"weights must have shape (frames, 52), not {table.shape}")
    if not np.isfinite(table).all():
        raise InputError("weights must be finite")
    return table


def _checked_fps(fps: float) -> float:
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"{fps!r} is not a frame rate", field="fps")
    return float(fps)
