# SPDX-License-Identifier: GPL-3.0-or-later
"""A head whose lips nobody listed in, a tint that reddens them out.

The rule that finds lips for measurements takes in skin around them, so for the picture only what
lies inside the contour of the outer lip's landmarks (48 to 59) is coloured.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray
from templates.mesh import TemplateMesh
from templates.occlusion import smooth

_RED: Final = (0.85, 0.60, 0.58)  # times the skin's colour
_OUTER_LIP: Final = slice(48, 60)


def lip_tint(mesh: TemplateMesh) -> FloatArray:
    """(V, 3) multipliers; no rows where there are no landmarks or lips to go by."""
    if len(mesh.landmarks68) != 68 or not len(mesh.lips):
        return np.empty((0, 3), np.float32)
    contour = mesh.vertices[mesh.landmarks68[_OUTER_LIP], :2].astype(np.float64)
    on_lips = np.zeros(len(mesh.vertices), np.float32)
    inside = _inside(mesh.vertices[mesh.lips, :2].astype(np.float64), contour)
    on_lips[mesh.lips[inside]] = 1.0
    tint = 1.0 - smooth(on_lips, mesh.polygons)[:, None] * (1.0 - np.array(_RED, np.float32))
    return np.ascontiguousarray(tint, np.float32)


def _inside(
    points: npt.NDArray[np.float64], contour: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Which points (n, 2) lie inside a closed contour (m, 2): a ray crosses it an odd number of
    times.
    """
    odd = np.zeros(len(points), bool)
    for a, b in zip(contour, np.roll(contour, -1, axis=0), strict=True):
        crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
        rise = b[1] - a[1] if b[1] != a[1] else np.inf
        at = a[0] + (points[:, 1] - a[1]) * (b[0] - a[0]) / rise
        odd ^= crosses & (points[:, 0] < at)
    return odd
