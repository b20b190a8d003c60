# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: writes heads as users bring them, good and broken, into a folder.

Every file holds the built-in head, thinned out to what the tests look at: four formats with four
naming families, a .blend with its own scene, and seven files with something wrong.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, LIVE_LINK_52
from templates.importing.clean import drop_loose_vertices
from templates.library import find_template, load_mesh
from templates.mesh import save_npz

# VRChat's Unified Expressions, where they differ from ARKit's names in more than the case.
UNIFIED = {
    "browInnerUp": ("BrowInnerUpLeft", "BrowInnerUpRight"),
    "cheekPuff": ("CheekPuffLeft", "CheekPuffRight"),
    "eyeBlinkLeft": ("EyeClosedLeft",),
    "eyeBlinkRight": ("EyeClosedRight",),
    "mouthClose": ("MouthClosed",),
    "mouthFunnel": ("LipFunnel",),
    "mouthPucker": ("LipPucker",),
    "mouthRollLower": ("LipSuckLower",),
    "mouthRollUpper": ("LipSuckUpper",),
    "mouthShrugLower": ("MouthRaiserLower",),
    "mouthShrugUpper": ("MouthRaiserUpper",),
}
# No brows, eyes or cheeks, as on a head that was made for speech alone.
THIRTY = tuple(n for n in ARKIT_52 if n.startswith(("jaw", "mouth", "tongue", "eyeBlink")))


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    head = without_hair(load_mesh(find_template("head")))
    save_npz(head, out / "original.npz")
    make_npz(head, out)
    scene(head, pascal)
    export("glb", out / "livelink.glb")
    scene(head, underscored, whole=True)
    export("fbx", out / "arkit.fbx")
    scene(head, unified, turned=True)
    script = bpy.data.texts.new("run_me.py")  # Blender would run it if it were let
    script.use_module = True
    script.write(f"open({str(out / 'ran')!r}, 'w').close()")
    save(out / "unified.blend")
    avatar(head)
    export("glb", out / "avatar.glb")
    paper_scene(head)
    save(out / "render.blend")
    broken(head, out)
    facts = {"blender": bpy.app.version_string, "vertices": len(head.vertices)}
    (out / "facts.json").write_text(json.dumps(facts))


def without_hair(head):
    """The head without what is many vertices and no face."""
    names = [i for i, name in enumerate(head.part_names) if "hair" not in name]
    keep = np.isin(head.polygon_part, names)
    uv = head.uv[keep] if len(head.uv) else head.uv
    groups = {k: v for k, v in head.vertex_groups.items() if "hair" not in k}
    return drop_loose_vertices(
        replace(
            head,
            polygons=head.polygons[keep],
            polygon_part=head.polygon_part[keep],
            uv=uv,
            vertex_groups=groups,
        )
    )


def make_npz(head, out):
    """As NVIDIA's Claire comes: centimetres, names as bytes, triangles, a jaw in mouthClose."""
    shapes = head.shapes * 100
    shapes[CHANNEL_INDEX["mouthClose"]] += shapes[CHANNEL_INDEX["jawOpen"]]
    order = [CHANNEL_INDEX[name] for name in LIVE_LINK_52]
    arrays = {
        "meanshape": head.vertices * 100,
        "blendshape": shapes[order],
        "bs_names": np.array([name.encode() for name in LIVE_LINK_52]),
        "faces": triangles(head.polygons),
    }
    np.savez(out / "claire.npz", **arrays)


def triangles(quads):
    second = quads[quads[:, 3] >= 0][:, [0, 2, 3]]
    return np.concatenate([quads[:, :3], second]).astype(np.int32)


def pascal(channel):
    return (channel[0].upper() + channel[1:],)


def underscored(channel):
    if channel in ("browInnerUp", "cheekPuff"):
        return (f"{channel}_L", f"{channel}_R")
    for side in ("Left", "Right"):
        if channel.endswith(side) and not channel.startswith("jaw") and len(channel) > 10:
            return (channel.removesuffix(side) + "_" + side[0],)
    return (channel,)


def unified(channel):
    return UNIFIED.get(channel, pascal(channel))


def scene(head, spell, *, whole=False, turned=False, channels=ARKIT_52, size=1.0):
    """The head in an empty Blender, its keys named by `spell`; in several meshes unless whole."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    kinds = {"Head": None, "Eyes": ("sclera", "iris", "pupil", "glint"), "Teeth": ("teeth",)}
    for name, words in kinds.items():
        inside = [
            i
            for i, part in enumerate(head.part_names)
            if whole
            or (
                part.startswith(words)
                if words
                else not part.startswith(("sclera", "iris", "pupil", "glint", "teeth"))
            )
        ]
        item = build(name, head, np.isin(head.polygon_part, inside), spell, channels, size)
        if turned:  # looks along +y, 1.5 m above the floor, and is twice too large but scaled back
            item.scale = (0.5, 0.5, 0.5)
            item.rotation_euler = (0, 0, np.pi)
            item.location = (0.2, 0, 1.5)
            for key in item.data.shape_keys.key_blocks if item.data.shape_keys else ():
                flat = np.empty(3 * len(key.data), np.float32)
                key.data.foreach_get("co", flat)
                key.data.foreach_set("co", flat * 2)
        if whole:
            return item
    return item


def build(name, head, chosen, spell, channels, size=1.0):
    quads = head.polygons[chosen]
    ids, flat = np.unique(quads[quads >= 0], return_inverse=True)
    place = iter(flat.ravel().tolist())
    faces = [[next(place) for corner in quad if corner >= 0] for quad in quads.tolist()]
    rest = blender_axes(head.vertices[ids]) * size
    data = bpy.data.meshes.new(name)
    data.from_pydata(rest.tolist(), [], faces)
    for part in head.part_names:
        material = bpy.data.materials.get(part) or bpy.data.materials.new(part)
        material.use_nodes = True
        shader = material.node_tree.nodes["Principled BSDF"]
        colours = find_template("head").part_colours
        colour = colours.get(part, colours["*"])
        shader.inputs["Base Color"].default_value = (*colour, 1)
        if part == "face" and len(head.uv):
            paint(material, shader)
        data.materials.append(material)
    data.polygons.foreach_set("material_index", head.polygon_part[chosen].astype(np.int32))
    if len(head.uv):
        layer = data.uv_layers.new(name="UVMap")
        used = quads >= 0
        layer.uv.foreach_set("vector", head.uv[chosen][used].ravel())
    item = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(item)
    item.shape_key_add(name="Basis", from_mix=False)
    for channel in channels:
        offsets = blender_axes(head.shapes[CHANNEL_INDEX[channel], ids]) * size
        if not offsets.any():
            continue
        names = spell(channel)
        left = np.clip(rest[:, :1] / 0.004, -1, 1) * 0.5 + 0.5
        shares = [1.0] if len(names) == 1 else [left, 1 - left]
        for key_name, share in zip(names, shares, strict=True):
            key = item.shape_key_add(name=key_name, from_mix=False)
            key.value = 0.0
            key.data.foreach_set("co", (rest + share * offsets).astype(np.float32).ravel())
    return item


def paint(material, shader):
    """A texture for the skin: redder towards the top."""
    if any(node.type == "TEX_IMAGE" for node in material.node_tree.nodes):
        return
    image = bpy.data.images.new("skin", 16, 16)
    rows = np.ones((16, 16, 4), np.float32) * [0.9, 0.7, 0.6, 1.0]
    rows[..., 0] *= np.linspace(0.7, 1.0, 16)[:, None]
    image.pixels.foreach_set(rows.astype(np.float32).ravel())
    image.pack()
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.links.new(node.outputs["Color"], shader.inputs["Base Color"])


def blender_axes(points):
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def export(kind, path):
    if kind == "glb":
        bpy.ops.preferences.addon_enable(module="io_scene_gltf2")
        bpy.ops.export_scene.gltf(
            filepath=str(path), export_format="GLB", export_morph_normal=False
        )
    else:
        bpy.ops.preferences.addon_enable(module="io_scene_fbx")
        bpy.ops.export_scene.fbx(filepath=str(path), bake_anim=False)


def save(path):
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)


def avatar(head):
    """The head on a posed skeleton that stands on a floor, with a hat and with shoes."""
    scene(head, pascal)
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bone = rig.data.edit_bones.new("head")
    bone.head, bone.tail = (0, 0, -0.2), (0, 0, 0.1)
    bpy.ops.object.mode_set(mode="OBJECT")
    for item in [item for item in bpy.context.scene.objects if item.type == "MESH"]:
        group = item.vertex_groups.new(name="head")
        group.add(range(len(item.data.vertices)), 1.0, "REPLACE")
        item.modifiers.new("Armature", "ARMATURE").object = rig
        item.parent = rig
    for name, height in (("hat", 0.16), ("shoes", -1.6)):
        bpy.ops.mesh.primitive_cube_add(size=0.1, location=(0, 0, height))
        bpy.context.active_object.name = name
        bpy.context.active_object.parent = rig
    rig.location = (0, 0.3, 1.6)
    rig.pose.bones["head"].rotation_mode = "XYZ"
    rig.pose.bones["head"].rotation_euler = (0.3, 0.2, 0)
    bpy.context.view_layer.update()


def paper_scene(head):
    """An object called `face`, a camera and a light of its own, as EmoTalk's render.blend has."""
    item = scene(head, underscored, whole=True)
    item.name = "face"
    world = bpy.context.scene
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location, camera.rotation_euler = (0, -1.2, 0.0), (np.pi / 2, 0, 0)
    world.collection.objects.link(camera)
    world.camera = camera
    world.render.engine = "BLENDER_WORKBENCH"
    world.display.shading.light = "MATCAP"
    world.display.render_aa = "FXAA"


def broken(head, out):
    """Seven files with something wrong."""
    arrays = dict(np.load(out / "claire.npz"))
    arrays["bs_names"] = np.array(LIVE_LINK_52)
    np.savez(out / "one_based.npz", **{**arrays, "faces": arrays["faces"] + 1})
    decimetres = {k: arrays[k] / 10 for k in ("meanshape", "blendshape")}
    np.savez(out / "wrong_unit.npz", **{**arrays, **decimetres})
    spoilt = arrays["blendshape"].copy()
    spoilt[LIVE_LINK_52.index("mouthPucker"), 5] = np.nan
    np.savez(out / "nan.npz", **{**arrays, "blendshape": spoilt})
    many = np.zeros((500_000, 3), np.float32)
    np.savez_compressed(
        out / "huge.npz",
        meanshape=many,
        blendshape=many[None],
        bs_names=np.array(["jawOpen"]),
        faces=np.array([[0, 1, 2]]),
    )
    scene(head, lambda channel: (), whole=True, channels=())
    export("glb", out / "no_keys.glb")
    scene(head, pascal, whole=True, channels=THIRTY)
    export("glb", out / "thirty.glb")
    scene(head, lambda c: (f"Zeta {97 * CHANNEL_INDEX[c]}",), whole=True, channels=ARKIT_52[20:30])
    export("fbx", out / "renamed.fbx")


if __name__ == "__main__":
    main()
