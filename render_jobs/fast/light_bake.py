# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene's Workbench shading in, how it lights every direction of normal out, as Workbench does.

Two flat sheets are drawn, one white and one black, whose custom normals run over the hemisphere
that faces the camera. So whatever matcap, studio light or flat light the scene has, black shows
its highlights and the difference shows how it lights a colour.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import bpy
import mathutils
import numpy as np

from exomni_core.arrays import FloatArray
from render_jobs.fast.geometry import Light
from render_jobs.stage import compat as blender_compat

SIZE: Final = 256  # of the table; a step is a third of a degree around its middle
_GRID: Final = 97  # vertices along a sheet


def bake_light(scene: Any) -> Light:
    """Draw the scene's shading once and return it as a table; the scene stays as it was."""
    with _studio(scene) as studio, tempfile.TemporaryDirectory(prefix="exomni-") as folder:
        studio.render.filepath = str(Path(folder) / "light.exr")
        bpy.ops.render.render(write_still=True, scene=studio.name)
        image = bpy.data.images.load(studio.render.filepath)
        try:
            flat = np.empty(2 * SIZE * SIZE * image.channels, np.float32)
            image.pixels.foreach_get(flat)
            sheets = flat.reshape(SIZE, 2, SIZE, image.channels)[..., :3]
        finally:
            bpy.data.images.remove(image)
    white, black = (sheets[:, side].reshape(-1, 3) for side in (0, 1))
    follows = "eye" if scene.display.shading.light == "MATCAP" else "sky"
    return Light(
        np.ascontiguousarray(white - black, np.float32),
        np.ascontiguousarray(black, np.float32),
        SIZE,
        follows,
    )


def sheet_normals(size: int, reach: float = 1.0) -> tuple[FloatArray, FloatArray]:
    """(size * size, 2) places from -reach to reach, and the (size * size, 3) normals there.

    A normal's x and y are its place; outside the disc it is the nearest one on the rim.
    """
    line = np.linspace(-reach, reach, size)
    places = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    length = np.linalg.norm(places, axis=1, keepdims=True)
    flat = places / np.maximum(length, 1.0)
    height = np.sqrt(np.maximum(1.0 - (flat * flat).sum(axis=1, keepdims=True), 0.0))
    return places.astype(np.float32), np.hstack([flat, height]).astype(np.float32)


@contextmanager
def _studio(scene: Any) -> Iterator[Any]:
    """A scene shaded like `scene` that shows the two sheets to a camera turned like its own."""
    studio = scene.copy()
    collection = studio.collection
    made: list[Any] = []
    try:
        for item in list(collection.objects):
            collection.objects.unlink(item)
        for child in list(collection.children):
            collection.children.unlink(child)
        turn = scene.camera.matrix_world.to_quaternion()
        for number, value in enumerate((1.0, 0.0)):
            made.append(_sheet(number, value, turn))
        data = bpy.data.cameras.new("bake")
        data.type, data.ortho_scale = "ORTHO", 4.0
        data.clip_start, data.clip_end = 0.1, 10.0
        camera = bpy.data.objects.new("bake", data)
        camera.rotation_mode = "QUATERNION"
        camera.rotation_quaternion = turn
        camera.location = turn @ mathutils.Vector((0.0, 0.0, 5.0))
        made.append(camera)
        for item in made:
            collection.objects.link(item)
        studio.camera = camera
        _set_up(studio)
        yield studio
    finally:
        bpy.data.scenes.remove(studio)
        for item in made:
            data = item.data
            materials = list(data.materials) if hasattr(data, "materials") else []
            bpy.data.objects.remove(item)
            (bpy.data.meshes if materials else bpy.data.cameras).remove(data)
            for material in materials:
                bpy.data.materials.remove(material)


def _set_up(studio: Any) -> None:
    render = studio.render
    render.engine = "BLENDER_WORKBENCH"
    render.resolution_x, render.resolution_y = 2 * SIZE, SIZE
    render.resolution_percentage = 100
    render.use_border = False
    render.use_file_extension = False
    render.film_transparent = False
    if hasattr(render, "use_high_quality_normals"):
        render.use_high_quality_normals = True
    blender_compat.choose_float_output(render)
    studio.display.render_aa = "OFF"
    studio.display.shading.color_type = "MATERIAL"


def _sheet(number: int, value: float, turn: Any) -> Any:
    # The centres of the outermost pixels, half a pixel from the sheet's edge, are the table's edge.
    reach = SIZE / (SIZE - 1)
    places, normals = sheet_normals(_GRID, reach)
    points = np.zeros((len(places), 3), np.float32)
    points[:, :2] = places / reach
    points[:, 0] += 2 * number - 1
    first = (np.arange(_GRID - 1)[:, None] * _GRID + np.arange(_GRID - 1)).reshape(-1, 1)
    corners = (first + np.array([0, 1, _GRID + 1, _GRID])).astype(np.int32)
    mesh = bpy.data.meshes.new("bake")
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", points.ravel())
    mesh.loops.add(corners.size)
    mesh.loops.foreach_set("vertex_index", corners.ravel())
    mesh.polygons.add(len(corners))
    mesh.polygons.foreach_set("loop_start", np.arange(0, corners.size, 4, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.normals_split_custom_set_from_vertices(normals)
    material = bpy.data.materials.new("bake")
    material.diffuse_color = (value, value, value, 1.0)
    mesh.materials.append(material)
    sheet = bpy.data.objects.new("bake", mesh)
    sheet.rotation_mode = "QUATERNION"
    sheet.rotation_quaternion = turn
    return sheet
