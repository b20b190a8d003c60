# SPDX-License-Identifier: GPL-3.0-or-later
"""A head as arrays: vertices, polygons, parts and 52 shapes; npz file <-> TemplateMesh, no bpy.

The npz layout is the one ICT-FaceKit-style and EmoTalk-style files share: `meanshape`,
`blendshape`, `faces` or `quads`, `bs_names`, and optional parts, lips, landmarks, UVs (`uv`,
`quad_uv`), `tint`, `aperture_pairs` and named vertex groups (`group_<name>`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray, IntArray
from exomni_core.errors import InputError
from exomni_core.storage.files import replacing
from exomni_core.storage.npz import read_arrays
from templates import npz_arrays as npz


@dataclass(frozen=True, eq=False)
class TemplateMesh:
    """One head. Axes: x to the subject's left, y up, z forward (out of the face).

    vertices: (V, 3) float32, in the unit that the template's descriptor names.
    polygons: (Q, 4) int32 vertex ids, counter-clockwise from outside; -1 in the last place
        makes a triangle.
    polygon_part: (Q,) uint8, an index into part_names.
    shapes: (52, V, 3) float32 offsets from `vertices` at weight 1, in ARKIT_52 order.
    missing_shapes: channels of ARKIT_52 that the source lacks (their offsets are zero).
    lips: vertex ids of both lips; upper_lip and lower_lip are subsets (may be empty).
    landmarks68: the 68 usual facial landmarks as vertex ids (may be empty).
    lip_aperture_pair: the inner-lip midpoints (upper, lower), to measure opening (may be empty).
    uv: (Q, 4, 2) float32, texture coordinates of each polygon's corners, 0 to 1 (may be (0, 4, 2)).
    tint: (V, 3) float32, what part colours are multiplied by, 1 is unchanged (may be (0, 3)).
    vertex_groups: name -> sorted vertex ids, such as `eye_L`, `brow_R`, `upper_lip`.
    aperture_pairs: (n, 2) int32, upper and lower inner-lip vertices that face each other, from the
        right corner of the mouth to the left one (may be (0, 2)).
    """

    vertices: FloatArray
    polygons: IntArray
    polygon_part: npt.NDArray[np.uint8]
    part_names: tuple[str, ...]
    shapes: FloatArray
    missing_shapes: tuple[str, ...] = ()
    lips: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    upper_lip: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    lower_lip: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    landmarks68: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    lip_aperture_pair: IntArray = field(default_factory=lambda: np.empty(0, np.int32))
    uv: FloatArray = field(default_factory=lambda: np.empty((0, 4, 2), np.float32))
    tint: FloatArray = field(default_factory=lambda: np.empty((0, 3), np.float32))
    vertex_groups: Mapping[str, IntArray] = field(default_factory=dict)
    aperture_pairs: IntArray = field(default_factory=lambda: np.empty((0, 2), np.int32))


_AXES: Final = {"X": (1, 0, 0), "Y": (0, 1, 0), "Z": (0, 0, 1)}


def mesh_from_npz(
    path: Path,
    *,
    channel_order: str = "names",
    ids_from: int | str = 0,
    up: str = "+Y",
    forward: str = "+Z",
    channels: Mapping[str, Sequence[tuple[str, float]]] | None = None,
) -> TemplateMesh:
    """Read a head from an npz file; InputError in one sentence for anything that is wrong with it.

    channel_order: `names` (the file has `bs_names`), or `arkit_52` / `live_link` for a file that
    has none. ids_from: what the first vertex is called, 0, 1 or `auto`. up, forward: the file's
    axes, such as `+Y` and `-Z`. channels: channel -> the file's shapes that are summed for it, with
    their weights, in place of those that its names would give.
    """
    where = str(path)
    arrays = read_arrays(path)
    vertices, offsets = npz.shape_arrays(arrays, where)
    names = npz.shape_names(arrays, len(offsets), channel_order, where)
    turn = axes_matrix(up, forward)
    polygons = npz.face_ids(arrays, len(vertices), ids_from, where)
    shapes, missing = npz.shapes_by_name(offsets, names, channels or {}, where)
    part, part_names = npz.face_parts(arrays, len(polygons), where)
    mesh = TemplateMesh(
        vertices=np.ascontiguousarray(vertices @ turn.T, np.float32),
        polygons=polygons,
        polygon_part=part,
        part_names=part_names,
        shapes=np.ascontiguousarray(shapes @ turn.T, np.float32),
        missing_shapes=missing,
        **{name: npz.id_list(arrays, name, where) for name in npz.LISTS},
        uv=npz.corner_uv(arrays, len(polygons), where),
        tint=npz.number_table(arrays, "tint", (len(vertices), 3), where),
        vertex_groups=npz.group_lists(arrays, where),
        aperture_pairs=npz.pair_list(arrays, where),
    )
    check_mesh(mesh, where)
    return mesh


def save_npz(mesh: TemplateMesh, path: Path) -> None:
    """Write `mesh` as an npz that `mesh_from_npz` reads; the same mesh gives the same bytes."""
    arrays: dict[str, Any] = {
        "meanshape": mesh.vertices,
        "blendshape": mesh.shapes,
        "bs_names": np.array(ARKIT_52),
        "quads": mesh.polygons,
        "quad_part": mesh.polygon_part,
        "part_names": np.array(mesh.part_names),
        **{name: getattr(mesh, name) for name in npz.LISTS},
        **{npz.GROUP + name: mesh.vertex_groups[name] for name in sorted(mesh.vertex_groups)},
    }
    for name in ("uv", "tint", "aperture_pairs"):
        if len(getattr(mesh, name)):
            arrays[name] = getattr(mesh, name)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def check_mesh(mesh: TemplateMesh, where: str) -> None:
    """Raise InputError unless the mesh keeps every promise of TemplateMesh; `where` names it."""
    count = len(mesh.vertices)
    if mesh.vertices.shape != (count, 3) or mesh.shapes.shape != (len(ARKIT_52), count, 3):
        raise InputError(
            f"{where}: vertices {mesh.vertices.shape} and shapes {mesh.shapes.shape} must be "
            f"(V, 3) and ({len(ARKIT_52)}, V, 3)"
        )
    if not np.isfinite(mesh.vertices).all() or not np.isfinite(mesh.shapes).all():
        raise InputError(f"{where}: some coordinates are not finite numbers; export the mesh again")
    if not mesh.shapes.any():
        raise InputError(f"{where}: all blendshapes are zero, so this face can't move")
    quads = mesh.polygons
    if quads.ndim != 2 or quads.shape[1] != 4 or len(quads) == 0:
        raise InputError(f"{where}: polygons have shape {quads.shape}; they must be (Q, 4)")
    if quads[:, :3].min() < 0 or quads[:, 3].min() < -1 or quads.max() >= count:
        raise InputError(
            f"{where}: faces name vertices {quads[:, :3].min()} to {quads.max()}, but there are "
            f"{count}, counted from 0; if they count from 1, set this in a template.json "
            '("ids_from": 1)'
        )
    if mesh.polygon_part.shape != (len(quads),) or (
        mesh.polygon_part.max() >= len(mesh.part_names)
    ):
        raise InputError(f"{where}: the parts don't fit the faces; each face needs one known part")
    check_lists(mesh, where)


def check_lists(mesh: TemplateMesh, where: str) -> None:
    """Raise InputError unless lips, groups, pairs, uv and tint fit the mesh; `where` names it."""
    count = len(mesh.vertices)
    lists = {name: getattr(mesh, name) for name in npz.LISTS}
    lists |= {f"the vertex group {name!r}": ids for name, ids in mesh.vertex_groups.items()}
    lists["aperture_pairs"] = mesh.aperture_pairs.reshape(-1)
    for name, ids in lists.items():
        if ids.ndim != 1 or (len(ids) and not 0 <= ids.min() <= ids.max() < count):
            raise InputError(f"{where}: {name} names vertices outside 0 to {count - 1}")
    wanted = {"uv": (len(mesh.polygons), 4, 2), "tint": (count, 3)}
    wanted["aperture_pairs"] = (len(mesh.aperture_pairs), 2)
    for name, shape in wanted.items():
        table = getattr(mesh, name)
        if table.shape not in (shape, (0, *shape[1:])) or not np.isfinite(table).all():
            raise InputError(f"{where}: {name} must hold finite numbers in the shape {shape}")
    if len(mesh.tint) and mesh.tint.min() < 0:
        raise InputError(f"{where}: tint must not be negative; 1 leaves a colour as it is")


def axes_matrix(up: str, forward: str) -> FloatArray:
    """The (3, 3) matrix that turns coordinates with these axes into x left, y up, z forward."""
    rows = []
    for label in (up, forward):
        sign, axis = label[:1], label[1:]
        if sign not in ("+", "-") or axis not in _AXES:
            raise InputError(f"{label!r} is not an axis; use one of +X -X +Y -Y +Z -Z", field="up")
        rows.append(np.array(_AXES[axis], np.float32) * (1 if sign == "+" else -1))
    if up[1:] == forward[1:]:
        raise InputError(f"up {up} and forward {forward} lie on one axis", field="up")
    turn: FloatArray = np.stack([np.cross(rows[0], rows[1]), *rows]).astype(np.float32)
    return turn
