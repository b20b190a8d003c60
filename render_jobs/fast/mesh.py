# SPDX-License-Identifier: GPL-3.0-or-later
"""A head as arrays in, everything about it that no frame changes out; pure numpy.

What Blender would work out for each frame (which faces meet in a vertex, with which weight they
count for its normal, how a quad is cut into triangles) is worked out here once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import FloatArray, IntArray

Slot = tuple[IntArray, FloatArray]

_SLOT_FROM: Final = 512  # points


@dataclass(frozen=True, eq=False)
class FastMesh:
    """One head, ready to be posed and drawn. Points are in Blender's world, in metres.

    There are two kinds of vertices. *Points* (P) have a position and a normal: the mesh's own
    vertices, once more for each flat face that they belong to. *Drawn vertices* (G) also have a
    colour: a point whose faces differ in colour is drawn as several.

    rest: (3, P), x, y and z in rows. offsets: (52, 3 * P), the same layout for each channel.
    source: (P,) vertex of the mesh that a point comes from.
    quads: (4, Q) points of each face; a triangle names its third point twice.
    slots: the faces around each point: (faces (n,), weights (n,)) for the first n points, one
        pair for the first face of every point, one for the second, and so on. Points are ordered
        so that those with most faces come first.
    rest_of_slots: (faces (m,), weights (m,), starts (k,)), the faces beyond the slots of the
        first k points, which are poles: point i has those from starts[i] on.
    drawn: (G,) point of each drawn vertex. base: (G, 3) its scene-linear colour.
    one_sided: (T1, 3) drawn vertices of triangles whose back is known not to show; two_sided:
        (T2, 3) the others. A plan knows of none; `backs.seen_backs` finds out.
    """

    rest: FloatArray
    offsets: FloatArray
    source: IntArray
    quads: IntArray
    slots: tuple[Slot, ...]
    rest_of_slots: tuple[IntArray, FloatArray, IntArray]
    drawn: IntArray
    base: FloatArray
    one_sided: IntArray
    two_sided: IntArray


def plan_mesh(
    vertices: FloatArray,
    offsets: FloatArray,
    polygons: npt.NDArray[Any],
    colours: FloatArray,
    smooth: npt.NDArray[np.bool_] | None = None,
) -> FastMesh:
    """Plan the drawing of a head.

    vertices: (V, 3). offsets: (52, V, 3). polygons: (Q, 4) vertex ids, counter-clockwise from
    outside, -1 in the last place for a triangle. colours: (Q, 4, 3) scene-linear RGB for each
    corner. smooth: (Q,), which polygons are shaded smoothly; None: all.
    """
    quads = np.array(polygons, np.int64)
    triangle = quads[:, 3] < 0
    quads[triangle, 3] = quads[triangle, 2]
    # A flat face has its corners for itself, so that their normal is the face's.
    flat = np.zeros(len(quads), bool) if smooth is None else ~smooth
    owner = np.where(flat[:, None], np.arange(1, len(quads) + 1)[:, None], 0) * np.ones(4, int)
    pairs, quads = _unique_rows(quads, owner)
    source = pairs[:, 0]
    weights = corner_angles(vertices[source], quads, triangle)
    order, slots, poles = _faces_of_points(quads, weights, len(source))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    source, quads = source[order], rank[quads]

    colour_ids = np.unique(colours.reshape(-1, 3), axis=0, return_inverse=True)
    pairs, corners = _unique_rows(quads, colour_ids[1].reshape(quads.shape))
    triangles, face = cut_quads(vertices[source], quads, triangle)
    split = np.take_along_axis(corners[face], triangles, axis=1).astype(np.int32)
    return FastMesh(
        rest=np.ascontiguousarray(vertices[source].T, np.float32),
        offsets=np.ascontiguousarray(
            offsets[:, source].transpose(0, 2, 1).reshape(len(offsets), -1), np.float32
        ),
        source=source.astype(np.int32),
        quads=np.ascontiguousarray(quads.T, np.int32),
        slots=slots,
        rest_of_slots=poles,
        drawn=pairs[:, 0].astype(np.int32),
        base=np.ascontiguousarray(colour_ids[0][pairs[:, 1]], np.float32),
        one_sided=split[:0],
        two_sided=split,
    )


def corner_angles(
    points: FloatArray, quads: npt.NDArray[np.int64], triangle: npt.NDArray[np.bool_]
) -> FloatArray:
    """(Q, 4) angle at each corner in radians: how Blender weights faces for a vertex normal.

    They are taken at rest; a face that bends changes them by far less than the normals themselves.
    A triangle's repeated corner counts 0.
    """
    at = points[quads].astype(np.float64)
    before, after = np.roll(at, 1, axis=1), np.roll(at, -1, axis=1)
    before[triangle, 0] = at[triangle, 2]
    after[triangle, 2] = at[triangle, 0]
    cosine = np.einsum("qck,qck->qc", _unit(before - at), _unit(after - at))
    angles = np.arccos(np.clip(cosine, -1.0, 1.0))
    angles[triangle, 3] = 0.0
    return np.asarray(angles, np.float32)


def cut_quads(
    points: FloatArray, quads: npt.NDArray[np.int64], triangle: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Triangles as (T, 3) places in their face (0 to 3) and (T,) the face each is cut from.

    As Blender cuts: from the first corner to the third, unless the quad is hollow there.
    """
    at = points[quads].astype(np.float64)
    across = np.cross(at[:, 1] - at[:, 0], at[:, 2] - at[:, 0])
    beyond = np.cross(at[:, 2] - at[:, 0], at[:, 3] - at[:, 0])
    other_way = (np.einsum("qk,qk->q", across, beyond) < 0.0) & ~triangle
    first = np.where(other_way[:, None], [0, 1, 3], [0, 1, 2])
    second = np.where(other_way[:, None], [1, 2, 3], [0, 2, 3])[~triangle]
    every = np.arange(len(quads))
    return np.concatenate([first, second]), np.concatenate([every, every[~triangle]])


def _unique_rows(
    first: npt.NDArray[np.int64], second: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct pairs (n, 2) of two equal tables, and for each cell which pair it is."""
    width = int(second.max()) + 1
    codes, places = np.unique(first * width + second, return_inverse=True)
    return np.stack([codes // width, codes % width], axis=1), places.reshape(first.shape)


def _faces_of_points(
    quads: npt.NDArray[np.int64], weights: FloatArray, count: int
) -> tuple[npt.NDArray[np.int64], tuple[Slot, ...], tuple[IntArray, FloatArray, IntArray]]:
    """An order of points by how many faces they have; `FastMesh.slots` and the rest in it."""
    real = weights.ravel() > 0.0
    point = quads.ravel()[real]
    face = np.repeat(np.arange(len(quads)), 4)[real]
    weight = weights.ravel()[real]
    many = np.bincount(point, minlength=count)
    order = np.argsort(-many, kind="stable")
    rank = np.empty(count, np.int64)
    rank[order] = np.arange(count)
    sort = np.lexsort((face, rank[point]))
    place, face, weight = rank[point][sort], face[sort].astype(np.int32), weight[sort]
    turn = np.arange(len(place)) - np.concatenate([[0], np.cumsum(many[order])])[place]
    # A slot for a handful of poles costs as much as one for all points.
    enough = max(1, int((np.bincount(turn) >= _SLOT_FROM).sum()))
    slots = tuple((face[turn == number], weight[turn == number]) for number in range(enough))
    left = turn >= enough
    starts = np.flatnonzero(np.diff(place[left], prepend=-1)).astype(np.int32)
    return order, slots, (face[left], weight[left], starts)


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-20))
