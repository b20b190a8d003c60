# SPDX-License-Identifier: GPL-3.0-or-later
"""The neutral head -> coordinates and smooth weights that the shapes are painted with.

Around the mouth a vertex is addressed by the angle `nu` (0 the left corner, pi/2 the middle of
the upper lip, pi the right corner, -pi/2 the middle of the lower lip) and by its distance from
the lips. These elliptic coordinates follow the slit, so upper and lower lip never mix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from templates.head import surface
from templates.head.features import MOUTH_WIDTH, mouth_line
from templates.head.topology import EYE_SKIN, MOUTH_LIP, MOUTH_SKIN, Half

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

HINGE = np.array([0.0, -0.9, 0.3])


@dataclass
class Rig:
    """The whole head (centimetres) with what the shapes need to know about each vertex."""

    points: Array
    twin: Ints
    skin: Bools  # face, lips and bag: the connected surface
    moved_by: npt.NDArray[np.str_]  # skin, skull, jaw, tongue, eye, glint, lash or follow
    nu: Array
    lip_distance: Array  # centimetres outside the border of the lips
    lip_depth: Array  # 0 at the border of the lips, 1 at the mouth line and inside
    bag_depth: Array  # 0 on the lips, 1 deep in the mouth
    lid_share: Array  # 0 away from the eye, 1 at the edge of the lid
    lid_side: Array  # 1 upper, -1 lower, 0 not a lid
    lid_top: Array  # height of the upper / lower lid edge over the same slot
    lid_low: Array
    jaw: Array  # how much the opening jaw carries a vertex
    slide: Array  # the same for a jaw that slides forwards or sideways: softer around the lips


def smooth(t: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between (swap them for a falling edge)."""
    s = np.clip((t - low) / (high - low), 0, 1)
    return s * s * (3 - 2 * s)


def around(values: Array, nu: Array) -> Array:
    """Periodic smooth interpolation of 8 values that stand at every 45 degrees of `nu`."""
    t = np.mod(nu, 2 * np.pi) / (np.pi / 4)
    i = np.floor(t).astype(int) % 8
    f = (t - np.floor(t))[..., None] if values.ndim > 1 else t - np.floor(t)
    a, b, c, d = (values[(i + k) % 8] for k in (-1, 0, 1, 2))
    result: Array = b + 0.5 * f * (
        c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a))
    )
    return result


def _mouth_fields(half: Half, points: Array, twin: Ints) -> tuple[Array, Array, Array, Array]:
    x, y = np.abs(points[:, 0]), points[:, 1] - mouth_line(np.clip(points[:, 0], -3.5, 3.5))
    flat = np.arccosh((x + 1j * np.where(np.abs(y) < 1e-6, 1e-6, y)) / MOUTH_WIDTH)
    nu = np.where(y >= 0, np.abs(flat.imag), -np.abs(flat.imag))
    count, corner = half.mouth.shape[1], half.mouth_corner
    slot = np.arange(count)
    ring_nu = np.pi / 2 * (1 - 2 * np.minimum(slot, count - 1) / (count - 1))
    assert corner * 2 == count - 1
    inner = half.mouth[MOUTH_SKIN:]
    nu[inner] = ring_nu
    border = points[half.mouth[MOUTH_SKIN]]
    border = np.concatenate([border, border * [-1, 1, 1]])
    near = (points[:, 2] > 2) & (points[:, 1] < 1) & (points[:, 1] > -13)
    distance = np.full(len(points), 99.0)
    gap = np.linalg.norm(points[near, None] - border[None], axis=-1)
    distance[near] = gap.min(1)
    depth, bag = np.zeros(len(points)), np.zeros(len(points))
    distance[inner] = 0.0
    steps = np.arange(len(inner))
    depth[inner] = np.clip(steps / (MOUTH_LIP - 1), 0, 1)[:, None]
    bag[inner] = np.clip((steps - MOUTH_LIP) / 4, 0, 1)[:, None]
    right = points[:, 0] < 0
    nu = np.where(right, np.pi - nu[twin], nu)
    for field in (distance, depth, bag):
        field[right] = field[twin][right]
    return nu, distance, depth, bag


def _lid_fields(half: Half, points: Array, twin: Ints) -> tuple[Array, Array, Array, Array]:
    share, side = np.zeros(len(points)), np.zeros(len(points))
    top, low = np.zeros(len(points)), np.zeros(len(points))
    inner, outer = half.eye_corners
    count = half.eye.shape[1]
    along = (np.arange(count) - inner) % count
    run = (outer - inner) % count
    edge = points[half.eye[EYE_SKIN]]
    upper = (along > 0) & (along < run)
    sign = np.where((along == 0) | (along == run), 0.0, np.where(upper, 1.0, -1.0))
    for loop in range(1, len(half.eye)):
        ids = half.eye[loop]
        share[ids] = min(loop / EYE_SKIN, 1.0)
        side[ids] = sign
        # The strip behind the edge goes along with the edge of its slot.
        x = points[ids, 0] if loop < EYE_SKIN else edge[:, 0]
        x = np.clip(x, edge[:, 0].min(), edge[:, 0].max())
        top[ids] = np.interp(x, *_sorted(edge[along <= run]))
        low[ids] = np.interp(x, *_sorted(edge[(along >= run) | (along == 0)]))
        top[ids] = np.where(loop >= EYE_SKIN, _slot_height(edge, upper, top[ids]), top[ids])
    for field in (share, side, top, low):
        field[points[:, 0] < 0] = field[twin][points[:, 0] < 0]
    return share, side, top, low


def _slot_height(edge: Array, upper: Bools, top: Array) -> Array:
    return np.where(upper, edge[:, 1], top)


def _sorted(edge: Array) -> tuple[Array, Array]:
    order = np.argsort(edge[:, 0])
    return edge[order, 0], edge[order, 1]


# The jaw carries the lower lip fully, the corners in part and the upper lip hardly.
_JAW_LIPS = np.array([0.53, 0.19, 0.05, 0.19, 0.53, 0.85, 1.0, 0.85])
_SLIDE_LIPS = np.array([0.50, 0.24, 0.12, 0.24, 0.50, 0.80, 0.92, 0.80])


def _jaw_field(
    points: Array,
    nu: Array,
    distance: Array,
    bag: Array,
    lip_values: Array,
    first: float,
    slides: bool = False,
) -> Array:
    """Share of the jaw's motion; `first` is the angle under the hinge line where it sets in."""
    rel = points - HINGE
    angle = np.rad2deg(np.arctan2(-rel[:, 1], np.maximum(rel[:, 2], 0.01)))
    angle += 3.0 * np.exp(-((points[:, 0] / 1.6) ** 2)) * (points[:, 1] < -7)
    weight = smooth(angle, first, 43) * smooth(
        points[:, 2], *((-1.0, 8.0) if slides else (-1.8, 4.2))
    )
    weight *= smooth(np.hypot(rel[:, 1], rel[:, 2]), 0.5, 4.5)
    weight *= smooth(points[:, 1], -14.6, -10.9) * (points[:, 1] < HINGE[1])
    # Under the chin the skin hangs back: it would be pushed into the neck.
    below = smooth(points[:, 1], -10.7, -12.0) * smooth(points[:, 2], 8.2, 5.2)
    weight *= 1 - 0.3 * below
    lips = around(lip_values, nu)
    if slides:  # the corner is carried as one piece
        corner = lip_values[np.where(np.cos(nu) > 0, 0, 4)]
        lips = corner + (lips - corner) * smooth(np.abs(np.sin(nu)), 0.0, 0.3)
    near = np.exp(-((distance / 1.15) ** 2))
    weight = weight + (lips - weight) * near
    # Deep in the mouth the floor follows the jaw, the roof stays, the cheeks share.
    inside = 0.5 - 0.5 * np.sin(nu)
    return np.where(bag > 0, lips + (inside - lips) * bag, weight)


def make_rig(half: Half, points: Array, twin: Ints, moved_by: npt.NDArray[np.str_]) -> Rig:
    """Coordinates and weights of the whole head."""
    skin = moved_by == "skin"
    nu, distance, depth, bag = _mouth_fields(half, points, twin)
    distance = np.where(skin, distance, 99.0)
    jaw = _jaw_field(points, nu, distance, bag, _JAW_LIPS, 19.0) * skin
    slide = _jaw_field(points, nu, distance, bag, _SLIDE_LIPS, 12.0, True) * skin
    for field in (jaw, slide):
        field[(moved_by == "jaw") | (moved_by == "tongue")] = 1.0
    share, side, top, low = _lid_fields(half, points, twin)
    return Rig(
        points, twin, skin, moved_by, nu, distance, depth, bag, share, side, top, low, jaw, slide
    )


def swing_jaw(points: Array, degrees: float) -> Array:
    """Offsets of points that turn about the hinge of the jaw."""
    a = np.deg2rad(degrees)
    y, z = points[:, 1] - HINGE[1], points[:, 2] - HINGE[2]
    dy = y * (np.cos(a) - 1) - z * np.sin(a)
    dz = z * (np.cos(a) - 1) + y * np.sin(a)
    return np.stack([np.zeros(len(points)), dy, dz], -1)


def eye_of(points: Array) -> Array:
    """Centre of the eye on the side of each point."""
    side = np.where(points[:, :1] < 0, -1.0, 1.0)
    result: Array = surface.EYE_CENTRE * np.concatenate(
        [side, np.ones_like(side), np.ones_like(side)], 1
    )
    return result
