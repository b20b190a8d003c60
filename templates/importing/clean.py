# SPDX-License-Identifier: GPL-3.0-or-later
"""A head as its file had it in, the same head as Blender accepts it out: welded, no broken faces.

glTF stores a vertex once for each texture seam; welded, the surface is smooth there again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX, mirror_of
from exomni_core.arrays import FloatArray
from templates.mesh import TemplateMesh

_IDS = ("lips", "upper_lip", "lower_lip", "landmarks68", "lip_aperture_pair", "aperture_pairs")
_GRID = 1e-6  # of the head's size: two corners nearer than this are one


def weld(mesh: TemplateMesh, piece: npt.NDArray[np.int32]) -> TemplateMesh:
    """Join vertices of one piece that lie at one place and move alike in all shapes.

    piece: (V,) which mesh of the file each vertex belongs to; layers of two meshes stay apart.
    """
    size = float(np.ptp(mesh.vertices, axis=0).max()) or 1.0
    # Three random mixtures of the shapes tell vertices apart as well as all of them do.
    mix = np.random.default_rng(0).uniform(-1, 1, (3, len(mesh.shapes))).astype(np.float32)
    moves = np.einsum("kc,cvx->vkx", mix, mesh.shapes).reshape(len(mesh.vertices), -1)
    table = np.column_stack([mesh.vertices, moves]) / (size * _GRID)
    rows = np.column_stack([piece, np.round(table)]).astype(np.int64)
    _, first, target = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)  # vertices keep the order in which they were first seen
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return _renumbered(mesh, first[order], place[target.ravel()])


def drop_broken_faces(mesh: TemplateMesh) -> tuple[TemplateMesh, int]:
    """Leave out faces with a vertex twice, and faces that stand twice; returns how many that were.

    A quad with two equal neighbours is a triangle and stays as one.
    """
    quads = mesh.polygons.copy()
    for corner in range(4):
        after = (corner + 1) % 4
        twice = (quads[:, 3] >= 0) & (quads[:, corner] == quads[:, after])
        for row in np.flatnonzero(twice):
            quads[row] = [*np.delete(quads[row], after), -1]
    corners = np.sort(quads, axis=1)
    equal = (corners[:, 1:] == corners[:, :-1]).any(axis=1)
    _, first = np.unique(corners, axis=0, return_index=True)
    keep = np.zeros(len(quads), bool)
    keep[first] = True
    keep &= ~equal
    uv = mesh.uv[keep] if len(mesh.uv) else mesh.uv
    kept = replace(mesh, polygons=quads[keep], polygon_part=mesh.polygon_part[keep], uv=uv)
    return kept, int((~keep).sum())


def drop_loose_vertices(mesh: TemplateMesh) -> TemplateMesh:
    """Leave out vertices that no face and no list uses; they would spoil sizes and framing."""
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.polygons[mesh.polygons >= 0]] = True
    for name in _IDS:
        used[getattr(mesh, name)] = True
    for ids in mesh.vertex_groups.values():
        used[ids] = True
    if used.all():
        return mesh
    place = np.cumsum(used) - 1
    return _renumbered(mesh, np.flatnonzero(used), place)


def drop_empty_parts(mesh: TemplateMesh) -> TemplateMesh:
    """Leave out parts without faces, such as materials that nothing wears."""
    used = np.unique(mesh.polygon_part)
    place = np.zeros(len(mesh.part_names), np.uint8)
    place[used] = np.arange(len(used))
    names = tuple(mesh.part_names[i] for i in used)
    return replace(mesh, polygon_part=place[mesh.polygon_part], part_names=names)


def split_sides(mesh: TemplateMesh, shared: tuple[tuple[str, str], ...]) -> TemplateMesh:
    """Give each side its half of a shape that one key makes for both (`eyesClosed`).

    The halves fade into each other over the middle tenth of the shape's width.
    """
    shapes = mesh.shapes.copy()
    for left, right in shared:
        rows = CHANNEL_INDEX[left], CHANNEL_INDEX[right]
        whole = shapes[rows[0]] + shapes[rows[1]]
        share = _left_share(mesh.vertices, whole)[:, None]
        shapes[rows[0]], shapes[rows[1]] = whole * share, whole * (1 - share)
    return replace(mesh, shapes=shapes)


def swap_sides(mesh: TemplateMesh) -> TemplateMesh:
    """Exchange the shapes of left and right, for files that mean the viewer's left."""
    order = [CHANNEL_INDEX[mirror_of(channel)] for channel in CHANNEL_INDEX]
    missing = tuple(mirror_of(channel) for channel in mesh.missing_shapes)
    return replace(mesh, shapes=mesh.shapes[order], missing_shapes=missing)


def _left_share(vertices: FloatArray, shape: FloatArray) -> npt.NDArray[np.float32]:
    """(V,) 1 on the subject's left, 0 on the right, smooth between."""
    moving = np.linalg.norm(shape, axis=1) > 0
    width = float(np.abs(vertices[moving, 0]).max(initial=0.0)) or 1.0
    along = np.clip(vertices[:, 0] / (0.1 * width), -1, 1) * 0.5 + 0.5
    share: npt.NDArray[np.float32] = (along * along * (3 - 2 * along)).astype(np.float32)
    return share


def _renumbered(
    mesh: TemplateMesh, kept: npt.NDArray[np.int64], place: npt.NDArray[np.int64]
) -> TemplateMesh:
    """The mesh with vertices `kept`; the old vertex i becomes place[i]."""
    quads = mesh.polygons
    groups: Mapping[str, npt.NDArray[np.int32]] = {
        name: np.unique(place[ids]).astype(np.int32) for name, ids in mesh.vertex_groups.items()
    }
    return replace(
        mesh,
        vertices=np.ascontiguousarray(mesh.vertices[kept]),
        polygons=np.where(quads < 0, -1, place[np.maximum(quads, 0)]).astype(np.int32),
        shapes=np.ascontiguousarray(mesh.shapes[:, kept]),
        tint=mesh.tint[kept] if len(mesh.tint) else mesh.tint,
        vertex_groups=groups,
        **{name: place[getattr(mesh, name)].astype(np.int32) for name in _IDS},
    )
