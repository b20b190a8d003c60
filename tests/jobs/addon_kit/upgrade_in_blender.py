# SPDX-License-Identifier: GPL-3.0-or-later
"""Two zips in, one JSON line out: the second installed over the first while Blender runs."""

import json
import sys

import bpy

MODULE = "bl_ext.user_default.exomni"
bpy.ops.preferences.addon_enable(module="bl_pkg")


def install(path):
    bpy.ops.extensions.package_install_files(
        filepath=path, repo="user_default", enable_on_install=True
    )


install(sys.argv[1])
bpy.ops.exomni.add_head()
assert bpy.ops.exomni.generate(text="Hello.", mode="say") == {"FINISHED"}
process = sys.modules[f"{MODULE}.session"].session._service.process.process
install(sys.argv[2])
from exomni_core import later_only  # noqa: E402

bpy.ops.exomni.add_head()
again = bpy.ops.exomni.generate(text="Hello again.", mode="say")
place = sys.modules["exomni_core"].__file__.partition("site-packages")[0]
leftovers = [p for p in sys.path if p.startswith(place)]
bpy.ops.preferences.addon_disable(module=MODULE)
ended = process.poll() is not None
told = {"later": later_only.LATER, "again": sorted(again), "old_engine_ended": ended}
print("RESULT " + json.dumps(told | {"paths": len(leftovers)}))
