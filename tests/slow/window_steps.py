# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps for a real Blender window: the extension's panel before, during and after a Say.

`blender --python window_steps.py` runs them by timers, as no script may block the window. They ask
scripts/blender_window.sh for screenshots through files, and write result.json at the end.
"""

from __future__ import annotations

import json
import time
import traceback
from pathlib import Path

import bpy

HOME = Path("/exomni")
EXTENSION = "bl_ext.user_default.exomni"
TAB = "Ex-Omni"
results = {"blender": bpy.app.version_string, "passed": [], "failed": [], "facts": {}}
started = time.monotonic()


def log(*words):
    print("STEP", round(time.monotonic() - started, 1), *words, flush=True)


def check(name, good, detail=""):
    results["passed" if good else "failed"].append(name if good else f"{name}: {detail}")
    log("ok  " if good else "FAIL", name, detail)


def view():
    window = bpy.context.window_manager.windows[0]
    area = next(a for a in window.screen.areas if a.type == "VIEW_3D")
    region = {r.type: r for r in area.regions}
    return window, area, region


def in_view(call, *args, **options):
    """Call an operator as if from the 3D View's sidebar."""
    window, area, region = view()
    with bpy.context.temp_override(window=window, area=area, region=region["WINDOW"]):
        return call(*args, **options)


def shot(name):
    """A screenshot of the screen; waits until it is taken."""
    _, area, _ = view()
    for region in area.regions:
        region.tag_redraw()
    yield 1.5
    ask = HOME / "asks" / f"shot.{name}"
    ask.touch()
    while ask.exists():
        yield 0.2


def steps():
    prefs = bpy.context.preferences
    prefs.view.show_splash = False
    check("the extension is on", EXTENSION in prefs.addons, list(prefs.addons.keys()))
    import exomni_core

    check("the core comes from the extension's wheel", ".local" in exomni_core.__file__)
    yield 2.0
    _, area, region = view()
    area.spaces.active.show_region_ui = True
    area.tag_redraw()
    yield 3.0
    try:
        region["UI"].active_panel_category = TAB
    except TypeError as error:
        check("the sidebar has our tab", False, error)
    else:
        check("the sidebar has our tab", True)
    yield 3.0
    yield from shot("panel_first")


def run():
    steps_left = steps()

    def tick():
        try:
            return next(steps_left)
        except StopIteration:
            pass
        except Exception as error:
            traceback.print_exc()
            results["failed"].append(f"{type(error).__name__}: {error}")
        (HOME / "result.json").write_text(json.dumps(results))
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(tick, first_interval=3.0)


run()
