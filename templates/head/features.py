# SPDX-License-Identifier: GPL-3.0-or-later
"""Half a head in loft coordinates -> its vertices in centimetres, with lips, lids and nose formed.

Lips and lids are drawn as curves seen from the front and put on the skin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from templates.head import nose, surface
from templates.head.ear import form_ear
from templates.head.topology import (
    EYE_SKIN,
    MOUTH_LIP,
    MOUTH_SKIN,
    NOSTRIL_LOOPS,
    Half,
    neighbour_table,
    relax,
)

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MOUTH_WIDTH = 2.42  # half of it, corner to middle
EYE_HALF_WIDTH, EYE_INNER_REACH = 1.4, 0.2
LID_THICK = 0.16
_CORNER_DIP = 0.13  # how deep the corners of the mouth lie


def mouth_line(x: Array) -> Array:
    """Height of the line between the lips."""
    t = np.abs(x) / MOUTH_WIDTH
    wave = 0.012 * np.sin(np.pi * np.clip(t, 0, 1)) ** 2
    result: Array = -6.60 - 0.02 * t**2 + 0.08 * t**6 - 0.05 * np.exp(-((x / 0.5) ** 2)) + wave
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
    (1.00, 0.10, 0.05, 0.19),
    (0.84, 0.19, 0.17, 0.155),
    (0.60, 0.27, 0.31, 0.12),
    (0.34, 0.29, 0.36, 0.085),
    (0.13, 0.20, 0.26, 0.05),
    (0.00, 0.06, 0.06, 0.00),
    (0.00, -0.22, -0.18, -0.04),
)


def _lip_curve(angle: Array, side: Array, share: float, widen: float) -> tuple[Array, Array]:
    x = (MOUTH_WIDTH + widen) * np.sin(angle)
    c = np.cos(angle)
    bow = 0.09 * np.exp(-(((x - 0.55) / 0.5) ** 2)) - 0.085 * np.exp(-((x / 0.34) ** 2))
    upper = 0.62 * c**1.45 + bow
    lower = 0.87 * c**1.25
    y = mouth_line(x) + share * np.where(side > 0, upper, -lower) * (side != 0)
    return x, y


def skin_at(uv: Array) -> Array:
    """The modelled skin, without nose and openings, at loft coordinates."""
    p = surface.loft(uv[..., 0], uv[..., 1])
    return surface.relief(p, surface.loft_normals(uv[..., 0], uv[..., 1]))


def _eyelid_curve(count: int, corners: tuple[int, int]) -> tuple[Array, Array]:
    """(x, y) of the lid edge for every slot of an eye loop, and -1 (inner) .. 1 (outer corner)."""
    inner, outer = corners
    slot = np.arange(count)
    run_up = (outer - inner) % count
    along = (slot - inner) % count
    upper = along <= run_up
    s = np.where(upper, along / run_up, (count - along) / (count - run_up))
    t = 0.62 * -np.cos(np.pi * s) + 0.38 * (2 * s - 1)
    tilt = -0.14 + 0.10 * (t + 1)
    lift = 0.575 * (1 - np.abs(t) ** 2.2) ** 0.9 * (1 - 0.08 * t)
    drop = 0.535 * (1 - np.abs(t) ** 2.3) ** 0.95 * (1 + 0.10 * t)
    y = tilt + np.where(upper, lift, -drop)
    x = t * EYE_HALF_WIDTH - EYE_INNER_REACH * ((1 - t) / 2) ** 2  # further in towards the nose
    return np.stack([x, y], -1) + surface.EYE_CENTRE[:2], t


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
    edge, _ = _eyelid_curve(half.eye.shape[1], half.eye_corners)
    lid = surface.locate(edge[:, 0], edge[:, 1])
    rim = uv[half.eye[0]]
    for k in range(1, EYE_SKIN + 1):
        uv[half.eye[k]] = rim + (lid - rim) * (k / EYE_SKIN) ** 0.8
    uv[half.mouth[MOUTH_SKIN + 1 :]] = border
    uv[half.eye[EYE_SKIN + 1 :]] = lid
    rim = uv[half.nostril[0]]
    shrink = np.linspace(1, 0.1, len(half.nostril))[:, None, None]
    uv[half.nostril] = rim.mean(0) + (rim - rim.mean(0)) * shrink
    uv[half.ear[1:]] = uv[half.ear[0]]
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
        skin = skin_at(surface.locate(np.clip(x, 0, None), y))
        puff = np.where(side >= 0, up, low) * c - _CORNER_DIP * (1 - c) ** 1.2
        puff -= 0.024 * k * np.exp(-((c / 0.3) ** 2))  # the corner is a small funnel
        p[ids] = np.stack([x, y, skin[:, 2] + puff], -1)
        if k == 0:  # the skin beside the corner dips in with it
            for ring, part in ((1, 0.62), (2, 0.28)):
                p[half.mouth[MOUTH_SKIN - ring], 2] -= part * _CORNER_DIP * (1 - c) ** 1.2
        if k == len(_LIP_LOOPS) - 2:
            ref = p[ids].copy()
            p[ids, 1] -= 0.004 * side  # a hair of overlap: no light shows between closed lips
    assert ref is not None
    last = half.mouth[MOUTH_SKIN + MOUTH_LIP]
    # Behind the line the upper lip hangs over the lower one: a narrow gap shows lip, not teeth.
    inner = np.where(side > 0, -0.10, -0.15) * c * (side != 0)
    p[last] = ref + np.stack([-0.05 * np.sin(angle), inner, -0.35 - 0.0 * c], -1)
    # The bag: (height at the middle, width, z of the middle, bend of the arch) for each loop.
    bag = (
        (0.36, 2.42, 9.62, 0.16), (0.95, 2.62, 9.42, 0.18), (1.60, 2.85, 8.80, 0.20),
        (1.80, 3.00, 7.40, 0.18), (1.65, 2.80, 5.70, 0.10), (0.90, 1.60, 4.40, 0.00),
    )  # fmt: skip
    for k, (high, wide, deep, bend) in enumerate(bag):
        x = wide * np.sin(angle)
        y = mouth_line(np.minimum(x, MOUTH_WIDTH)) + high * np.sign(side) * c**0.6
        z = np.minimum(deep - bend * x**2, ref[:, 2] - 0.45 - 0.05 * k)
        p[half.mouth[MOUTH_SKIN + MOUTH_LIP + 1 + k]] = np.stack([x, y, z], -1)


def _smooth_max(a: Array, b: Array, k: float) -> Array:
    return -nose.smooth_min(-a, -b, k)


# Lid loops from the box around the eye to the edge: share of the way outwards, how much of the
# skin (not of the lid lying on the ball) there is, and how far the upper lid stands out (cm).
_LID_LOOPS = (
    (1.00, 1.00, 0.00),
    (0.84, 1.00, 0.00),
    (0.69, 1.00, 0.02),
    (0.54, 0.95, 0.06),
    (0.41, 0.80, 0.07),
    (0.315, 0.55, -0.09),
    (0.20, 0.22, 0.00),
    (0.085, 0.06, 0.00),
    (0.00, 0.00, 0.00),
)


def _form_lids(half: Half, p: Array) -> None:
    centre, radius = surface.EYE_CENTRE, surface.EYE_RADIUS
    edge, t = _eyelid_curve(half.eye.shape[1], half.eye_corners)
    rim = p[half.eye[0], :2].copy()
    middle = (rim.max(0) + rim.min(0)) / 2
    reach = np.ptp(rim, axis=0) / 2
    turn = np.arctan2(*((rim - middle) / reach).T[::-1])
    # The loops half-way are round: the box must not show.
    orbit = middle + 0.86 * reach * np.stack([np.cos(turn), np.sin(turn)], -1)
    high = np.clip((edge[:, 1] - centre[1] + 0.05) / 0.35, 0, 1) * (1 - 0.5 * np.abs(t) ** 4)
    # Towards the nose the lid leaves the ball: there lies the small flesh of the corner.
    leave = 0.72 * np.clip(-(t + 0.45) / 0.55, 0, 1) ** 1.7
    flat = ((edge - centre[:2]) ** 2).sum(-1)
    z_edge = centre[2] + np.sqrt(np.maximum((radius + LID_THICK) ** 2 - flat, 0.25)) + leave
    for k in range(1, EYE_SKIN + 1):
        share, own, out = _LID_LOOPS[k]
        round_ = edge + (orbit - edge) * share / 0.84
        xy = round_ + (edge + (rim - edge) * share - round_) * np.clip((share - 0.5) / 0.5, 0, 1)
        d = xy - centre[:2]
        outer = radius + LID_THICK
        ball = centre[2] + np.sqrt(np.maximum(outer**2 - (d**2).sum(-1), 0.25)) + leave
        skin = skin_at(surface.locate(xy[:, 0], xy[:, 1]))[:, 2]
        z = ball + (_smooth_max(skin, ball, 0.12) - ball) * own + out * high
        # Around the outer corner no groove: the skin runs evenly down to the edge.
        even = z_edge + (skin - z_edge) * np.clip(share / 0.69, 0, 1)
        z = z + (even - z) * np.clip((np.abs(t) - 0.72) / 0.28, 0, 1) * (share < 0.69)
        p[half.eye[k]] = np.concatenate([xy, z[:, None]], 1)
    # Behind the edge: the thickness of the lid, then a turn out of sight behind it.
    ray = p[half.eye[EYE_SKIN]] - centre
    far = np.linalg.norm(ray, axis=-1, keepdims=True)
    ray = ray / far
    spread = np.stack([edge[:, 0] - centre[0], edge[:, 1] - centre[1], np.zeros(len(edge))], -1)
    for k, (share, widen) in enumerate(((0.55, 0.0), (1.3, 0.02))):
        depth = far + (radius + 0.015 - far) * share
        depth = np.where(share > 1, radius - 0.06, depth)
        p[half.eye[EYE_SKIN + 1 + k]] = centre + ray * depth + spread * widen


def _face_field() -> nose.Field:
    """Distance of points in front of the middle of the face to its skin without a nose."""
    xs, ys = np.linspace(0, 3.6, 37), np.linspace(-6.6, 3.0, 97)
    gx, gy = np.meshgrid(xs, ys)
    table = skin_at(surface.locate(gx, gy))[..., 2]

    def field(p: Array) -> Array:
        fx = np.clip(np.abs(p[..., 0]) / 0.1, 0, 35.999)
        fy = np.clip((p[..., 1] + 6.6) / 0.1, 0, 95.999)
        i, j = fx.astype(int), fy.astype(int)
        a, b = fx - i, fy - j
        low = table[j, i] * (1 - a) + table[j, i + 1] * a
        top = table[j + 1, i] * (1 - a) + table[j + 1, i + 1] * a
        result: Array = 0.93 * (p[..., 2] - (low * (1 - b) + top * b))
        return result

    return field


def _form_nose(half: Half, p: Array, table: Ints, mask: Array) -> None:
    field = _face_field()
    base = p.copy()
    region = (np.abs(p[:, 0]) < 3.2) & (p[:, 1] < 2.6) & (p[:, 1] > -6.2) & (p[:, 2] > 6)
    region[half.nostril[NOSTRIL_LOOPS - 3 :]] = False
    region[half.mouth[MOUTH_SKIN:]] = False
    region[half.eye[4:]] = False
    pick = np.flatnonzero(region)
    p[pick] = nose.on_rays(p[pick], field)
    around = base[half.nostril[0]] - base[half.nostril[0]].mean(0)
    angle = np.arctan2(around[:, 0], around[:, 1])
    free = NOSTRIL_LOOPS - 4
    rim = nose.settle(nose.nostril_rim(angle, 1.0, 0.0), field)
    for k in range(1, free + 1):
        outer = p[half.nostril[0]]
        p[half.nostril[k]] = nose.settle(outer + (rim - outer) * k / (free + 1), field)
    for k, (size, deep) in enumerate(((1.0, 0.0), (0.86, 0.12), (0.62, 0.45), (0.3, 0.75))):
        p[half.nostril[free + 1 + k]] = nose.nostril_rim(angle, size, deep)
    p[half.nostril[free + 1]] = rim + np.array([0.0, 0.02, 0.0])
    # Even out within the surface; towards the edge of the region nothing moves.
    edge = np.minimum(np.minimum(2.3 - base[:, 1], base[:, 1] + 5.6), 2.7 - np.abs(base[:, 0]))
    strength = 0.5 * np.clip(edge / 0.5, 0, 1) * region
    strength[half.eye[1:]] = 0
    strength[half.mouth[1:]] = 0
    move = np.flatnonzero(strength > 0)
    near, share = table[move], mask[move]
    on_seam = half.seam[move]
    for _ in range(40):
        # Long edges pull harder: plain averages would leave the tip with few vertices.
        edges = p[near] - p[move][:, None]
        pull = share * np.linalg.norm(edges, axis=-1) ** 2.2
        step = (edges * (pull / pull.sum(1, keepdims=True))[..., None]).sum(1)
        p[move] += strength[move, None] * step
        p[move[on_seam], 0] = 0.0
        p[move] = nose.settle(p[move], field, 1)
        p[move[on_seam], 0] = 0.0
    p[move] = nose.settle(p[move], field, 3)
    for _ in range(4):  # evenly between the rim and the loop that is outermost
        for k in range(1, free + 1):
            middle = (p[half.nostril[k - 1]] + p[half.nostril[k + 1]]) / 2
            p[half.nostril[k]] = nose.settle(middle, field, 2)
    soft = 0.8 * strength
    soft[half.nostril[free + 1]] = 0.3
    p[:] = relax(p, table, mask, soft, 2)


def _soften(half: Half, p: Array, table: Ints, mask: Array) -> Array:
    """Even out the loops around mouth and ear, fading out so that no step remains."""
    strength = np.zeros(len(p))
    strength[half.mouth[1:MOUTH_SKIN]] = 0.4
    strength[half.eye[1:3]] = 0.4
    aside = np.maximum(np.abs(half.uv[:, 0] - np.deg2rad(100)) - np.deg2rad(16), 0) / 0.3
    off = np.maximum(np.abs(half.uv[:, 1] - 6.7) - 1.5, 0) / 1.3
    near_ear = np.clip(1 - np.hypot(aside, off), 0, 1)
    near_ear[half.ear[3:]] = 0.0
    strength = np.maximum(strength, 0.35 * near_ear)
    strength[half.ear[3:]] = 0.12
    strength[half.ear[2:5]] = 0.3
    smooth = relax(p, table, mask, strength, 3)
    return relax(smooth, table, mask, 0.5 * near_ear, 4)


def _untangle(
    p: Array, polygons: Ints, table: Ints, mask: Array, own: npt.NDArray[np.bool_]
) -> Array:
    """`p` with faces that point against their surroundings smoothed out, where `own` allows it."""
    near = polygons[(polygons >= 0).all(1) & own[np.maximum(polygons, 0)].any(1)]
    for _ in range(24):
        a, b, c, d = (p[near[:, i]] for i in range(4))
        normal = np.cross(c - a, d - b)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        vertex = np.zeros_like(p)
        for i in range(4):
            np.add.at(vertex, near[:, i], normal)
        mean = vertex[near].sum(1) - 4 * normal
        bad = near[(mean * normal).sum(1) < 0.25 * np.linalg.norm(mean, axis=1)]
        if not len(bad):
            break
        strength = np.zeros(len(p))
        strength[bad.ravel()] = 0.4
        p = relax(p, table, mask, strength * own, 1)
    return p


def form(half: Half) -> Array:
    """Vertices (n, 3) of the half head in centimetres."""
    fill_coordinates(half)
    table, mask = neighbour_table(half.polygons, len(half.uv))
    # On the seam the neighbours on the other side count too.
    mask = mask * np.where(half.seam[:, None] & ~half.seam[table], 2.0, 1.0)
    p = skin_at(half.uv)
    _form_nose(half, p, table, mask)
    _form_lips(half, p)
    _form_lids(half, p)
    form_ear(half, p)
    smooth = _soften(half, p, table, mask)
    own = np.zeros(len(p), bool)
    own[half.ear[1:]] = True
    smooth = _untangle(smooth, half.polygons, table, mask, own)
    smooth[half.seam, 0] = 0.0
    return smooth


def skin_point(x: Array, y: Array) -> tuple[Array, Array]:
    """Points of the skin (without nose) seen at (x, y) from the front, and normals there."""
    uv = surface.locate(x, y)
    return skin_at(uv), surface.loft_normals(uv[..., 0], uv[..., 1])
