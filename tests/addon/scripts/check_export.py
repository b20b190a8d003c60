# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: exports read back equal; glTF is imported again and compared."""

import math
import os
import time

import bpy
import numpy as np
from addon_kit import (
    CLIP,
    FOLDER,
    character,
    face,
    fingerprint,
    foreign_action,
    fresh,
    key_value,
    refused,
    run,
)

from exomni_core.arkit import ARKIT_52
from exomni_core.clip import load_face
from exomni_core.formats.convert import read_face

FACTS = {}


def ready(fps=30, base=1.0, start=1):
    scene = fresh()
    scene.render.fps, scene.render.fps_base = fps, base
    item = character(face())
    bpy.ops.exomni.import_clip(filepath=str(CLIP), start_frame=start)
    return item


def check_faces_read_back_equal():
    item = ready(24)
    clip = load_face(CLIP)
    for name, operator in (("a.json", "export_a2f"), ("a.csv", "export_live_link")):
        path = FOLDER / name
        export = getattr(bpy.ops.exomni, operator)
        assert export(filepath=str(path), adjusted=False) == {"FINISHED"}
        track = read_face(path)
        assert track.fps == clip.fps, (name, track.fps)
        assert np.array_equal(track.weights, clip.weights), name
        item.exomni.takes[0].jaw = 0.5
        assert export(filepath=str(path)) == {"FINISHED"}
        jaw = read_face(path).weights[:, ARKIT_52.index("jawOpen")]
        assert np.allclose(jaw, 0.5 * clip.weights[:, ARKIT_52.index("jawOpen")], atol=1e-6)
        item.exomni.takes[0].jaw = 1.0


def check_clip_and_render_job():
    ready()
    assert bpy.ops.exomni.export_clip(filepath=str(FOLDER / "b.clip")) == {"FINISHED"}
    assert (FOLDER / "b.clip").read_bytes() == CLIP.read_bytes()
    # A stand-in for exorender that notes what it was asked.
    stub = FOLDER / "bin" / "exorender"
    stub.parent.mkdir(exist_ok=True)
    stub.write_text('#!/bin/sh\necho "$@" > "$4.asked"\n')
    stub.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{stub.parent}{os.pathsep}{before}"
    try:
        assert bpy.ops.exomni.render_job(filepath=str(FOLDER / "c.clip")) == {"FINISHED"}
    finally:
        os.environ["PATH"] = before
    asked = FOLDER / "c.mp4.asked"
    for _ in range(100):
        if asked.exists() and asked.read_text():
            break
        time.sleep(0.05)
    assert asked.read_text().split() == [
        "render",
        str(FOLDER / "c.clip"),
        "-o",
        str(FOLDER / "c.mp4"),
    ]
    assert (FOLDER / "c.clip").read_bytes() == CLIP.read_bytes()


def check_bad_places():
    ready()
    (FOLDER / "file").write_text("x")
    sentence = refused(bpy.ops.exomni.export_a2f, filepath=str(FOLDER / "file" / "x.json"))
    assert "can't be written" in sentence, sentence
    sentence = refused(bpy.ops.exomni.export_gltf, filepath=str(FOLDER / "file" / "x.glb"))
    assert "can't be written" in sentence, sentence


def gltf_keys(path):
    """Import a glTF into an empty file; returns the new object with shape keys."""
    fresh()
    bpy.ops.import_scene.gltf(filepath=str(path))
    return next(o for o in bpy.context.scene.objects if o.type == "MESH" and o.data.shape_keys)


def check_gltf():
    worst = 0.0
    for fps, base, start in ((30, 1.0, 1), (24, 1.0, 11), (24, 1.001, 1)):
        item = ready(fps, base, start)
        scene = bpy.context.scene
        before = (scene.frame_start, scene.frame_end)
        path = FOLDER / f"g{fps}{base}.glb"
        assert bpy.ops.exomni.export_gltf(filepath=str(path)) == {"FINISHED"}
        assert (scene.frame_start, scene.frame_end) == before
        rows = []
        frames = range(0, int(2 * fps / base) - 1, 3)
        for frame in frames:
            scene.frame_set(start + frame)
            rows.append([key_value(item, name) for name in ARKIT_52])
        item = gltf_keys(path)
        scene = bpy.context.scene
        scene.render.fps, scene.render.fps_base = fps, base
        keys = item.data.shape_keys
        names = [block.name for block in keys.key_blocks][1:]
        assert set(names) == set(ARKIT_52), names
        # The importer puts 0 s on frame 0 or 1, at the rate of the scene that it was imported in.
        from blender_addon import compat

        found = compat.all_curves(keys.animation_data.action)
        curve = next(c for c in found if "jawOpen" in c.data_path)
        first = curve.keyframe_points[0].co.x
        seconds = (curve.keyframe_points[-1].co.x - first) / 24  # the import's scene had 24 fps
        assert abs(seconds - (math.ceil(2 * fps / base - 1e-6) - 1) / (fps / base)) < 0.001, seconds
        table = {c.data_path.split('"')[1]: c for c in found}
        for frame, row in zip(frames, rows, strict=True):
            at = first + frame / (fps / base) * 24
            read = [table[name].evaluate(at) for name in ARKIT_52]
            worst = max(worst, float(np.abs(np.array(read) - row).max()))
        assert np.ptp(rows, axis=0).min() > 0.1  # there was something to compare
    FACTS["gltf_error"] = worst
    assert worst < 1e-3, worst


def check_gltf_leaves_foreign_actions_alone():
    fresh()
    item = face()
    action = foreign_action(item)
    before = fingerprint(action)
    character(item)
    bpy.ops.exomni.import_clip(filepath=str(CLIP), start_frame=1)
    path = FOLDER / "h.gltf"
    assert bpy.ops.exomni.export_gltf(filepath=str(path)) == {"FINISHED"}
    assert path.exists()
    assert fingerprint(action) == before
    bpy.ops.exomni.take_delete()
    assert item.data.shape_keys.animation_data.action == action


run([value for name, value in list(globals().items()) if name.startswith("check_")], FACTS)
