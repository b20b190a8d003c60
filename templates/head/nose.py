# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of the front of the face without a nose -> the same points moved onto one with a nose.

The nose is a signed distance field of a few rounded bodies, smoothly joined with the face. The
vertices find it along a fan of rays and then even out within the surface; the nostrils are
loops of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Field = Callable[[Array], Array]

NOSTRIL = np.array([0.75, -4.48, 10.88])  # middle of the left nostril's rim
_LONG = np.array([-0.36, 0.06, 0.93])  # its long axis, towards the tip
_ACROSS = np.array([0.92, 0.22, 0.34])


def _capsule(p: Array, a: Array, b: Array, ra: float, rb: float) -> Array:
    ab = b - a
    t = np.clip((p - a) @ ab / (ab @ ab), 0, 1)
    result: Array = np.linalg.norm(p - a - t[..., None] * ab, axis=-1) - (ra + (rb - ra) * t)
    return result


def _ellipsoid(p: Array, centre: Array, radii: Array, turn: float = 0.0) -> Array:
    q = p - centre
    c, s = np.cos(turn), np.sin(turn)
    q = np.stack([c * q[..., 0] - s * q[..., 2], q[..., 1], s * q[..., 0] + c * q[..., 2]], -1)
    q = q / radii
    k0 = np.linalg.norm(q, axis=-1)
    k1 = np.linalg.norm(q / radii, axis=-1)
    result: Array = k0 * (k0 - 1) / np.maximum(k1, 1e-9)
    return result


def smooth_min(a: Array, b: Array, k: float | Array) -> Array:
    """The smaller of both, rounded where they are closer than `k`."""
    h = np.maximum(k - np.abs(a - b), 0) / k
    result: Array = np.minimum(a, b) - h * h * k / 4
    return result


def nose_distance(p: Array) -> Array:
    """Signed distance (cm) to the nose alone."""
    q = p.copy()
    q[..., 0] = np.sqrt(p[..., 0] ** 2 + 1e-3)
    v = np.array
    d = _capsule(p, v([0, 0.7, 9.35]), v([0, -2.7, 11.05]), 0.42, 0.50)
    d = smooth_min(d, _capsule(q, v([0.40, 0.5, 9.0]), v([0.66, -3.0, 10.2]), 0.36, 0.68), 0.7)
    d = smooth_min(d, _ellipsoid(p, v([0, -3.44, 11.32]), v([0.80, 0.80, 0.94])), 0.6)
    d = smooth_min(d, _capsule(p, v([0, -3.7, 11.45]), v([0, -4.5, 10.3]), 0.32, 0.30), 0.3)
    wing = _ellipsoid(q, v([0.98, -3.86, 10.36]), v([0.50, 0.62, 0.95]), 0.40)
    return smooth_min(d, wing, 0.85)


def _whole(p: Array, face: Field) -> Array:
    """Distance to the face with its nose: a soft bridge, a crisp crease around the wings."""
    wings = np.exp(-((np.abs(p[..., 0]) - 1.5) ** 2) / 0.8 - ((p[..., 1] + 3.9) / 0.9) ** 2)
    bridge = np.clip((p[..., 1] + 3.0) / 2.0, 0, 1)
    k = 1.15 - 0.80 * wings + 0.75 * bridge * bridge * (3 - 2 * bridge)
    return smooth_min(face(p), nose_distance(p), k)


def _gradient(p: Array, field: Field) -> tuple[Array, Array]:
    h = 2e-3
    here = field(p)
    parts = [(field(p + h * axis) - here) / h for axis in np.eye(3)]
    return here, np.stack(parts, -1)


def settle(p: Array, face: Field, rounds: int = 3) -> Array:
    """`p` moved onto the surface along the field's gradient."""
    for _ in range(rounds):
        value, slope = _gradient(p, lambda q: _whole(q, face))
        size = np.maximum((slope**2).sum(-1), 0.05)
        p = p - np.clip(value / size, -0.4, 0.4)[:, None] * slope
    return p


def on_rays(p: Array, face: Field) -> Array:
    """First guess: each point goes out along its ray of a fan that opens under the tip."""
    y = p[:, 1]
    lean = -1.25 * np.exp(-(((y + 4.9) / 0.75) ** 2)) + 0.15 * np.exp(-(((y + 2.4) / 0.9) ** 2))
    ray = np.stack([0.32 * p[:, 0], lean * np.exp(-((p[:, 0] / 1.7) ** 4)), np.ones(len(p))], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    t = np.full(len(p), 3.6)
    for _ in range(40):
        t -= 0.7 * _whole(p + t[:, None] * ray, face)
    result: Array = p + np.clip(t, -0.2, 4.0)[:, None] * ray
    return result


def nostril_rim(angle: Array, size: float, deep: float) -> Array:
    """A loop of the left nostril: angle 0 points to the tip; `deep` cm up into the nose."""
    wide = 0.28 * (1 - 0.12 * np.cos(angle))
    point = (
        NOSTRIL
        + size * 0.50 * np.cos(angle)[:, None] * _LONG
        + size * (wide * np.sin(angle))[:, None] * _ACROSS
    )
    result: Array = point + deep * np.array([0.06, 0.86, -0.30])
    return result
