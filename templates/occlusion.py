# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in; the visible share of the sky per vertex out, which darkens folds and hollows.

The sky is sampled in a few dozen directions, each with a small depth map of the whole head. It is
computed once per head, so it moves with the skin. Poses that open the mouth and close the lids are
included.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import FloatArray, IntArray
from templates.mesh import TemplateMesh

_DIRECTIONS: Final = 40
_CELLS: Final = 128  # of a depth map, across the largest side of the head
_MOST_STEPS: Final = 8  # samples along an edge; longer edges are of shoulders
_OPENED: Final = 0.85  # what is seen in another pose than at rest counts this much
_POSES: Final[tuple[dict[str, float], ...]] = (
    {},
    {"jawOpen": 0.6, "eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
)
_ROUNDS: Final = 2  # of smoothing, which takes away the depth maps' grain


def open_sky(mesh: TemplateMesh) -> FloatArray:
    """(V,) float32 share of the sky that each vertex sees, 0 (shut in) to 1 (open).

    Weighted with the cosine to the vertex's normal, as light from everywhere is.
    """
    seen = np.zeros(len(mesh.vertices), np.float32)
    steps = _steps(mesh)
    for pose in _POSES:
        points = mesh.vertices.copy()
        for name, weight in pose.items():
            points += weight * mesh.shapes[CHANNEL_INDEX[name]]
        share = _visible_share(points, mesh.polygons, steps)
        seen = np.maximum(seen, share if not pose else _OPENED * share)
    return smooth(seen, mesh.polygons)


def darken(colours: FloatArray, seen: FloatArray, strength: float | FloatArray) -> FloatArray:
    """(..., 3) colours as they look where only `seen` (...) of the sky is; strength 0 to 1.

    Light colours stay lighter and more saturated, as light bounces between them: the fit of
    Jimenez et al. 2016, "Practical Real-Time Strategies for Accurate Indirect Occlusion", eq. 10.
    """
    open_part = (1.0 - strength * (1.0 - seen))[..., None]
    albedo = np.clip(colours, 0.0, 1.0)
    a = 2.0404 * albedo - 0.3324
    b = -4.7951 * albedo + 0.6417
    c = 2.7552 * albedo + 0.6903
    factor = np.maximum(open_part, ((open_part * a + b) * open_part + c) * open_part)
    darker: FloatArray = (colours * factor).astype(np.float32)
    return darker


def vertex_normals(points: FloatArray, polygons: IntArray) -> FloatArray:
    """(V, 3) unit normals, weighted by area; zero for a vertex without a polygon."""
    corners = _four(polygons)
    across = points[corners[:, 2]] - points[corners[:, 0]]
    along = points[corners[:, 3]] - points[corners[:, 1]]
    flat = np.cross(across, along)
    normals = np.zeros_like(points)
    for corner in range(4):
        for axis in range(3):
            normals[:, axis] += np.bincount(
                corners[:, corner], weights=flat[:, axis], minlength=len(points)
            )
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def _visible_share(points: FloatArray, polygons: IntArray, steps: IntArray) -> FloatArray:
    normals = vertex_normals(points, polygons)
    samples = _surface_samples(points, _four(polygons), steps)
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = float(np.linalg.norm(points - middle, axis=1).max()) * 1.01 + 1e-9
    cell = 2.0 * radius / _CELLS
    place, sample = (np.ascontiguousarray(((p - middle) / cell).T) for p in (points, samples))
    light = np.zeros(len(points), np.float32)
    whole = np.zeros(len(points), np.float32)
    for towards in _sphere(_DIRECTIONS):
        turn = _basis(towards)
        cosine = _turned(towards[None], normals.T)[0]
        depth_map = np.full(_CELLS * _CELLS, -np.inf, np.float32)
        flat = _turned(turn, sample)
        np.maximum.at(depth_map, _cells(flat), flat[2])
        facing = np.flatnonzero(cosine > 0.1)
        own = _turned(turn, place[:, facing])
        # A slanting surface rises within one cell; it must not shade itself.
        slope = np.sqrt(1.0 - np.minimum(cosine[facing], 1.0) ** 2) / cosine[facing]
        free = own[2] + 0.7 + 1.2 * slope >= depth_map[_cells(own)]
        light[facing] += cosine[facing] * free
        whole[facing] += cosine[facing]
    return np.divide(light, whole, out=np.ones_like(light), where=whole > 0)


def _steps(mesh: TemplateMesh) -> IntArray:
    """(Q,) how many samples along each side of a polygon leave no hole in a depth map."""
    corners = mesh.vertices[_four(mesh.polygons)]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    cell = float(np.ptp(mesh.vertices, axis=0).max()) / _CELLS
    steps: IntArray = np.clip(np.ceil(longest / cell), 1, _MOST_STEPS).astype(np.int32)
    return steps


def _surface_samples(points: FloatArray, corners: IntArray, steps: IntArray) -> FloatArray:
    """Points spread over each polygon, as many along each side as `steps` says."""
    found = [points]
    for count in np.unique(steps):
        a, b, c, d = (points[corners[steps == count, place]] for place in range(4))
        at = (np.arange(count) + 0.5) / count
        found += [
            (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * d + u * c) for u in at for v in at
        ]
    return np.concatenate(found).astype(np.float32)


def _turned(turn: FloatArray, places: FloatArray) -> FloatArray:
    """turn @ places, (k, 3) by (3, n); term by term, as a library's product may round otherwise
    on another number of threads.
    """
    x, y, z = places
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in turn])


def _cells(flat: FloatArray) -> npt.NDArray[np.int32]:
    """(3, n) places in cells, from the middle -> (n,) index into a depth map; all lie inside."""
    across, along = (flat[:2] + 0.5 * _CELLS).astype(np.int32)
    index: npt.NDArray[np.int32] = along * np.int32(_CELLS) + across
    return index


def _sphere(count: int) -> FloatArray:
    """(count, 3) directions spread evenly over the sphere (a Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    y = 1.0 - 2.0 * index / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * index
    ring = np.sqrt(1.0 - y * y)
    points = np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], axis=1)
    return np.asarray(points, np.float32)


def _basis(towards: FloatArray) -> FloatArray:
    """(3, 3) rotation whose last row is `towards`."""
    helper = np.eye(3, dtype=np.float32)[int(np.argmin(np.abs(towards)))]
    across = np.cross(helper, towards)
    across /= np.linalg.norm(across)
    return np.asarray(np.stack([across, np.cross(towards, across), towards]), np.float32)


def smooth(values: FloatArray, polygons: IntArray) -> FloatArray:
    """(V,) values, each drawn twice to the mean of its polygons."""
    corners = _four(polygons)
    for _ in range(_ROUNDS):
        mean = values[corners].mean(axis=1)
        total = np.zeros(len(values))
        count = np.zeros(len(values))
        for place in range(4):
            total += np.bincount(corners[:, place], weights=mean, minlength=len(values))
            count += np.bincount(corners[:, place], minlength=len(values))
        values = np.where(count > 0, total / np.maximum(count, 1), values).astype(np.float32)
    return values


def _four(polygons: IntArray) -> IntArray:
    """Triangles as quads whose last corner stands twice."""
    corners = polygons.copy()
    corners[:, 3] = np.where(polygons[:, 3] < 0, polygons[:, 2], polygons[:, 3])
    return corners
