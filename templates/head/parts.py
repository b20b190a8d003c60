# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing (or the formed half face) -> the loose parts: eyes, teeth, gums, tongue, brows, lashes.

Every part is made for the half with x >= 0 and mirrored together with the face.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from templates.head import surface
from templates.head.features import skin_point
from templates.head.hair import hair_part
from templates.head.pieces import Part, sheet
from templates.head.topology import EYE_SKIN, Half

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

IRIS_ANGLE, PUPIL_ANGLE = np.deg2rad(25.2), np.deg2rad(10.0)


def _disc_cap(pole: int, ring: Ints) -> Ints:
    tri = np.stack([np.full(len(ring), pole), ring, np.roll(ring, -1), np.full(len(ring), -1)], -1)
    result: Ints = tri.astype(np.int64)
    return result


def _iris_tint(angles: Array, turn: Array) -> Array:
    """A dark rim, a light ring around the pupil, and the shadow of the lid on the upper half."""
    s = (angles - angles[0]) / (angles[-1] - angles[0])
    light = np.interp(s, [0, 0.25, 0.6, 0.8, 1.0], [0.75, 1.35, 1.15, 0.72, 0.16])[:, None]
    high = np.sin(turn) * (angles / IRIS_ANGLE)[:, None]
    shade = 1 - 0.62 * np.clip((high - 0.1) / 0.8, 0, 1) ** 1.2 + 0.22 * np.clip(-high, 0, 1)
    streak = 1 + 0.10 * np.cos(8 * turn) * np.sin(np.pi * s)[:, None]
    warm = np.interp(s, [0, 0.35, 1.0], [1.0, 0.3, 0.0])[:, None, None] * [0.22, 0.05, -0.12]
    tint: Array = np.maximum((light * shade * streak)[..., None] * (1 + warm), 0.02)
    return tint.reshape(-1, 3)


def _white_tint(p: Array) -> Array:
    """Shaded under the upper lid and towards the corners, pinkish there."""
    top = np.clip((p[:, 1] - 0.10) / 0.48, 0, 1)
    side = np.clip((np.abs(p[:, 0]) - 0.75) / 0.6, 0, 1)
    shade = (1 - 0.48 * top) * (1 - 0.16 * side)
    tint: Array = shade[:, None] * (1 - side[:, None] * np.array([0.0, 0.08, 0.09]))
    return tint


def eye_parts() -> list[Part]:
    """Eyeball as a sphere whose pole looks forward: pupil, iris, sclera and a glint."""
    segments = 28
    turn = np.arange(segments) / segments * 2 * np.pi
    deg = np.deg2rad([34, 42, 51, 61, 72, 85, 104, 128, 155])
    iris = np.linspace(PUPIL_ANGLE, IRIS_ANGLE, 5)

    def ring(angle: Array, radius: float) -> Array:
        s, c = np.sin(angle)[:, None], np.cos(angle)[:, None]
        direction = np.stack([s * np.cos(turn), s * np.sin(turn), c + 0 * turn], -1)
        result: Array = surface.EYE_CENTRE + radius * direction.reshape(-1, 3)
        return result

    r = surface.EYE_RADIUS
    front = surface.EYE_CENTRE[None] + np.array([[0.0, 0.0, r]])
    pupil_rings = ring(np.array([0.5, 1.0]) * PUPIL_ANGLE, r)
    pupil = np.concatenate([front, pupil_rings])
    cap = _disc_cap(0, 1 + np.arange(segments))
    iris_points, white = ring(iris, r), ring(np.concatenate([[IRIS_ANGLE], deg]), r)
    parts = [
        Part("pupil", pupil, np.concatenate([cap, sheet(2, segments, True) + 1]), "eye"),
        Part(
            "iris",
            iris_points,
            sheet(len(iris), segments, True),
            "eye",
            tint=_iris_tint(iris, turn),
        ),
        Part(
            "sclera",
            white,
            sheet(len(deg) + 1, segments, True),
            "eye",
            tint=_white_tint(white - surface.EYE_CENTRE),
        ),
    ]
    # A bright spot over the edge of the pupil: flat shading has no reflections of its own.
    tilt = np.deg2rad(12.0)
    spot = np.deg2rad(3.8)
    local = ring(np.array([spot * 0.5, spot]), r + 0.03) - surface.EYE_CENTRE
    pole = np.array([[0.0, 0.0, r + 0.03]])
    cap = np.concatenate([cap, sheet(2, segments, True) + 1])
    c, s = np.cos(tilt), np.sin(tilt)
    turned = np.concatenate([pole, local]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    parts.append(Part("glint", turned + surface.EYE_CENTRE, cap, "glint"))
    return parts


def _arch(length: Array, wide: float, deep: float, front: float) -> tuple[Array, Array]:
    """Points and outward directions (x, z) at arc lengths along half a dental arch."""
    a = np.linspace(0, np.pi * 0.499, 800)
    x, z = wide * np.sin(a), front - deep + deep * np.cos(a) ** ARCH_POWER
    arc = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    px, pz = np.interp(length, arc, x), np.interp(length, arc, z)
    e = 0.02
    tx = np.interp(length + e, arc, x) - np.interp(np.maximum(length - e, 0), arc, x)
    tz = np.interp(length + e, arc, z) - np.interp(np.maximum(length - e, 0), arc, z)
    n = np.stack([-tz, tx], -1) / np.hypot(tx, tz)[:, None]
    n[length <= 0] = (0, 1)
    return np.stack([px, pz], -1), n


def _sweep(
    name: str, length: Array, arch: tuple[float, float, float], out: Array, y: Array, rig: str
) -> Part:
    """A band along the arch; out and y are (stations, profile) offsets, profile runs down."""
    at, normal = _arch(length, *arch)
    x = at[:, :1] + out * normal[:, :1]
    z = at[:, 1:] + out * normal[:, 1:]
    x[0] = 0.0
    points = np.stack([x, y, z], -1)
    quads = sheet(*points.shape[:2])[:, [0, 3, 2, 1]]
    return Part(name, points.reshape(-1, 3), quads, rig, central=True)


ARCH_POWER = 0.7  # below 1 the front of the arch is broad
UPPER_ARCH = (2.6, 3.9, 9.25)
LOWER_ARCH = (2.45, 3.75, 9.02)
UPPER_EDGE, LOWER_EDGE = -6.92, -6.88


def _tooth_row(name: str, widths: tuple[float, ...], edge: float, tall: float, rig: str) -> Part:
    arch = UPPER_ARCH if tall > 0 else LOWER_ARCH
    inside = np.array([0.0, 0.07, 0.3, 0.7, 0.93])
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    length = np.concatenate([s + w * inside for s, w in zip(starts, widths, strict=True)])
    length = np.append(length, sum(widths))
    tooth = np.append(np.tile(inside, len(widths)), 1.0)
    gap = np.exp(-((np.minimum(tooth, 1 - tooth) / 0.05) ** 2))
    rounding = np.abs(2 * tooth - 1) ** 3
    which = np.append(np.repeat(np.arange(len(widths)), len(inside)), len(widths) - 1)
    short = np.array([0.0, 0.06, 0.02, 0.08, 0.10, 0.10])[which]
    profile_out = np.array([-0.02, 0.05, 0.06, 0.02, -0.08, -0.2, -0.45])
    profile_y = np.array([1.0, 0.75, 0.45, 0.12, 0.0, 0.06, 0.8])
    out = profile_out - (0.10 * gap + 0.05 * rounding)[:, None] * (profile_out > -0.15)
    near_edge = 1 - profile_y
    drop = (0.04 * rounding + 0.05 * gap + short)[:, None] * near_edge**2
    y = edge + np.sign(tall) * (abs(tall) * profile_y + drop)
    part = _sweep(name, length, arch, out, y, rig)
    if tall < 0:
        part.polygons = part.polygons[:, ::-1]
    # Darker towards the cheeks and the gums, and in the gaps.
    far = 1 - 0.62 * np.clip((length - 0.6) / 3.0, 0, 1) ** 0.9
    shade = far[:, None] * (1 - 0.28 * gap[:, None]) * (1 - 0.16 * np.clip(profile_y - 0.4, 0, 1))
    shade = shade * np.array([1.0, 1.0, 1.0, 1.0, 0.9, 0.32, 0.22])  # the backs lie in the dark
    part.tint = (shade[..., None] * np.array([1.0, 0.985, 0.955])).reshape(-1, 3)
    return part


def teeth_parts() -> list[Part]:
    """Both rows of teeth and the gums over them."""
    upper = _tooth_row("teeth_upper", (0.84, 0.66, 0.74, 0.68, 0.66, 0.9), UPPER_EDGE, 1.0, "skull")
    lower = _tooth_row("teeth_lower", (0.55, 0.58, 0.66, 0.68, 0.68, 0.9), LOWER_EDGE, -0.9, "jaw")
    parts = [upper, lower]
    length = np.linspace(0, 4.4, 19)
    out = np.array([-0.06, 0.05, 0.10, 0.04, -0.3, -0.7])
    up = np.array([0.74, 0.82, 1.05, 1.4, 1.6, 1.2])
    for edge, sign, arch, rig in (
        (UPPER_EDGE, 1, UPPER_ARCH, "skull"),
        (LOWER_EDGE, -1, LOWER_ARCH, "jaw"),
    ):
        scallop = 0.05 * np.cos(length / 0.70 * 2 * np.pi)[:, None] * (up < 0.9)
        y = edge + sign * ((up if sign > 0 else up * 0.92) + scallop)
        part = _sweep("gums", length, arch, np.tile(out, (len(length), 1)), y, rig)
        if sign > 0:
            part.polygons = part.polygons[:, ::-1]
        far = 1 - 0.65 * np.clip(length / 3.4, 0, 1)
        part.tint = np.repeat(np.repeat(far[:, None], len(out), 1).reshape(-1, 1), 3, 1)
        parts.append(part)
    return parts


TONGUE_ROOT, TONGUE_LONG = 4.6, 3.65  # where it begins (z), and its length


def tongue_middle(s: Array) -> Array:
    """Height of the middle of the tongue from its root (0) to its tip (1)."""
    result: Array = -7.50 + 0.24 * np.sin(np.pi * s) + 0.10 * s
    return result


def tongue_part() -> Part:
    """A flat, rounded tongue lying behind the lower teeth."""
    stations, slots = 16, 11
    s = np.sin(np.linspace(0, np.pi / 2, stations))
    a = np.linspace(0, np.pi, slots)
    z = TONGUE_ROOT + TONGUE_LONG * s
    wide = 1.72 * np.sqrt(np.maximum(1 - s**2.8, 0)) * (0.95 + 0.05 * s)
    thick = 0.62 * np.sqrt(np.maximum(1 - s**5, 0))
    mid = tongue_middle(s)
    x = wide[:, None] * np.sin(a) ** 0.85
    groove = 0.10 * np.exp(-((x / 0.35) ** 2)) * (np.cos(a) > 0) * np.sin(np.pi * s)[:, None]
    y = mid[:, None] + thick[:, None] * np.cos(a) - groove
    points = np.stack([x, y, np.broadcast_to(z[:, None], x.shape)], -1)
    points[:, [0, -1], 0] = 0.0
    # Half rings run from the top down the left side; the tip closes to a point.
    shade = np.repeat(0.35 + 0.65 * s[:, None] ** 1.5, slots, 1).reshape(-1, 1)
    tint = np.repeat(shade, 3, 1)
    return Part("tongue", points.reshape(-1, 3), sheet(stations, slots), "tongue", True, tint)


TUFTS = 26  # of a brow
BROW_STATIONS = 14  # of the even ground under them


def _on_face(x: Array, y: Array, face: Array) -> tuple[Array, Array]:
    """Points of the formed face seen at (x, y) from the front, and normals there."""
    base, normal = skin_point(x, y)
    flat = base.reshape(-1, 3)
    gap = ((flat[:, None] - face[None]) ** 2).sum(-1)
    weight = np.exp(-gap / 0.06) + 1e-12
    off = ((face[None] - flat[:, None]) * normal.reshape(-1, 1, 3)).sum(-1)
    lift = (weight * off).sum(1) / weight.sum(1)
    return base + normal * lift.reshape(*x.shape, 1), normal


def _brow_curve(s: Array, across: Array) -> tuple[Array, Array]:
    """(x, y) from the front at shares along a brow (0 inner end) and across it (-1 lower edge)."""
    half_height = 0.25 * np.minimum((s + 0.03) / 0.22, 1) ** 0.6 * np.clip(1 - s**2, 0.02, 1) ** 0.7
    x = 1.28 + 3.85 * s
    y = 1.78 + 0.80 * np.sin(np.pi * np.clip(0.06 + 0.66 * s, 0, 1)) ** 1.2 - 0.50 * s**3
    return x, y + across * half_height


def _brow_base(near: Array) -> tuple[Array, Ints, Array]:
    """The even ground of a brow: it gives it a clean lower edge."""
    s = np.repeat(np.linspace(0.015, 0.99, BROW_STATIONS)[:, None], 3, 1)
    across = np.interp(s, [0, 0.12, 0.6, 1], [0.35, 1.0, 0.9, 0.2]) * np.array([-0.95, -0.25, 0.5])
    base, normal = _on_face(*_brow_curve(s, across), near)
    shade = np.interp(s, [0, 0.05, 0.2], [1.9, 1.35, 1.0])
    points = base + normal * np.array([0.012, 0.03, 0.012])[:, None]
    return points.reshape(-1, 3), sheet(BROW_STATIONS, 3)[:, ::-1], shade.ravel()


def brow_part(face: Array) -> Part:
    """An eyebrow of overlapping tufts that rise at its inner end and lie along it further out.

    They lie flat on the skin, so that both brows are lit as the skin is.
    """
    s0 = np.linspace(0.0, 0.93, TUFTS)
    chance = np.sin(np.arange(TUFTS) * 12.9898 + 1.7) * 43758.5453 % 1.0
    long = np.interp(s0, [0, 0.15, 0.6, 1], [0.10, 0.17, 0.20, 0.10]) * (0.85 + 0.3 * chance)
    low = np.interp(s0, [0, 0.2, 0.6, 1], [-0.55, -0.7, -0.6, -0.2]) + 0.2 * (chance - 0.5)
    high = np.interp(s0, [0, 0.2, 0.5, 1], [0.9, 1.0, 0.7, 0.1])
    t = np.linspace(0, 1, 4)
    s = s0[:, None] + long[:, None] * t
    across = low[:, None] + (high - low)[:, None] * np.sin(t * np.pi / 2)
    wide = (
        0.085
        * np.array([0.45, 1.0, 0.8, 0.08])
        * np.interp(s0, [0, 0.7, 1], [1, 0.9, 0.6])[:, None]
    )
    x, y = _brow_curve(s, across)
    along = np.stack([np.gradient(x, axis=1), np.gradient(y, axis=1)], -1)
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    near = face[(face[:, 0] > 0.8) & (face[:, 0] < 5.8) & (face[:, 1] > 0.9) & (face[:, 1] < 3.4)]
    rows = []
    # Neighbours lie at different heights, or they would flicker through one another.
    height = 0.036 + 0.007 * (np.arange(TUFTS) % 3)[:, None] + 0 * t
    for side in (-1.0, 0.0, 1.0):
        base, normal = _on_face(
            x - side * wide * along[..., 1], y + side * wide * along[..., 0], near
        )
        rows.append(base + normal * (height + 0.006 * (side == 0))[..., None])
    points = np.stack(rows, 2)  # (tuft, station, edge - ridge - edge, 3)
    ground, under, shade = _brow_base(near)
    one = sheet(4, 3)
    polygons = np.concatenate([one + 12 * k for k in range(TUFTS)])[:, ::-1]
    light = np.interp(s0, [0, 0.1, 0.3], [1.9, 1.3, 1.0]) * (0.8 + 0.5 * chance)
    tint = np.concatenate([np.repeat(light, 12), shade])[:, None] * np.ones(3)
    whole = np.concatenate([points.reshape(-1, 3), ground])
    return Part("brow", whole, np.concatenate([polygons, under + 12 * TUFTS]), "skin", tint=tint)


def lash_part(half: Half, face: Array) -> Part:
    """A dark fringe on the edge of the upper lid; row 0 lies on the lid."""
    inner, outer = half.eye_corners
    count = half.eye.shape[1]
    slots = (inner + np.arange(2, (outer - inner) % count)) % count
    edge = face[half.eye[EYE_SKIN, slots]]
    s = np.linspace(0, 1, len(slots))[:, None]
    grow = np.sin(np.pi * s**0.85) ** 0.8 * (0.45 + 0.55 * np.sqrt(s))
    outward = np.concatenate([0.05 + 0.45 * s**2, 0.30 + 0.25 * s, 0.95 - 0.5 * s], 1)
    below = edge + np.array([0.0, -0.028, 0.0]) * (0.2 + 0.8 * grow)
    ridge = edge + np.array([0.0, 0.030, 0.034]) * grow
    # Single lashes stand out further at the outer end.
    stroke = 1 + 0.75 * s**2 * (np.arange(len(slots)) % 2)[:, None]
    tip = edge + np.array([0.0, 0.004, 0.01]) + outward * (0.21 * grow * stroke)
    points = np.stack([below, tip, ridge])
    return Part("lashes", points.reshape(-1, 3), sheet(3, len(slots)), "lash")


def caruncle_part() -> Part:
    """The small flesh in the inner corner of the eye."""
    rings, slots = 6, 12
    a = np.linspace(0.25, np.pi - 0.25, rings)
    turn = np.arange(slots) / slots * 2 * np.pi
    x = -np.cos(a)[:, None] + 0 * turn
    y, z = np.sin(a)[:, None] * np.cos(turn), np.sin(a)[:, None] * np.sin(turn)
    ball = np.stack([x, y, z], -1).reshape(-1, 3) * [0.24, 0.17, 0.20]
    at = surface.EYE_CENTRE + np.array([-1.40, -0.14, 1.06])
    return Part("caruncle", ball + at, sheet(rings, slots, True), "skull")


def all_parts(half: Half, face: Array) -> list[Part]:
    """Every part of the half head beside the skin."""
    return [
        *eye_parts(),
        *teeth_parts(),
        tongue_part(),
        brow_part(face),
        lash_part(half, face),
        caruncle_part(),
        hair_part(),
    ]
