# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz file in, its arrays out, each checked for kind and shape; every fault is one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52, canonical_name
from exomni_core.arrays import FloatArray, IntArray
from exomni_core.errors import InputError
from exomni_core.storage.npz import array_names

Arrays = dict[str, npt.NDArray[Any]]

# What a head may hold: a hostile or mistaken file must not fill the memory.
MAX_VERTICES: Final = 2_000_000
LISTS: Final = ("lips", "upper_lip", "lower_lip", "landmarks68", "lip_aperture_pair")
GROUP: Final = "group_"
_ORDERS: Final = {"arkit_52": ARKIT_52, "live_link": LIVE_LINK_52}


def shape_arrays(arrays: Arrays, where: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """(meanshape (V, 3), blendshape (n, V, 3)) as the file has them."""
    for needed in ("meanshape", "blendshape"):
        if needed not in arrays:
            raise InputError(f"{where} is not a head: it has no array {needed!r}")
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
    return vertices, offsets


def shape_names(arrays: Arrays, count: int, channel_order: str, where: str) -> list[str]:
    """The names of its blendshapes, as text; `channel_order` is for a file without `bs_names`."""
    if "bs_names" in arrays:
        names = array_names(arrays["bs_names"], f"{where}: bs_names")
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


def shapes_by_name(
    offsets: npt.NDArray[Any],
    names: list[str],
    channels: Mapping[str, Sequence[tuple[str, float]]],
    where: str,
) -> tuple[FloatArray, tuple[str, ...]]:
    """(52, V, 3) offsets in ARKIT_52 order, and the channels that are missing or zero."""
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


def face_ids(arrays: Arrays, count: int, ids_from: int | str, where: str) -> IntArray:
    """(Q, 4) vertex ids counted from 0, -1 in the last place makes a triangle."""
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


def face_parts(
    arrays: Arrays, polygons: int, where: str
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """(Q,) the part of each face, and the names of the parts."""
    key = "quad_part" if "quads" in arrays else "tri_part"
    if key not in arrays or "part_names" not in arrays:
        return np.zeros(polygons, np.uint8), ("face",)
    part = arrays[key]
    if part.dtype.kind not in "iu" or part.shape != (polygons,) or part.min() < 0:
        raise InputError(f"{where}: {key} must hold one whole number for each face")
    if part.max() > 255:
        raise InputError(f"{where}: {key} names part {part.max()}; at most 256 parts are possible")
    return part.astype(np.uint8), tuple(array_names(arrays["part_names"], f"{where}: part_names"))


def id_list(arrays: Arrays, name: str, where: str) -> IntArray:
    """An optional list of vertex ids; an absent one is empty."""
    ids = arrays.get(name, np.empty(0, np.int32))
    if ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise InputError(f"{where}: {name} must be a list of vertex ids")
    return ids.astype(np.int32)


def group_lists(arrays: Arrays, where: str) -> dict[str, IntArray]:
    """Vertex groups: name -> vertex ids."""
    names = sorted(name for name in arrays if name.startswith(GROUP))
    return {name.removeprefix(GROUP): id_list(arrays, name, where) for name in names}


def number_table(arrays: Arrays, name: str, shape: tuple[int, ...], where: str) -> FloatArray:
    """An optional table of numbers; an absent one has no rows."""
    table = arrays.get(name, np.empty((0, *shape[1:]), np.float32))
    if table.dtype.kind not in "fiu":
        raise InputError(f"{where}: {name} must hold numbers")
    return np.ascontiguousarray(table, np.float32)


def corner_uv(arrays: Arrays, polygons: int, where: str) -> FloatArray:
    """UVs per corner; a file may also hold a list of them, and which corner has which."""
    corners, points = arrays.get("quad_uv"), arrays.get("uv")
    if corners is None or points is None or points.ndim != 2:
        return number_table(arrays, "uv", (polygons, 4, 2), where)
    if corners.dtype.kind not in "iu" or corners.max(initial=0) >= len(points):
        raise InputError(f"{where}: quad_uv names texture points that uv doesn't hold")
    gathered = points[np.maximum(corners, 0)]
    return number_table({"uv": gathered}, "uv", (polygons, 4, 2), where)


def pair_list(arrays: Arrays, where: str) -> IntArray:
    """Upper and lower inner-lip vertices, (n, 2); an absent list is empty."""
    pairs = arrays.get("aperture_pairs", np.empty((0, 2), np.int32))
    if pairs.dtype.kind not in "iu" or pairs.ndim != 2:
        raise InputError(f"{where}: aperture_pairs must be pairs of vertex ids")
    return pairs.astype(np.int32)
