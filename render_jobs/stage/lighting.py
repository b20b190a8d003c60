# SPDX-License-Identifier: GPL-3.0-or-later
"""A look and an empty scene in, the scene lit and coloured as the look says out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import bpy

from exomni_core.errors import InputError
from render_jobs.stage import compat as blender_compat
from templates.looks import GENERATED, Look
from templates.matcaps import write_matcap

# Name, strength, colour, and Euler angles: from the upper left, the right, and behind.
_SUNS: Final = (
    ("Key", 2.3, (1.0, 0.95, 0.88), (0.85, 0.0, -0.6)),
    ("Fill", 0.9, (0.88, 0.93, 1.0), (1.35, 0.0, 0.75)),
    ("Rim", 1.0, (0.9, 0.95, 1.0), (-1.0, 0.0, -0.6)),
)
_OURS: Final = "exomni_"  # what the names of our studio lights begin with


def build_light(scene: Any, look: Look, suns: bool = True) -> None:
    """A world and suns, for the engines that need light; Workbench brings its own."""
    world = bpy.data.worlds.new("World")
    world.color = look.world_colour
    background = blender_compat.node_tree_of(world).nodes.get("Background")
    if background is not None:
        background.inputs["Color"].default_value = (*look.world_colour, 1.0)
    scene.world = world
    if not suns:
        return
    for name, strength, colour, angles in _SUNS:
        light = bpy.data.objects.new(name, bpy.data.lights.new(name, "SUN"))
        light.data.energy = strength
        light.data.color = colour
        light.data.angle = 0.6  # radians: a soft shadow under the nose
        light.rotation_euler = angles
        scene.collection.objects.link(light)


def apply_look(scene: Any, look: Look, colours: str, where: str) -> None:
    """Set Workbench's shading and the view transform.

    colours: `MATERIAL` or `VERTEX`, where Workbench finds them; `FILE` leaves what a .blend
    chose, unless the look wants one colour for all. where: names the template in a message.
    Raises InputError for a light, matcap or view transform that this Blender lacks.
    """
    shading = scene.display.shading
    wishes = (
        (shading, "light", look.light),
        (shading, "studio_light", _studio_light(look)),
        (scene.display, "render_aa", look.antialias),
        (scene.view_settings, "view_transform", look.view_transform),
    )
    for owner, name, value in wishes:
        try:
            if value:
                setattr(owner, name, value)
        except TypeError as error:
            raise InputError(
                f"{where}: this Blender ({bpy.app.version_string}) has no {name} called {value!r}"
            ) from error
    if colours != "FILE":
        shading.color_type = colours
    elif look.colours == "single":
        shading.color_type = "SINGLE"
        shading.single_color = look.single_colour
    shading.show_specular_highlight = True
    scene.render.dither_intensity = 0.0  # noise: black would not be black, and videos grow


def _studio_light(look: Look) -> str:
    """The name of the studio light to use; a matcap of ours is loaded first."""
    if look.light != "MATCAP" or not look.matcap:
        return look.matcap
    path = look.matcap_path
    if path is None and not look.matcap.startswith(GENERATED):
        return look.matcap  # one of Blender's own
    lights = bpy.context.preferences.studio_lights
    for old in [light for light in lights if light.name.startswith(_OURS)]:
        lights.remove(old)  # their files went with the scene that they were made for
    if path is None:
        # Blender reads the file at the first picture, so it lies in Blender's own temporary folder.
        name = look.matcap.removeprefix(GENERATED)
        path = Path(bpy.app.tempdir) / f"{_OURS}{name}.exr"
        write_matcap(name, path)
    return str(lights.load(str(path), "MATCAP").name)
