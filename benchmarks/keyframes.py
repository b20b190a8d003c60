# SPDX-License-Identifier: GPL-3.0-or-later
"""How long 46,800 keys (52 channels x 900 frames) take: our bulk write against keyframe_insert.

    python benchmarks/keyframes.py [--frames 900] [--repeats 5] [--json out.json]

The rival is what a script usually does: set the value, `keyframe_insert`, for each key and frame.
Both write the same values on the same fresh mesh; both results are read back and compared.
Needs bpy. Prints a table for people and one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from exomni_core.arkit import ARKIT_52
from exomni_core.keyframes import action_curves, data_path, plan_keys, write_action
from exomni_core.matching.match import match_channels


def fresh_keys() -> Any:
    """The shape keys of a new small mesh in an empty scene, all at zero."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("face")
    mesh.from_pydata([(0, 0, 0), (1, 0, 0), (0, 0, 1)], [], [(0, 1, 2)])
    face = bpy.data.objects.new("face", mesh)
    bpy.context.scene.collection.objects.link(face)
    face.shape_key_add(name="Basis", from_mix=False)
    for name in ARKIT_52:
        face.shape_key_add(name=name, from_mix=False).value = 0.0
    return mesh.shape_keys


def bulk(keys: Any, weights: np.ndarray) -> float:
    """Seconds for our way, matching and planning included."""
    started = time.perf_counter()
    matching = match_channels([key.name for key in keys.key_blocks])
    write_action(keys, plan_keys(weights, ARKIT_52, matching), "Speech")
    return time.perf_counter() - started


def one_by_one(keys: Any, weights: np.ndarray) -> float:
    """Seconds for set-and-insert, key after key, frame after frame."""
    started = time.perf_counter()
    for frame, row in enumerate(weights.tolist(), start=1):
        for name, value in zip(ARKIT_52, row, strict=True):
            block = keys.key_blocks[name]
            block.value = value
            block.keyframe_insert("value", frame=frame)
    return time.perf_counter() - started


def written(keys: Any, frames: int) -> np.ndarray:
    """(frames, 52) values as they stand in the Action."""
    curves = {c.data_path: c for c in action_curves(keys.animation_data.action, keys)}
    table = np.empty((frames, len(ARKIT_52)), np.float32)
    for column, name in enumerate(ARKIT_52):
        points = np.empty(2 * frames, np.float32)
        curves[data_path(name)].keyframe_points.foreach_get("co", points)
        table[:, column] = points[1::2]
    return table


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=900)
    parser.add_argument("--repeats", type=int, default=5, help="of the bulk write (median counts)")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 1, (options.frames, len(ARKIT_52))).astype(np.float32)

    ours = []
    for _ in range(options.repeats):
        keys = fresh_keys()
        ours.append(bulk(keys, weights))
    assert np.array_equal(written(keys, options.frames), weights)
    keys = fresh_keys()
    theirs = one_by_one(keys, weights)
    assert np.array_equal(written(keys, options.frames), weights)

    report = {
        "benchmark": "keyframes",
        "blender": bpy.app.version_string,
        "cores": os.cpu_count(),
        "keys": weights.size,
        "bulk_s": round(statistics.median(ours), 4),
        "bulk_worst_s": round(max(ours), 4),
        "keyframe_insert_s": round(theirs, 3),
        "ratio": round(theirs / statistics.median(ours), 1),
    }
    print(f"{report['keys']} keys in Blender {report['blender']}")
    print(f"  bulk (median of {len(ours)})  {report['bulk_s']:8.4f} s")
    print(f"  keyframe_insert     {report['keyframe_insert_s']:8.3f} s   {report['ratio']} x")
    print(json.dumps(report))
    if options.json:
        options.json.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
