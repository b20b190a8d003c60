# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: what a .blend says of a take is checked before it is believed."""

import math
import os

import bpy
from addon_kit import CLIP, FOLDER, character, face, fresh, open_clip, refused, run, take_of


def take_beside(name):
    """A take whose clip lies beside the saved .blend, not in memory; and its clip's path."""
    from blender_addon import preferences
    from blender_addon.takes import clips

    fresh()
    folder = FOLDER / name
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "a.blend"))
    item = character(face())
    preferences._Defaults.storage = "beside"
    try:
        open_clip()
    finally:
        preferences._Defaults.storage = "packed"
    clips.forget_all()
    take = take_of(item)
    return take, folder / "exomni" / f"{take.id}.clip"


def check_only_its_own_file_is_read():
    from blender_addon.takes import clips

    take, own = take_beside("own")
    other = FOLDER / "other.clip"
    other.write_bytes(CLIP.read_bytes())
    assert clips.clip_bytes(take) == CLIP.read_bytes()
    for path in (
        str(other),
        "//../other.clip",
        "\\\\server\\share\\x.clip",
        f"//exomni/{own.name}x",
    ):
        take.clip_file = path
        assert "isn't its own" in refused(bpy.ops.exomni.adjust, jaw=0.5), path
    take.clip_file = f"//exomni/{own.name}"
    own.unlink()
    own.symlink_to(other)
    assert "leads out" in refused(bpy.ops.exomni.adjust, jaw=0.5)
    own.unlink()
    os.mkfifo(own)
    assert "no regular file" in refused(bpy.ops.exomni.adjust, jaw=0.5)
    take.id = "../x"
    take.clip_file = "//exomni/../x.clip"
    assert "isn't its own" in refused(bpy.ops.exomni.adjust, jaw=0.5)


def check_a_packed_clip_wins_over_a_foreign_path():
    from blender_addon.takes import clips

    fresh()
    item = character(face())
    open_clip()
    take_of(item).clip_file = "/etc/hostname"
    clips.forget_all()
    assert clips.clip_bytes(take_of(item)) == CLIP.read_bytes()


def check_a_moved_strip_opens_no_file():
    """Events only move keys of clips that are at hand; the button moves the others too."""
    from blender_addon.takes import adjust, clips, sequencer

    if not sequencer.find(take_beside("strip")[0].id):
        return  # a Blender without sound
    take = take_of(bpy.data.objects["Face"])
    [(scene, strip)] = sequencer.find(take.id)
    strip.frame_start = 30
    assert not clips.is_at_hand(take)
    adjust.follow_strips(scene, at_hand=True)
    assert take.start_frame == 1
    bpy.ops.exomni.follow_strips()
    assert take.start_frame == 30


def check_records_that_hold_anything():
    from blender_addon import stored

    fresh()
    item = character(face())
    open_clip()
    take, target = take_of(item), item.exomni.targets[0]
    for text in ("{", "[" * 100_000, "[]", "7", '{"jawOpen": [1, 2]}', '{"jawOpen": [NaN, 0, 1]}',
                 '{"jawOpen": "x"}', '{"jawOpen": [true, 0, 1]}'):  # fmt: skip
        target.rest = item.exomni.rig_rest = text
        assert stored.rest_values(target) == {}
        assert stored.rest_poses(item) == {}
        take.actions[0].written = text
        assert stored.written_keys(take.actions[0]) == {}
    item.exomni.rig_rest = '{"a": ["location", [0, 0, 0]], "b": ["rotation_euler", [0, 1, 2]]}'
    assert stored.rest_poses(item) == {"b": ("rotation_euler", (0.0, 1.0, 2.0))}
    target.rest = '{"jawOpen": [1, -99, 1e9]}'
    assert stored.rest_values(target) == {"jawOpen": (1.0, -10.0, 10.0)}
    take.jaw, take.duration_s = math.nan, math.nan
    assert stored.setting(take, "jaw") == 1.0
    assert stored.duration_s(take) == 0.0
    action = take.actions[0].action
    for value in (1 << 30, "text", [1, 2], {"a": 1}, b""):
        action["exomni_clip"] = action["exomni_take"] = value
        assert stored.packed_clip(action) is None
        assert stored.mark_of(action) == ("text" if value == "text" else "")


run([value for name, value in list(globals().items()) if name.startswith("check_")])
