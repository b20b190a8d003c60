# SPDX-License-Identifier: GPL-3.0-or-later
"""Half a head in loft coordinates -> its vertices in centimetres, with lips, lids and ear formed.

Lips and lids are drawn as curves seen from the front and put on the skin; the ear is a stack of
outlines in its own tilted plane.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from templates.head import surface
from templates.head.topology import (
    EYE_SKIN,
    MOUTH_LIP,
    MOUTH_SKIN,
    Half,
    neighbour_table,
    relax,
)

Array = npt.NDArray[np.float64]

MOUTH_WIDTH = 2.48  # half of it, corner to middle
EYE_HALF_WIDTH = 1.46


def mouth_line(x: Array) -> Array:
    """Height of the line between the lips."""
    t = np.abs(x) / MOUTH_WIDTH
    result: Array = -6.62 + 0.2 * t**2 - 0.05 * np.exp(-((x / 0.55) ** 2))
    return result


def _lip_angles(count: int, corner: int) -> tuple[Array, Array]:
    """For each slot the angle from the middle (0) to the corner (pi/2), and 1 upper / -1 lower."""
    slot = np.arange(count)
    upper = slot <= corner
    angle = np.where(upper, slot / corner, (count - 1 - slot) / (count - 1 - corner))
    side = np.where(slot == corner, 0.0, np.where(upper, 1.0, -1.0))
    return angle * np.pi / 2, side


# Loops of the lips: share of the way from the border (1) to the mouth line (0), depth of the
# upper and of the lower lip over the skin, and how far the corner stands out sideways.
_LIP_LOOPS = (
    (1.00, 0.10, 0.05, 0.10),
    (0.80, 0.24, 0.24, 0.07),
    (0.50, 0.32, 0.38, 0.04),
    (0.20, 0.26, 0.30, 0.02),
    (0.00, 0.08, 0.08, 0.00),
    (0.00, -0.22, -0.18, -0.04),
)


def _lip_curve(angle: Array, side: Array, share: float, widen: float) -> tuple[Array, Array]:
    x = (MOUTH_WIDTH + widen) * np.sin(angle)
    c = np.cos(angle)
    bow = 0.10 * np.exp(-(((x - 0.55) / 0.42) ** 2)) - 0.10 * np.exp(-((x / 0.3) ** 2))
    upper = 0.62 * c**1.15 + bow
    lower = 0.80 * c**0.95
    y = mouth_line(x) + share * np.where(side > 0, upper, -lower) * (side != 0)
    return x, y


def _skin(uv: Array) -> Array:
    p = surface.loft(uv[..., 0], uv[..., 1])
    return surface.relief(p, surface.loft_normals(uv[..., 0], uv[..., 1]))


def _eyelid_curve(count: int, corners: tuple[int, int]) -> Array:
    """(x, y) of the lid edge for every slot of an eye loop."""
    inner, outer = corners
    slot = np.arange(count)
    run_up = (outer - inner) % count
    along = (slot - inner) % count
    upper = along <= run_up
    s = np.where(upper, along / run_up, (count - along) / (count - run_up))
    t = 0.65 * -np.cos(np.pi * s) + 0.35 * (2 * s - 1)
    tilt = -0.10 + 0.09 * (t + 1)
    lift = 0.61 * (1 - np.abs(t) ** 2.1) ** 0.85 * (1 - 0.10 * t)
    drop = 0.40 * (1 - np.abs(t) ** 2.4) ** 0.95 * (1 + 0.12 * t)
    y = tilt + np.where(upper, lift, -drop)
    result: Array = np.stack([t * EYE_HALF_WIDTH, y], -1) + surface.EYE_CENTRE[:2]
    return result


def fill_coordinates(half: Half) -> None:
    """Give the loop vertices loft coordinates and even them out around the holes."""
    uv = half.uv
    angle, side = _lip_angles(half.mouth.shape[1], half.mouth_corner)
    x, y = _lip_curve(angle, side, 1.0, _LIP_LOOPS[0][3])
    border = surface.locate(x, y)
    rim = uv[half.mouth[0]]
    for k in range(1, MOUTH_SKIN + 1):
        t = k / MOUTH_SKIN
        uv[half.mouth[k]] = rim + (border - rim) * t**0.85
    edge = _eyelid_curve(half.eye.shape[1], half.eye_corners)
    lid = surface.locate(edge[:, 0], edge[:, 1])
    rim = uv[half.eye[0]]
    for k in range(1, EYE_SKIN + 1):
        uv[half.eye[k]] = rim + (lid - rim) * (k / EYE_SKIN) ** 0.8
    uv[half.mouth[MOUTH_SKIN + 1 :]] = border
    uv[half.eye[EYE_SKIN + 1 :]] = lid
    rim = uv[half.ear[0]]
    uv[half.ear[1:]] = rim
    table, mask = neighbour_table(half.polygons, len(uv))
    strength = np.zeros(len(uv))
    strength[half.mouth[:MOUTH_SKIN]] = 0.5
    strength[half.eye[: EYE_SKIN - 1]] = 0.5
    near = half.grid[: half.grid.shape[0], 0:26]
    band = near[(uv[near[:, 1], 1] > 4.6) & (uv[near[:, 1], 1] < 12.2)]
    strength[band[band >= 0]] = 0.5
    scale = np.array([7.5, 1.75])
    smooth = relax(uv * scale, table, mask, strength, 12) / scale
    smooth[half.seam, 0] = np.where(uv[half.seam, 0] < 1, 0.0, np.pi)
    half.uv = smooth


def _form_lips(half: Half, p: Array) -> None:
    angle, side = _lip_angles(half.mouth.shape[1], half.mouth_corner)
    c = np.cos(angle)
    ref = None
    for k, (share, up, low, widen) in enumerate(_LIP_LOOPS):
        x, y = _lip_curve(angle, side, share, widen)
        ids = half.mouth[MOUTH_SKIN + k]
        skin = _skin(surface.locate(np.clip(x, 0, None), y))
        puff = np.where(side >= 0, up, low) * c**0.8 - 0.10 * (1 - c) ** 2
        p[ids] = np.stack([x, y, skin[:, 2] + puff], -1)
        if k == len(_LIP_LOOPS) - 2:
            ref = p[ids].copy()
            p[ids, 1] -= 0.004 * side  # a hair of overlap: no light shows between closed lips
    assert ref is not None
    last = half.mouth[MOUTH_SKIN + MOUTH_LIP]
    p[last] = ref + np.stack([-0.05 * np.sin(angle), 0.05 * side * c, -0.35 - 0.0 * c], -1)
    # The bag: (height at the middle, width, z of the middle, bend of the arch) for each loop.
    bag = (
        (0.30, 2.40, 9.35, 0.16), (0.90, 2.55, 9.25, 0.20), (1.45, 2.75, 9.00, 0.22),
        (1.70, 2.95, 8.30, 0.22), (1.80, 3.00, 7.20, 0.18), (1.75, 2.90, 6.00, 0.12),
        (1.50, 2.50, 5.00, 0.06), (0.80, 1.50, 4.30, 0.00),
    )  # fmt: skip
    for k, (high, wide, deep, bend) in enumerate(bag):
        x = wide * np.sin(angle)
        y = mouth_line(np.minimum(x, MOUTH_WIDTH)) + high * np.sign(side) * c**0.6
        z = np.minimum(deep - bend * x**2, ref[:, 2] - 0.45 - 0.05 * k)
        p[half.mouth[MOUTH_SKIN + MOUTH_LIP + 1 + k]] = np.stack([x, y, z], -1)


def _smooth_max(a: Array, b: Array, k: float) -> Array:
    h = np.maximum(k - np.abs(a - b), 0) / k
    result: Array = np.maximum(a, b) + h * h * k / 4
    return result


def _form_lids(half: Half, p: Array) -> None:
    centre, radius = surface.EYE_CENTRE, surface.EYE_RADIUS
    edge = _eyelid_curve(half.eye.shape[1], half.eye_corners)
    p[half.eye[EYE_SKIN], :2] = edge
    skin = half.eye[1 : EYE_SKIN + 1]
    d = p[skin, :2] - centre[:2]
    outer = radius + 0.155
    ball = centre[2] + np.sqrt(np.maximum(outer**2 - (d**2).sum(-1), 0.05))
    p[skin, 2] = _smooth_max(p[skin, 2], ball, 0.18)
    # The crease over the upper lid.
    high = np.clip((edge[:, 1] - centre[1]) / 0.5, 0, 1)
    for loop, groove in ((3, 0.04), (4, 0.10), (5, 0.03)):
        p[half.eye[loop], 2] -= groove * high
    # Behind the edge: the thickness of the lid, then a turn out of sight behind it.
    ray = p[half.eye[EYE_SKIN]] - centre
    far = np.linalg.norm(ray, axis=-1, keepdims=True)
    ray = ray / far
    spread = np.stack([edge[:, 0] - centre[0], edge[:, 1] - centre[1], np.zeros(len(edge))], -1)
    for k, (share, widen) in enumerate(((0.5, 0.0), (1.0, 0.01), (1.35, 0.18))):
        depth = far + (radius + 0.015 - far) * share
        depth = np.where(share > 1, radius - 0.12, depth)
        p[half.eye[EYE_SKIN + 1 + k]] = centre + ray * depth + spread * widen


# Ear loops from the head inwards: size, size of the front (where the ear joins the cheek and no
# rim stands out), height over the ear's plane, shift back, shift up.
_EAR_LOOPS = (
    (0.66, 1.20, -0.35, 0.0, -0.1),
    (0.72, 1.08, 0.02, -0.16, -0.1),
    (0.93, 1.04, 0.25, 0.0, 0.0),
    (1.00, 1.00, 0.42, 0.0, 0.0),
    (0.97, 0.95, 0.56, 0.0, 0.0),
    (0.88, 0.88, 0.55, 0.0, 0.0),
    (0.79, 0.80, 0.33, -0.05, -0.02),
    (0.65, 0.65, 0.40, -0.12, -0.05),
    (0.48, 0.48, 0.26, -0.24, -0.15),
    (0.34, 0.34, -0.10, -0.32, -0.22),
    (0.18, 0.18, -0.30, -0.36, -0.25),
)


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


def _form_ear(half: Half, p: Array) -> None:
    rim = half.ear[0]
    centre = np.array([7.38, -1.2, -1.05])
    local = p[rim] - p[rim].mean(0)
    y, b = local[:, 1] / np.ptp(local[:, 1]), -local[:, 2] / np.ptp(local[:, 2])
    angle = np.arctan2(y, b)
    flare = np.deg2rad(28)
    back = np.array([np.sin(flare), 0.10, -np.cos(flare)])
    up = np.array([0.10, 0.98, -0.16])
    out = np.cross(up, back)
    out /= -np.linalg.norm(out) * np.sign(-out[0])
    # Egg shape: broad above, narrow at the lobe; flat in front, where it grows from the cheek.
    tall = 3.0 * np.sin(angle)
    c = np.cos(angle)
    broad = (1.8 + 0.3 * np.sin(angle)) * np.sign(c) * np.abs(c) ** 0.8
    broad = np.where(np.cos(angle) < 0, 0.66 * broad, broad)
    free = 1 / (1 + np.exp(-(np.cos(angle) * 3.2 + 1.9 * np.abs(np.sin(angle)) - 0.4) * 2.2))
    front = np.clip(0.1 - 1.3 * c, 0, 1)
    for k, (rear, fore, high, shift, lift) in enumerate(_EAR_LOOPS):
        size = rear + (fore - rear) * front
        shift *= 1.0 if k > 5 else 1 - front
        h = high * (0.25 + 0.75 * free) if high > 0 else high
        point = (
            centre
            + (size * broad + shift)[:, None] * back
            + (rear * tall + lift)[:, None] * up
            + np.asarray(h)[..., None] * out
        )
        if k == 0:  # the root lies on the head
            box = half.uv[rim]
            turn = np.stack([np.cos(angle), -np.sin(angle)], -1) * np.ptp(box, axis=0) / 2
            reach = np.stack([0.58 + 0.2 * front, np.full(len(rim), 0.66)], -1)
            point = _skin(box.mean(0) + turn * reach)
        elif k < 8:  # the front grows out of the cheek: nothing may dip under the skin there
            over = _side_skin(half.uv[rim], point) + 0.04 + 0.05 * min(k, 4)
            point[:, 0] = _smooth_max(point[:, 0], over, 0.15)
        p[half.ear[1 + k]] = point


def _soften(half: Half, p: Array) -> Array:
    """Even out the loops around mouth, nose and ear, fading out so that no step remains."""
    table, mask = neighbour_table(half.polygons, len(p))
    strength = np.zeros(len(p))
    strength[half.mouth[1:MOUTH_SKIN]] = 0.4
    nose_area = (np.abs(p[:, 0]) < 2.2) & (p[:, 1] < 1.5) & (p[:, 1] > -5.0) & (p[:, 2] > 9)
    strength[nose_area] = 0.4
    strength[half.eye[3:]] = 0.0
    strength[half.mouth[MOUTH_SKIN:]] = 0.0
    aside = np.maximum(np.abs(half.uv[:, 0] - np.deg2rad(100)) - np.deg2rad(16), 0) / 0.3
    off = np.maximum(np.abs(half.uv[:, 1] - 6.7) - 1.5, 0) / 1.3
    near_ear = np.clip(1 - np.hypot(aside, off), 0, 1)
    near_ear[half.ear[3:]] = 0.0
    strength = np.maximum(strength, 0.35 * near_ear)
    strength[half.ear[3:]] = 0.25
    smooth = relax(p, table, mask, strength, 3)
    return relax(smooth, table, mask, 0.5 * near_ear, 4)


def form(half: Half) -> Array:
    """Vertices (n, 3) of the half head in centimetres."""
    fill_coordinates(half)
    p = surface.add_nose(_skin(half.uv))
    _form_lips(half, p)
    _form_lids(half, p)
    _form_ear(half, p)
    smooth = _soften(half, p)
    smooth += surface.nostrils(smooth)
    smooth[half.seam, 0] = 0.0
    return smooth


def skin_point(x: Array, y: Array) -> tuple[Array, Array]:
    """Points of the skin (without nose) seen at (x, y) from the front, and normals there."""
    uv = surface.locate(x, y)
    return _skin(uv), surface.loft_normals(uv[..., 0], uv[..., 1])
