# SPDX-License-Identifier: GPL-3.0-or-later
"""The loops around the ear's place -> the left ear: an outline in a tilted plane with its relief.

The outline, the rolled rim, the inner fold, the bowl and the tragus are drawn in the plane of the
ear (a back, b up, in centimetres); the loops run from the root over the back and the rim inwards.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from templates.head import surface
from templates.head.topology import Half

Array = npt.NDArray[np.float64]

_CENTRE = np.array([7.22, -1.15, -0.75])
_FLARE = np.deg2rad(26)
# Radius of the outline at every 30 degrees from the back (0) over the top (90) and the front.
_RADIUS = np.array([1.66, 1.95, 2.5, 2.85, 2.42, 1.42, 0.98, 0.98, 1.72, 2.72, 2.38, 1.72])
# Loops from the root inwards: share of the outline behind and in front, height over the plane.
_BACK = ((0.62, 1.26, -0.5), (0.74, 1.16, -0.1), (0.90, 1.07, 0.08), (1.0, 1.0, 0.20))
_INWARDS = np.array([0.985, 0.93, 0.85, 0.76, 0.66, 0.55, 0.43, 0.30, 0.15])


def _periodic(values: Array, angle: Array) -> Array:
    """Smooth periodic curve through values at equal steps of the angle."""
    n = len(values)
    spectrum = np.fft.rfft(values) / n
    k = np.arange(len(spectrum))
    factor = np.where((k == 0) | (2 * k == n), 1.0, 2.0)
    damp = np.exp(-((k / 5.0) ** 4))
    result: Array = (factor * damp * spectrum * np.exp(1j * k * angle[:, None])).real.sum(1)
    return result


def _evened(angle: Array) -> Array:
    """Angles of the slots spread so that they lie evenly along the outline."""
    fine = np.linspace(0, 2 * np.pi, 721)
    radius = _periodic(_RADIUS, fine)
    step = np.hypot(np.diff(radius), radius[1:] * np.diff(fine))
    arc = np.concatenate([[0], np.cumsum(step)])
    given = np.unwrap(-angle)  # the slots run clockwise
    start = np.interp(np.mod(-given[0], 2 * np.pi), fine, arc)
    along = start - np.arange(len(angle)) / len(angle) * arc[-1]
    even = -np.interp(np.mod(along, arc[-1]), arc, fine)
    turns = np.round((given - even) / (2 * np.pi)) * 2 * np.pi
    spread: Array = -(0.75 * (even + turns) + 0.25 * given)
    return spread


def _near_line(q: Array, line: Array) -> Array:
    """Distance of points (n, 2) to a polyline (m, 2)."""
    best = np.full(len(q), np.inf)
    for a, b in pairwise(line):
        ab = b - a
        t = np.clip((q - a) @ ab / (ab @ ab), 0, 1)
        best = np.minimum(best, np.linalg.norm(q - a - t[:, None] * ab, axis=1))
    return best


_FOLD = np.array(
    [[0.28, -1.42], [0.72, -0.95], [0.88, -0.2], [0.72, 0.5], [0.30, 1.05], [-0.2, 1.35]]
)
_FOLD_UP = np.array([[0.72, 0.5], [0.78, 1.1], [0.62, 1.7]])
_ROOT = np.array([[-0.9, 0.75], [-0.75, 0.2], [-0.2, -0.05]])


def _spot(q: Array, at: tuple[float, float], size: tuple[float, float]) -> Array:
    result: Array = np.exp(-(((q - at) / size) ** 2).sum(1))
    return result


def _height(q: Array, rho: float, angle: Array) -> Array:
    """Relief over the plane of the ear at points (n, 2) that lie at a share of the outline."""
    rim = np.clip((np.deg2rad(205) - np.mod(angle + np.deg2rad(50), 2 * np.pi)) / 0.5, 0, 1)
    roll = np.exp(-(((rho - 0.93) / 0.07) ** 2)) * rim
    groove = np.exp(-(((rho - 0.77) / 0.09) ** 2)) * rim
    h: Array = 0.34 * roll - 0.18 * groove
    h += 0.27 * np.exp(-((_near_line(q, _FOLD) / 0.24) ** 2))
    h += 0.12 * np.exp(-((_near_line(q, _FOLD_UP) / 0.26) ** 2))
    h += 0.16 * np.exp(-((_near_line(q, _ROOT) / 0.2) ** 2))
    h -= 1.10 * _spot(q, (0.02, -0.5), (0.60, 0.75)) + 0.25 * _spot(q, (-0.1, 0.45), (0.5, 0.35))
    h += 0.85 * _spot(q, (-0.76, -0.58), (0.30, 0.40))
    h += 0.24 * _spot(q, (0.12, -1.5), (0.3, 0.24))
    h -= 0.30 * _spot(q, (-0.42, -1.28), (0.22, 0.25))
    h += 0.12 * _spot(q, (-0.1, -2.2), (0.6, 0.4))
    return h


def form_ear(half: Half, p: Array) -> None:
    """Move the ear's loops of `p` into place."""
    rim = half.ear[0]
    local = p[rim] - p[rim].mean(0)
    angle = np.arctan2(local[:, 1] / np.ptp(local[:, 1]), -local[:, 2] / np.ptp(local[:, 2]))
    back = np.array([np.sin(_FLARE), 0.10, -np.cos(_FLARE)])
    up = np.array([0.12, 0.97, -0.20])
    out = np.cross(up, back)
    out *= np.sign(out[0]) / np.linalg.norm(out)
    angle = _evened(angle)
    radius = _periodic(_RADIUS, angle)
    turn = np.stack([np.cos(angle), np.sin(angle)], -1)
    above = np.clip(np.sin(angle), -0.25, 1)
    front = np.clip(0.15 - 1.25 * np.cos(angle) - 0.35 * np.abs(above) ** 3, 0, 1)
    for _ in range(3):
        front = (np.roll(front, 1) + 2 * front + np.roll(front, -1)) / 4

    def place(q: Array, h: Array) -> Array:
        result: Array = _CENTRE + q[:, :1] * back + q[:, 1:] * up + h[:, None] * out
        return result

    loops = []
    for rear, fore, high in _BACK:
        size = rear + (fore - rear) * front
        shift = np.array([-0.25, -0.1]) * (1 - rear) * (1 - front)[:, None]
        q = turn * (radius * size)[:, None] + shift
        loops.append(place(q, high * (1 - front) + 0.02 * front))
    for rho in _INWARDS:
        q = turn * (radius * rho)[:, None] + np.array([0.0, -0.35]) * (1 - rho) ** 1.5
        loops.append(place(q, 0.20 * (1 - front) + _height(q, rho, angle)))
    box = half.uv[rim]
    for k, point in enumerate(loops):
        # In front the ear grows out of the cheek: the loops there lie on the skin or over it.
        over = _side_skin(box, point) + 0.012 * k
        if k == 0:  # the root lies on the head
            point[:, 0] = over
        elif k <= 4:
            point[:, 0] += (over - point[:, 0]) * front
            behind = _soft_max(point[:, 0], over, 0.1)
            point[:, 0] += (behind - point[:, 0]) * (1 - front)
        elif k <= 9:
            point[:, 0] = _soft_max(point[:, 0], over, 0.15)
        p[half.ear[1 + k]] = point


def _soft_max(a: Array, b: Array, k: float) -> Array:
    h = np.maximum(k - np.abs(a - b), 0) / k
    result: Array = np.maximum(a, b) + h * h * k / 4
    return result


def _side_skin(box: Array, points: Array) -> Array:
    """How far out (x) the plain head reaches at the (y, z) of points near the ear."""
    margin = np.array([0.15, 1.2])
    low, high = box.min(0) - margin, box.max(0) + margin
    u, v = np.meshgrid(np.linspace(low[0], high[0], 40), np.linspace(low[1], high[1], 60))
    head = surface.loft(u, v).reshape(-1, 3)
    gap = ((points[:, None, 1:] - head[None, :, 1:]) ** 2).sum(-1)
    weight = np.exp(-gap / 0.02) + 1e-12
    result: Array = (weight * head[:, 0]).sum(1) / weight.sum(1)
    return result
