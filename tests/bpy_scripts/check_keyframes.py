# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: writes keys in that Blender, checks them, prints one JSON line.

`test_keyframes.py` starts it once for each Blender version there is.
"""

import json
import time

import bpy
import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.errors import InputError
from exomni_core.keyframes import KeyPlan, action_curves, data_path, plan_keys, write_action
from exomni_core.matching.match import Matching, match_channels

ODD_NAMES = ('say "ah"', "back\\slash", "tab\tnew\nline", "jawOpen'; x", "口 開", 'end\\"')


def face_with_keys(names):
    """A triangle with a shape key for each name, all at zero."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("face")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 0, 1)], [], [(0, 1, 2)])
    face = bpy.data.objects.new("face", mesh)
    bpy.context.scene.collection.objects.link(face)
    face.shape_key_add(name="Basis", from_mix=False)
    for name in names:
        face.shape_key_add(name=name, from_mix=False).value = 0.0
    return mesh.shape_keys


def read_keys(action, keys):
    """Every F-curve of the action: path -> (points (N, 2), interpolations)."""
    table = {}
    for curve in action_curves(action, keys):
        points = np.empty(2 * len(curve.keyframe_points), np.float32)
        curve.keyframe_points.foreach_get("co", points)
        kinds = {point.interpolation for point in curve.keyframe_points}
        table[curve.data_path] = (points.reshape(-1, 2), kinds)
    return table


def check_many_keys():
    """52 channels x 900 frames = 46,800 keys: one curve each, exact values, exact on the frames."""
    keys = face_with_keys(ARKIT_52)
    weights = np.random.default_rng(1).uniform(0, 1, (900, 52)).astype(np.float32)
    plan = plan_keys(weights, ARKIT_52, match_channels(ARKIT_52), first_frame=11)
    started = time.perf_counter()
    action = write_action(keys, plan, "Speech")
    seconds = time.perf_counter() - started
    table = read_keys(action, keys)
    assert sum(len(points) for points, _ in table.values()) == 46_800
    assert sorted(table) == sorted(data_path(name) for name in ARKIT_52)
    for column, name in enumerate(ARKIT_52):
        points, kinds = table[data_path(name)]
        assert kinds == {"LINEAR"}, kinds
        assert np.array_equal(points[:, 0], np.arange(11, 911)), name
        assert np.array_equal(points[:, 1], weights[:, column]), name
    scene = bpy.context.scene
    for row in (0, 1, 450, 899):
        scene.frame_set(11 + row)
        shown = [keys.key_blocks[name].value for name in ARKIT_52]
        assert np.abs(np.array(shown) - weights[row]).max() < 1e-6, row
    scene.frame_set(11, subframe=0.5)
    shown = keys.key_blocks["jawOpen"].value
    middle = weights[:2, ARKIT_52.index("jawOpen")].mean()
    assert abs(shown - middle) < 1e-5, (shown, middle)
    assert action.name == "Speech"
    assert keys.animation_data.action == action
    return round(seconds, 4)


def check_odd_names():
    """Names with quotes, backslashes and line breaks get a curve that really drives them."""
    keys = face_with_keys(ODD_NAMES)
    channels = ARKIT_52[: len(ODD_NAMES)]
    matching = Matching(dict(zip(channels, ODD_NAMES, strict=True)))
    weights = np.linspace(0.1, 0.9, len(ODD_NAMES), dtype=np.float32)[None].repeat(2, axis=0)
    write_action(keys, plan_keys(weights, channels, matching), "Odd")
    bpy.context.scene.frame_set(2)
    for name, value in zip(ODD_NAMES, weights[1], strict=True):
        assert abs(keys.key_blocks[name].value - value) < 1e-6, name
        escaped = f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'
        assert data_path(name) == escaped, (data_path(name), escaped)


def check_reduced_and_wide():
    """Reduced keys at broken frames; values beyond the slider are shown, not cut."""
    keys = face_with_keys(["JawOpen"])
    frames = np.array([1.0, 8.5, 31.0], np.float32)
    values = np.array([0.0, 1.5, -0.25], np.float32)
    write_action(keys, KeyPlan(((data_path("JawOpen"), frames, values),)), "Few")
    for frame, value in ((1, 0.0), (8, 1.5 * 7 / 7.5), (31, -0.25)):
        bpy.context.scene.frame_set(frame)
        shown = keys.key_blocks["JawOpen"].value
        assert abs(shown - value) < 1e-5, (frame, shown, value)


def check_refusal():
    """A key that is not on the mesh is a sentence, and nothing is left behind."""
    keys = face_with_keys(["jawOpen"])
    plan = plan_keys(np.zeros((1, 1)), ["jawOpen"], Matching({"jawOpen": "gone"}))
    sentence = ""
    try:
        write_action(keys, plan, "Bad")
    except InputError as error:
        sentence = str(error)
    assert "gone" in sentence, "a missing key was accepted"
    assert not bpy.data.actions, list(bpy.data.actions)


def check_second_action():
    """A second take replaces the first as the active one; the first stays whole."""
    keys = face_with_keys(["jawOpen"])
    matching = match_channels(["jawOpen"])
    first = write_action(keys, plan_keys(np.full((2, 1), 0.2), ["jawOpen"], matching), "A")
    second = write_action(keys, plan_keys(np.full((2, 1), 0.7), ["jawOpen"], matching), "B")
    bpy.context.scene.frame_set(1)
    assert keys.animation_data.action == second
    assert abs(keys.key_blocks["jawOpen"].value - 0.7) < 1e-6
    assert first.name == "A"
    assert len(bpy.data.actions) == 2


def main():
    seconds = check_many_keys()
    check_odd_names()
    check_reduced_and_wide()
    check_refusal()
    check_second_action()
    print(json.dumps({"ok": True, "blender": bpy.app.version_string, "write_46800_s": seconds}))


main()
