# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: a rig's jaw turns with a take, and is given back."""

import bpy
import numpy as np
from addon_kit import CLIP, character, face, fingerprint, fresh, open_clip, run
from mathutils import Vector

from blender_addon.takes import bones
from blender_addon.takes.curves import Shaping
from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import load_face
from exomni_core.retime import resample_weights


def rigged_face(mode="XYZ"):
    """A face without a jaw shape, and a rig with a jaw whose spine is animated by hand."""
    item = face(["mouthSmileLeft", "eyeBlinkLeft"])
    data = bpy.data.armatures.new("Rig")
    rig = bpy.data.objects.new("Rig", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name in ("spine", "jaw"):
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = (0, 0, 0), (0, 1, 0)
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in rig.pose.bones:
        bone.rotation_mode = mode
    item.modifiers.new("Rig", "ARMATURE").object = rig
    for frame in (1, 30):
        rig.pose.bones["spine"].location.x = frame / 30
        rig.pose.bones["spine"].keyframe_insert("location", frame=frame)
    return item, rig


def check_bones():
    for mode in ("XYZ", "QUATERNION"):
        scene = fresh()
        item, rig = rigged_face(mode)
        body = rig.animation_data.action
        before = fingerprint(body)
        jaw = rig.pose.bones["jaw"]
        if mode == "XYZ":
            jaw.rotation_euler.y = 0.25  # how the user left it
        character(item)
        assert bpy.ops.exomni.use_rig() == {"FINISHED"}
        assert item.exomni.rig == rig
        open_clip(1)
        clip = load_face(CLIP)
        rows = resample_weights(clip.weights, clip.fps, 24)
        opened = rows[:, CHANNEL_INDEX["jawOpen"]] - rows[:, CHANNEL_INDEX["mouthClose"]]
        for frame in (5, 9, 14):
            scene.frame_set(1 + frame)
            turned = jaw.rotation_euler if mode == "XYZ" else jaw.rotation_quaternion.to_euler()
            wanted = np.radians(20) * max(0.0, float(opened[frame]))
            assert abs(turned.x - wanted) < 1e-4, (mode, frame, turned.x, wanted)
            assert abs(turned.y - (0.25 if mode == "XYZ" else 0.0)) < 1e-5
        scene.frame_set(30)
        assert abs(rig.pose.bones["spine"].location.x - 1.0) < 1e-5
        assert rig.animation_data.action == body
        bpy.ops.exomni.adjust(jaw=0.5, keying="reduced")
        bpy.ops.exomni.turn_bone(bone="jaw", axis="X", degrees=-10.0, channels="jawOpen")
        bpy.ops.exomni.adjust_reset()
        scene.frame_set(10)
        turned = jaw.rotation_euler if mode == "XYZ" else jaw.rotation_quaternion.to_euler()
        assert abs(turned.x + np.radians(10) * rows[9, CHANNEL_INDEX["jawOpen"]]) < 1e-4
        bpy.ops.exomni.take_delete()
        assert rig.animation_data.action == body
        assert fingerprint(body) == before
        assert not rig.animation_data.nla_tracks
        turned = jaw.rotation_euler if mode == "XYZ" else jaw.rotation_quaternion.to_euler()
        assert abs(turned.x) < 1e-6
        assert list(bpy.data.actions) == [body]


def eyed_face(lay):
    """A face without looks, and a rig of two eye bones; lay: a bone's direction and roll."""
    item = face(["jawOpen", "eyeBlinkLeft"])
    data = bpy.data.armatures.new("Rig")
    rig = bpy.data.objects.new("Rig", data)
    bpy.context.scene.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for name, x in (("LeftEye", 0.03), ("RightEye", -0.03)):
        bone = data.edit_bones.new(name)
        bone.head, bone.tail = (x, -0.1, 1.6), Vector((x, -0.1, 1.6)) + Vector(lay[0]) * 0.05
        bone.roll = lay[1]
    bpy.ops.object.mode_set(mode="OBJECT")
    item.modifiers.new("Rig", "ARMATURE").object = rig
    return item, rig


def check_eye_bones_turn_the_gaze_and_do_not_roll():
    for lay in (((0, 0, 1), 0.0), ((0, -1, 0), 0.0), ((1, 0, 0), 1.57), ((0.3, -0.8, 0.5), 0.7)):
        for mode in ("QUATERNION", "XYZ"):
            fresh()
            item, rig = eyed_face(lay)
            rig.rotation_euler = (0.0, 0.0, 0.6)  # the character looks another way
            bpy.context.view_layer.update()
            eye = rig.pose.bones["LeftEye"]
            eye.rotation_mode = mode
            character(item)
            bpy.ops.exomni.use_rig()
            rows = np.zeros((2, 52), np.float32)
            rows[1, CHANNEL_INDEX["eyeLookOutLeft"]] = 1.0
            plan = bones.plan(item, rows, Shaping(), 1.0)
            assert plan.curves, lay
            for path, _frames, values in plan.curves:
                if "LeftEye" in path:
                    values = np.asarray(values)
                    name, _, index = path.rpartition("]")[0].rpartition("[")
                    getattr(eye, name.rpartition(".")[2])[int(index)] = float(values[-1])
            bpy.context.view_layer.update()
            turn = (rig.matrix_world @ eye.matrix).to_quaternion()
            rest = (rig.matrix_world @ eye.bone.matrix_local).to_quaternion()
            to_side = turn @ rest.inverted()
            ahead = rig.matrix_world.to_quaternion() @ Vector((0, -1, 0))
            left = rig.matrix_world.to_quaternion() @ Vector((1, 0, 0))
            assert abs((to_side @ ahead).dot(left) - np.sin(np.radians(35))) < 1e-3, (lay, mode)
            assert abs((to_side @ Vector((0, 0, 1))).z - 1.0) < 1e-4, (lay, mode)


def check_bones_that_the_user_animates():
    scene = fresh()
    item, rig = rigged_face()
    jaw = rig.pose.bones["jaw"]
    jaw.rotation_euler.x = 1.0
    jaw.keyframe_insert("rotation_euler", frame=1)
    body = rig.animation_data.action
    before = fingerprint(body)
    character(item)
    bpy.ops.exomni.use_rig()
    open_clip(1)
    scene.frame_set(10)
    assert jaw.rotation_euler.x < 0.5  # the take's, not the user's
    scene.frame_set(30)
    assert abs(rig.pose.bones["spine"].location.x - 1.0) < 1e-5
    bpy.ops.exomni.take_delete()
    assert rig.animation_data.action == body
    assert fingerprint(body) == before
    scene.frame_set(10)
    assert abs(jaw.rotation_euler.x - 1.0) < 1e-6


run([value for name, value in list(globals().items()) if name.startswith("check_")])
