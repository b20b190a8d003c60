# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing -> short hair as one sculpted shell over the scalp, in centimetres.

Strands run from the crown to the hairline; the shell tucks in under the skin there.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from templates.head import surface
from templates.head.pieces import Part, sheet

Array = npt.NDArray[np.float64]

LOCKS, TUFT_ROWS = 11, 4.0  # in half a head
ROWS = 17
# Where the hair ends: loft row at angles (degrees) from the front over the ear to the nape.
_LINE = np.array([
    [0, 3.34], [12, 3.26], [24, 3.02], [34, 3.02], [44, 3.42], [54, 4.10], [62, 4.50],
    [68, 4.90], [72.5, 5.5], [75, 6.3], [77.5, 6.6], [83, 6.6], [85.5, 6.3], [88, 5.3],
    [92, 4.75], [104, 4.75], [112, 5.2], [118, 6.2], [126, 7.4], [138, 8.1], [155, 8.45],
    [180, 8.6],
])  # fmt: skip
# How thick it is (cm), and how steeply it ends.
_THICK = np.array([
    [0, 0.95], [25, 0.9], [50, 0.7], [75, 0.38], [100, 0.42], [140, 0.55], [180, 0.6],
])  # fmt: skip
_CROWN = 0.85
_STEEP = np.array([[0, 2.9], [30, 3.0], [50, 3.2], [75, 3.4], [180, 3.4]])


def _columns() -> Array:
    """Angles (degrees) of the strands' columns, closer to each other at the sideburn."""
    result: Array = np.concatenate([
        np.linspace(0, 66, 19)[:-1],
        np.linspace(66, 94, 13)[:-1],
        np.linspace(94, 180, 18),
    ])  # fmt: skip
    return result


def _curve(table: Array, degrees: Array, width: float = 3.0) -> Array:
    """The table's values, rounded over some degrees and even at both ends."""
    fine = np.arange(-60.0, 241.0, 0.5)
    folded = np.where(fine < 0, -fine, np.where(fine > 180, 360 - fine, fine))
    values = np.interp(folded, table[:, 0], table[:, 1])
    kernel = np.exp(-((np.arange(-30, 31) * 0.5 / width) ** 2))
    smooth = np.convolve(values, kernel / kernel.sum(), "same")
    return np.interp(degrees, fine, smooth)


def _tint(s: Array, body: Array, jitter: Array, degrees: Array) -> Array:
    """Dark between the locks and at the ends over the ears, light on the locks' backs.

    The sideburn's tip is a thin point on bright skin: it fades, or it would flicker there.
    """
    lit = 0.62 + 0.62 * body + 0.25 * (jitter - 0.5)
    rows = np.interp(s, [0, 0.15, 0.5, 0.85, 1], [0.95, 1.05, 1.1, 1.05, 0.8])[:, None]
    low = 1 - 0.25 * np.clip((degrees - 60) / 40, 0, 1) * np.clip((s[:, None] - 0.6) / 0.4, 0, 1)
    fade = np.exp(-(((degrees - 80) / 8) ** 2)) * np.clip((s[:, None] - 0.7) / 0.3, 0, 1)
    low *= 1 + 2.0 * fade
    tint: Array = (rows * lit * low)[..., None] * np.array([1.0, 0.98, 0.95])
    return tint


def hair_part() -> Part:
    """Half of the hair; points with x = 0 are shared by both halves."""
    degrees = _columns()
    u = np.deg2rad(degrees)
    columns = len(u)
    s = np.concatenate([np.linspace(0, 1, ROWS) ** 0.95, [1.0]])
    # Locks lie in overlapping rows like shingles, each row half a lock further round.
    q = s[1:, None] * TUFT_ROWS + 0.25 * np.sin(3 * u)
    row = np.floor(q)
    along = q - row
    c = u * LOCKS / np.pi + 0.5 * (row % 2)
    lock = np.floor(c)
    jitter = np.sin(lock * 12.9898 + row * 78.233 + 4.1) * 43758.5453 % 1.0  # looks like chance
    tip = 1 - np.abs(2 * (c - lock) - 1) ** 1.6
    end = np.where(degrees < 60, _curve(_LINE, degrees, 6.0), _curve(_LINE, degrees, 2.0))
    uneven = np.clip((degrees - 10) / 40, 0.15, 1)  # an even line over the forehead
    end = end + (0.14 * tip[-2] * (0.4 + 0.9 * jitter[-2]) - 0.04) * uneven
    v = s[1:, None] * end
    lift = s[1:, None] ** _curve(_STEEP, degrees, 8.0)
    apart = np.clip(s[1:, None] / 0.55, 0, 1)
    apart = apart * apart * (3 - 2 * apart)  # at the crown all sides meet
    thick = _CROWN + (_curve(_THICK, degrees, 10.0) - _CROWN) * apart
    height = thick * np.maximum(1 - lift**2, 0) ** 0.85  # thin at the ends
    depth = 0.20 * np.clip(s[1:, None] * 2.5, 0, 1) * np.clip(height / 0.35, 0, 1)
    body = tip * (0.45 + 0.75 * along * (0.6 + 0.8 * jitter))
    height = height + depth * (body - 0.45)
    tint = _tint(s[1:], body, jitter, degrees)
    height[-2] = 0.0
    height[-1] = -0.35
    at = surface.loft(np.broadcast_to(u, v.shape), v)
    normal = surface.loft_normals(np.broadcast_to(u, v.shape), v)
    at = surface.relief(at, normal)
    points = at + normal * height[..., None]
    points[:, [0, -1], 0] = 0.0
    top = surface.loft(np.zeros(1), np.zeros(1)) + np.array([0.0, height[0].mean(), 0.0])
    flat = np.concatenate([top, points.reshape(-1, 3)])
    colours = np.concatenate([np.ones((1, 3)), tint.reshape(-1, 3)])
    ring = 1 + np.arange(columns)
    cap = np.stack(
        [np.zeros(columns - 1), ring[:-1], ring[1:], np.full(columns - 1, -1)], -1
    ).astype(np.int64)
    return Part("hair", flat, np.concatenate([cap, sheet(*v.shape) + 1]), "skull", True, colours)
