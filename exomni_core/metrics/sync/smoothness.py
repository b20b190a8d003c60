# SPDX-License-Identifier: GPL-3.0-or-later
"""One series of weights in, how smoothly it moves out; each measure is one record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, mirror_of
from exomni_core.arrays import Array
from exomni_core.metrics.aggregate import mean_of
from exomni_core.metrics.record import Line, Metric, Value
from exomni_core.metrics.resample import to_rate

_JAW, _CLOSE = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
_SIDED: Final = tuple(
    i
    for i, name in enumerate(ARKIT_52)
    if name.startswith(("jaw", "mouth"))
    and name.endswith("Left")
    and name not in ("jawLeft", "mouthLeft")
)


@dataclass(frozen=True, eq=False)
class Course:
    """A face over time. weights: (T, 52) as they are. even: the same at 30 frames per second."""

    weights: Array
    even: Array


def _largest(values: Iterable[Value]) -> float:
    return max(float(value) for value in values if value is not None)


@dataclass(frozen=True)
class SmoothMetric(Metric[Course]):
    """of_clips: the numbers of many clips -> the number of all."""

    of_clips: Callable[[Iterable[Value]], float | None] = mean_of


def _aperture_jerk(face: Course) -> float | None:
    third = np.abs(np.diff(face.even[:, _JAW] - face.even[:, _CLOSE], 3))
    return float(third.mean()) * 30.0**3 if len(third) else None


def _asymmetry(face: Course) -> float:
    mirrored = [CHANNEL_INDEX[mirror_of(ARKIT_52[i])] for i in _SIDED]
    return float(np.abs(face.even[:, list(_SIDED)] - face.even[:, mirrored]).mean())


SMOOTHNESS: Final = (
    SmoothMetric(
        "largest_step",
        lambda face: float(np.abs(np.diff(face.even, axis=0)).max(initial=0.0)),
        "largest step of a weight from frame to frame",
        (Line("largest_step", "largest step"),),
        of_clips=_largest,
    ),
    SmoothMetric(
        "largest_third_difference",
        lambda face: float(np.abs(np.diff(face.even, 3, axis=0)).max(initial=0.0)),
        "largest third difference of a weight",
        (Line("largest_third_difference", "largest third difference"),),
        of_clips=_largest,
    ),
    SmoothMetric(
        "aperture_jerk",
        _aperture_jerk,
        "mean \\|third difference\\| · 30³ of the lip gap, in 1/s³",
        (Line("aperture_jerk", "jerk of the opening (1/s³)"),),
    ),
    SmoothMetric(
        "outside",
        lambda face: float(((face.weights < 0.0) | (face.weights > 1.0)).mean()),
        "share of values outside 0 to 1",
        (Line("outside", "share outside 0 to 1"),),
    ),
    SmoothMetric(
        "asymmetry",
        _asymmetry,
        "mean difference of left and right, of jaw and mouth",
        (Line("asymmetry", "left against right, mouth"),),
    ),
)


def smoothness(weights: npt.NDArray[Any], fps: float) -> dict[str, Value]:
    """How smooth (T, 52) weights at `fps` are: the SMOOTHNESS by name."""
    face = Course(np.asarray(weights), to_rate(np.asarray(weights, np.float64), fps))
    return {metric.name: metric.measure(face) for metric in SMOOTHNESS}


def of_clips(clips: Iterable[Mapping[str, Value]]) -> dict[str, float | None]:
    """The same of many clips."""
    every = list(clips)
    return {m.name: m.of_clips([clip[m.name] for clip in every]) for m in SMOOTHNESS}
