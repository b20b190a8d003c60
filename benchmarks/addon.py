# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on costs Blender's main thread: a 60 s clip while it is made, and once it is there.

    python benchmarks/addon.py [--seconds 60] [--repeats 5] [--json out.json]

Generate runs in its modal form against the real engine process, with this script in the place of
Blender's timer (a wheel without a window has none); each tick is measured by itself, on the clock
and in processor time. Then the finished clip is applied to a fresh head and adjusted. Needs bpy.
Prints a table for people and one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy

import blender_addon

SENTENCE = "Mama may bake a pie for Bob, and far away the moon is over the bay. "  # about 4 s


class Pretended:
    """An instance of the operator, and the context it gets, as Blender would make them."""

    def __init__(self, kind: type, given: dict[str, Any]) -> None:
        self._kind = kind
        self.__dict__.update({"character": "", **given})
        self.properties = SimpleNamespace(is_property_set=lambda name: name in given)
        self.window_manager, self.windows, self.window = self, (), None
        self.scene = bpy.context.scene

    def report(self, kind: set[str], text: str) -> None:
        """What Blender would show in its status bar."""
        print(kind, text)

    def event_timer_remove(self, timer: Any) -> None:
        """There is none."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._kind, name, None)
        if found is None:
            return getattr(bpy.context, name)
        return found.__get__(self) if callable(found) else found


def fresh_head() -> Any:
    """The built-in head in an empty file at 30 frames per second."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    bpy.ops.exomni.add_head()
    return bpy.context.scene.exomni.character


def ticks(text: str) -> tuple[list[float], list[float]]:
    """Wall and processor milliseconds of each tick while `text` is made and applied."""
    from blender_addon.buttons.generate import TICK_S, Generate

    pretended = Pretended(Generate, {"text": text, "start_frame": 1, "mode": "say"})
    pretended._arriving = Generate._begin(pretended, bpy.context)
    pretended._timer, pretended._ended = None, False
    wall, processor = [], []
    while True:
        started, started_cpu = time.perf_counter(), time.thread_time()
        done = Generate.modal(pretended, pretended, SimpleNamespace(type="TIMER"))
        wall.append(1000 * (time.perf_counter() - started))
        processor.append(1000 * (time.thread_time() - started_cpu))
        if done == {"FINISHED"}:
            return wall, processor
        if done != {"PASS_THROUGH"}:
            raise SystemExit("the clip was not made; see the message above")
        time.sleep(TICK_S)


def applied(data: bytes, repeats: int) -> dict[str, float]:
    """Milliseconds to apply a finished clip to a fresh head, and to adjust it then; medians."""
    from blender_addon.takes import clips
    from blender_addon.takes.making import apply_clip

    table: dict[str, list[float]] = {}
    for _ in range(repeats):
        item, clip = fresh_head(), clips.open_clip(data)
        started = time.perf_counter()
        take, _ = apply_clip(item, clip, 1, bpy.context.scene, "packed")
        table.setdefault("apply_ms", []).append(1000 * (time.perf_counter() - started))
        for name, value in (("jaw", 0.8), ("smooth_s", 0.08), ("keying", "reduced")):
            started = time.perf_counter()
            setattr(take, name, value)
            spent = 1000 * (time.perf_counter() - started)
            table.setdefault(f"adjust_{name}_ms", []).append(spent)
    return {name: round(statistics.median(values), 1) for name, values in table.items()}


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    blender_addon.register()
    try:
        from blender_addon.takes import clips

        item = fresh_head()
        wall, processor = ticks(SENTENCE * max(1, round(args.seconds / 4.0)))
        take = item.exomni.takes[0]
        facts: dict[str, Any] = {
            "blender": bpy.app.version_string,
            "clip_s": round(take.duration_s, 1),
            "keys": sum(len(c.keyframe_points) for c in _curves(take)),
            "ticks": len(wall),
            "slowest_tick_ms": round(max(wall), 2),
            "slowest_tick_processor_ms": round(max(processor), 2),
            "median_tick_ms": round(statistics.median(wall), 2),
            **applied(clips.clip_bytes(take), args.repeats),
        }
    finally:
        blender_addon.unregister()
    for name, value in facts.items():
        print(f"{name:28} {value}")
    line = json.dumps(facts)
    if args.json:
        args.json.write_text(line + "\n")
    print(line)


def _curves(take: Any) -> list[Any]:
    from blender_addon import compat

    return [curve for entry in take.actions for curve in compat.own_curves(entry.action)]


if __name__ == "__main__":
    main()
