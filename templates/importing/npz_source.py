# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz of arrays in (EmoTalk, Claire, ICT-FaceKit's export, our own), a raw head out.

Names may be bytes, faces may count from 1, shapes may be whole faces: each is noticed and told.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray, IntArray
from exomni_core.errors import InputError
from exomni_core.storage.npz import read_arrays
from templates import npz_arrays as npz
from templates.importing.checks import absolute_shapes
from templates.importing.orient import UNITS
from templates.importing.raw import Origin, RawHead, RawMesh, as_floats, check_size, join
from templates.mesh import check_lists

# Files with no names that are known to be in this order.
_ALPHABETICAL: Final = ("emotalk.npz",)


def read_npz(path: Path, channel_order: str = "") -> RawHead:
    """Read a head; InputError in one sentence for anything that makes it unusable.

    channel_order: `arkit_52` or `live_link` for a file without names; else only EmoTalk.npz may
    lack them.
    """
    where = str(path)
    arrays = read_arrays(path)
    order = channel_order or ("arkit_52" if path.name.lower() in _ALPHABETICAL else "names")
    raw, notes = _raw_mesh(arrays, order, where)
    joined, told = join([raw], where)
    lists: dict[str, Any] = {name: npz.id_list(arrays, name, where) for name in npz.LISTS}
    missing = tuple(n for n, row in zip(ARKIT_52, joined.shapes, strict=True) if not row.any())
    joined = replace(
        joined,
        missing_shapes=missing,
        vertex_groups=npz.group_lists(arrays, where),
        aperture_pairs=npz.pair_list(arrays, where),
        tint=npz.number_table(arrays, "tint", (len(raw.vertices), 3), where),
        **lists,
    )
    check_lists(joined, where)
    origin = Origin(
        "npz",
        unit_hint=UNITS.get(_text(arrays, "units")),
        licence=_text(arrays, "license") or _text(arrays, "licence"),
        source=_text(arrays, "source"),
        notes=tuple(notes),
        **told,
    )
    return RawHead(joined, origin)


def _raw_mesh(arrays: npz.Arrays, order: str, where: str) -> tuple[RawMesh, list[str]]:
    """The file's mesh with its shapes as offsets, and what was odd about it."""
    vertices, offsets = npz.shape_arrays(arrays, where)
    check_size(len(vertices), 0, where)
    vertices, offsets = as_floats(vertices), as_floats(offsets)
    polygons, first = _faces(arrays, vertices, where)
    check_size(0, len(polygons), where)
    notes = ["its faces count from 1"] if first == 1 else []
    names = npz.shape_names(arrays, len(offsets), order, where)
    if absolute_shapes(vertices, offsets):
        offsets = np.where(offsets.any(axis=(1, 2), keepdims=True), offsets - vertices, offsets)
        notes.append("its shapes are whole faces, so the neutral face was taken from each")
    part, part_names = npz.face_parts(arrays, len(polygons), where)
    if part.max() >= len(part_names):
        raise InputError(f"{where}: a face belongs to part {part.max()}, which has no name")
    table = dict(zip(names, offsets, strict=True))
    if len(table) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: two blendshapes are called {twice!r}; rename one")
    keys = tuple(name for name in names if table[name].any())
    if not keys:
        raise InputError(f"{where}: all blendshapes are zero, so this face can't move")
    uv = npz.corner_uv(arrays, len(polygons), where)
    if uv.shape[1:] != (4, 2) or len(uv) not in (0, len(polygons)):
        uv = np.empty((0, 4, 2), np.float32)
    raw = RawMesh(
        "", vertices, polygons, part.astype(np.int32), part_names, keys, table.__getitem__, uv
    )
    return raw, notes


def _faces(arrays: npz.Arrays, vertices: FloatArray, where: str) -> tuple[IntArray, int]:
    """Faces counted from 0, and what the file calls its first vertex.

    Where both 0 and 1 are possible, the faces with the shorter edges are the true ones.
    """
    found: dict[int, IntArray] = {}
    for first in (0, 1):
        try:
            found[first] = npz.face_ids(arrays, len(vertices), first, where)
        except InputError:
            if first == 1 and not found:
                raise
    first = min(found, key=lambda key: _edge_length(vertices, found[key]))
    return found[first], first


def _edge_length(vertices: FloatArray, polygons: IntArray) -> float:
    a, b = vertices[polygons[:, 0]], vertices[polygons[:, 1]]
    return float(np.nan_to_num(np.linalg.norm(a - b, axis=1)).mean())


def _text(arrays: npz.Arrays, name: str) -> str:
    value: Any = arrays.get(name)
    if value is None or value.dtype.kind not in "US" or value.size != 1:
        return ""
    single = value.reshape(-1)[0]
    text = single.decode("utf-8", "replace") if isinstance(single, bytes) else str(single)
    return " ".join(text.split())[:300]
