# SPDX-License-Identifier: GPL-3.0-or-later
"""A template in, a Blender scene that is ready to film it out: mesh, keys, camera, light, look."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import bpy
import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import FloatArray
from exomni_core.errors import InputError
from exomni_core.matching.match import Matching, match_channels
from render_jobs.stage import compat as blender_compat
from render_jobs.stage.framing import PICTURE_MM, look_camera, shown_points
from render_jobs.stage.lighting import apply_look, build_light
from templates.colours import is_tinted, part_colours, polygon_colours
from templates.descriptor import Camera, Template
from templates.library import display_unit, find_look, load_mesh
from templates.looks import Look
from templates.mesh import TemplateMesh

COLOUR_LAYER: Final = "colour"  # the mesh's colour attribute, where colours differ within a part


@dataclass(frozen=True, eq=False)
class Stage:
    """A template that stands ready: its scene, its meshes' keys with their matching, its extent.

    points: (N, 3) float32, what the camera has to show: vertices at rest in Blender's world.
    own_camera: the camera came with a .blend and stays where it stands.
    mesh: the head as arrays, in mesh units of `unit_m` metres; None for a .blend.
    look: how the scene shows it (a .blend keeps its own light).
    colours: (Q, 4, 3) of each polygon corner of `mesh` in this look, scene-linear.
    prepared: what a render engine keeps of it between clips, by the engine's name.
    """

    template: Template
    scene: Any
    faces: Sequence[tuple[Any, Matching]]
    points: FloatArray
    own_camera: bool = False
    mesh: TemplateMesh | None = None
    look: Look = field(default_factory=Look)
    unit_m: float = 1.0
    colours: FloatArray | None = None
    prepared: dict[str, Any] = field(default_factory=dict)


def load_stage(template: Template, look: str = "") -> Stage:
    """Empty this Blender and build `template` in it, shown as `look` says ("": its own look).

    Raises InputError if the template is unusable or there is no such look.
    """
    chosen = find_look(look, template)
    if template.is_blend:
        return _stage_from_blend(template, chosen if look else None)
    mesh = load_mesh(template)
    unit_m = display_unit(template, mesh)
    points = to_blender(mesh.vertices, unit_m)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    colours = polygon_colours(template, mesh, chosen)
    face = _build_object(template, mesh, chosen, unit_m, colours)
    scene.collection.objects.link(face)
    wish = look_camera(template, chosen)
    _build_camera(scene, wish)
    build_light(scene, chosen)
    source = "VERTEX" if is_tinted(mesh, chosen) else "MATERIAL"
    apply_look(scene, chosen, source, f"template {template.name!r}")
    faces = [(face.data.shape_keys, match_channels(ARKIT_52))]
    shown = shown_points(mesh, points, wish, chosen)
    return Stage(
        template, scene, faces, shown, mesh=mesh, look=chosen, unit_m=unit_m, colours=colours
    )


def to_blender(points: npt.NDArray[Any], unit_m: float) -> FloatArray:
    """(..., 3) in mesh units, y up, z forward -> metres in Blender's axes: z up, face along -y."""
    turned = np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)
    return np.ascontiguousarray(turned * unit_m, np.float32)


def _build_object(
    template: Template, mesh: TemplateMesh, look: Look, unit_m: float, colours: FloatArray
) -> Any:
    points = to_blender(mesh.vertices, unit_m)
    quads = mesh.polygons
    used = quads >= 0
    corners = quads[used].astype(np.int32)
    sizes = used.sum(axis=1)
    data = bpy.data.meshes.new("face")
    data.vertices.add(len(points))
    data.vertices.foreach_set("co", points.ravel())
    data.loops.add(len(corners))
    data.loops.foreach_set("vertex_index", corners)
    data.polygons.add(len(quads))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    data.polygons.foreach_set("loop_start", starts)
    data.polygons.foreach_set("material_index", mesh.polygon_part.astype(np.int32))
    data.polygons.foreach_set("use_smooth", np.ones(len(quads), bool))
    tinted = is_tinted(mesh, look)
    for name, colour in zip(mesh.part_names, part_colours(template, mesh, look), strict=True):
        data.materials.append(_build_material(name, colour.tolist(), tinted))
    if tinted:
        layer = data.color_attributes.new(COLOUR_LAYER, "FLOAT_COLOR", "CORNER")
        layer.data.foreach_set("color", np.insert(colours[used], 3, 1.0, axis=1).ravel())
        data.color_attributes.active_color = layer
    data.update(calc_edges=True)
    if data.validate():
        raise InputError(
            f"template {template.name!r} has faces that Blender rejects (a vertex twice in one "
            "face, or the same face twice); clean the mesh"
        )
    face = bpy.data.objects.new("face", data)
    face.shape_key_add(name="Basis", from_mix=False)
    for name, offsets in zip(ARKIT_52, mesh.shapes, strict=True):
        key = face.shape_key_add(name=name, from_mix=False)
        key.value = 0.0  # Blender 5 starts a new key at 1
        if name not in mesh.missing_shapes:
            key.data.foreach_set("co", (points + to_blender(offsets, unit_m)).ravel())
    return face


def _build_material(part: str, colour: Sequence[float], tinted: bool) -> Any:
    rgba = (*colour, 1.0)
    material = bpy.data.materials.new(part)
    material.diffuse_color = rgba  # what Workbench shows
    tree = blender_compat.node_tree_of(material)
    shader = tree.nodes.get("Principled BSDF")
    if shader is not None:
        shader.inputs["Base Color"].default_value = rgba
        shader.inputs["Roughness"].default_value = 0.5
        if tinted:
            layer = tree.nodes.new("ShaderNodeVertexColor")
            layer.layer_name = COLOUR_LAYER
            tree.links.new(layer.outputs["Color"], shader.inputs["Base Color"])
    return material


def _build_camera(scene: Any, wish: Camera) -> None:
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens = wish.lens_mm
    camera.data.sensor_fit = "VERTICAL"
    camera.data.sensor_height = PICTURE_MM
    camera.data.clip_start, camera.data.clip_end = 0.01, 100.0
    scene.collection.objects.link(camera)
    scene.camera = camera


def _stage_from_blend(template: Template, look: Look | None) -> Stage:
    """look: None leaves the file's own light, colours and camera as they are."""
    path = template.mesh_path
    try:
        # Never run what a file from elsewhere brings along.
        bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
    except RuntimeError as error:
        raise InputError(f"{path} can't be opened by this Blender: {error}") from error
    scene = bpy.context.scene
    faces, points, key_names = [], [], []
    for item in scene.objects:
        keys = item.data.shape_keys if item.type == "MESH" else None
        if keys is None:
            continue
        keys.animation_data_clear()  # drivers and old keys would fight ours
        key_names += [key.name for key in keys.key_blocks]
        with contextlib.suppress(InputError):
            faces.append((keys, _matched(item, template)))
            points.append(_world_points(item))
    if not faces:
        match_channels(key_names)  # raises the sentence that lists what the file has
    for keys, matching in faces:
        for name in matching.key_of.values():
            keys.key_blocks[name].value = 0.0
            keys.key_blocks[name].mute = False
    own_camera = scene.camera is not None and (look is None or look.camera == "PERSP")
    if not own_camera:
        _build_camera(scene, look_camera(template, look or template.look))
    if look is not None:
        build_light(scene, look, suns=False)
        apply_look(scene, look, "FILE", f"template {template.name!r}")
    shown = np.concatenate(points)
    return Stage(template, scene, faces, shown, own_camera, look=look or template.look)


def _matched(item: Any, template: Template) -> Matching:
    """Which channel moves which key of a mesh: as the template says, else by ARKit's names.

    A channel that is a sum of keys gets a key of its own, mixed from them.
    """
    blocks = item.data.shape_keys.key_blocks
    names = [key.name for key in blocks]
    chosen = {}
    for channel, parts in template.shape_sums.items():
        here = [(name, weight) for name, weight in parts if name in names]
        if here:
            alone = len(here) == 1 and here[0][1] == 1.0
            chosen[channel] = here[0][0] if alone else _mixed_key(item, channel, here)
    if not chosen:
        return match_channels(names)
    targets: dict[str, Any] = dict(chosen)
    with contextlib.suppress(InputError):
        targets = {**match_channels(names).targets, **chosen}
    return Matching(targets)


def _mixed_key(item: Any, channel: str, parts: Sequence[tuple[str, float]]) -> str:
    """The name of a new key that is the sum of `parts` at their weights."""
    blocks = item.data.shape_keys.key_blocks
    for block in blocks:
        block.value, block.mute = 0.0, False
    for name, weight in parts:
        block = blocks[name]
        block.slider_min, block.slider_max = min(block.slider_min, weight), max(1.0, weight)
        block.value = weight
    made = item.shape_key_add(name=channel, from_mix=True)
    for block in blocks:
        block.value = 0.0
    return str(made.name)


def _world_points(item: Any) -> FloatArray:
    flat = np.empty(3 * len(item.data.vertices), np.float32)
    item.data.vertices.foreach_get("co", flat)
    matrix = np.array(item.matrix_world, np.float32)
    world: FloatArray = flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    return world
