# SPDX-License-Identifier: GPL-3.0-or-later
"""A shown take in, a glTF file of the character's meshes with morph animation out."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from exomni_core.clip import frame_count
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.storage.files import check_writable

from .. import character, compat
from . import clips, showing
from .gltf_times import correct_times
from .sequencer import scene_fps


def write_gltf(item: Any, take: Any, path: Path, context: Any) -> None:
    """Write the character's meshes with their morph animation as .glb or .gltf.

    The take is shown for it. Raises EnvironmentProblem if this Blender lacks its glTF exporter.
    """
    check_writable(path)
    showing.show(item, take, context.scene)
    _enable_gltf()
    meshes = [target.object for target in character.live_targets(item)]
    with _only_selected(context, meshes), _range_of(context.scene, take):
        _export_selected(path)
    base = context.scene.render.fps_base
    if base != 1.0:
        face = clips.face_of(take)
        frames = frame_count(len(face.weights) / face.fps, scene_fps(context.scene))
        correct_times(path, (frames - 1) / scene_fps(context.scene), base * base)


def _export_selected(path: Path) -> None:
    """Run Blender's exporter on what is selected, for the scene's range."""
    try:
        done = bpy.ops.export_scene.gltf(
            filepath=str(path),
            export_format="GLTF_SEPARATE" if path.suffix.lower() == ".gltf" else "GLB",
            use_selection=True,
            export_apply=False,
            export_animations=True,
            export_morph=True,
            export_morph_animation=True,
            export_animation_mode="ACTIVE_ACTIONS",
            export_frame_range=True,
            export_anim_slide_to_zero=True,
            export_force_sampling=True,
            export_optimize_animation_size=False,
        )
    except RuntimeError as error:
        raise InputError(f"the glTF exporter failed: {compat.one_line(error)}") from error
    if done != {"FINISHED"}:
        raise InputError("the glTF exporter stopped; see its message")


def _enable_gltf() -> None:
    if hasattr(bpy.types, "EXPORT_SCENE_OT_gltf"):
        return
    addons: Any = importlib.import_module("addon_utils")  # Blender's own
    if addons.enable("io_scene_gltf2") is None:
        raise EnvironmentProblem(
            "this Blender has no glTF exporter; switch on 'glTF 2.0 format' in its add-ons"
        )


@contextlib.contextmanager
def _only_selected(context: Any, meshes: list[Any]) -> Iterator[None]:
    layer = context.view_layer
    before = [item for item in layer.objects if item.select_get()]
    active = layer.objects.active
    for item in layer.objects:
        item.select_set(item in meshes)
    layer.objects.active = meshes[0]
    try:
        yield
    finally:
        for item in layer.objects:
            item.select_set(item in before)
        layer.objects.active = active


@contextlib.contextmanager
def _range_of(scene: Any, take: Any) -> Iterator[None]:
    """The scene's range set to the take's, so that its first frame is at 0 s in the file."""
    before = scene.frame_start, scene.frame_end, scene.frame_current
    length = max(1, round(take.duration_s * scene_fps(scene)))
    scene.frame_start, scene.frame_end = take.start_frame, take.start_frame + length
    try:
        yield
    finally:
        scene.frame_start, scene.frame_end = before[0], before[1]
        scene.frame_set(before[2])
