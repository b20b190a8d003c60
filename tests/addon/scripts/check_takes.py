# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: takes are shown, stepped through, adjusted, undone."""

import bpy
import numpy as np
from addon_kit import (
    CLIP,
    LONG,
    SOUND,
    character,
    curve_points,
    face,
    fingerprint,
    foreign_action,
    fresh,
    key_value,
    open_clip,
    refused,
    run,
    take_of,
)

from exomni_core.arkit import ARKIT_52
from exomni_core.clip import load_face
from exomni_core.keyframes import data_path
from exomni_core.retime import resample_weights


def check_take_shows_the_clip():
    for fps, base in ((30, 1.0), (24, 1.0), (24, 1.001), (60, 1.0)):
        scene = fresh()
        scene.render.fps, scene.render.fps_base = fps, base
        item = character(face())
        open_clip(11)
        clip = load_face(CLIP)
        rows = resample_weights(clip.weights, clip.fps, fps / base)
        for row in (0, len(rows) // 3, len(rows) - 1):
            scene.frame_set(11 + row)
            values = [key_value(item, name) for name in ARKIT_52]
            assert np.abs(np.array(values) - rows[row]).max() < 1e-6, (fps, row)
        take = take_of(item)
        assert len(take.actions) == 1
        assert item.data.shape_keys.animation_data.action == take.actions[0].action


def check_several_meshes():
    scene = fresh()
    head, teeth = face(name="Head"), face(["jawOpen"], "Teeth")
    item = character(head, teeth)
    open_clip()
    scene.frame_set(10)
    assert key_value(head, "jawOpen") == key_value(teeth, "jawOpen") > 0
    assert {e.object.name for e in take_of(item).actions} == {"Head", "Teeth"}
    bpy.ops.exomni.take_delete()
    assert not bpy.data.actions


def check_takes_go_round():
    scene = fresh()
    item = character(face())
    for _ in range(3):
        open_clip()
    keys = item.data.shape_keys
    ids = [t.id for t in item.exomni.takes]
    assert len(set(ids)) == 3
    assert [t.name.split(":")[0] for t in item.exomni.takes] == ["Take 1", "Take 2", "Take 3"]
    assert item.exomni.shown == ids[2]
    bpy.ops.exomni.take_step(step=1)
    assert item.exomni.shown == ids[0]
    bpy.ops.exomni.take_compare()
    assert item.exomni.shown == ids[2]
    bpy.ops.exomni.take_compare()
    assert item.exomni.shown == ids[0]
    assert keys.animation_data.action == item.exomni.takes[0].actions[0].action
    from blender_addon.takes import sequencer

    muted = {t.id: strip.mute for t in item.exomni.takes for _, strip in sequencer.find(t.id)}
    assert not SOUND or muted == {ids[0]: False, ids[1]: True, ids[2]: True}
    bpy.ops.exomni.take_delete(take="Take 1")
    assert len(item.exomni.takes) == 2
    assert item.exomni.shown == ids[1]
    bpy.ops.exomni.take_hide()
    assert item.exomni.shown == ""
    assert keys.animation_data.action is None
    assert all(b.value == 0.0 for b in keys.key_blocks[1:])
    bpy.ops.exomni.take_show(take="Take 3")
    bpy.ops.exomni.take_delete(take="Take 3")
    bpy.ops.exomni.take_delete(take="Take 2")
    assert len(item.exomni.takes) == 0
    assert not bpy.data.actions
    assert not bpy.data.sounds, list(bpy.data.sounds)
    assert not sequencer.moved_takes(scene)


def check_foreign_action_is_untouched():
    scene = fresh()
    item = face([*ARKIT_52, "corrective 7"])
    action = foreign_action(item)
    foreign_action(item, "corrective 7")
    keys = item.data.shape_keys
    keys.key_blocks["browInnerUp"].value = 0.37  # a still value set by hand
    keys.key_blocks["cheekPuff"].slider_max = 0.6
    slot = getattr(keys.animation_data, "action_slot", None)
    slot_name = slot.identifier if slot else ""
    before = fingerprint(action)
    character(item)
    open_clip(1)
    assert fingerprint(action) == before
    assert keys.animation_data.action != action
    # What the take doesn't move is still moved by the user's Action.
    scene.frame_set(20)
    assert abs(key_value(item, "corrective 7") - 0.3) < 1e-6
    bpy.ops.exomni.adjust(jaw=0.5, keying="reduced", smooth_s=0.1)
    bpy.ops.exomni.take_hide()
    assert keys.animation_data.action == action
    assert not keys.animation_data.nla_tracks
    bpy.ops.exomni.take_show()
    open_clip(1)
    bpy.ops.exomni.take_delete()
    bpy.ops.exomni.take_delete()
    assert fingerprint(action) == before
    assert keys.animation_data.action == action
    if slot_name:
        assert keys.animation_data.action_slot.identifier == slot_name
    assert not keys.animation_data.nla_tracks
    assert abs(keys.key_blocks["browInnerUp"].value - 0.37) < 1e-6
    assert abs(keys.key_blocks["cheekPuff"].slider_max - 0.6) < 1e-6
    assert list(bpy.data.actions) == [action]
    scene.frame_set(20)
    assert abs(key_value(item, "mouthSmileLeft") - 0.3) < 1e-6


def check_hand_made_keys_are_kept():
    fresh()
    item = character(face())
    open_clip(1)
    take = take_of(item)
    edited = take.actions[0].action
    item.data.shape_keys.key_blocks["jawOpen"].value = 0.77
    item.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=5)
    before = fingerprint(edited)
    bpy.ops.exomni.adjust(jaw=0.5)
    take = take_of(item)
    assert take.actions[0].action != edited
    assert item.data.shape_keys.animation_data.action == take.actions[0].action
    assert fingerprint(edited) == before
    assert edited.use_fake_user
    # Deleting a take that was edited keeps the user's keys too.
    second = take.actions[0].action
    item.data.shape_keys.key_blocks["jawOpen"].keyframe_insert("value", frame=500)
    before = fingerprint(second)
    name = second.name
    bpy.ops.exomni.take_delete()
    assert fingerprint(bpy.data.actions[f"{name} (edited)"]) == before
    assert len(bpy.data.actions) == 2


def check_undo_is_one_step():
    fresh()
    item = face()
    action = foreign_action(item)
    character(item)
    before = fingerprint(action)
    end = bpy.context.scene.frame_end
    bpy.ops.ed.undo_push(message="before")
    open_clip(1, LONG)
    bpy.ops.ed.undo_push(message="take")
    assert bpy.context.scene.frame_end > end
    bpy.ops.ed.undo()
    item = bpy.data.objects["Face"]
    assert len(item.exomni.takes) == 0
    assert [a.name for a in bpy.data.actions] == [item.data.shape_keys.animation_data.action.name]
    assert fingerprint(bpy.data.actions[0]) == before
    assert bpy.context.scene.frame_end == end
    assert not item.data.shape_keys.animation_data.nla_tracks
    bpy.ops.ed.redo()
    item = bpy.data.objects["Face"]
    assert len(item.exomni.takes) == 1
    bpy.ops.exomni.adjust(jaw=0.3)
    bpy.ops.exomni.take_delete()
    assert fingerprint(bpy.data.objects["Face"].data.shape_keys.animation_data.action) == before


def check_adjust():
    fresh()
    item = character(face())
    open_clip(1)
    action = take_of(item).actions[0].action
    full = curve_points(action, "jawOpen")
    bpy.ops.exomni.adjust(jaw=0.5)
    half = curve_points(action, "jawOpen")
    assert np.abs(half[:, 1] - 0.5 * full[:, 1]).max() < 1e-5
    assert np.array_equal(curve_points(action, "browInnerUp")[:, 0], full[:, 0])
    bpy.ops.exomni.adjust(jaw=1.0, keying="reduced", max_error=0.02)
    few = curve_points(action, "jawOpen")
    assert len(few) < len(full)
    line = np.interp(full[:, 0], few[:, 0], few[:, 1])
    assert np.abs(line - full[:, 1]).max() <= 0.02 + 1e-5
    bpy.ops.exomni.adjust(keying="stepped", step_frames=3)
    held = curve_points(action, "jawOpen")
    assert np.array_equal(held, full[::3])
    from blender_addon import compat

    curve = compat.own_curves(action).find(data_path("jawOpen"))
    assert {k.interpolation for k in curve.keyframe_points} == {"CONSTANT"}
    bpy.ops.exomni.adjust(blinks=False)
    assert not curve_points(action, "eyeBlinkLeft")[:, 1].any()
    bpy.ops.exomni.adjust_reset()
    assert np.array_equal(curve_points(action, "jawOpen"), full)
    assert {k.interpolation for k in curve.keyframe_points} == {"LINEAR"}
    # In the panel each change of a value writes at once.
    take_of(item).lips = 0.0
    assert not curve_points(action, "mouthFunnel")[:, 1].any()
    assert take_of(item).actions[0].action == action
    take_of(item).offset_s = 0.2
    moved = curve_points(action, "jawOpen")
    assert abs(moved[10, 1] - np.interp(10 / 24 - 0.2, np.arange(len(full)) / 24, full[:, 1])) < 0.1


def check_tweak_mode_is_refused():
    fresh()
    item = character(face())
    foreign_action(item)
    track = item.data.shape_keys.animation_data.nla_tracks.new()
    track.is_solo = True
    before = [a.name for a in bpy.data.actions]
    assert "solo" in refused(bpy.ops.exomni.import_clip, filepath=str(CLIP), start_frame=1)
    assert [a.name for a in bpy.data.actions] == before
    assert len(item.exomni.takes) == 0


run([value for name, value in list(globals().items()) if name.startswith("check_")])
