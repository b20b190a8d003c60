# SPDX-License-Identifier: GPL-3.0-or-later
"""Two series of weights on one clock in, the face metrics of one clip out.

A value that is not defined is None, never 0: velocity of one frame, jerk of three, a correlation
with a curve that stands still, precision where nothing is closed.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import Array
from exomni_core.metrics.faces.basis import FaceBasis

Values = dict[str, Any]  # float, int, or None where it is not defined

MAX_LAG_FRAMES: Final = 15
CLOSED_SHARE: Final = 0.10  # of the way from the neutral opening to the widest (P95)
_STILL: Final = 1e-9  # mm: a curve that moves less than rounding does has no correlation
_MOUTH: Final = np.array([n.startswith(("jaw", "mouth")) for n in ARKIT_52])


def offsets(weights: Array, rows: npt.NDArray[Any]) -> Array:
    """(T, 52) weights by (52, 3 n) offsets -> (T, 3, n) mm from the neutral face."""
    moved: Array = (weights.astype(rows.dtype, copy=False) @ rows).reshape(len(weights), 3, -1)
    return moved


def square(vectors: npt.NDArray[Any]) -> Array:
    """(..., 3, n) -> (..., n) squared lengths."""
    squared: Array = np.square(vectors[..., 0, :])
    for axis in (1, 2):
        squared += np.square(vectors[..., axis, :])
    return squared


def lve(lip_error: Array) -> tuple[float, float]:
    """Lip vertex error of (T, 3, n) mm: mean over frames of the largest L2, and of its square.

    The first is what the Ex-Omni paper's text defines (UniTalker's `LVD`), in mm; the second what
    CodeTalker, FaceDiffuser and UniTalker call LVE, in mm^2.
    """
    worst = square(lip_error).max(axis=1)
    return float(np.sqrt(worst).mean(dtype=np.float64)), float(worst.mean(dtype=np.float64))


def mean_vertex_error(error: Array, basis: FaceBasis) -> float:
    """Mean over frames and all vertices of the L2 distance, mm (FaceDiffuser's MVE)."""
    total = 0.0
    weights = error.astype(basis.moving.dtype)
    for block in basis.moving:  # unmoved vertices add nothing
        squared = square(offsets(weights, block))
        total += float(np.sqrt(squared, out=squared).sum(dtype=np.float64))
    return total / (len(error) * basis.count)


def upper_metrics(pred: Array, ref: Array, basis: FaceBasis) -> Values:
    """Upper vertex error (mean over frames of the largest distance) and dynamics deviation.

    FDD is the mean over vertices of the standard deviation over time (population) of the squared
    (CodeTalker's code) and of the plain length of the offset from neutral: reference minus
    prediction, signed.
    """
    worst, sums = np.zeros(len(pred)), np.zeros(2)
    error = pred - ref
    for block in basis.upper:
        np.maximum(worst, square(offsets(error, block)).max(axis=1), out=worst)
        sums += fdd_sums(square(offsets(pred, block)), square(offsets(ref, block)))
    return {
        "upper_vertex_error_mm": float(np.sqrt(worst).mean()),
        "fdd_sq_mm2": float(sums[0] / basis.upper_count),
        "fdd_l2_mm": float(sums[1] / basis.upper_count),
    }


def fdd_sums(pred: Array, ref: Array) -> tuple[float, float]:
    """Sums over vertices of the deviations' differences; squared lengths (T, n) are used up."""
    plain = _deviation(np.sqrt(ref)) - _deviation(np.sqrt(pred))
    squared = _deviation(ref) - _deviation(pred)
    return float(squared.sum(dtype=np.float64)), float(plain.sum(dtype=np.float64))


def _deviation(values: Array) -> Array:
    """(T, n) -> (n,) population standard deviation over time; `values` are used up."""
    values -= values.mean(axis=0)
    return np.asarray(np.sqrt(np.einsum("tn,tn->n", values, values) / len(values)))


def lip_motion(lip_error: Array, ref_lips: Array, fps: float) -> Values:
    """Velocity error in mm/s and jerk in mm/s^3 of (T, 3, n) lips; None where T is too short."""
    speed: float | None = None
    if len(lip_error) >= 2:
        steps = np.sqrt(square(np.diff(lip_error, axis=0)))
        speed = float(steps.mean(dtype=np.float64)) * fps
    jerk_pred, jerk_ref = (_jerk(m, fps) for m in (ref_lips + lip_error, ref_lips))
    ratio = None
    if jerk_pred is not None and jerk_ref is not None and jerk_ref > _STILL * fps**3:
        ratio = jerk_pred / jerk_ref
    return {
        "lip_velocity_error_mm_s": speed,
        "lip_jerk_pred_mm_s3": jerk_pred,
        "lip_jerk_ref_mm_s3": jerk_ref,
        "lip_jerk_ratio": ratio,
    }


def _jerk(lips: Array, fps: float) -> float | None:
    if len(lips) < 4:
        return None
    third = lips[3:] - 3.0 * (lips[2:-1] - lips[1:-2]) - lips[:-3]
    return float(np.sqrt(square(third)).mean(dtype=np.float64)) * fps**3


def opening(weights: Array, basis: FaceBasis) -> Array:
    """(T,) mean distance of the inner-lip pairs in mm; (T,) of NaN where the head has none."""
    if not basis.has_opening:
        return np.full(len(weights), np.nan)
    gap = offsets(weights, basis.gap) + basis.neutral_gap
    return np.asarray(np.sqrt(square(gap)).mean(axis=1))


def opening_metrics(
    pred: Array, ref: Array, basis: FaceBasis, fps: float, bilabials: npt.ArrayLike | None
) -> Values:
    """Opening, closure and lag of two (T,) openings in mm, of a head with inner-lip pairs."""
    neutral = float(np.sqrt(square(basis.neutral_gap)).mean())
    tau = neutral + CLOSED_SHARE * (float(np.percentile(ref, 95)) - neutral)
    lag, lag_r = best_lag(pred, ref)
    moves = np.ptp(ref) > _STILL
    values: Values = {
        "lip_opening_mae_mm": float(np.abs(pred - ref).mean()),
        "lip_opening_pearson": pearson(pred, ref),
        "lip_opening_std_ratio": float(pred.std() / ref.std()) if moves else None,
        "neutral_opening_mm": neutral,
        "closure_threshold_mm": tau,
    }
    values |= closure_scores(pred < tau, ref < tau)
    values |= bilabial_hits(pred < tau, ref < tau, fps, bilabials)
    return values | {"av_lag_frames": lag, "av_lag_pearson": lag_r}


def closure_scores(pred: npt.NDArray[np.bool_], ref: npt.NDArray[np.bool_]) -> Values:
    """Precision, recall and F1 of closed frames (T,); None where nothing is there to be scored."""
    both, said, true = int((pred & ref).sum()), int(pred.sum()), int(ref.sum())
    return {
        "closure_precision": both / said if said else None,
        "closure_recall": both / true if true else None,
        "closure_f1": 2 * both / (said + true) if said + true else None,
    }


def bilabial_hits(
    pred: npt.NDArray[np.bool_],
    ref: npt.NDArray[np.bool_],
    fps: float,
    intervals: npt.ArrayLike | None,
) -> Values:
    """In how many of the (n, 2) intervals in seconds, a frame wider on each side, lips close.

    Intervals beyond the clip's end are not counted.
    """
    used = closed_pred = closed_ref = 0
    table = np.empty((0, 2)) if intervals is None else np.asarray(intervals, float).reshape(-1, 2)
    for start_s, end_s in table:
        first = max(0, math.ceil((start_s - 1 / fps) * fps - 1e-9))
        last = min(len(pred) - 1, math.floor((end_s + 1 / fps) * fps + 1e-9))
        if last < first:
            continue
        used += 1
        closed_pred += bool(pred[first : last + 1].any())
        closed_ref += bool(ref[first : last + 1].any())
    return {
        "bilabial_intervals_used": used,
        "bilabial_closed_pred": closed_pred,
        "bilabial_closed_ref": closed_ref,
    }


def pearson(a: Array, b: Array) -> float | None:
    """Pearson's correlation of two (T,) curves; None where one of them stands still."""
    if len(a) < 2 or np.ptp(a) <= _STILL or np.ptp(b) <= _STILL:
        return None
    x, y = a - a.mean(), b - b.mean()
    return float(x @ y / math.sqrt(float(x @ x) * float(y @ y)))


def best_lag(pred: Array, ref: Array) -> tuple[int | None, float | None]:
    """The lag in frames, -15 to 15, at which pred[t + lag] goes best with ref[t], and its Pearson.

    Positive: the prediction is late. Of equally good lags the one nearest to zero counts.
    """
    lag: int | None = None
    best: float | None = None
    for shift in sorted(range(-MAX_LAG_FRAMES, MAX_LAG_FRAMES + 1), key=abs):
        count = len(ref) - abs(shift)
        a, b = pred[max(0, shift) :][:count], ref[max(0, -shift) :][:count]
        found = pearson(a, b) if count >= 2 else None
        if found is not None and (best is None or found > best + 1e-12):
            lag, best = shift, found
    return lag, best


def coefficient_errors(error: Array) -> Values:
    """Mean absolute and root mean square error of (T, 52) weights, all and of jaw and mouth."""
    mouth = error[:, _MOUTH]
    return {
        "coef_mae_all52": float(np.abs(error).mean()),
        "coef_mae_mouth": float(np.abs(mouth).mean()),
        "coef_rmse_mouth": float(np.sqrt(np.square(mouth).mean())),
    }
