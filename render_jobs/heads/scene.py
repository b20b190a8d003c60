# SPDX-License-Identifier: GPL-3.0-or-later
"""A glTF, FBX or .blend file in, its meshes with shape keys, colours and textures' colours out.

What the file brings is never run, and only read. Coordinates come in our axes: x to the subject's
left, y up, z forward, for a head that Blender shows upright, looking along -y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt
from mathutils import Matrix

from exomni_core.arrays import FloatArray, IntArray
from exomni_core.errors import EnvironmentProblem, InputError
from render_jobs.heads.colours import Paint, paint_of
from render_jobs.heads.vrm import Vrm, name_keys, read_vrm
from templates.importing.raw import RawMesh, check_size

_ADDONS: Final = {"gltf": "io_scene_gltf2", "fbx": "io_scene_fbx"}
_NEAR: Final = 0.35  # of the face's size: what lies further away belongs to somebody else


@dataclass(frozen=True, eq=False)
class Scene:
    """What a file holds. meshes: those of the head, with `paints` beside them.

    unit_hint: metres per unit as the file says. face_object: there is an object called `face` with
    keys, and a camera: the scene of a paper, which is kept as it is. notes: for the user.
    """

    meshes: list[RawMesh]
    paints: list[Paint]
    unit_hint: float | None
    face_object: bool = False
    notes: list[str] = field(default_factory=list)


def read_scene(path: Path, kind: str) -> Scene:
    """Open or import `path` (kind `gltf`, `fbx` or `blend`) into this Blender, which is emptied.

    Raises InputError if Blender can't read it or it holds no mesh with shape keys.
    """
    _open(path, kind)
    vrm = read_vrm(path) if kind == "gltf" else Vrm((), looks_backwards=False)
    if vrm.looks_backwards:
        _turn_around()
    for armature in bpy.data.armatures:
        armature.pose_position = "REST"  # eyes may hang on a bone that a pose has turned
    bpy.context.view_layer.update()
    items = [item for item in bpy.context.scene.objects if item.type == "MESH"]
    told = _name_by_expressions(items, vrm)
    keyed = [item for item in items if _key_blocks(item)]
    if not keyed:
        other = [o for o in bpy.data.objects if o.type == "MESH" and _key_blocks(o)]
        if not other:
            names = ", ".join(item.name for item in items[:6]) or "no mesh at all"
            raise InputError(
                f"{path} has no shape keys (it holds {names}); a head needs ARKit-like shape keys: "
                "export it with its morph targets"
            )
        items = keyed = other
    shown = [item for item in items if not item.hide_render and not _is_helper(item)] or items
    keyed = [item for item in keyed if item in shown] or keyed
    check_size(sum(len(i.data.vertices) for i in shown), 0, str(path))
    near, notes = _near(keyed, shown)
    pairs = [_raw_mesh(item) for item in near]
    face = any(item.name == "face" for item in keyed) and bpy.context.scene.camera is not None
    units = bpy.context.scene.unit_settings
    hint = units.scale_length if units.system != "NONE" else None
    return Scene(
        [mesh for mesh, _ in pairs],
        [paint for _, paint in pairs],
        hint if kind == "blend" else 1.0,
        face_object=kind == "blend" and face,
        notes=told + notes,
    )


def _turn_around() -> None:
    """Turn everything about the upright axis, so that it looks along -y."""
    half = Matrix.Rotation(math.pi, 4, "Z")
    for item in bpy.context.scene.objects:
        if item.parent is None:
            item.matrix_world = half @ item.matrix_world


def _name_by_expressions(items: list[Any], vrm: Vrm) -> list[str]:
    """Name keys that say nothing as the file's VRM expressions do; what to tell of it."""
    named = sum(name_keys(item, vrm.expressions) for item in items if _key_blocks(item))
    return [f"{named} shape keys were named by the file's VRM expressions"] if named else []


def _open(path: Path, kind: str) -> None:
    try:
        if kind == "blend":
            bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
            return
        bpy.ops.wm.read_factory_settings(use_empty=True)
        _enable(_ADDONS[kind])
        if kind == "gltf":
            bpy.ops.import_scene.gltf(filepath=str(path))
        elif hasattr(bpy.types, "IMPORT_SCENE_OT_fbx"):
            bpy.ops.import_scene.fbx(filepath=str(path), use_anim=False)
        else:
            bpy.ops.wm.fbx_import(filepath=str(path), use_anim=False)
    except (RuntimeError, AttributeError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error: ")[-200:]
        raise InputError(f"{path} can't be read by Blender: {reason}") from error


def _enable(module: str) -> None:
    try:
        bpy.ops.preferences.addon_enable(module=module)
    except RuntimeError as error:
        if module == "io_scene_fbx" and hasattr(bpy.types, "WM_OT_fbx_import"):
            return  # newer Blenders read FBX themselves
        raise EnvironmentProblem(
            f"this Blender ({bpy.app.version_string}) lacks its importer {module}: {error}"
        ) from error


def _key_blocks(item: Any) -> list[Any]:
    keys = item.data.shape_keys
    return list(keys.key_blocks[1:]) if keys is not None and len(keys.key_blocks) > 1 else []


def _is_helper(item: Any) -> bool:
    """Whether the glTF importer made it to draw bones with."""
    return any(group.name.startswith("glTF_not_exported") for group in item.users_collection)


def _near(keyed: list[Any], shown: list[Any]) -> tuple[list[Any], list[str]]:
    """The meshes with keys and those that lie in or at the face (eyes, teeth), and what was not."""
    corners = np.concatenate([_box(item) for item in keyed])
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = _NEAR * float((high - low).max())
    kept: list[Any] = []
    away: list[Any] = []
    for item in shown:
        box = _box(item)
        inside = ((box > low - margin) & (box < high + margin)).all()
        (kept if item in keyed or inside else away).append(item)
    names = ", ".join(item.name for item in away[:6])
    return kept, [f"left out, they are no part of the face: {names}"] if away else []


def _box(item: Any) -> npt.NDArray[np.float64]:
    corners = np.array([list(corner) for corner in item.bound_box], np.float64)
    matrix = np.array(item.matrix_world, np.float64)
    box: npt.NDArray[np.float64] = corners @ matrix[:3, :3].T + matrix[:3, 3]
    return box


def _raw_mesh(item: Any) -> tuple[RawMesh, Paint]:
    data, blocks = item.data, _key_blocks(item)
    data.validate()  # faces that name nothing would take Blender down below
    matrix = np.array(item.matrix_world, np.float64)
    turn = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) @ matrix[:3, :3]
    place = np.array([matrix[0, 3], matrix[2, 3], -matrix[1, 3]])
    rest = _points(data.shape_keys.reference_key.data if blocks else data.vertices)
    table = {block.name: block for block in blocks}

    def offsets(name: str) -> FloatArray:
        block = table[name]
        gap = _points(block.data) - _points(block.relative_key.data)
        if block.vertex_group:
            gap *= _weights(item, block.vertex_group)[:, None]
        turned: FloatArray = (gap @ turn.T).astype(np.float32)
        return turned

    polygons, part, corners = _polygons(data)
    if np.linalg.det(turn) < 0:  # mirrored by a negative scale: faces would look inwards
        polygons, corners = _turned_over(polygons), _turned_over(corners)
    slots = [slot.material for slot in item.material_slots] or [None]
    names = tuple(material.name if material else item.name for material in slots)
    layer = data.uv_layers.active
    uv = _uv(layer, corners) if layer is not None else np.empty((0, 4, 2), np.float32)
    mesh = RawMesh(
        name=item.name,
        vertices=(rest @ turn.T + place).astype(np.float32),
        polygons=polygons,
        part=np.minimum(part, len(slots) - 1),
        part_names=names,
        keys=tuple(table),
        offsets=offsets if blocks else None,
        uv=uv,
    )
    return mesh, paint_of(slots, mesh)


def _points(rows: Any) -> npt.NDArray[np.float64]:
    flat = np.empty(3 * len(rows), np.float32)
    rows.foreach_get("co", flat)
    return flat.reshape(-1, 3).astype(np.float64)


def _weights(item: Any, group: str) -> npt.NDArray[np.float64]:
    """(V,) how strongly a shape key that is masked by a vertex group acts."""
    weights = np.zeros(len(item.data.vertices))
    if group not in item.vertex_groups:
        return np.ones(len(weights))
    wanted = item.vertex_groups[group].index
    for vertex in item.data.vertices:
        for membership in vertex.groups:
            if membership.group == wanted:
                weights[vertex.index] = membership.weight
    return weights


def _polygons(data: Any) -> tuple[IntArray, npt.NDArray[np.int32], IntArray]:
    """(vertex ids (Q, 4), material slot (Q,), corner ids (Q, 4)); larger faces become triangles."""
    count = len(data.polygons)
    starts, sizes, slots = (np.empty(count, np.int32) for _ in range(3))
    data.polygons.foreach_get("loop_start", starts)
    data.polygons.foreach_get("loop_total", sizes)
    data.polygons.foreach_get("material_index", slots)
    vertex = np.empty(len(data.loops), np.int32)
    data.loops.foreach_get("vertex_index", vertex)
    rows = [np.empty((0, 4), np.int32)]
    owner = [np.empty(0, np.int32)]
    for size in (3, 4):
        chosen = np.flatnonzero(sizes == size)
        corner = np.full((len(chosen), 4), -1, np.int32)
        corner[:, :size] = starts[chosen, None] + np.arange(size)
        rows.append(corner)
        owner.append(chosen)
    large = np.flatnonzero(sizes > 4)
    if len(large):
        data.calc_loop_triangles()
        triangles = np.empty(3 * len(data.loop_triangles), np.int32)
        owners = np.empty(len(data.loop_triangles), np.int32)
        data.loop_triangles.foreach_get("loops", triangles)
        data.loop_triangles.foreach_get("polygon_index", owners)
        inside = np.isin(owners, large)
        corner = np.full((int(inside.sum()), 4), -1, np.int32)
        corner[:, :3] = triangles.reshape(-1, 3)[inside]
        rows.append(corner)
        owner.append(owners[inside])
    corners, owned = np.concatenate(rows), np.concatenate(owner)
    order = np.argsort(owned, kind="stable")
    corners, owned = corners[order].astype(np.int32), owned[order]
    ids = np.where(corners < 0, -1, vertex[np.maximum(corners, 0)]) if len(vertex) else corners
    return ids.astype(np.int32), slots[owned].astype(np.int32), corners


def _turned_over(rows: IntArray) -> IntArray:
    """Faces in the opposite sense; a triangle keeps its -1 last."""
    flipped = rows[:, ::-1].copy()
    triangles = rows[:, 3] < 0
    flipped[triangles] = np.column_stack([rows[triangles, 2::-1], rows[triangles, 3]])
    return flipped


def _uv(layer: Any, corners: IntArray) -> FloatArray:
    flat = np.empty(2 * len(layer.uv), np.float32)
    layer.uv.foreach_get("vector", flat)
    points = np.nan_to_num(flat.reshape(-1, 2))
    picked: FloatArray = np.where(corners[..., None] < 0, 0, points[np.maximum(corners, 0)])
    return picked.astype(np.float32)
