# SPDX-License-Identifier: GPL-3.0-or-later
"""A head as arrays: vertices, polygons, parts and 52 shapes; npz file <-> TemplateMesh, no bpy.

The npz layout is the one ICT-FaceKit-style and EmoTalk-style files share: `meanshape`,
`blendshape`, `faces` or `quads`, `bs_names`, and optional parts, lips, landmarks, UVs (`uv`,
`quad_uv`), `tint`, `aperture_pairs` and named vertex groups (`group_<name>`).
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52, canonical_name
from exomni_core.errors import InputError
from exomni_core.files import replacing

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int32]
Arrays = dict[str, npt.NDArray[Any]]


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


# What an npz may hold; both bounds keep a hostile or mistaken file from filling the memory.
MAX_FILE_BYTES: Final = 1 << 30
MAX_VERTICES: Final = 2_000_000
_SPREAD: Final = ("lips", "upper_lip", "lower_lip", "landmarks68", "lip_aperture_pair")
_GROUP: Final = "group_"
_ORDERS: Final = {"arkit_52": ARKIT_52, "live_link": LIVE_LINK_52}
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
    arrays = _read_npz(path)
    for needed in ("meanshape", "blendshape"):
        if needed not in arrays:
            raise InputError(f"{where} is no head: it holds no array {needed!r}")
    vertices, offsets = arrays["meanshape"], arrays["blendshape"]
    if vertices.ndim != 2 or vertices.shape[1] != 3 or not 3 <= len(vertices) <= MAX_VERTICES:
        raise InputError(
            f"{where}: meanshape has shape {vertices.shape}; it must be (V, 3) with at most "
            f"{MAX_VERTICES} vertices"
        )
    if offsets.ndim != 3 or offsets.shape[1:] != vertices.shape:
        raise InputError(
            f"{where}: blendshape has shape {offsets.shape}; it must be (shapes, "
            f"{len(vertices)}, 3), one offset for each vertex"
        )
    if {vertices.dtype.kind, offsets.dtype.kind} - set("fiu"):
        raise InputError(f"{where}: meanshape and blendshape must hold numbers")
    names = _shape_names(arrays, len(offsets), channel_order, where)
    turn = axes_matrix(up, forward)
    polygons = _polygons(arrays, len(vertices), ids_from, where)
    shapes, missing = _shapes_by_name(offsets, names, channels or {}, where)
    part, part_names = _parts(arrays, len(polygons), where)
    mesh = TemplateMesh(
        vertices=np.ascontiguousarray(vertices @ turn.T, np.float32),
        polygons=polygons,
        polygon_part=part,
        part_names=part_names,
        shapes=np.ascontiguousarray(shapes @ turn.T, np.float32),
        missing_shapes=missing,
        **{name: _ids(arrays, name, where) for name in _SPREAD},
        uv=_corner_uv(arrays, len(polygons), where),
        tint=_table(arrays, "tint", (len(vertices), 3), where),
        vertex_groups={
            name.removeprefix(_GROUP): _ids(arrays, name, where)
            for name in sorted(arrays)
            if name.startswith(_GROUP)
        },
        aperture_pairs=_pairs(arrays, where),
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
        **{name: getattr(mesh, name) for name in _SPREAD},
        **{_GROUP + name: mesh.vertex_groups[name] for name in sorted(mesh.vertex_groups)},
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
            f"{count}, counted from 0; if they count from 1, say so in a template.json "
            '("ids_from": 1)'
        )
    if mesh.polygon_part.shape != (len(quads),) or (
        mesh.polygon_part.max() >= len(mesh.part_names)
    ):
        raise InputError(f"{where}: the parts don't fit the faces; each face needs one known part")
    _check_extras(mesh, where)


def _check_extras(mesh: TemplateMesh, where: str) -> None:
    count = len(mesh.vertices)
    lists = {name: getattr(mesh, name) for name in _SPREAD}
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


def ids_sha256(ids: npt.NDArray[Any]) -> str:
    """Hex SHA-256 of a list of vertex ids: sorted, each once, as little-endian 32-bit numbers."""
    return hashlib.sha256(np.unique(ids).astype("<i4").tobytes()).hexdigest()


def axes_matrix(up: str, forward: str) -> FloatArray:
    """The (3, 3) matrix that turns coordinates with these axes into x left, y up, z forward."""
    rows = []
    for label in (up, forward):
        sign, axis = label[:1], label[1:]
        if sign not in ("+", "-") or axis not in _AXES:
            raise InputError(f"{label!r} is no axis; use one of +X -X +Y -Y +Z -Z", field="up")
        rows.append(np.array(_AXES[axis], np.float32) * (1 if sign == "+" else -1))
    if up[1:] == forward[1:]:
        raise InputError(f"up {up} and forward {forward} lie on one axis", field="up")
    turn: FloatArray = np.stack([np.cross(rows[0], rows[1]), *rows]).astype(np.float32)
    return turn


def _read_npz(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            # The sizes after unpacking are what counts, not the size of the file.
            size = sum(info.file_size for info in archive.infolist())
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path} would take {size >> 20} MB; a head takes far less")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
        raise InputError(f"{path} can't be read as an npz file of plain arrays: {error}") from error


def _shape_names(arrays: Arrays, count: int, channel_order: str, where: str) -> list[str]:
    if "bs_names" in arrays:
        names = [n.decode() if isinstance(n, bytes) else str(n) for n in arrays["bs_names"].flat]
    elif channel_order in _ORDERS:
        names = list(_ORDERS[channel_order])
    else:
        raise InputError(
            f"{where} doesn't name its blendshapes (no bs_names); put it in a folder with a "
            'template.json that says "channel_order": "arkit_52" or "live_link"'
        )
    if len(names) != count:
        raise InputError(f"{where}: {count} blendshapes but {len(names)} names")
    return names


def _shapes_by_name(
    offsets: npt.NDArray[Any],
    names: list[str],
    channels: Mapping[str, Sequence[tuple[str, float]]],
    where: str,
) -> tuple[FloatArray, tuple[str, ...]]:
    ordered = np.zeros((len(ARKIT_52), *offsets.shape[1:]), np.float32)
    seen: dict[str, str] = {channel: str(parts) for channel, parts in channels.items()}
    for channel, parts in channels.items():
        for name, weight in parts:
            if name not in names:
                raise InputError(
                    f"{where} has no blendshape {name!r}, which its channels.{channel} asks for"
                )
            ordered[CHANNEL_INDEX[channel]] += np.float32(weight) * offsets[names.index(name)]
    for row, name in zip(offsets, names, strict=True):
        channel = canonical_name(name) or ""
        if not channel or channel in channels:
            continue  # heads often carry more shapes than ARKit knows
        if channel in seen:
            raise InputError(f"{where}: {channel} stands twice, as {seen[channel]!r} and {name!r}")
        seen[channel] = name
        ordered[CHANNEL_INDEX[channel]] = row
    if not seen:
        raise InputError(f"{where}: none of its blendshapes has an ARKit name ({names[:5]} ...)")
    # A shape of zeros under a right name shows nothing either, so it is missing too.
    return ordered, tuple(n for n, shape in zip(ARKIT_52, ordered, strict=True) if not shape.any())


def _polygons(arrays: Arrays, count: int, ids_from: int | str, where: str) -> IntArray:
    faces = arrays.get("quads", arrays.get("faces"))
    if faces is None or faces.ndim != 2 or faces.shape[1] not in (3, 4) or len(faces) == 0:
        raise InputError(f"{where} needs faces of shape (F, 3) or quads of shape (Q, 4)")
    if faces.dtype.kind not in "iu":
        raise InputError(f"{where}: faces must be whole numbers, not {faces.dtype}")
    quads = np.full((len(faces), 4), -1, np.int64)
    quads[:, : faces.shape[1]] = faces
    first = ids_from
    if first == "auto":
        first = 1 if quads[:, :3].min() == 1 else 0
    quads[quads >= 0] -= int(first)
    if quads.max() >= count or quads[:, :3].min() < 0:
        hint = ""
        if quads.max() == count and quads[:, :3].min() >= 1:
            hint = '; they count from 1: say so in a template.json ("ids_from": 1)'
        raise InputError(
            f"{where}: faces name vertices {quads[:, :3].min()} to {quads.max()}, but there are "
            f"{count}, counted from 0{hint}"
        )
    return quads.astype(np.int32)


def _parts(
    arrays: Arrays, polygons: int, where: str
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    key = "quad_part" if "quads" in arrays else "tri_part"
    if key not in arrays or "part_names" not in arrays:
        return np.zeros(polygons, np.uint8), ("face",)
    part = arrays[key]
    if part.dtype.kind not in "iu" or part.shape != (polygons,) or part.min() < 0:
        raise InputError(f"{where}: {key} must hold one whole number for each face")
    if part.max() > 255:
        raise InputError(f"{where}: {key} names part {part.max()}; at most 256 parts are possible")
    return part.astype(np.uint8), tuple(str(name) for name in arrays["part_names"].flat)


def _ids(arrays: Arrays, name: str, where: str) -> IntArray:
    ids = arrays.get(name, np.empty(0, np.int32))
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise InputError(f"{where}: {name} must be a list of vertex ids")
    return ids.astype(np.int32)


def _table(arrays: Arrays, name: str, shape: tuple[int, ...], where: str) -> FloatArray:
    """An optional table of numbers; an absent one has no rows."""
    table = arrays.get(name, np.empty((0, *shape[1:]), np.float32))
    if table.dtype.kind not in "fiu":
        raise InputError(f"{where}: {name} must hold numbers")
    return np.ascontiguousarray(table, np.float32)


def _corner_uv(arrays: Arrays, polygons: int, where: str) -> FloatArray:
    """UVs per corner; a file may also hold a list of them, and which corner has which."""
    corners, points = arrays.get("quad_uv"), arrays.get("uv")
    if corners is None or points is None or points.ndim != 2:
        return _table(arrays, "uv", (polygons, 4, 2), where)
    if corners.dtype.kind not in "iu" or corners.max(initial=0) >= len(points):
        raise InputError(f"{where}: quad_uv names texture points that uv doesn't hold")
    gathered = points[np.maximum(corners, 0)]
    return _table({"uv": gathered}, "uv", (polygons, 4, 2), where)


def _pairs(arrays: Arrays, where: str) -> IntArray:
    pairs = arrays.get("aperture_pairs", np.empty((0, 2), np.int32))
    if pairs.dtype.kind not in "iu" or pairs.ndim != 2:
        raise InputError(f"{where}: aperture_pairs must be pairs of vertex ids")
    return pairs.astype(np.int32)
