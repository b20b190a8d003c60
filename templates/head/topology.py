# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing in -> the quads of half a head: a grid with loops around mouth, eye, nostril and ear.

The grid has four rectangular holes. Each is filled with concentric loops of as many vertices as
the rim of the hole has, so that edges run around the openings as in a hand-made face. The half
is mirrored at the very end, which makes the head exactly symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Skin loops, then (mouth) 5 lip loops and 7 loops of the bag, or (eye) 2 loops behind the lid.
MOUTH_SKIN, MOUTH_LIP, MOUTH_BAG = 5, 6, 6
EYE_SKIN, EYE_INNER = 8, 2
EAR_LOOPS = 13
NOSTRIL_LOOPS = 7


@dataclass
class Half:
    """Half a face. `uv` are loft coordinates; loops are (loop, slot) tables of vertex ids."""

    uv: Array
    polygons: Ints
    region: list[str]
    grid: Ints
    mouth: Ints
    eye: Ints
    ear: Ints
    nostril: Ints
    seam: npt.NDArray[np.bool_]
    mouth_corner: int = 0
    eye_corners: tuple[int, int] = (0, 0)


def _columns() -> Array:
    deg = np.concatenate([
        np.linspace(0, 12, 8)[:-1],
        np.linspace(12, 42, 12)[:-1],
        np.linspace(42, 84, 10)[:-1],
        np.linspace(84, 116, 7)[:-1],
        np.linspace(116, 180, 8),
    ])  # fmt: skip
    result: Array = np.deg2rad(deg)
    return result


def _rows() -> Array:
    return np.concatenate([
        np.linspace(0, 3.4, 7)[1:-1],
        np.linspace(3.4, 5.2, 7)[:-1],
        np.linspace(5.2, 7.0, 11)[:-1],
        np.linspace(7.0, 8.1, 6)[:-1],
        np.linspace(8.1, 9.0, 7)[:-1],
        np.linspace(9.0, 9.25, 3)[:-1],
        np.linspace(9.25, 11.2, 11)[:-1],
        np.linspace(11.2, 13.6, 9)[:-1],
        np.linspace(13.6, 18.4, 10)[:-1],
        np.linspace(18.4, 21, 4),
    ])  # fmt: skip


def _hole_rim(grid: Ints, top: int, bottom: int, left: int, right: int) -> Ints:
    """Rim of a hole, clockwise seen from outside, beginning at the top left."""
    return np.concatenate([
        grid[top, left:right],
        grid[top:bottom, right],
        grid[bottom, right:left:-1],
        grid[bottom:top:-1, left],
    ])  # fmt: skip


def _loops(rim: Ints, count: int, first: int) -> Ints:
    fresh = first + np.arange(count * len(rim)).reshape(count, -1)
    return np.concatenate([rim[None], fresh])


def _loop_quads(loops: Ints, closed: bool) -> Ints:
    a, b = (loops, np.roll(loops, -1, 1)) if closed else (loops[:, :-1], loops[:, 1:])
    result: Ints = np.stack([a[:-1], a[1:], b[1:], b[:-1]], -1).reshape(-1, 4)
    return result


def _zip_quads(ring: Ints) -> Ints:
    """Quads that close a ring (even or odd) by sewing its two halves together."""
    n = len(ring)
    quads = []
    for i in range((n - 1) // 2):
        a, b, c, d = ring[i], ring[n - 1 - i], ring[n - 2 - i], ring[i + 1]
        if c == d:
            quads.append([a, b, d, -1])
        else:
            quads.append([a, b, c, d])
    return np.array(quads)


def build_half() -> Half:
    """Grid, holes and loops of the half with x >= 0, in loft coordinates."""
    us, vs = _columns(), _rows()
    grid = np.arange(len(vs) * len(us)).reshape(len(vs), len(us))
    uv = np.stack(np.meshgrid(us, vs), -1).reshape(-1, 2)

    def row(v: float) -> int:
        return int(np.argmin(np.abs(vs - v)))

    def col(degrees: float) -> int:
        return int(np.argmin(np.abs(us - np.deg2rad(degrees))))

    boxes = {
        "mouth": (row(9.25), row(11.2), 0, col(36.7)),
        "eye": (row(5.3), row(6.8), col(10), col(42)),
        "ear": (row(5.2), row(8.2), col(84), col(116)),
        "nostril": (row(8.1), row(9.0), 1, 6),
    }
    inside = np.zeros((len(vs) - 1, len(us) - 1), bool)
    for t, b, le, r in boxes.values():
        inside[t:b, le:r] = True
    cells = np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], -1)[~inside]

    n = len(uv)
    t, b, le, r = boxes["mouth"]
    rim = np.concatenate([grid[t, :r], grid[t:b, r], grid[b, r::-1]])
    mouth = _loops(rim, MOUTH_SKIN + MOUTH_LIP + MOUTH_BAG, n)
    n += mouth[1:].size
    eye = _loops(_hole_rim(grid, *boxes["eye"]), EYE_SKIN + EYE_INNER, n)
    n += eye[1:].size
    ear = _loops(_hole_rim(grid, *boxes["ear"]), EAR_LOOPS, n)
    n += ear[1:].size
    nostril = _loops(_hole_rim(grid, *boxes["nostril"]), NOSTRIL_LOOPS, n)
    n += nostril[1:].size
    crown = n
    cap = np.stack(
        [np.full(len(us) - 1, crown), grid[0, :-1], grid[0, 1:], np.full(len(us) - 1, -1)], -1
    )

    lips = MOUTH_SKIN + MOUTH_LIP
    groups = [
        ("face", cells), ("face", cap),
        ("face", _loop_quads(mouth[: MOUTH_SKIN + 1], False)),
        ("lips", _loop_quads(mouth[MOUTH_SKIN : lips + 1], False)),
        ("mouth_bag", _loop_quads(mouth[lips:], False)),
        ("mouth_bag", _zip_quads(mouth[-1])),
        ("face", _loop_quads(eye, True)),
        ("face", _loop_quads(ear, True)),
        ("face", _zip_quads(ear[-1])),
        ("face", _loop_quads(nostril, True)),
        ("face", _zip_quads(nostril[-1])),
    ]  # fmt: skip
    region = [name for name, quads in groups for _ in range(len(quads))]
    full = np.full((n + 1, 2), np.nan)
    full[: len(uv)] = uv
    full[crown] = (0.0, 0.0)
    seam = np.zeros(n + 1, bool)
    seam[np.concatenate([grid[:, 0], grid[:, -1], mouth[:, 0], mouth[:, -1], [crown]])] = True
    half = Half(
        full,
        np.concatenate([q for _, q in groups]),
        region,
        grid,
        mouth,
        eye,
        ear,
        nostril,
        seam,
    )
    half.mouth_corner = (mouth.shape[1] - 1) // 2
    t, b, le, r = boxes["eye"]
    outer = (r - le) + (b - t) // 2
    half.eye_corners = ((2 * (r - le) + (b - t) + (b - t) // 2), outer)
    return compact(half)


def compact(half: Half) -> Half:
    """The half without the vertices that only the holes used."""
    used = np.zeros(len(half.uv), bool)
    used[half.polygons[half.polygons >= 0]] = True
    new = np.where(used, np.cumsum(used) - 1, -1)
    half.uv = half.uv[used]
    half.seam = half.seam[used]
    half.polygons = np.where(half.polygons >= 0, new[half.polygons], -1)
    half.grid, half.mouth, half.eye, half.ear, half.nostril = (
        new[a] for a in (half.grid, half.mouth, half.eye, half.ear, half.nostril)
    )
    return half


def neighbour_table(polygons: Ints, count: int) -> tuple[Ints, Array]:
    """Padded neighbour ids (count, most) and their 0/1 mask, from the edges of the polygons."""
    edges = []
    for i in range(4):
        a, b = polygons[:, i], polygons[:, (i + 1) % 4]
        b = np.where(b < 0, polygons[:, 0], b)
        edges.append(np.stack([a, b], -1)[a >= 0])
    one_way = np.concatenate(edges)
    key = np.unique(np.concatenate([one_way, one_way[:, ::-1]]) @ np.array([count, 1]))
    both = np.stack(np.divmod(key, count), -1)
    both = both[both[:, 0] != both[:, 1]]
    degree = np.bincount(both[:, 0], minlength=count)
    start = np.concatenate([[0], np.cumsum(degree)[:-1]])
    table = np.zeros((count, int(degree.max())), np.int64)
    mask = np.zeros(table.shape)
    place = np.arange(len(both)) - start[both[:, 0]]
    table[both[:, 0], place] = both[:, 1]
    mask[both[:, 0], place] = 1.0
    return table, mask


def relax(points: Array, table: Ints, mask: Array, strength: Array, rounds: int) -> Array:
    """`points` moved towards the mean of their neighbours; `strength` (0..1) is given by vertex."""
    out = points.copy()
    weight = mask / np.maximum(mask.sum(1, keepdims=True), 1)
    pick = np.flatnonzero(strength > 0)
    near, share, s = table[pick], weight[pick][..., None], strength[pick][:, None]
    for _ in range(rounds):
        out[pick] += s * ((out[near] * share).sum(1) - out[pick])
    return out


def mirror_half(
    points: Array, polygons: Ints, seam: npt.NDArray[np.bool_]
) -> tuple[Array, Ints, Ints]:
    """Half -> whole: points, polygons, and for each vertex the id of its mirror image."""
    count = len(points)
    left = points.copy()
    left[seam, 0] = 0.0
    extra = np.flatnonzero(~seam)
    twin = np.arange(count)
    twin[extra] = count + np.arange(len(extra))
    whole = np.concatenate([left, left[extra] * [-1, 1, 1]])
    flipped = np.where(polygons >= 0, twin[polygons], -1)
    quads = polygons[:, 3] >= 0
    order = np.where(quads[:, None], [3, 2, 1, 0], [2, 1, 0, 3])
    flipped = np.take_along_axis(flipped, order, 1)
    return whole, np.concatenate([polygons, flipped]), np.concatenate([twin, extra])
