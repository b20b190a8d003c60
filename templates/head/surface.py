# SPDX-License-Identifier: GPL-3.0-or-later
"""Loft coordinates (angle u, row v) -> points of a bald head without openings, in centimetres.

The head is a stack of closed rows. Each row is an ellipse-like curve through a front, a side and
a back point, so a row can run from the chin up to the nape. Sculpted detail (brow, sockets,
cheeks, chin, nose) is added on top. Frame: eyes at y = 0, x to the subject's left, z forward.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

EYE_CENTRE = np.array([3.2, 0.0, 7.28])
EYE_RADIUS = 1.5

# One line a row from the crown down: front y z | side y half-width z | back y z | fullness of
# the front and of the back half (0 = ellipse, more = squarer).
_ROWS = np.array([
    [11.3, -0.6, 11.3, 0.0, -0.6, 11.3, -0.6, 0.00, 0.00],
    [10.9, 2.6, 10.6, 3.3, -0.6, 10.75, -3.9, 0.00, 0.00],
    [9.75, 5.4, 9.0, 5.65, -0.6, 9.15, -6.8, 0.00, 0.00],
    [7.75, 7.8, 6.9, 7.0, -0.6, 6.7, -8.7, 0.00, 0.00],
    [5.1, 9.35, 4.4, 7.55, -0.5, 3.7, -9.4, 0.015, 0.00],
    [2.5, 9.95, 1.95, 7.5, -0.2, 0.8, -9.2, 0.03, 0.00],
    [0.4, 9.75, -0.2, 7.27, 0.1, -1.6, -8.35, 0.04, 0.00],
    [-1.6, 9.75, -2.0, 7.0, 0.3, -3.2, -7.4, 0.035, 0.00],
    [-3.4, 9.85, -3.6, 6.7, 0.5, -4.6, -6.7, 0.025, 0.00],
    [-5.0, 9.95, -4.9, 6.4, 0.75, -5.8, -6.2, 0.015, 0.00],
    [-6.6, 9.9, -6.0, 6.1, 0.95, -6.8, -5.95, 0.01, 0.00],
    [-8.3, 9.6, -6.95, 5.8, 1.0, -7.8, -5.8, 0.00, 0.00],
    [-9.6, 9.55, -7.75, 5.5, 0.8, -8.7, -5.75, -0.01, 0.00],
    [-10.55, 8.9, -8.55, 5.12, 0.45, -9.6, -5.8, -0.015, 0.00],
    [-10.95, 7.2, -9.5, 4.75, 0.0, -10.6, -5.9, -0.01, 0.00],
    [-11.35, 5.4, -10.6, 4.55, -0.5, -11.6, -6.1, 0.00, 0.00],
    [-12.5, 4.45, -11.9, 4.6, -0.9, -12.6, -6.5, 0.00, 0.00],
    [-14.0, 4.2, -13.3, 5.2, -1.2, -13.8, -7.0, 0.02, 0.02],
    [-15.6, 4.5, -14.9, 7.6, -1.5, -15.2, -7.7, 0.05, 0.05],
    [-17.2, 5.5, -16.6, 11.0, -1.6, -17.0, -8.4, 0.09, 0.09],
    [-19.0, 6.7, -19.0, 13.4, -1.6, -19.5, -9.0, 0.11, 0.11],
    [-21.5, 7.6, -22.0, 14.2, -1.6, -22.0, -9.3, 0.11, 0.11],
])  # fmt: skip
ROW_COUNT = len(_ROWS)


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
    """Point of the plain head: u 0 (front) .. pi (back), v 0 (crown) .. ROW_COUNT - 1 (bust)."""
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


def bump(p: Array, at: tuple[float, float], size: tuple[float, float]) -> Array:
    """Soft spot of height 1 on the front of the face, and its mirror image."""
    d = ((np.abs(p[..., 0]) - at[0]) / size[0]) ** 2 + ((p[..., 1] - at[1]) / size[1]) ** 2
    result: Array = np.exp(-d) * (p[..., 2] > 0)
    return result


# Where the flesh lies over or under the plain loft: (x, y), (spread x, y), height.
_RELIEF: tuple[tuple[tuple[float, float], tuple[float, float], float], ...] = (
    ((2.3, 1.95), (1.3, 0.6), 0.16),  # brow ridge, inner
    ((3.9, 1.9), (1.2, 0.6), 0.15),  # brow ridge, outer
    ((0.0, 1.8), (1.0, 0.8), 0.05),  # glabella
    ((3.0, 0.05), (1.25, 0.8), -0.46),  # eye socket
    ((1.75, 0.05), (0.45, 0.7), -0.14),  # inner corner of the eye
    ((4.6, -2.4), (1.5, 1.2), 0.28),  # cheekbone
    ((2.9, -3.0), (1.3, 1.2), 0.17),  # apple of the cheek
    ((1.8, -2.0), (0.7, 1.5), 0.10),  # beside the nose
    ((4.8, -6.0), (1.4, 1.5), -0.08),  # hollow beside the mouth
    ((0.0, -5.9), (2.0, 1.1), 0.18),  # the teeth push the lips forward
    ((0.0, -5.3), (0.28, 0.55), -0.07),  # groove under the nose
    ((0.0, -8.35), (1.3, 0.45), -0.18),  # fold over the chin
    ((0.0, -9.6), (1.2, 0.9), 0.40),  # chin
    ((6.2, 1.6), (0.9, 1.8), -0.12),  # temple
)


# Soft ridges along lines on the front of the neck: two ends (x, y), width, height.
_RIDGES: tuple[tuple[tuple[float, float], tuple[float, float], float, float], ...] = (
    ((4.9, -9.5), (0.9, -15.6), 0.8, 0.17),  # muscle from the ear to the breastbone
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


def relief(p: Array, normals: Array) -> Array:
    """The plain head `p` with brow, sockets, cheeks, chin and throat modelled."""
    height = np.zeros(p.shape[:-1])
    for at, size, amount in _RELIEF:
        height += amount * bump(p, at, size)
    for a, b, width, amount in _RIDGES:
        height += amount * _ridge(p, a, b, width)
    return p + normals * height[..., None]


def _capsule(p: Array, a: Array, b: Array, ra: float, rb: float) -> Array:
    ab = b - a
    t = np.clip((p - a) @ ab / (ab @ ab), 0, 1)
    result: Array = np.linalg.norm(p - a - t[..., None] * ab, axis=-1) - (ra + (rb - ra) * t)
    return result


def _ellipsoid(p: Array, centre: Array, radii: Array) -> Array:
    q = (p - centre) / radii
    k0 = np.linalg.norm(q, axis=-1)
    k1 = np.linalg.norm(q / radii, axis=-1)
    result: Array = k0 * (k0 - 1) / np.maximum(k1, 1e-9)
    return result


def _smooth_min(a: Array, b: Array, k: float) -> Array:
    h = np.maximum(k - np.abs(a - b), 0) / k
    result: Array = np.minimum(a, b) - h * h * k / 4
    return result


def _nose_distance(p: Array) -> Array:
    """Signed distance to the nose: bridge, flanks, tip, wings and columella, smoothly joined."""
    q = p.copy()
    q[..., 0] = np.sqrt(p[..., 0] ** 2 + 1e-4)
    v = np.array
    d = _capsule(p, v([0, 0.9, 9.3]), v([0, -3.0, 11.15]), 0.5, 0.62)
    d = _smooth_min(d, _capsule(q, v([0.42, 0.2, 9.15]), v([0.75, -3.1, 10.0]), 0.5, 0.8), 0.8)
    d = _smooth_min(d, _ellipsoid(p, v([0, -3.5, 11.25]), v([1.02, 0.86, 0.95])), 0.5)
    d = _smooth_min(d, _ellipsoid(q, v([0.98, -3.66, 10.4]), v([0.66, 0.66, 0.95])), 0.42)
    return _smooth_min(d, _capsule(p, v([0, -3.75, 11.4]), v([0, -4.3, 9.9]), 0.3, 0.36), 0.35)


def add_nose(p: Array) -> Array:
    """`p` with the vertices of the nose region pushed out onto the nose."""
    out = p.copy()
    pick = (np.abs(p[:, 0]) < 3.2) & (p[:, 1] < 2.6) & (p[:, 1] > -6.2) & (p[:, 2] > 6)
    base = p[pick]
    x, y = base[:, 0], base[:, 1]
    # Rays lean down under the tip so that the underside gets rows of its own.
    lean = -1.1 * np.exp(-(((y + 4.75) / 0.75) ** 2)) + 0.12 * np.exp(-(((y + 2.6) / 0.8) ** 2))
    ray = np.stack([0.3 * x, lean * np.exp(-((x / 1.6) ** 4)), np.ones_like(x)], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    t = np.full(len(base), 4.0)
    for _ in range(60):
        field = _nose_distance(base + t[:, None] * ray)
        t -= 0.7 * _smooth_min(t * ray[:, 2], field, 0.8)
    out[pick] = base + np.maximum(t, -0.15)[:, None] * ray
    return out


def nostrils(p: Array) -> Array:
    """Offsets that press the nostrils into the underside of the nose."""
    d = np.stack([np.abs(p[:, 0]) - 0.62, p[:, 1] + 4.45, p[:, 2] - 10.75], -1)
    r = (d / [0.32, 0.4, 0.55]) ** 2
    amount = np.exp(-r.sum(-1))
    result: Array = amount[:, None] * np.array([0.0, 0.75, -0.25])
    return result
