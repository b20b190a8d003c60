# SPDX-License-Identifier: GPL-3.0-or-later
"""A reference in, the lip vertex error of trivial faces out: what a number is worth.

Mandatory in every table: a frozen mean face beats an expressive but late one.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from exomni_core.arrays import Array
from exomni_core.metrics.faces.basis import FaceBasis
from exomni_core.metrics.faces.face import lve, offsets

DELAYS: Final = (3, 6)  # frames
DAMPING: Final = 0.7
BASELINES: Final = ("neutral", "meanpose", "shuffled", "delayed_3", "delayed_6", "damped_0.7")


def baselines(ref: Array, other: Array | None, basis: FaceBasis) -> dict[str, Any]:
    """LVE of each baseline against (T, 52) `ref`: `baseline_<name>_lve_l2_mm` and `_lve_sq_mm2`.

    other: the reference of another clip (repeated or cut to T frames); None takes this one, half
    its length later, for tables of one clip.
    """
    lips = offsets(ref, basis.lips)
    count = len(ref)
    if other is None:
        shuffled = np.roll(lips, count // 2, axis=0)
    else:
        shuffled = offsets(other[np.arange(count) % len(other)], basis.lips)
    errors = {
        "neutral": lve(lips),
        "meanpose": lve(lips - lips.mean(axis=0)),
        "shuffled": lve(lips - shuffled),
    }
    for frames in DELAYS:
        late = lips[np.maximum(np.arange(count) - frames, 0)]
        errors[f"delayed_{frames}"] = lve(lips - late)
    # Linear in the weights: what is left of a face damped to 0.7 is 0.3 of it.
    rest = 1.0 - DAMPING
    errors[f"damped_{DAMPING}"] = rest * errors["neutral"][0], rest**2 * errors["neutral"][1]
    row: dict[str, Any] = {}
    for name in BASELINES:
        row[f"baseline_{name}_lve_l2_mm"], row[f"baseline_{name}_lve_sq_mm2"] = errors[name]
    return row
