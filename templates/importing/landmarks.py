# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in metres in, its 68 landmarks out, for heads that list none.

The built-in head knows its own. It is laid over the other head by the places that each shape moves
most, which are the same on every face, then bent onto it: points of its skin go to vertices that
are near, look the same way and move alike, under a stiff thin-plate spline. Against the published
landmarks of ICT-FaceKit brows, nose, eyes and mouth come out within 4 mm on average, the contour
of the jaw (0 to 16) only within 15 mm, because nothing on a smooth cheek tells where it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray, IntArray
from templates.importing.orient import centre_of
from templates.library import find_template, load_mesh
from templates.mesh import TemplateMesh

Points = npt.NDArray[np.float64]
Warp = Callable[[Points], Points]

# Gaze moves the eyeballs, whose middles say less than the lids'; the tongue lies inside.
_ANCHORS: Final = tuple(n for n in ARKIT_52 if not n.startswith(("eyeLook", "tongue")))
_FEWEST: Final = 16
_CONTROLS: Final = 250
# (metres that count as much as quite unlike motion, stiffness) of each round of bending.
_ROUNDS: Final = ((0.015, 10.0),) * 3 + ((0.012, 3.0),) * 3
_LAST_M: Final = 0.006
_FACING: Final = 2.0  # how much a normal that looks the other way costs
_MARGIN_M: Final = (0.015, 0.03, 0.02)  # round the landmarks, where skin still guides


def find_landmarks(mesh: TemplateMesh) -> IntArray:
    """(68,) vertex ids, or none where too few shapes tell where the face's parts are."""
    known = _known_head()
    if len(known.landmarks68) != 68:
        return np.empty(0, np.int32)
    warp = _laid_over(known, mesh)
    if warp is None:
        return np.empty(0, np.int32)
    marks = known.vertices[known.landmarks68].astype(np.float64)
    this, that = _Skin(known), _Skin(mesh, _around(mesh, warp(marks)))
    if not len(that.points):
        return np.empty(0, np.int32)
    controls = _spread(known, this)
    start = known.vertices[controls].astype(np.float64)
    for near_m, stiffness in _ROUNDS:
        goals = that.alike(warp(start), this, controls, near_m, 2 * _FACING)
        warp = thin_plate(start, that.points[goals], stiffness)
    last = that.alike(warp(marks), this, known.landmarks68, _LAST_M, _FACING)
    return that.ids[last].astype(np.int32)


def thin_plate(there: Points, here: Points, stiffness: float) -> Warp:
    """The smoothing thin-plate spline that carries `there` (n, 3) about to `here` (n, 3).

    In three dimensions its kernel is the distance itself (Wahba 1990). stiffness: 0 goes through
    every point, much leaves an affine map.
    """
    size = float(np.ptp(there, axis=0).max()) or 1.0
    middle = there.mean(axis=0)
    knots = (there - middle) / size
    count = len(knots)
    system = np.zeros((count + 4, count + 4))
    flat = np.column_stack([np.ones(count), knots])
    system[:count, :count] = -_distances(knots, knots) + stiffness * np.eye(count)
    system[:count, count:], system[count:, :count] = flat, flat.T
    weights = np.linalg.lstsq(system, np.vstack([here, np.zeros((4, 3))]), rcond=None)[0]

    def carry(points: Points) -> Points:
        local = (points - middle) / size
        bent = -_distances(local, knots) @ weights[:count]
        straight = np.column_stack([np.ones(len(local)), local]) @ weights[count:]
        return np.asarray(bent + straight)

    return carry


@cache
def _known_head() -> TemplateMesh:
    return load_mesh(find_template("head"))


class _Skin:
    """A head's surface as it is compared: place, normal and motion of each vertex, or of `ids`."""

    def __init__(self, mesh: TemplateMesh, ids: npt.NDArray[np.intp] | None = None) -> None:
        self.ids = np.arange(len(mesh.vertices)) if ids is None else ids
        self.points = mesh.vertices[self.ids].astype(np.float64)
        self.normals = vertex_normals(mesh)[self.ids]
        travel = np.linalg.norm(mesh.shapes, axis=2).astype(np.float64)
        most = np.maximum(travel.max(axis=1, keepdims=True), 1e-9)
        self.motion = (travel / most).T[self.ids]  # (V, 52), 1 where a shape moves most

    def alike(
        self, places: Points, other: _Skin, ids: IntArray, near_m: float, facing: float
    ) -> npt.NDArray[np.intp]:
        """For each of the other's vertices `ids`, carried to `places`, the vertex most alike."""
        mine, theirs = self.motion, other.motion[ids]
        unlike = (theirs**2).sum(axis=1)[:, None] + (mine**2).sum(axis=1) - 2 * theirs @ mine.T
        cost = (_distances(places, self.points) / near_m) ** 2 + unlike
        cost += facing * (1 - other.normals[ids] @ self.normals.T)
        best: npt.NDArray[np.intp] = cost.argmin(axis=1)
        return best


def vertex_normals(mesh: TemplateMesh) -> Points:
    """(V, 3) unit normals; a face counts by its area. Zero where there is none."""
    quads = mesh.polygons
    corners = mesh.vertices.astype(np.float64)[np.where(quads < 0, quads[:, :1], quads)]
    # Half the cross product of the diagonals; a triangle's fourth corner is its first.
    across = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    normals = np.zeros((len(mesh.vertices), 3))
    for corner in range(4):
        used = quads[:, corner] >= 0
        np.add.at(normals, quads[used, corner], across[used])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(lengths, 1e-12))


def _laid_over(known: TemplateMesh, mesh: TemplateMesh) -> Warp | None:
    """Moves and scales the known head onto the other by where shapes move most."""
    there, here = [], []
    for channel in _ANCHORS:
        spots = centre_of(known, [channel]), centre_of(mesh, [channel])
        if spots[0] is not None and spots[1] is not None:
            there.append(spots[0])
            here.append(spots[1])
    if len(here) < _FEWEST:
        return None
    a, b = np.array(there), np.array(here)
    middle_a, middle_b = np.median(a, axis=0), np.median(b, axis=0)
    size = np.linalg.norm(b - middle_b, axis=1).sum() / np.linalg.norm(a - middle_a, axis=1).sum()
    return lambda points: np.asarray((points - middle_a) * size + middle_b)


def _spread(known: TemplateMesh, skin: _Skin) -> IntArray:
    """Vertices of the known head's outer skin around its landmarks, evenly spread over it."""
    marks = known.vertices[known.landmarks68]
    margin = np.array(_MARGIN_M)
    low, high = marks.min(axis=0) - margin, marks.max(axis=0) + margin
    parts = [i for i, name in enumerate(known.part_names) if name in ("face", "lips", "skin")]
    outer = known.polygons[np.isin(known.polygon_part, parts)]
    ids = np.unique(outer[outer >= 0])
    points = known.vertices[ids]
    inside = ((points > low) & (points < high)).all(axis=1) & (skin.normals[ids, 2] > -0.2)
    ids, points = ids[inside], points[inside]
    chosen = [0]
    away = np.linalg.norm(points - points[0], axis=1)
    for _ in range(min(_CONTROLS, len(ids)) - 1):  # each the furthest from all before
        chosen.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(points - points[chosen[-1]], axis=1))
    spread: IntArray = ids[chosen].astype(np.int32)
    return spread


def _around(mesh: TemplateMesh, marks: Points) -> npt.NDArray[np.intp]:
    """Vertices near the landmarks: the others need not be looked at."""
    low, high = marks.min(axis=0) - 0.03, marks.max(axis=0) + 0.03
    return np.flatnonzero(((mesh.vertices > low) & (mesh.vertices < high)).all(axis=1))


def _distances(a: Points | FloatArray, b: Points | FloatArray) -> Points:
    """(len(a), len(b)) distances, without the large table of differences."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0)))
