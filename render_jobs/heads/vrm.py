# SPDX-License-Identifier: GPL-3.0-or-later
"""A VRM file in, its expressions out; an imported mesh in, the same with keys named by them out.

Many VRM files name their morph targets not at all. What they mean stands in the file's expressions:
version 0 lists `blendShapeGroups` by mesh, version 1 `expressions` by node.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.matching.families import read_names
from exomni_core.storage.foreign import open_regular, parse_json

_GLB: Final = struct.Struct("<4sIIII")  # magic, version, length; length and kind of the first chunk
_JSON_CHUNK: Final = 0x4E4F534A
_MAX_JSON_BYTES: Final = 64 << 20
_MAX_NAME: Final = 63  # Blender cuts names there
_FULL: Final = 0.99
# Version 0 writes its presets small; heads and naming families know them like this.
_PRESETS: Final = {
    "a": "A",
    "i": "I",
    "u": "U",
    "e": "E",
    "o": "O",
    "blink": "Blink",
    "blink_l": "Blink_L",
    "blink_r": "Blink_R",
    "lookup": "LookUp",
    "lookdown": "LookDown",
    "lookleft": "LookLeft",
    "lookright": "LookRight",
}


_Row = tuple[Any, list[tuple[Any, Any, "float | None"]]]  # name, (mesh, index, weight) of each bind


@dataclass(frozen=True)
class Expression:
    """What a VRM calls one state of the face. binds: mesh name -> (morph target, weight 0 to 1)."""

    name: str
    binds: Mapping[str, tuple[tuple[int, float], ...]]


@dataclass(frozen=True)
class Vrm:
    """What a file says as a VRM. looks_backwards: it is of version 0, whose characters look along
    glTF's -z.
    """

    expressions: tuple[Expression, ...]
    looks_backwards: bool


def read_vrm(path: Path) -> Vrm:
    """What a .vrm or .glb says as a VRM; an empty one for a file that says nothing or is no GLB."""
    data = _json_of(path)
    extensions = _dict(data.get("extensions"))
    meshes = [_dict(mesh).get("name") for mesh in _list(data.get("meshes"))]
    nodes = [_dict(node).get("mesh") for node in _list(data.get("nodes"))]
    found = []
    for name, rows in (*_of_version_0(extensions), *_of_version_1(extensions, nodes)):
        binds: dict[str, list[tuple[int, float]]] = {}
        for mesh, index, weight in rows:
            known = meshes[mesh] if _is_index(mesh, len(meshes)) else None
            usable = isinstance(known, str) and _is_index(index)
            if usable and weight is not None and 0.0 < weight <= 1.0:
                binds.setdefault(str(known), []).append((index, weight))
        if isinstance(name, str) and name and binds:
            found.append(Expression(name, {mesh: tuple(row) for mesh, row in binds.items()}))
    return Vrm(tuple(found), looks_backwards="VRM" in extensions)


def name_keys(item: Any, expressions: tuple[Expression, ...]) -> int:
    """Give keys of a Blender mesh that say nothing the names of its expressions; how many.

    An expression of one full morph target names that key. One of several becomes a key of its own.
    """
    blocks = item.data.shape_keys.key_blocks
    own = [e for e in expressions if item.data.name in {m[:_MAX_NAME] for m in e.binds}]
    targets = list(blocks)[1:]
    named = 0
    for expression in own:
        name = expression.name[:_MAX_NAME]
        binds = next(b for m, b in expression.binds.items() if m[:_MAX_NAME] == item.data.name)
        inside = [(targets[index], weight) for index, weight in binds if index < len(targets)]
        if not inside or not read_names([name]).keys or _says(blocks, name):
            continue
        (key, weight), *more = inside
        if not more and read_names([key.name]).keys:
            continue
        if not more and weight >= _FULL:
            key.name = name
        else:
            _add_sum(item, name, inside)
        named += 1
    return named


def _says(blocks: Any, name: str) -> bool:
    """Whether a key of that meaning is there already."""
    meaning = set(read_names([name]).keys)
    return any(meaning & set(read_names([block.name]).keys) for block in blocks)


def _add_sum(item: Any, name: str, inside: list[tuple[Any, float]]) -> None:
    """A new key: the weighted sum of others."""
    rest = np.empty(3 * len(item.data.vertices), np.float32)
    item.data.shape_keys.reference_key.data.foreach_get("co", rest)
    total, row = rest.copy(), np.empty_like(rest)
    for key, weight in inside:
        key.data.foreach_get("co", row)
        total += np.float32(weight) * (row - rest)
    made = item.shape_key_add(name=name, from_mix=False)
    made.data.foreach_set("co", total)


def _json_of(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            head = file.read(_GLB.size)
            if len(head) < _GLB.size:
                return {}
            magic, _, _, size, kind = _GLB.unpack(head)
            if magic != b"glTF" or kind != _JSON_CHUNK or size > _MAX_JSON_BYTES:
                return {}
            return _dict(parse_json(file.read(size)))
    except (OSError, ValueError):  # the importer says what is wrong with it
        return {}


def _of_version_0(extensions: dict[str, Any]) -> list[_Row]:
    master = _dict(_dict(extensions.get("VRM")).get("blendShapeMaster"))
    rows = []
    for group in map(_dict, _list(master.get("blendShapeGroups"))):
        binds = [
            (bind.get("mesh"), bind.get("index"), _share(bind.get("weight"), 100.0))
            for bind in map(_dict, _list(group.get("binds")))
        ]
        rows.append((_PRESETS.get(str(group.get("presetName")), group.get("name")), binds))
    return rows


def _of_version_1(extensions: dict[str, Any], nodes: list[Any]) -> list[_Row]:
    expressions = _dict(_dict(extensions.get("VRMC_vrm")).get("expressions"))
    rows = []
    for kind in ("preset", "custom"):
        for name, row in _dict(expressions.get(kind)).items():
            binds = []
            for bind in map(_dict, _list(_dict(row).get("morphTargetBinds"))):
                node: Any = bind.get("node")
                mesh = nodes[node] if _is_index(node, len(nodes)) else None
                binds.append((mesh, bind.get("index"), _share(bind.get("weight"), 1.0)))
            rows.append((name, binds))
    return rows


def _share(weight: Any, full: float) -> float | None:
    plain = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    return float(weight) / full if plain and abs(weight) < 1e6 else None


def _is_index(value: Any, count: int = 1 << 16) -> bool:
    return type(value) is int and 0 <= value < count


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
