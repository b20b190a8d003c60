# SPDX-License-Identifier: GPL-3.0-or-later
"""Half a head in centimetres -> its painted skin: what part colours are multiplied by, per vertex.

Warmer cheeks, nose tip and ears, cooler sockets, a soft border of the lips, dark insides.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from templates.head.topology import EYE_SKIN, MOUTH_LIP, MOUTH_SKIN, Half

Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

# Soft spots on the skin: middle, spreads (cm), multiplier at the middle.
_SPOTS: tuple[tuple[Colour, Colour, Colour], ...] = (
    ((4.1, -2.9, 8.2), (2.1, 1.8, 3.0), (1.02, 0.92, 0.91)),  # cheek
    ((0.0, -3.5, 12.0), (0.9, 0.9, 1.0), (1.02, 0.88, 0.86)),  # tip of the nose
    ((1.2, -4.0, 10.6), (0.6, 0.7, 0.9), (0.99, 0.88, 0.86)),  # wing of the nose
    ((7.4, -1.2, -1.0), (0.9, 3.2, 2.0), (1.02, 0.86, 0.84)),  # ear
    ((0.0, -9.8, 9.9), (1.5, 0.9, 1.5), (1.01, 0.94, 0.93)),  # chin
    ((0.0, 4.6, 9.6), (4.5, 2.2, 3.0), (1.03, 1.03, 1.03)),  # forehead
    ((3.1, 1.05, 8.9), (1.6, 0.55, 1.5), (0.95, 0.90, 0.90)),  # under the brow
    ((1.75, 0.35, 9.0), (0.6, 0.9, 1.2), (0.95, 0.90, 0.91)),  # inner corner of the eye
    ((3.1, -1.05, 8.8), (1.3, 0.38, 1.2), (0.95, 0.90, 0.93)),  # under the eye
    ((0.0, -7.95, 10.0), (1.4, 0.45, 1.2), (0.96, 0.91, 0.91)),  # under the lower lip
    ((0.0, -13.5, 3.0), (7.0, 2.5, 6.0), (0.97, 0.94, 0.92)),  # neck
)
_LIP = np.array([0.90, 0.74, 0.77])  # the red of the lips over their part's own colour
_LIP_LINE = np.array([0.55, 0.36, 0.36])


def _spots(p: Array) -> Array:
    tint = np.ones((len(p), 3))
    for at, size, colour in _SPOTS:
        d = (np.stack([np.abs(p[:, 0]), p[:, 1], p[:, 2]], -1) - at) / size
        tint *= 1 + (np.array(colour) - 1) * np.exp(-(d**2).sum(1))[:, None]
    return tint


def face_tint(half: Half, face: Array) -> Array:
    """Multipliers (n, 3) for the vertices of face, lips and bag of the half head."""
    tint = _spots(face)
    count = half.mouth.shape[1]
    # Towards the corners the red of the lips fades.
    full = np.sin(np.pi * np.arange(count) / (count - 1) * 2) ** 2
    full = np.where(np.abs(np.arange(count) - (count - 1) / 2) < count / 4, full, 1.0)[:, None]
    ring = half.mouth[MOUTH_SKIN : MOUTH_SKIN + MOUTH_LIP + 1]
    for k, ids in enumerate(ring):
        red = np.clip(k / 2, 0, 1)
        line = np.clip((k - MOUTH_LIP + 2.2) / 1.2, 0, 1)
        colour = 1 + (_LIP - 1) * red * (0.45 + 0.55 * full)
        tint[ids] = colour * (1 + (_LIP_LINE - 1) * line)
    tint[half.mouth[MOUTH_SKIN]] = np.array([1.0, 0.965, 0.965])
    # The corners lie in their own shadow.
    away = np.abs(np.arange(count) - (count - 1) / 2) / (count / 12)
    pit = np.exp(-(away**2))[:, None] * np.array([0.30, 0.36, 0.36])
    for k, share in ((-1, 0.3), (0, 0.6), (1, 0.9), (2, 1.0), (3, 1.0), (4, 1.0), (5, 1.0)):
        tint[half.mouth[MOUTH_SKIN + k]] *= 1 - share * pit
    tint[half.mouth[MOUTH_SKIN - 1]] *= np.array([0.985, 0.955, 0.955])
    for k, ids in enumerate(half.mouth[MOUTH_SKIN + MOUTH_LIP + 1 :]):
        tint[ids] = 1.0 - 0.16 * (k + 1)
    # Edges of the lids are pink, the wet strip behind them lighter.
    tint[half.eye[EYE_SKIN - 1]] *= np.array([0.98, 0.92, 0.91])
    tint[half.eye[EYE_SKIN]] *= np.array([0.93, 0.74, 0.72])
    tint[half.eye[EYE_SKIN + 1 :]] = np.array([0.95, 0.72, 0.70])
    for loop, dark in zip(half.nostril[-4:], (0.75, 0.40, 0.22, 0.15), strict=True):
        tint[loop] *= dark * np.array([1.0, 0.82, 0.80]) + (1 - dark) * 0
    for loop, dark in zip(half.ear[-5:], (0.95, 0.88, 0.78, 0.66, 0.55), strict=True):
        tint[loop] *= np.array([dark, dark**1.2, dark**1.2])
    return tint
