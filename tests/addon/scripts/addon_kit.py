# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts here share: an empty file, faces with keys, the add-on, a runner of checks."""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import bpy
import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.keyframes import data_path

# The clips that the test names: 2 s and 60 s of something like speech.
CLIP, LONG = (Path(name) for name in [*sys.argv[1:3], "", ""][:2])
try:
    import aud
except ImportError:  # the 4.2 wheel was built without
    aud = None
SOUND = aud is not None
FOLDER = Path(tempfile.mkdtemp(prefix="exomni-test-"))  # a new file empties Blender's own


def fresh():
    """An empty file with the add-on registered; returns the scene."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


def face(names=ARKIT_52, name="Face"):
    """A small mesh with shape keys of these names, in the scene and active."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 0, 1)], [], [(0, 1, 2)])
    item = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(item)
    item.shape_key_add(name="Basis", from_mix=False)
    for number, key in enumerate(names):
        block = item.shape_key_add(name=key, from_mix=False)
        block.value = 0.0
        block.data[0].co.z += 0.01 * (number + 1)
    return item


def character(*items):
    """Make these meshes a character by the operator; returns the object that holds it."""
    done = bpy.ops.exomni.use_selected(
        meshes=",".join(i.name for i in items), character=items[0].name
    )
    assert done == {"FINISHED"}
    return items[0]


def open_clip(start=1, clip=CLIP, **more):
    assert bpy.ops.exomni.import_clip(filepath=str(clip), start_frame=start, **more) == {"FINISHED"}


def curve_points(action, key):
    from blender_addon import compat

    curve = compat.own_curves(action).find(data_path(key))
    points = np.empty((len(curve.keyframe_points), 2), np.float32)
    curve.keyframe_points.foreach_get("co", points.ravel())
    return points


def take_of(item, index=-1):
    return item.exomni.takes[index]


def foreign_action(item, key="mouthSmileLeft", frames=(3.0, 7.5, 20.0)):
    """Keys set by hand on a shape key; returns the Action."""
    block = item.data.shape_keys.key_blocks[key]
    for number, frame in enumerate(frames):
        block.value = 0.1 * (number + 1)
        block.keyframe_insert("value", frame=frame)
    return item.data.shape_keys.animation_data.action


def fingerprint(action):
    """Everything about an Action's curves: paths, keys, handles, kinds, modifiers."""
    from blender_addon import compat

    table = []
    for curve in compat.all_curves(action):
        count = len(curve.keyframe_points)
        row = [curve.data_path, curve.array_index, curve.mute, curve.extrapolation]
        for name, size, kind in (
            ("co", 2, np.float32),
            ("handle_left", 2, np.float32),
            ("handle_right", 2, np.float32),
            ("interpolation", 1, np.int32),
            ("easing", 1, np.int32),
        ):
            values = np.empty(count * size, kind)
            curve.keyframe_points.foreach_get(name, values)
            row.append(values.tobytes())
        row.append([modifier.type for modifier in curve.modifiers])
        table.append(row)
    return table


def shown(item, key):
    """The value of a shape key, as evaluated."""
    deps = bpy.context.evaluated_depsgraph_get()
    return item.evaluated_get(deps).data.shape_keys.key_blocks[key].value


def key_value(item, key):
    """The value of a shape key as the animation left it."""
    return item.data.shape_keys.key_blocks[key].value


def refused(call, **arguments):
    """The sentence with which an operator refuses."""
    try:
        done = call(**arguments)
    except RuntimeError as error:
        return " ".join(str(error).split())
    raise AssertionError(f"was accepted: {done}")


def run(checks, facts=None):
    """Run the checks, print one JSON line: name -> "" or a traceback; and further facts."""
    import blender_addon

    blender_addon.register()
    results = {}
    chosen = set(sys.argv[sys.argv.index("--") + 1 :]) if "--" in sys.argv else set()
    for check in checks:
        if chosen and check.__name__ not in chosen:
            continue
        try:
            check()
            results[check.__name__] = ""
        except Exception:  # noqa: BLE001 (each is told)
            results[check.__name__] = traceback.format_exc()
    blender_addon.unregister()
    left = [n for n in ("exomni",) if hasattr(bpy.types.Scene, n) or hasattr(bpy.types.Object, n)]
    results["unregister"] = f"left behind: {left}" if left else ""
    print(json.dumps({"blender": bpy.app.version_string, "results": results, **(facts or {})}))
    sys.stdout.flush()
    os._exit(0)  # the 4.2 wheel crashes at its end once a property had an update callback
