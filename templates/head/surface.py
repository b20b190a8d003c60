# SPDX-License-Identifier: GPL-3.0-or-later
"""Loft coordinates (angle u, row v) -> points of a bald head without openings, in centimetres.

The head is a stack of closed rows. Each row is an ellipse-like curve through a front, a side and
a back point, so a row can run from the chin up to the nape. Sculpted detail (brow, sockets,
cheeks, chin, nose) is added on top. Frame: eyes at y = 0, x to the subject's left, z forward.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EYE_CENTRE = np.array([3.2, 0.0, 7.28])
EYE_RADIUS = 1.5

# One line a row from the crown down: front y z | side y half-width z | back y z | fullness of
# the front and of the back half (0 = ellipse, more = squarer).
_ROWS = np.array([
    [11.2, -0.6, 11.2, 0, -0.6, 11.2, -0.6, 0, 0],
    [10.8, 2.6, 10.5, 3.35, -0.6, 10.65, -3.9, 0, 0],
    [9.65, 5.5, 8.9, 5.7, -0.6, 9.05, -6.8, 0, 0],
    [7.7, 7.95, 6.685, 6.88, -0.586, 6.6, -8.7, 0.015, 0],
    [5.1, 9.5, 4.312, 7.495, -0.461, 3.6, -9.4, 0.024, 0],
    [2.5, 10.05, 1.944, 7.539, -0.21, 0.7, -9.2, 0.028, 0],
    [0.4, 9.75, -0.183, 7.336, 0.07, -1.7, -8.4, 0.028, 0],
    [-1.6, 9.75, -2.015, 7.079, 0.305, -3.3, -7.5, 0.026, 0],
    [-3.4, 9.85, -3.58, 6.785, 0.526, -4.7, -6.8, 0.022, 0],
    [-5, 9.98, -4.896, 6.43, 0.757, -5.9, -6.35, 0.017, 0],
    [-6.6, 9.95, -6.011, 5.98, 0.927, -6.9, -6.1, -0.004, 0],
    [-8.3, 9.65, -6.993, 5.52, 0.935, -7.9, -5.95, -0.02, 0],
    [-9.6, 9.55, -7.888, 5.16, 0.76, -8.8, -5.9, -0.03, 0],
    [-10.6, 8.9, -8.764, 4.95, 0.433, -9.7, -5.9, -0.025, -0],
    [-11.05, 7.2, -9.713, 4.88, -0.003, -10.7, -6, -0.012, -0.001],
    [-11.5, 5.5, -10.791, 4.892, -0.475, -11.7, -6.2, 0.009, -0.002],
    [-12.6, 4.5, -12.015, 5.071, -0.917, -12.7, -6.6, 0.018, 0.003],
    [-14.1, 4.15, -13.393, 5.968, -1.294, -13.9, -7.1, 0.031, 0.02],
    [-15.7, 4.4, -14.935, 8.027, -1.557, -15.2, -7.8, 0.054, 0.051],
    [-17.2, 5.4, -16.6, 11, -1.7, -17, -8.5, 0.09, 0.09],
    [-19, 6.6, -19, 13.4, -1.7, -19.5, -9.1, 0.11, 0.11],
    [-21.5, 7.5, -22, 14.2, -1.7, -22, -9.4, 0.11, 0.11],
])  # fmt: skip


@cache
def _spline() -> tuple[Array, Array]:
    """Row values and second derivatives of a cubic spline that is smooth across the crown."""
    # Rows continued over the crown (front and back swapped, width negated) keep the pole smooth.
    ghost = _ROWS[3:0:-1][:, [5, 6, 2, 3, 4, 0, 1, 8, 7]] * [1, 1, 1, -1, 1, 1, 1, 1, 1]
    values = np.concatenate([ghost, _ROWS])
    n = len(values)
    system = np.eye(n)
    rhs = np.zeros_like(values)
    for i in range(1, n - 1):
        system[i, i - 1 : i + 2] = (1, 4, 1)
        rhs[i] = 6 * (values[i - 1] - 2 * values[i] + values[i + 1])
    return values, np.linalg.solve(system, rhs)


def _row(v: Array) -> Array:
    values, second = _spline()
    t = np.clip(np.asarray(v, float) + 3, 0, len(values) - 1)
    i = np.minimum(t.astype(int), len(values) - 2)
    b = (t - i)[..., None]
    a = 1 - b
    curve = ((a**3 - a) * second[i] + (b**3 - b) * second[i + 1]) / 6
    result: Array = a * values[i] + b * values[i + 1] + curve
    return result


def loft(u: Array, v: Array) -> Array:
    """Point of the plain head: u 0 (front) .. pi (back), v 0 (crown) to the last row (bust)."""
    yf, zf, ys, w, zs, yb, zb, sf, sb = np.moveaxis(_row(v), -1, 0)
    front = np.cos(u) >= 0
    full = np.where(front, sf, sb)
    x = w * (np.sin(u) + full * (np.sin(3 * u) + np.sin(u)))
    c = np.cos(u) - full * (np.cos(3 * u) - np.cos(u))
    z = zs + c * np.where(front, zf - zs, zs - zb)
    y = ys + (np.where(front, yf, yb) - ys) * np.cos(u) ** 2
    return np.stack([x, y, z], -1)


def loft_normals(u: Array, v: Array) -> Array:
    """Unit outward normals of the plain head."""
    h = 1e-4
    du = loft(u + h, v) - loft(u - h, v)
    dv = loft(u, v + h) - loft(u, v - h)
    n = np.cross(dv, du)
    result: Array = n / np.maximum(np.linalg.norm(n, axis=-1, keepdims=True), 1e-12)
    return result


def locate(x: Array, y: Array) -> Array:
    """(u, v) of the points of the front half that are seen at (x, y) from the front."""
    fronts = _ROWS[:14, 0]
    u = np.arcsin(np.clip(np.asarray(x) / 6.6, -0.95, 0.95))
    v = np.interp(-np.asarray(y), -fronts, np.arange(14.0))
    h = 1e-4
    for _ in range(12):
        p = loft(u, v)
        a = (loft(u + h, v) - p) / h
        b = (loft(u, v + h) - p) / h
        ex, ey = x - p[..., 0], y - p[..., 1]
        det = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
        u = u + np.clip((ex * b[..., 1] - ey * b[..., 0]) / det, -0.2, 0.2)
        v = v + np.clip((ey * a[..., 0] - ex * a[..., 1]) / det, -0.5, 0.5)
    return np.stack([u, v], -1)


@cache
def _spot_places() -> Array:
    """Where the spots of the relief lie on the plain head."""
    at = np.array([place for place, _, _ in _RELIEF])
    uv = locate(at[:, 0], at[:, 1])
    return loft(uv[:, 0], uv[:, 1])


def _bumps(p: Array) -> Array:
    """Heights of all spots of the relief, and their mirror images, at points (..., 3)."""
    height = np.zeros(p.shape[:-1])
    q = np.stack([np.abs(p[..., 0]), p[..., 1], p[..., 2]], -1)
    for place, (_, (sx, sy), amount) in zip(_spot_places(), _RELIEF, strict=True):
        d = q - place
        height += amount * np.exp(
            -((d[..., 0] / sx) ** 2) - (d[..., 1] / sy) ** 2 - (d[..., 2] / (1.3 * sx + 0.4)) ** 2
        )
    return height


# Where the flesh lies over or under the plain loft: (x, y), (spread x, y), height.
_RELIEF: tuple[tuple[tuple[float, float], tuple[float, float], float], ...] = (
    ((1.9, 1.75), (1.2, 0.62), 0.20),  # brow ridge, inner
    ((3.5, 2.05), (1.4, 0.62), 0.26),  # brow ridge, middle
    ((5.0, 1.55), (0.9, 0.75), 0.22),  # brow ridge, outer
    ((0.0, 1.75), (0.9, 0.9), 0.12),  # glabella
    ((2.6, 4.9), (1.8, 1.5), 0.14),  # forehead
    ((3.1, 0.15), (1.3, 0.85), -0.42),  # eye socket
    ((3.2, 1.0), (1.5, 0.42), -0.20),  # under the brow
    ((1.60, 0.2), (0.6, 0.85), -0.36),  # inner corner of the eye
    ((4.7, 0.0), (0.7, 0.7), -0.22),  # outer corner of the eye
    ((2.6, -1.35), (1.0, 0.4), -0.10),  # tear groove
    ((4.7, -1.9), (1.6, 1.3), 0.28),  # cheekbone
    ((3.1, -2.7), (1.25, 1.1), 0.30),  # apple of the cheek
    ((6.3, -1.6), (0.8, 1.0), 0.10),  # arch towards the ear
    ((1.9, -2.3), (0.7, 1.3), 0.08),  # beside the nose
    ((4.9, -5.4), (1.5, 1.7), 0.06),  # a full cheek beside the mouth
    ((4.3, -4.2), (1.1, 1.2), 0.14),  # under the cheekbone
    ((0.0, -5.9), (2.1, 1.25), 0.34),  # the teeth push the lips forward
    ((3.15, -6.5), (0.55, 0.7), 0.10),  # cushion beside the corner of the mouth
    ((0.0, -8.25), (1.5, 0.42), -0.24),  # fold over the chin
    ((1.9, -7.9), (0.7, 0.6), -0.06),
    ((0.0, -9.7), (1.5, 1.0), 0.52),  # chin
    ((6.2, 1.9), (1.3, 1.8), -0.12),  # temple
)

# Grooves and columns of the middle of the face: two ends (x, y), width, height.
_FOLDS: tuple[tuple[tuple[float, float], tuple[float, float], float, float], ...] = (
    ((1.75, -4.2), (3.1, -6.0), 0.42, -0.10),  # nasolabial fold
    ((2.4, -4.2), (3.8, -5.9), 0.55, 0.07),
    ((0.0, -4.9), (0.0, -5.75), 0.24, -0.13),  # groove under the nose
    ((0.48, -4.9), (0.56, -5.7), 0.24, 0.08),  # its columns
)


# The edge of the jaw and the hollow under it: points in space, width, height.
_Line = tuple[tuple[float, float, float], ...]
_JAW: tuple[tuple[_Line, float, float], ...] = (
    (
        ((2.2, -10.3, 8.0), (3.9, -9.3, 5.8), (5.1, -8.0, 2.8), (5.8, -6.4, 0.9), (6.3, -4.2, 0.5)),
        0.85,
        0.15,
    ),
    (
        ((0, -11.8, 6.2), (2.4, -11.5, 5.2), (4.2, -10.6, 2.6), (5.1, -9.4, 0), (5.8, -7, -1.6)),
        0.95,
        -0.27,
    ),
)


# Soft ridges along lines on the front of the neck: two ends (x, y), width, height.
_RIDGES: tuple[tuple[tuple[float, float], tuple[float, float], float, float], ...] = (
    ((5.6, -8.6), (0.9, -15.8), 0.75, 0.24),  # muscle from the ear to the breastbone
    ((3.0, -12.2), (0.5, -14.6), 0.8, -0.08),
    ((1.3, -15.9), (9.5, -15.3), 0.5, 0.22),  # collarbone
    ((3.4, -14.6), (8.0, -14.2), 0.9, -0.25),  # hollow over it
    ((0.0, -15.3), (0.0, -15.4), 0.7, -0.12),  # notch between the collarbones
    ((0.0, -12.2), (0.0, -13.6), 0.8, 0.12),  # throat
)


def _ridge(p: Array, a: tuple[float, float], b: tuple[float, float], width: float) -> Array:
    q = np.stack([np.abs(p[..., 0]), p[..., 1]], -1) - a
    ab = np.subtract(b, a)
    t = np.clip(q @ ab / (ab @ ab), 0, 1)
    d = ((q - t[..., None] * ab) ** 2).sum(-1)
    result: Array = np.exp(-d / width**2) * np.clip((p[..., 2] + 1.0) / 3.0, 0, 1)
    return result


def _along(p: Array, line: Array, width: float) -> Array:
    q = np.stack([np.abs(p[..., 0]), p[..., 1], p[..., 2]], -1)
    near = np.full(p.shape[:-1], np.inf)
    for a, b in pairwise(line):
        t = np.clip((q - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
        near = np.minimum(near, ((q - a - t[..., None] * (b - a)) ** 2).sum(-1))
    result: Array = np.exp(-near / width**2)
    return result


def relief(p: Array, normals: Array) -> Array:
    """The plain head `p` with brow, sockets, cheeks, chin and throat modelled."""
    height = np.zeros(p.shape[:-1])
    height += _bumps(p)
    for line, width, amount in _JAW:
        height += amount * _along(p, np.array(line), width)
    for a, b, width, amount in _FOLDS:
        height += amount * _ridge(p, a, b, width) * (p[..., 2] > 4)
    for a, b, width, amount in _RIDGES:
        height += amount * _ridge(p, a, b, width)
    return p + normals * height[..., None]
