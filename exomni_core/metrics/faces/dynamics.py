# SPDX-License-Identifier: GPL-3.0-or-later
"""One series of weights in, how lively it is out: movement by region, blinks, frozen frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from exomni_core.arkit import CHANNEL_INDEX, REGIONS
from exomni_core.arrays import Array
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.face import offsets, square
from exomni_core.metrics.record import Line, Metric

_BLINK: Final = 0.5
_FROZEN_MM: Final = 0.02  # per frame: less than this is not seen


@dataclass(frozen=True, eq=False)
class Moving:
    """One side of a pair: (T, 52) weights at `fps` on a head."""

    weights: Array
    basis: FaceBasis
    fps: float


Liveliness = Metric[Moving]


def _deviation(region: str) -> Callable[[Moving], float]:
    columns = [CHANNEL_INDEX[name] for name in REGIONS[region]]
    return lambda face: float(face.weights[:, columns].std(axis=0).mean())


def _blinks_per_min(face: Moving) -> float:
    lid = face.weights[:, CHANNEL_INDEX["eyeBlinkLeft"]] > _BLINK
    blinks = int((lid[1:] & ~lid[:-1]).sum())
    return blinks / (len(face.weights) / face.fps / 60.0)


def _frozen_share(face: Moving) -> float | None:
    if len(face.weights) < 2:
        return None
    steps = np.sqrt(square(offsets(np.diff(face.weights, axis=0), face.basis.lips))).mean(axis=1)
    return float((steps < _FROZEN_MM).mean())


# Rows hold each of them twice: `<name>_pred` and `<name>_ref`.
LIVELINESS: Final[tuple[Liveliness, ...]] = (
    Liveliness("std_jaw", _deviation("jaw"),
               "mean standard deviation over time of the jaw's weights",
               (Line("std_jaw", "deviation of the jaw's weights"),)),
    Liveliness("std_lips", _deviation("lips"), "the same of the lips",
               (Line("std_lips", "of the lips'"),)),
    Liveliness("std_brows", _deviation("brows"), "of the brows",
               (Line("std_brows", "of the brows'"),)),
    Liveliness("std_lids", _deviation("lids"), "of the lids",
               (Line("std_lids", "of the lids'"),)),
    Liveliness("blinks_per_min", _blinks_per_min,
               f"closures of the left eye beyond {_BLINK:g}, each minute",
               (Line("blinks_per_min", "blinks per minute", "blinks per minute (reference)"),)),
    Liveliness("frozen_share", _frozen_share,
               f"share of frame steps in which the lips move less than {_FROZEN_MM:g} mm",
               (Line("frozen_share", "share of frozen frames",
                     "share of frozen frames (reference)"),)),
)  # fmt: skip


def dynamics(weights: Array, basis: FaceBasis, fps: float, side: str) -> dict[str, Any]:
    """Liveliness of (T, 52) weights at `fps`; keys end in `_<side>`."""
    face = Moving(weights, basis, fps)
    return {f"{metric.name}_{side}": metric.measure(face) for metric in LIVELINESS}
