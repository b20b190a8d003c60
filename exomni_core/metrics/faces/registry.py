# SPDX-License-Identifier: GPL-3.0-or-later
"""A face and a reference in, the row of metrics against a reference out; each one a record here."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import Array
from exomni_core.metrics.faces import face
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.face import Values
from exomni_core.metrics.faces.pair import Pair
from exomni_core.metrics.record import Line, Metric

FaceMetric = Metric[Pair]

# In the order of rows, tables and golden files. m in a formula: the offset from neutral in mm.
METRICS: Final[tuple[FaceMetric, ...]] = (
    FaceMetric(
        "lve_l2_mm",
        lambda pair: pair.lve[0],
        "mean over frames of the largest L2 distance of a lip vertex",
        (Line("lve_l2_mm", "LVE, L2 (mm)", "LVE, L2, clip mean (mm)"),
         Line("lve_l2_mm_frame_pooled", "LVE, L2, all frames pooled (mm)",
              "LVE, L2, frames pooled (mm)")),
        interval=True, pooled=True,
    ),
    FaceMetric(
        "lve_sq_mm2",
        lambda pair: pair.lve[1],
        "the same, of the squared distance",
        (Line("lve_sq_mm2", "LVE, squared (mm²)", "LVE, squared (mm²)"),
         Line("lve_sq_mm2_frame_pooled", "LVE, squared, all frames pooled (mm²)"),
         Line("lve_with_failures_l2_mm", "LVE, L2, failures as a neutral face (mm)",
              "LVE, failures as a still face (mm)")),
        interval=True, pooled=True,
    ),
    FaceMetric(
        "lip_mean_error_mm",
        lambda pair: float(np.sqrt(face.square(pair.lip_error)).mean(dtype=np.float64)),
        "mean distance over lip vertices",
        (Line("lip_mean_error_mm", "lip mean error (mm)", "lip mean error (mm)"),),
        interval=True,
    ),
    FaceMetric(
        "mve_mm",
        lambda pair: face.mean_vertex_error(pair.error, pair.basis),
        "mean distance over all vertices",
        (Line("mve_mm", "mean vertex error (mm)", "mean vertex error (mm)"),
         Line("mve_mm_frame_pooled", "mean vertex error, all frames pooled (mm)")),
        interval=True, pooled=True,
    ),
    FaceMetric(
        "upper_vertex_error_mm",
        lambda pair: pair.upper["upper_vertex_error_mm"],
        "mean over frames of the largest distance in eyes and forehead",
        (Line("upper_vertex_error_mm", "upper face error (mm)", "upper face error (mm)"),),
        interval=True,
    ),
    FaceMetric(
        "fdd_sq_mm2",
        lambda pair: pair.upper["fdd_sq_mm2"],
        "mean over upper-face vertices of std(\\|m\\|²), reference minus prediction; `_abs`: mean "
        "of the clips' absolute values",
        (Line("fdd_sq_mm2", "FDD, squared, signed (mm²)", "FDD, squared, signed (mm²)"),
         Line("fdd_sq_mm2_abs", "FDD, squared, absolute (mm²)")),
        interval=True, absolute=True,
    ),
    FaceMetric(
        "fdd_l2_mm",
        lambda pair: pair.upper["fdd_l2_mm"],
        "the same of std(\\|m\\|)",
        (Line("fdd_l2_mm", "FDD, L2, signed (mm)"),
         Line("fdd_l2_mm_abs", "FDD, L2, absolute (mm)")),
        absolute=True,
    ),
    FaceMetric(
        "lip_velocity_error_mm_s",
        lambda pair: pair.motion["lip_velocity_error_mm_s"],
        "mean \\|Δm − Δm'\\| · 30 of the lip vertices",
        (Line("lip_velocity_error_mm_s", "lip velocity error (mm/s)",
              "lip velocity error (mm/s)"),),
        interval=True,
    ),
    FaceMetric(
        "lip_jerk_pred_mm_s3",
        lambda pair: pair.motion["lip_jerk_pred_mm_s3"],
        "mean \\|third difference\\| · 30³ of the lip vertices",
    ),
    FaceMetric(
        "lip_jerk_ref_mm_s3",
        lambda pair: pair.motion["lip_jerk_ref_mm_s3"],
        "the same of the reference",
    ),
    FaceMetric(
        "lip_jerk_ratio",
        lambda pair: pair.motion["lip_jerk_ratio"],
        "prediction by reference; below 1 it is too smooth, above 1 it jitters",
        (Line("lip_jerk_ratio", "lip jerk, ratio to the reference",
              "lip jerk, ratio to the reference"),),
        interval=True,
    ),
    FaceMetric(
        "lip_opening_mae_mm",
        lambda pair: pair.opening.get("lip_opening_mae_mm"),
        "distance of the inner lips, mean error",
        (Line("lip_opening_mae_mm", "lip opening, mean error (mm)", "opening, mean error (mm)"),),
        interval=True,
    ),
    FaceMetric(
        "lip_opening_pearson",
        lambda pair: pair.opening.get("lip_opening_pearson"),
        "Pearson of the two openings",
        (Line("lip_opening_pearson", "lip opening, Pearson", "opening, Pearson"),),
        interval=True,
    ),
    FaceMetric(
        "lip_opening_std_ratio",
        lambda pair: pair.opening.get("lip_opening_std_ratio"),
        "ratio of their standard deviations",
        (Line("lip_opening_std_ratio", "lip opening, ratio of deviations",
              "opening, ratio of deviations"),),
        interval=True,
    ),
    FaceMetric(
        "neutral_opening_mm",
        lambda pair: pair.opening.get("neutral_opening_mm"),
        "opening of the neutral face",
    ),
    FaceMetric(
        "closure_threshold_mm",
        lambda pair: pair.opening.get("closure_threshold_mm"),
        f"below it the lips count as closed: neutral + {face.CLOSED_SHARE:.0%} of the way to the "
        "reference's 95th percentile",
    ),
    FaceMetric(
        "closure_precision",
        lambda pair: pair.opening.get("closure_precision"),
        "share of closed frames in which the reference is closed too",
        (Line("closure_precision", "closure precision"),),
    ),
    FaceMetric(
        "closure_recall",
        lambda pair: pair.opening.get("closure_recall"),
        "share of the reference's closed frames in which the face is closed too",
        (Line("closure_recall", "closure recall"),),
    ),
    FaceMetric(
        "closure_f1",
        lambda pair: pair.opening.get("closure_f1"),
        "harmonic mean of both",
        (Line("closure_f1", "closure F1", "closure F1"),),
        interval=True,
    ),
    FaceMetric(
        "bilabial_intervals_used",
        lambda pair: pair.opening.get("bilabial_intervals_used"),
        "number of p, b, m in the clip; from its own sounds or `--phones` (TextGrid, CTM, JSON)",
    ),
    FaceMetric(
        "bilabial_closed_pred",
        lambda pair: pair.opening.get("bilabial_closed_pred"),
        "those with a closed frame, within one frame; `bilabial_hit_pred`: their share",
        (Line("bilabial_hit_pred", "p, b, m closed", "p, b, m closed"),),
    ),
    FaceMetric(
        "bilabial_closed_ref",
        lambda pair: pair.opening.get("bilabial_closed_ref"),
        "the same of the reference; `bilabial_hit_ref`",
        (Line("bilabial_hit_ref", "p, b, m closed by the reference",
              "p, b, m closed by the reference"),),
    ),
    FaceMetric(
        "av_lag_frames",
        lambda pair: pair.opening.get("av_lag_frames"),
        f"lag of −{face.MAX_LAG_FRAMES} to {face.MAX_LAG_FRAMES} frames with the best Pearson of "
        "the openings; positive is late",
        (Line("av_lag_frames", "lag behind the reference (frames of 1/30 s)",
              "lag (frames of 1/30 s)"),),
        interval=True,
    ),
    FaceMetric(
        "av_lag_pearson",
        lambda pair: pair.opening.get("av_lag_pearson"),
        "Pearson at that lag",
    ),
    FaceMetric(
        "coef_mae_all52",
        lambda pair: pair.coefficients["coef_mae_all52"],
        "mean absolute error of all weights",
        (Line("coef_mae_all52", "weights, mean error, all"),),
    ),
    FaceMetric(
        "coef_mae_mouth",
        lambda pair: pair.coefficients["coef_mae_mouth"],
        "the same of jaw and mouth",
        (Line("coef_mae_mouth", "weights, mean error, jaw and mouth",
              "weights of jaw and mouth, mean error"),),
        interval=True,
    ),
    FaceMetric(
        "coef_rmse_mouth",
        lambda pair: pair.coefficients["coef_rmse_mouth"],
        "RMS error of jaw and mouth",
        (Line("coef_rmse_mouth", "weights, RMS error, jaw and mouth"),),
    ),
)  # fmt: skip
# What a row also holds: what trivial faces reach.
NEUTRAL_KEY: Final = "baseline_neutral_lve_l2_mm"
MEAN_POSE_KEY: Final = "baseline_meanpose_lve_l2_mm"


def row_keys() -> tuple[str, ...]:
    """The keys of `clip_metrics`, in order."""
    return (*(metric.name for metric in METRICS), NEUTRAL_KEY, MEAN_POSE_KEY)


def clip_metrics(
    pred: Array, ref: Array, basis: FaceBasis, fps: float, bilabials: npt.ArrayLike | None = None
) -> Values:
    """All metrics of one clip, by `row_keys`; see Pair for the arguments."""
    pair = Pair(pred, ref, basis, fps, bilabials)
    row: Values = {metric.name: metric.measure(pair) for metric in METRICS}
    row[NEUTRAL_KEY] = face.lve(pair.ref_lips)[0]
    row[MEAN_POSE_KEY] = face.lve(pair.ref_lips - pair.ref_lips.mean(axis=0))[0]
    return row
