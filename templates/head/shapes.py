# SPDX-License-Identifier: GPL-3.0-or-later
"""The rig of the neutral head -> offsets of all 52 shapes, (52, V, 3) in centimetres.

Shapes are painted on the left (or on both sides at once); right ones are mirrored, symmetric
ones averaged with their mirror image, so both halves agree exactly.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, mirror_of
from templates.head import motions, surface
from templates.head.parts import (
    ARCH_POWER,
    TONGUE_LONG,
    TONGUE_ROOT,
    UPPER_ARCH,
    tongue_middle,
)
from templates.head.rig import Rig, around, eye_of, smooth, swing_jaw

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MIRROR = np.array([-1.0, 1.0, 1.0])

JAW_DEGREES = 16.5
JAW_SLIDE = (0.0, -0.25, 0.30)  # the hinge also gives a little as the jaw opens (cm)
LID_CLEARANCE = 0.155
_NAMES = ("cl", "ul", "um", "ur", "cr", "lr", "lm", "ll")
_PARTNER = {"cr": "cl", "ur": "ul", "lr": "ll"}


def _handles(name: str, which: int) -> Array:
    """Eight vectors around the mouth (cm): at the lip border (which 0) or the mouth line (1)."""
    table = motions.LIPS[name]
    rows = []
    for key in _NAMES:
        entry = table.get(key)
        flip = 1.0
        if entry is None and name in motions.SYMMETRIC and key in _PARTNER:
            entry, flip = table.get(_PARTNER[key]), -1.0
        vector = entry[min(which, len(entry) - 1)] if entry else (0.0, 0.0, 0.0)
        rows.append([flip * vector[0], vector[1], vector[2]])
    return np.array(rows) / 10


def lips(rig: Rig, name: str) -> Array:
    """The offsets that the lips hand on to the skin around them and into the mouth."""
    near = np.flatnonzero(rig.skin & (rig.lip_distance < 8.0))
    nu = rig.nu[near]
    tight = name in motions.ROUND
    wide = 0.25 if tight else motions.CORNERS.get(name, 0.45)
    border, line = (_rounded(_handles(name, k), nu, wide) for k in (0, 1))
    # The corner moves as one piece: there is no room for the border to move apart from the line.
    corner = np.ones(len(nu)) if tight else smooth(np.abs(np.sin(nu)), 0.0, 0.5)
    mix = (smooth(rig.lip_depth[near], 0, 1) * corner)[:, None]
    up, aside, down = motions.REACH.get(name, motions.REACH_USUAL)
    s, c = np.sin(nu), np.abs(np.cos(nu))
    reach = np.where(s > 0, up, down) * s**2 + aside * c**2
    fade = np.exp(-((rig.lip_distance[near] / reach) ** 2))
    fade *= 1 - smooth(rig.bag_depth[near], 0.1, 1.0)
    out = np.zeros_like(rig.points)
    out[near] = (border + (line - border) * mix) * fade[:, None]
    return _off_teeth(rig, out) if name in motions.ROLLS else out


def _off_teeth(rig: Rig, offsets: Array) -> Array:
    """`offsets` of a lip that rolls in, stopped before the front teeth."""
    wide, deep, front = UPPER_ARCH
    moved = rig.points + offsets
    turn = np.arcsin(np.clip(np.abs(moved[:, 0]) / wide, 0, 0.98))
    teeth = front - deep + deep * np.cos(turn) ** ARCH_POWER - 0.02
    gap = moved[:, 2] - teeth
    k = 0.12
    h = np.maximum(k - np.abs(gap), 0) / k
    stopped = np.maximum(gap, 0) + h * h * k / 4 + teeth
    own = rig.skin & (rig.lip_distance <= 0) & (rig.bag_depth <= 0)
    out = offsets.copy()
    out[own, 2] = (stopped - rig.points[:, 2])[own]
    return out


def _rounded(handles: Array, nu: Array, wide: float) -> Array:
    """Motion around the mouth; each corner, up to `wide` (sine of nu), moves as one piece."""
    free = around(handles, nu)
    corner = handles[np.where(np.cos(nu) > 0, 0, 4)]
    result: Array = corner + (free - corner) * smooth(np.abs(np.sin(nu)), 0.0, wide)[:, None]
    return result


def spots(rig: Rig, name: str) -> Array:
    """The offsets of SPOTS, spread with a soft kernel that is exact at every spot."""
    reach, table = motions.SPOTS[name]
    where = np.array([w for w, _ in table], float)
    # Spots are written down roughly: use the vertex of the skin that is nearest.
    surface_ids = np.flatnonzero(rig.skin & (rig.bag_depth == 0) & (rig.lip_depth == 0))
    cloud = rig.points[surface_ids]
    where = np.array([cloud[np.argmin(((cloud - w) ** 2).sum(1))] for w in where])
    kernel = np.exp(-((where[:, None] - where[None]) ** 2).sum(-1) / reach**2)
    weights = np.linalg.solve(kernel + 0.02 * np.eye(len(where)), [v for _, v in table])
    near = rig.skin & (rig.bag_depth < 0.01)
    out = np.zeros_like(rig.points)
    gap = ((rig.points[near][:, None] - where[None]) ** 2).sum(-1)
    out[near] = np.exp(-gap / reach**2) @ weights / 10
    # The lips have their own table: keep the spots off them.
    return out * smooth(rig.lip_distance, 0.0, 1.0)[:, None]


def _softened(rig: Rig, offsets: Array, radius: float) -> Array:
    """`offsets` evened out over the skin around the mouth, so that no wrinkle stands alone."""
    near = np.flatnonzero(
        rig.skin & (rig.lip_distance > 0.25) & (rig.lip_distance < 4.5) & (rig.points[:, 2] > 3)
    )
    p = rig.points[near].astype(np.float32)
    size = (p**2).sum(1)
    gap = np.maximum(size[:, None] + size[None] - 2 * (p @ p.T), 0)
    weight = np.exp(-gap / np.float32(radius**2))
    even = weight @ offsets[near] / weight.sum(1, keepdims=True)
    share = smooth(rig.lip_distance[near], 0.25, 1.0) * smooth(rig.lip_distance[near], 4.5, 3.2)
    out = offsets.copy()
    out[near] += share[:, None] * (even - offsets[near])
    return out


def _over_ball(rig: Rig, moved: Array, clearance: float) -> Array:
    """Push lid points out in front of the eyeball with some clearance."""
    centre = eye_of(rig.points)
    d = moved - centre
    outer = surface.EYE_RADIUS + clearance
    room = outer**2 - d[:, 0] ** 2 - d[:, 1] ** 2
    ball = centre[:, 2] + np.sqrt(np.maximum(room, 0.01))
    own = rig.lid_share < 1.0
    z = np.where(own & (room > 0.01), np.maximum(moved[:, 2], ball), moved[:, 2])
    return np.stack([moved[:, 0], moved[:, 1], z], -1)


def _profile(rig: Rig) -> Array:
    """Opening of the lids at each vertex's place, 1 at the widest."""
    gap = rig.lid_top - rig.lid_low
    return np.clip(gap / max(float(gap.max()), 1e-9), 0, 1)


def lids(rig: Rig, upper: Array, lower: Array, aside: float = 0.0, ahead: float = 0.0) -> Array:
    """Lids sliding over the left eyeball; upper and lower are the paths of the edges in cm."""
    centre = eye_of(rig.points)
    share = rig.lid_share**1.4
    path = np.where(rig.lid_side > 0, upper, np.where(rig.lid_side < 0, lower, 0.0)) * share
    d = rig.points - centre
    reach = np.hypot(d[:, 1], d[:, 2])
    height = np.clip(d[:, 1] + path, -0.98 * reach, 0.98 * reach)
    moved = rig.points.copy()
    moved[:, 1] = centre[:, 1] + height
    moved[:, 2] = centre[:, 2] + np.sqrt(np.maximum(reach**2 - height**2, 1e-6))
    pull = share * np.clip(1.5 * _profile(rig) + 0.05, 0, 1)
    moved[:, 0] += aside * pull
    moved[:, 2] += ahead * pull
    lidded = (rig.lid_share > 0) & (rig.points[:, 0] > 0) & (np.abs(path) + abs(aside) > 0)
    # Only what was in front of the ball needs the clearance; the inner loops keep their depth.
    in_front = _over_ball(rig, moved, LID_CLEARANCE + min(ahead, 0.0))
    pushed = np.where((rig.lid_share < 1.0)[:, None], in_front, moved)
    return np.where(lidded[:, None], pushed - rig.points, 0.0)


def turn_eye(rig: Rig, up: float, left: float) -> Array:
    """The left eyeball turned by so many degrees."""
    a, b = np.deg2rad(up), np.deg2rad(left)
    rx = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    d = rig.points - surface.EYE_CENTRE
    # A reflection stays with the light: the glint follows the eye only in part.
    follow = np.where(rig.moved_by == "eye", 1.0, np.where(rig.moved_by == "glint", 0.4, 0.0))
    follow *= rig.points[:, 0] > 0
    result: Array = follow[:, None] * (d @ (ry @ rx).T - d)
    return result


def _blink(rig: Rig) -> Array:
    gap = np.maximum(rig.lid_top - rig.lid_low, 0)
    # The upper lid goes nearly all the way, and lies over the lower one where that rises too.
    out = lids(rig, -0.93 * gap, 0.07 * gap)
    layer = np.where(rig.lid_side > 0, 0.06, -0.07) * (rig.points[:, 0] > 0)
    out[:, 2] += layer * smooth(rig.lid_share, 0.5, 1.0) * _profile(rig)
    # The eyeball sinks a little under a closing lid, as real ones do: half-way, where offsets
    # add up along a straight line, the lid would touch it otherwise.
    own = np.isin(rig.moved_by, ("eye", "glint")) & (rig.points[:, 0] > 0)
    out[own, 2] -= 0.10
    return out


def _jaw_open(rig: Rig) -> Array:
    move = swing_jaw(rig.points, JAW_DEGREES) + np.array(JAW_SLIDE)
    result: Array = move * rig.jaw[:, None]
    # The tongue does not lie down with the jaw: it stays nearer to the teeth and is seen.
    own = rig.moved_by == "tongue"
    s = _along_tongue(rig.points[own])
    result[own, 1] += 0.42 * smooth(s, 0.0, 0.8)
    result[own, 2] += 0.40 * smooth(s, 0.2, 1.0)
    return result


def _along_tongue(points: Array) -> Array:
    s: Array = np.clip((points[:, 2] - TONGUE_ROOT) / TONGUE_LONG, 0, 1)
    return s


def _tongue_out(rig: Rig) -> Array:
    own = rig.moved_by == "tongue"
    p = rig.points
    s = _along_tongue(p)
    target_z = p[:, 2] + 4.1 * smooth(s, -0.05, 0.85)  # the tip keeps its form
    thin = 1 - 0.15 * smooth(s, 0.1, 0.6)
    middle = tongue_middle(s)
    # Over the lower teeth and lip, then bending down.
    lift = 0.62 * smooth(s, 0.1, 0.5) - 1.15 * smooth(s, 0.45, 1.0)
    y = middle + (p[:, 1] - middle) * thin + lift
    x = p[:, 0] * (1 - 0.30 * smooth(s, 0.1, 0.5) + 0.12 * smooth(s, 0.6, 0.95))
    return np.where(own[:, None], np.stack([x, y, target_z], -1) - p, 0.0)


def _mouth_close(rig: Rig, jaw_open: Array) -> Array:
    """Lips brought together under an open jaw: the jaw's motion taken back, plus a small one."""
    hold = np.exp(-((rig.lip_distance / 1.8) ** 2)) * (1 - smooth(rig.bag_depth, 0.0, 1.0))
    # Where both lips end up: a little down and back, the same for both, so that they touch.
    corner = 1 - 0.5 * np.cos(rig.nu) ** 2
    meet = np.stack([0 * corner, -0.26 * corner, -0.10 * corner], -1)
    result: Array = (meet - jaw_open) * (hold * rig.skin)[:, None]
    return result


def _special(rig: Rig, name: str) -> Array:
    """The part of a shape that is not in the tables."""
    zero = np.zeros_like(rig.points)
    if name in ("jawOpen", "mouthClose"):
        jaw = _jaw_open(rig) + lips(rig, "jawOpen")
        return _jaw_open(rig) if name == "jawOpen" else _mouth_close(rig, jaw)
    if name == "jawForward":
        return rig.slide[:, None] * [0, -0.16, 1.05]
    if name == "jawLeft":
        return rig.slide[:, None] * [0.86, 0.0, 0.0]
    if name == "eyeBlinkLeft":
        return _blink(rig)
    if name == "tongueOut":
        return _tongue_out(rig)
    if name in motions.LIDS:
        upper, lower, aside, ahead, up, left = motions.LIDS[name]
        open_ = _profile(rig)
        return lids(rig, upper / 10 * open_, lower / 10 * open_, aside / 10, ahead / 10) + turn_eye(
            rig, up, left
        )
    return zero


def _nearest(rig: Rig, riders: Ints, ground: Ints) -> tuple[Ints, Array]:
    """For each riding vertex the nearest vertices of the ground, and their shares."""
    gap = np.linalg.norm(rig.points[riders][:, None] - rig.points[ground][None], axis=-1)
    pick = np.argpartition(gap, 4, axis=1)[:, :4]
    weight = 1 / (np.take_along_axis(gap, pick, 1) + 0.02) ** 2
    return ground[pick], weight / weight.sum(1, keepdims=True)


def binding(rig: Rig) -> tuple[Ints, Ints, Array]:
    """Brows and lashes, the vertices of the skin that carry them, and the shares of these."""
    brows, lashes = (np.flatnonzero(rig.moved_by == kind) for kind in ("follow", "lash"))
    skin = rig.skin & (rig.points[:, 2] > 4) & (np.abs(rig.points[:, 1] - 1) < 3)
    # Lashes hold on to the edge alone: the skin behind it moves less and would tilt them.
    edge = skin & (rig.lid_share >= 1) & (rig.lid_side > 0)
    carried = [
        _nearest(rig, riders, np.flatnonzero(ground))
        for riders, ground in ((brows, skin), (lashes, edge))
    ]
    return (
        np.concatenate([brows, lashes]),
        np.concatenate([near for near, _ in carried]),
        np.concatenate([weight for _, weight in carried]),
    )


def paint(rig: Rig, name: str) -> Array:
    """One left-sided or symmetric shape before mirroring."""
    out = _special(rig, name)
    if name in motions.LIPS:
        out = out + lips(rig, name)
    if name in motions.SPOTS:
        out = out + spots(rig, name)
    return _softened(rig, out, motions.SOFT[name]) if name in motions.SOFT else out


def all_shapes(rig: Rig) -> Array:
    """Offsets of the 52 shapes in ARKIT_52 order, in centimetres."""
    riders, near, weight = binding(rig)
    done: dict[str, Array] = {}
    for name in ARKIT_52:
        if name.endswith("Right"):
            continue
        offsets = paint(rig, name)
        offsets[riders] = (offsets[near] * weight[..., None]).sum(1)
        if name in motions.SYMMETRIC:
            offsets = 0.5 * (offsets + offsets[rig.twin] * MIRROR)
        done[name] = offsets
    for name in ARKIT_52:
        if name.endswith("Right"):
            done[name] = done[mirror_of(name)][rig.twin] * MIRROR
    return np.stack([done[name] for name in ARKIT_52])
