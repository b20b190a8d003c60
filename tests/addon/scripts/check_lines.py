# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: takes one after the other, moved with their sounds."""

import bpy
import numpy as np
from addon_kit import (
    CLIP,
    SOUND,
    character,
    curve_points,
    face,
    fingerprint,
    foreign_action,
    fresh,
    key_value,
    open_clip,
    run,
    take_of,
)

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.clip import load_face
from exomni_core.retime import resample_weights


def check_lines():
    """Three lines one after the other on one face; the user's Action comes back after the last."""
    scene = fresh()
    item = face([*ARKIT_52, "corrective 7"])
    action = foreign_action(item, "corrective 7")
    before = fingerprint(action)
    keys = item.data.shape_keys
    character(item)
    clip = load_face(CLIP)
    rows = resample_weights(clip.weights, clip.fps, 24)

    def jaw(frame):
        scene.frame_set(frame)
        return key_value(item, "jawOpen")

    def says(start):
        scene_rows = [jaw(start + k) for k in (0, 7, 20, len(rows) - 1)]
        wanted = rows[[0, 7, 20, len(rows) - 1], CHANNEL_INDEX["jawOpen"]]
        return np.abs(np.array(scene_rows) - wanted).max() < 1e-5

    open_clip(1)
    assert bpy.ops.exomni.take_keep() == {"FINISHED"}
    assert item.exomni.shown == ""
    open_clip(100)
    assert says(1), "the first line is gone while the second is shown"
    assert says(100)
    bpy.ops.exomni.take_keep()
    open_clip(200)
    bpy.ops.exomni.take_keep()
    assert says(1)
    assert says(100)
    assert says(200)
    assert len([t for t in keys.animation_data.nla_tracks if "lines" in t.name]) == 1
    scene.frame_set(20)
    assert abs(key_value(item, "corrective 7") - 0.3) < 1e-6
    bpy.ops.exomni.take_move(take="Take 2", start_frame=120)
    assert says(120)
    bpy.ops.exomni.adjust(take="Take 2", jaw=0.5)
    assert not says(120)
    bpy.ops.exomni.adjust_reset(take="Take 2")
    open_clip(210)  # no room on that track
    bpy.ops.exomni.take_keep()
    assert says(210)
    assert says(1)
    bpy.ops.exomni.take_delete(take="Take 4")
    assert says(200)
    bpy.ops.exomni.take_show(take="Take 1")  # a line can be shown alone again
    assert not item.exomni.takes[0].kept
    assert says(1)
    assert says(120)
    for name in ("Take 1", "Take 2", "Take 3"):
        bpy.ops.exomni.take_delete(take=name)
    assert list(bpy.data.actions) == [action]
    assert keys.animation_data.action == action
    assert fingerprint(action) == before
    assert not keys.animation_data.nla_tracks
    assert all(block.value == 0.0 for block in keys.key_blocks[1:-1])


def check_sound_and_moving():
    scene = fresh()
    scene.frame_end = 10
    item = character(face())
    open_clip(5)
    from blender_addon.takes import adjust, sequencer

    take = take_of(item)
    if not SOUND:
        from blender_addon.session import session

        assert "no sound strip" in session.status
        return
    [(_, strip)] = sequencer.find(take.id)
    assert strip.frame_start == 5
    assert strip.sound.packed_file is not None
    length = int(np.ceil(take.duration_s * 24 - 1e-6))
    assert scene.frame_end == 5 + length - 1
    assert abs(strip.frame_final_duration - length) <= 1
    scene.frame_end = 900
    open_clip(5)
    assert scene.frame_end == 900
    channels = {strip.channel for t in item.exomni.takes for _, strip in sequencer.find(t.id)}
    assert len(channels) == 2
    take = item.exomni.takes[0]
    bpy.ops.exomni.take_move(take="Take 1", start_frame=40)
    [(_, strip)] = sequencer.find(take.id)
    assert strip.frame_start == 40
    assert curve_points(take.actions[0].action, "jawOpen")[0, 0] == 40
    strip.frame_start = 60
    assert adjust.moved_takes(scene)
    bpy.ops.exomni.follow_strips()
    assert take.start_frame == 60
    assert curve_points(take.actions[0].action, "jawOpen")[0, 0] == 60
    assert not adjust.moved_takes(scene)
    take.start_frame = 70  # as the panel does it
    assert strip.frame_start == 70
    assert curve_points(take.actions[0].action, "jawOpen")[0, 0] == 70


run([value for name, value in list(globals().items()) if name.startswith("check_")])
