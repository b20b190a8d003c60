# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundled template in, a mesh object with 52 shape keys and materials in the scene out."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from templates.descriptor import Template
from templates.library import display_unit, find_template, load_mesh
from templates.mesh import TemplateMesh

from . import compat


def add_head(scene: Any, template_name: str = "head", name: str = "Ex-Omni head") -> Any:
    """Build a template (by name or path, .npz too) at the 3D cursor and return the new object.

    Raises InputError if there is no such template, or it can't be built.
    """
    template = find_template(template_name)
    mesh = load_mesh(template)
    unit_m = display_unit(template, mesh)
    data = _mesh_data(template, mesh, unit_m, name)
    item = bpy.data.objects.new(name, data)
    scene.collection.objects.link(item)
    item.location = scene.cursor.location
    _add_keys(item, mesh, unit_m)
    return item


def _to_blender(points: npt.NDArray[Any], unit_m: float) -> npt.NDArray[np.float32]:
    """(V, 3) in mesh units, y up, z forward -> metres: z up, the face along -y."""
    turned = np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)
    return np.ascontiguousarray(turned * unit_m, np.float32)


def _mesh_data(template: Template, mesh: TemplateMesh, unit_m: float, name: str) -> Any:
    data = bpy.data.meshes.new(name)
    used = mesh.polygons >= 0
    corners = mesh.polygons[used].astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))[:-1]]).astype(np.int32)
    data.vertices.add(len(mesh.vertices))
    data.vertices.foreach_set("co", _to_blender(mesh.vertices, unit_m).ravel())
    data.loops.add(len(corners))
    data.loops.foreach_set("vertex_index", corners)
    data.polygons.add(len(mesh.polygons))
    data.polygons.foreach_set("loop_start", starts)
    data.polygons.foreach_set("material_index", mesh.polygon_part.astype(np.int32))
    data.polygons.foreach_set("use_smooth", np.ones(len(mesh.polygons), bool))
    for part in mesh.part_names:
        data.materials.append(_material(template, part))
    data.update(calc_edges=True)
    data.validate()
    return data


def _add_keys(item: Any, mesh: TemplateMesh, unit_m: float) -> None:
    rest = _to_blender(mesh.vertices, unit_m)
    item.shape_key_add(name="Basis", from_mix=False)
    for name, offsets in zip(ARKIT_52, mesh.shapes, strict=True):
        if name in mesh.missing_shapes:
            continue
        key = item.shape_key_add(name=name, from_mix=False)
        key.value = 0.0  # Blender 5 starts a new key at 1
        key.data.foreach_set("co", (rest + _to_blender(offsets, unit_m)).ravel())


def _material(template: Template, part: str) -> Any:
    colours = template.part_colours
    rgba = (*colours.get(part, colours.get("*", (0.8, 0.8, 0.8))), 1.0)
    material = bpy.data.materials.new(part)
    material.diffuse_color = rgba  # what the viewport's solid mode shows
    shader = compat.principled(material)
    if shader is not None:
        shader.inputs["Base Color"].default_value = rgba
        shader.inputs["Roughness"].default_value = 0.5
    return material
