# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: meshes are matched and mended, or refused."""

import json

import bpy
from addon_kit import FOLDER, character, face, fresh, key_value, open_clip, refused, run, take_of

from exomni_core.arkit import ARKIT_52
from exomni_core.keyframes import data_path


def check_match_and_mend():
    fresh()
    item = face(["JawOpen", "mouth_smile_L", "my wink", "corrective 7"])
    character(item)
    rows = {c.name: c.key for c in item.exomni.targets[0].channels}
    assert len(rows) == 52
    assert (rows["jawOpen"], rows["mouthSmileLeft"]) == ("JawOpen", "mouth_smile_L")
    assert rows["eyeBlinkLeft"] == rows["browInnerUp"] == ""
    bpy.ops.exomni.mend(channel="eyeBlinkLeft", key="my wink")
    rows = {c.name: c.key for c in item.exomni.targets[0].channels}
    assert rows["eyeBlinkLeft"] == "my wink"
    assert json.loads(item.exomni.mended)["channels"]["eyeBlinkLeft"][0]["key"] == "my wink"
    # By hand in the list, as the panel does it.
    next(c for c in item.exomni.targets[0].channels if c.name == "jawOpen").key = ""
    assert json.loads(item.exomni.mended)["channels"]["jawOpen"] == "none"
    bpy.ops.exomni.match()
    rows = {c.name: c.key for c in item.exomni.targets[0].channels}
    assert rows["jawOpen"] == ""
    assert rows["eyeBlinkLeft"] == "my wink"
    bpy.ops.exomni.forget_mended()
    rows = {c.name: c.key for c in item.exomni.targets[0].channels}
    assert rows["jawOpen"] == "JawOpen"
    assert rows["eyeBlinkLeft"] == ""
    assert "has no shape key" in refused(bpy.ops.exomni.mend, channel="jawOpen", key="nothing")


def check_nothing_matches():
    fresh()
    item = face(["alpha", "beta"])
    sentence = refused(bpy.ops.exomni.use_selected, meshes=item.name)
    assert "'alpha', 'beta'" in sentence, sentence
    from blender_addon.session import session

    assert session.is_error
    assert "'alpha'" in session.status
    plain = bpy.data.objects.new("plain", bpy.data.meshes.new("plain"))
    bpy.context.scene.collection.objects.link(plain)
    assert "no shape keys" in refused(bpy.ops.exomni.use_selected, meshes="plain")


def check_built_in_head():
    fresh()
    assert bpy.ops.exomni.add_head() == {"FINISHED"}
    item = bpy.context.scene.exomni.character
    blocks = item.data.shape_keys.key_blocks
    assert [b.name for b in blocks[1:]] == list(ARKIT_52)
    assert all(b.value == 0.0 for b in blocks[1:])
    assert len(item.data.materials) > 10
    open_clip()
    bpy.context.scene.frame_set(8)
    assert key_value(item, "jawOpen") > 0.0


def check_linked_data():
    fresh()
    face(name="Linked")
    path = str(FOLDER / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    fresh()
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Linked"]
    linked = wanted.objects[0]
    bpy.context.scene.collection.objects.link(linked)
    sentence = refused(bpy.ops.exomni.use_selected, meshes="Linked", character="Linked")
    assert "library override" in sentence, sentence
    bpy.context.scene.collection.objects.unlink(linked)
    item = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    sentence = refused(bpy.ops.exomni.use_selected, meshes=item.name)
    assert "mesh data" in sentence, sentence  # the object alone does not do
    item.data = item.data.override_create(remap_local_usages=True)
    character(item)
    open_clip(1)
    bpy.context.scene.frame_set(12)
    assert key_value(item, "jawOpen") > 0


def check_driven_keys_are_left_alone():
    fresh()
    item = face()
    item.data.shape_keys.key_blocks["jawOpen"].driver_add("value").driver.expression = "0.25"
    character(item)
    assert {c.name: c.key for c in item.exomni.targets[0].channels}["jawOpen"] == ""
    assert len([c for c in item.exomni.targets[0].channels if c.key]) == 51
    open_clip(1)
    from blender_addon import compat

    paths = {c.data_path for c in compat.own_curves(take_of(item).actions[0].action)}
    assert data_path("jawOpen") not in paths
    assert len(paths) == 51


run([value for name, value in list(globals().items()) if name.startswith("check_")])
