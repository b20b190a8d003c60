# SPDX-License-Identifier: GPL-3.0-or-later
"""One series of weights in, how lively it is out: movement by region, blinks, frozen frames."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from exomni_core.arkit import CHANNEL_INDEX, REGIONS
from exomni_core.arrays import Array
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.face import offsets, square

_BLINK: Final = 0.5
_FROZEN_MM: Final = 0.02  # per frame: less than this is not seen
_SHOWN: Final = ("jaw", "lips", "brows", "lids")


def dynamics(weights: Array, basis: FaceBasis, fps: float, side: str) -> dict[str, Any]:
    """Liveliness of (T, 52) weights at `fps`; keys end in `_<side>`.

    std_<region>: mean standard deviation over time of the region's channels. blinks_per_min: of
    the left eye. frozen_share: of frame steps in which the lips move less than 0.02 mm on average;
    None for one frame.
    """
    row: dict[str, Any] = {}
    for region in _SHOWN:
        columns = [CHANNEL_INDEX[name] for name in REGIONS[region]]
        row[f"std_{region}_{side}"] = float(weights[:, columns].std(axis=0).mean())
    lid = weights[:, CHANNEL_INDEX["eyeBlinkLeft"]] > _BLINK
    blinks = int((lid[1:] & ~lid[:-1]).sum())
    row[f"blinks_per_min_{side}"] = blinks / (len(weights) / fps / 60.0)
    frozen = None
    if len(weights) > 1:
        steps = np.sqrt(square(offsets(np.diff(weights, axis=0), basis.lips))).mean(axis=1)
        frozen = float((steps < _FROZEN_MM).mean())
    row[f"frozen_share_{side}"] = frozen
    return row
