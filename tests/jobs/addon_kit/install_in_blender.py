# SPDX-License-Identifier: GPL-3.0-or-later
"""A built zip in, one JSON line out: what this Python's bpy does with it, in a fresh profile.

Run as `python -P install_in_blender.py ZIP FOLDER` with BLENDER_USER_RESOURCES set. Every check is
named; the first failures do not stop the later checks.
"""

import contextlib
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import bpy

MODULE = "bl_ext.user_default.exomni"
OPERATORS = {"generate", "cancel", "add_head", "use_selected", "match", "take_delete", "adjust"}
TEXT = "Mama may bake a pie for Bob."
zip_path, folder = sys.argv[1], Path(sys.argv[2])
result = {"blender": bpy.app.version_string, "python": sys.version.split()[0], "checks": {}}


@contextlib.contextmanager
def check(name):
    """Note whether the block went through, else its error."""
    try:
        yield
        result["checks"][name] = ""
    except Exception as error:  # noqa: BLE001 (it is told)
        traceback.print_exc()
        result["checks"][name] = f"{type(error).__name__}: {error}"


def ours():
    return set(dir(bpy.ops.exomni))


def module(name):
    return sys.modules[f"{MODULE}.{name}"]


with check("install"):
    bpy.ops.preferences.addon_enable(module="bl_pkg")
    bpy.ops.extensions.package_install_files(
        filepath=zip_path, repo="user_default", enable_on_install=True
    )
    assert MODULE in bpy.context.preferences.addons.keys()  # noqa: SIM118 (no plain dict)
    import addon_utils  # bpy brings it

    if hasattr(addon_utils, "_extensions_warnings_get"):
        assert not addon_utils._extensions_warnings_get(), "Blender warns of a policy violation"

with check("register"):
    assert ours() >= OPERATORS, OPERATORS - ours()
    assert hasattr(bpy.types, "EXOMNI_PT_main")

with check("core"):
    import exomni_core

    assert ".local" in exomni_core.__file__, exomni_core.__file__
    assert module("_vendor").engine_wheel().is_file()

with check("match"):
    bpy.ops.exomni.add_head()
    head = bpy.context.scene.exomni.character
    assert len(head.data.shape_keys.key_blocks) > 52
    assert bpy.ops.exomni.match() == {"FINISHED"}

with check("say"):
    assert bpy.ops.exomni.generate(text=TEXT, mode="say", streaming=False) == {"FINISHED"}
    take = head.exomni.takes[-1]
    assert take.duration_s > 1
    scene = bpy.context.scene
    editor = scene.sequence_editor
    strips = getattr(editor, "strips_all", None) or getattr(editor, "sequences_all", [])
    if bpy.app.build_options.audaspace:  # the 4.2 wheel has no sound at all
        assert [s.type for s in strips] == ["SOUND"]
    keys = head.data.shape_keys
    jaw = []
    for frame in range(scene.frame_start, scene.frame_start + int(take.duration_s * 24)):
        scene.frame_set(frame)
        jaw.append(keys.key_blocks["jawOpen"].value)
    assert max(jaw) > 0.2, max(jaw)
    assert min(jaw) < 0.1, min(jaw)

with check("lipsync"):
    from exomni_core.audio import write_wav
    from exomni_core.engine import load_engine
    from exomni_core.prompt import Prompt

    clip = load_engine("embedded").generate(Prompt(id="line", text=TEXT))
    write_wav(folder / "line.wav", clip.audio, clip.sample_rate_hz)
    done = bpy.ops.exomni.generate(
        mode="lipsync", audio=str(folder / "line.wav"), transcript=TEXT, streaming=False
    )
    assert done == {"FINISHED"}
    assert head.exomni.takes[-1].route == "transcript", head.exomni.takes[-1].route

with check("takes"):
    assert len(head.exomni.takes) == 2
    assert bpy.ops.exomni.take_step(step=-1) == {"FINISHED"}
    assert bpy.ops.exomni.adjust(jaw=0.5) == {"FINISHED"}

with check("export"):
    assert bpy.ops.exomni.export_a2f(filepath=str(folder / "a.json")) == {"FINISHED"}
    assert bpy.ops.exomni.export_live_link(filepath=str(folder / "a.csv")) == {"FINISHED"}
    assert json.loads((folder / "a.json").read_text())
    assert (folder / "a.csv").stat().st_size > 1000

with check("undo"):
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.exomni.take_delete() == {"FINISHED"}
    bpy.ops.ed.undo_push(message="deleted")
    head = bpy.context.scene.exomni.character
    assert len(head.exomni.takes) == 1
    bpy.ops.ed.undo()
    head = bpy.context.scene.exomni.character
    assert len(head.exomni.takes) == 2

with check("unregister"):
    process = module("session").session._service.process.process
    bpy.ops.preferences.addon_disable(module=MODULE)
    assert not ours() & OPERATORS, ours()
    assert not hasattr(bpy.types.Scene, "exomni")
    assert process.wait(10) is not None, "the engine's process lives on"

with check("again"):
    bpy.ops.preferences.addon_enable(module=MODULE)
    assert ours() >= OPERATORS
    bpy.ops.preferences.addon_disable(module=MODULE)

with check("no orphans"):
    found = subprocess.run(
        ["pgrep", "-f", "exomni_core.server.app", "-P", str(os.getpid())],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert not found, found
print("RESULT " + json.dumps(result))
