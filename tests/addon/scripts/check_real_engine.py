# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy and what speaking needs: the built-in head says a line, for real."""

import time
from pathlib import Path

import bpy
from addon_kit import fresh, key_value, refused, run

FACTS = {}


def engine_process():
    from blender_addon.session import session

    return session._service.process.process


def check_say():
    scene = fresh()
    bpy.ops.exomni.add_head()
    item = scene.exomni.character
    started = time.perf_counter()
    assert bpy.ops.exomni.generate(text="Hello, how are you today?", start_frame=1) == {"FINISHED"}
    FACTS["first_say_s"] = round(time.perf_counter() - started, 2)
    take = item.exomni.takes[0]
    assert take.engine == "embedded"
    assert take.duration_s > 0.8
    opening = []
    for frame in range(1, 2 + int(take.duration_s * 24)):
        scene.frame_set(frame)
        opening.append(key_value(item, "jawOpen"))
    assert max(opening) > 0.15
    assert min(opening) < 0.05
    started = time.perf_counter()
    assert bpy.ops.exomni.generate(text="And again.", start_frame=60) == {"FINISHED"}
    FACTS["second_say_s"] = round(time.perf_counter() - started, 2)
    assert len(item.exomni.takes) == 2
    # The same seed and text give the same keys.
    assert bpy.ops.exomni.generate(text="And again.", start_frame=60) == {"FINISHED"}
    from blender_addon.takes import clips

    a, b = (clips.face_of(item.exomni.takes[i]).weights for i in (1, 2))
    assert (a == b).all()


def check_bad_voice_is_a_sentence():
    scene = fresh()
    bpy.ops.exomni.add_head()
    sentence = refused(bpy.ops.exomni.generate, text="Hello", language="xx")
    assert "xx" in sentence, sentence
    assert len(scene.exomni.character.exomni.takes) == 0


def check_killed_engine():
    from blender_addon.session import session

    scene = fresh()
    bpy.ops.exomni.add_head()
    bpy.ops.exomni.generate(text="One.")
    engine_process().kill()
    engine_process().wait()
    assert bpy.ops.exomni.generate(text="Two.") == {"FINISHED"}  # it starts a new one
    pid = engine_process().pid
    session.close()
    assert not Path(f"/proc/{pid}").exists()
    assert len(scene.exomni.character.exomni.takes) == 2


def check_no_such_python():
    from blender_addon import preferences

    fresh()
    bpy.ops.exomni.add_head()
    defaults = preferences._Defaults
    defaults.place, defaults.python = "environment", "/nowhere/python"
    try:
        assert "there is no Python" in refused(bpy.ops.exomni.generate, text="x")
        defaults.python = "/bin/false"
        sentence = refused(bpy.ops.exomni.generate, text="x")
        assert "can't run" in sentence or "Python" in sentence, sentence
        defaults.place, defaults.token, defaults.port = "remote", "t" * 20, 1
        sentence = refused(bpy.ops.exomni.generate, text="x")
        assert "does not answer" in sentence, sentence
    finally:
        defaults.place, defaults.python, defaults.token = "blender", "", ""
    assert bpy.ops.exomni.generate(text="It works again.") == {"FINISHED"}


run([value for name, value in list(globals().items()) if name.startswith("check_")], FACTS)
