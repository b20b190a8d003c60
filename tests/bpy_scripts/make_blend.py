# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: saves a .blend such as a user may bring, at the path given.

Keys are spelled another way, a driver and an old Action sit on them, there is a camera of its own.
"""

import sys
from pathlib import Path

import bpy

bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
square = [(-1, 0, -1.5), (1, 0, -1.5), (1, 0, 1.5), (-1, 0, 1.5)]
for name, depth, colour in (("plate", 0.0, (0, 0, 0, 1)), ("flap", 0.5, (0, 1, 0, 1))):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(x, depth, z) for x, _, z in square], [], [(0, 1, 2, 3)])
    material = bpy.data.materials.new(name)
    material.diffuse_color = colour
    mesh.materials.append(material)
    item = bpy.data.objects.new(name, mesh)
    scene.collection.objects.link(item)
item.shape_key_add(name="Basis", from_mix=False)
for name in ("JawOpen", "mouth_smile_L", "corrective 7"):
    key = item.shape_key_add(name=name, from_mix=False)
    key.value = 0.0
for point in item.data.shape_keys.key_blocks["JawOpen"].data:
    point.co.y -= 1.0
for point in item.data.shape_keys.key_blocks["mouth_smile_L"].data:
    point.co.x += 10.0  # out of the picture, if the driver below were left alive
item.data.shape_keys.key_blocks["JawOpen"].keyframe_insert("value", frame=1)
driver = item.data.shape_keys.key_blocks["mouth_smile_L"].driver_add("value").driver
driver.expression = "1.0"
camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
camera.data.type = "ORTHO"
camera.data.ortho_scale = 3.0
camera.location = (0, -8, 0)
camera.rotation_euler = (1.5707963, 0, 0)
scene.collection.objects.link(camera)
scene.camera = camera
scene.display.shading.light = "FLAT"
scene.display.shading.color_type = "MATERIAL"
scene.display.render_aa = "OFF"
scene.view_settings.view_transform = "Standard"
scene.frame_start, scene.frame_end, scene.frame_step = 5, 9, 3
scene.render.frame_map_new = 50
scene.render.resolution_percentage = 50
scene.render.use_border = True
bpy.ops.wm.save_as_mainfile(filepath=str(Path(sys.argv[1]).resolve()))
