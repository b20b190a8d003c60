# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: takes in saved files and copies; how long applying takes."""

import time

import bpy
from addon_kit import (
    CLIP,
    FOLDER,
    LONG,
    SOUND,
    character,
    face,
    fingerprint,
    fresh,
    key_value,
    open_clip,
    refused,
    run,
    take_of,
)

FACTS = {}


def check_saved_and_opened_again():
    fresh()
    item = character(face())
    open_clip(3)
    path = str(FOLDER / "take.blend")
    bpy.ops.exomni.take_hide()
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    item = bpy.data.objects["Face"]
    take = take_of(item)
    assert take.actions[0].action is not None
    from blender_addon.takes import clips

    assert clips.clip_bytes(take) == CLIP.read_bytes()
    bpy.ops.exomni.adjust(take="Take 1", jaw=0.5)
    bpy.ops.exomni.take_show()
    assert item.exomni.shown == take.id
    bpy.context.scene.frame_set(12)
    assert key_value(item, "jawOpen") > 0


def check_beside_the_blend():
    from blender_addon import preferences
    from blender_addon.takes import clips

    fresh()
    folder = FOLDER / "project"
    folder.mkdir(exist_ok=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "a.blend"))
    item = character(face())
    preferences._Defaults.storage = "beside"
    try:
        open_clip()
    finally:
        preferences._Defaults.storage = "packed"
    take = take_of(item)
    assert (folder / "exomni" / f"{take.id}.clip").read_bytes() == CLIP.read_bytes()
    assert clips.clip_bytes(take) == CLIP.read_bytes()
    if SOUND:
        assert bpy.data.sounds[0].packed_file is None
        assert bpy.data.sounds[0].filepath.startswith("//exomni")
    (folder / "exomni" / f"{take.id}.clip").unlink()
    clips.forget_all()
    assert "missing" in refused(bpy.ops.exomni.adjust, jaw=0.5)


def check_copy_of_a_character():
    """A copied object shares its takes' Actions until one of the two changes or deletes them."""
    fresh()
    item = character(face())
    open_clip(1)
    action = take_of(item).actions[0].action
    before = fingerprint(action)
    twin = item.copy()
    twin.data = item.data.copy()
    bpy.context.scene.collection.objects.link(twin)
    twin.exomni.targets[0].object = twin
    for entry in twin.exomni.takes[0].actions:
        entry.object = twin
    bpy.ops.exomni.adjust(character=twin.name, jaw=0.3)
    assert fingerprint(action) == before
    assert twin.exomni.takes[0].actions[0].action != action
    bpy.ops.exomni.take_delete(character=twin.name)
    assert fingerprint(take_of(item).actions[0].action) == before


def check_notes_of_a_clip():
    """What the clip's notes tell comes with the take, whatever a foreign clip holds there."""
    scene = fresh()
    item = character(face())
    from blender_addon.takes import clips, making

    clip = clips.read_clip_file(CLIP)
    told = "2 words were not spoken by the voice"
    for provenance, expected in (({"notes": [told]}, True), (None, False), ({"notes": 3}, False)):
        facts = {**clip.facts, "provenance": provenance}
        noted = clips.StoredClip(clip.data, clip.face, facts)
        _, note = making.apply_clip(item, noted, 1, scene, "packed")
        assert (told in note) is expected, note


def check_speed():
    """A finished 60 s x 52 take is applied within the time that animators don't notice."""
    scene = fresh()
    scene.render.fps = 30
    item = character(face())
    from blender_addon.takes import clips, making, writing

    clip = clips.read_clip_file(LONG)
    started = time.perf_counter()
    making.apply_clip(item, clip, 1, scene, "packed")
    FACTS["apply_60_s"] = round(time.perf_counter() - started, 4)
    take = take_of(item)
    for name, change in (("jaw", 0.8), ("smooth_s", 0.08), ("keying", "reduced")):
        started = time.perf_counter()
        setattr(take, name, change)
        FACTS[f"adjust_{name}_60_s"] = round(time.perf_counter() - started, 4)
    bpy.ops.exomni.adjust_reset()
    steps = []
    generator = writing.write_steps(item, take, clip.weights, clip.face.fps, scene)
    while True:
        started = time.perf_counter()
        if next(generator, generator) is generator:
            break
        steps.append(time.perf_counter() - started)
    FACTS["longest_step_ms"] = round(1000 * max(steps), 2)


run([value for name, value in list(globals().items()) if name.startswith("check_")], FACTS)
