# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: `make` writes mutated .blend files, `open` opens and uses them.

make FOLDER CLIP COUNT SEED DECOY; open FOLDER. Prints one JSON object as its last line.
"""

import contextlib
import json
import os
import random
import sys
import traceback
from pathlib import Path

import bpy

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "addon" / "scripts")]


class Anything:
    """A layout of Blender that takes every call."""

    def __getattr__(self, name):
        return lambda *_, **__: self


def raw(item):
    """The stored properties of our group as plain ID properties, as a file holds them."""
    stored = item.bl_system_properties_get() if hasattr(item, "bl_system_properties_get") else item
    return stored["exomni"]


def rubbish(rng, decoy):
    """A value that a file may hold in place of a good one."""
    deep = "[" * rng.choice((10, 2000, 100_000))
    return rng.choice((
        "", "x" * rng.choice((300, 1 << 20)), "//../x.clip", decoy, f"//exomni/../../{decoy}",
        "\\\\server\\share\\x.clip", "//exomni/link.clip", "//exomni/pipe.clip", "/dev/zero",
        "../x", "a/b", "link", "pipe", ".", "a\nb", "ü\udcff", "{", "[]", "null", "{}", deep,
        '{"a":' * 2000,
        '{"jawOpen": [NaN, 1e999, "x"]}', '{"jawOpen": {}}', '{"jawOpen": [1, 2, 3, 4]}',
        '{"exomni_overrides": 1, "channels": {"jawOpen": [{"key": 3}]}, "bones": [[]]}',
        '{"exomni_overrides": 1, "bones": [{"bone": "x", "axis": "Q", "degrees": NaN}]}',
        '{"key_blocks[\\"jawOpen\\"].value": "x"}', '{"Bone": ["name", "owned"]}',
        0, -1, 7, 2**31 - 1, -(2**31), 1.5, float("nan"), float("inf"), -1e300, True,
        [1, 2, 3], [0.5, float("nan")], {"a": 1}, b"\0\xff", b"PK\3\4" + b"x" * 99,
    ))  # fmt: skip


NAMES = {
    "take": ("id", "name", "text", "clip_file", "start_frame", "duration_s", "kept", "jaw",
             "keying", "lips", "smooth_s", "offset_s", "max_error", "step_frames", "blinks", "seed",
             "actions", "sound", "engine"),
    "entry": ("object", "action", "written"),
    "target": ("object", "rest", "channels", "channel_index", "foreign_action", "foreign_blend",
               "foreign_influence", "foreign_slot", "foreign_extrapolation"),
    "item": ("targets", "takes", "take_index", "target_index", "shown", "shown_before", "mended",
             "rig", "rig_rest", "foreign_action"),
    "action": ("exomni_take", "exomni_clip"),
    "strip": ("exomni_take",),
    "scene": ("character", "mode", "strip", "engine", "follow_strip", "audio", "audio_source"),
}  # fmt: skip


def spoil(rng, decoy):
    """Change one to four stored values of the open file."""
    item, scene = bpy.data.objects["Face"], bpy.context.scene
    for _ in range(rng.randint(1, 4)):
        with contextlib.suppress(TypeError, KeyError, IndexError, ValueError, AttributeError):
            place = rng.choice(("take", "take", "entry", "target", "item", "item", *NAMES))
            group = {
                "item": lambda: raw(item),
                "take": lambda: raw(item)["takes"][0],
                "entry": lambda: raw(item)["takes"][0]["actions"][0],
                "target": lambda: raw(item)["targets"][0],
                "action": lambda: bpy.data.actions[0],
                "strip": lambda: scene.sequence_editor.strips_all[0],
                "scene": lambda: raw(scene),
            }[place]()
            name, value = rng.choice(NAMES[place]), rubbish(rng, decoy)
            if name in ("object", "character", "rig") and rng.random() < 0.7:
                value = rng.choice((bpy.data.objects["Camera"], bpy.data.objects["Empty"], item))
            if name in ("action", "foreign_action") and rng.random() < 0.7:
                value = bpy.data.actions.new("empty")
            if name in group:
                del group[name]
            group[name] = value
    if rng.random() < 0.5:
        with contextlib.suppress(AttributeError, IndexError):
            scene.sequence_editor.strips_all[0].frame_start = rng.randint(-50, 500)


def flip(rng, path):
    """Change single bytes near what we stored; Blender's own structure stays."""
    data, starts = bytearray(path.read_bytes()), []
    for word in (b"exomni/", b"clip_file", b"key_blocks[", b'"jawOpen"', b"exomni_take", b"shown"):
        at = data.find(word)
        while at >= 0:
            starts.append((at, len(word)))
            at = data.find(word, at + 1)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.choice(starts)
        data[at + rng.randrange(length)] = rng.choice((0, 34, 46, 47, 92, 255, rng.randrange(256)))
    path.write_bytes(data)


def make(folder, clip, count, seed, decoy):
    import addon_kit

    import blender_addon
    from blender_addon import preferences

    blender_addon.register()
    addon_kit.fresh()
    for number in range(2):
        base = folder / f"base{number}" / "a.blend"
        base.parent.mkdir(parents=True)
        addon_kit.fresh()
        bpy.ops.wm.save_as_mainfile(filepath=str(base), compress=False)
        for name, data in (("Camera", bpy.data.cameras.new("c")), ("Empty", None)):
            bpy.context.scene.collection.objects.link(bpy.data.objects.new(name, data))
        addon_kit.character(addon_kit.face())
        preferences._Defaults.storage = ("packed", "beside")[number]
        addon_kit.open_clip(clip=clip)
        bpy.ops.wm.save_as_mainfile(filepath=str(base), compress=False)
    blender_addon.unregister()
    for number in range(count):
        rng = random.Random(f"{seed}-{number}")
        which = rng.randrange(2)
        bpy.ops.wm.open_mainfile(filepath=str(folder / f"base{which}" / "a.blend"))
        case = folder / f"case{number:05}"
        (case / "exomni").mkdir(parents=True)
        if rng.random() < 0.7:
            spoil(rng, decoy)
        bpy.ops.wm.save_as_mainfile(filepath=str(case / "a.blend"), compress=False, copy=True)
        if rng.random() < 0.4:
            flip(rng, case / "a.blend")
        (case / "exomni" / "link.clip").symlink_to(decoy)
        os.mkfifo(case / "exomni" / "pipe.clip")
        for own in (folder / "base1" / "exomni").glob("*.clip"):
            kind = rng.randrange(4)
            if kind == 0:
                (case / "exomni" / own.name).symlink_to(decoy)
            elif kind == 1:
                os.mkfifo(case / "exomni" / own.name)
            elif kind == 2:
                (case / "exomni" / own.name).write_bytes(own.read_bytes())
    return {"made": count}


def mark(word):
    """Leave a word in the trace of system calls."""
    with contextlib.suppress(OSError):
        open(f"/exomni-mark-{word}").close()


def draw():
    """Draw every panel and list."""
    from types import SimpleNamespace

    from blender_addon import registration

    for kind in registration.CLASSES:
        if issubclass(kind, bpy.types.Panel):
            poll = getattr(kind, "poll", None)
            if poll is None or poll(bpy.context):
                kind.draw(SimpleNamespace(layout=Anything()), bpy.context)
        elif issubclass(kind, bpy.types.Operator):
            kind.disabled_reason(bpy.context)
    from blender_addon.panels import meshes, take_tools

    for item in bpy.data.objects:
        for target in item.exomni.targets:
            meshes.TargetList.draw_item(None, None, Anything(), None, target, 0, None)
        for take in item.exomni.takes:
            take_tools.TakeList.draw_item(None, None, Anything(), item.exomni, take, 0, None)


def use():
    """Press the buttons; each ends or says one sentence. Returns the sentences of surprise."""
    surprises, ops = [], bpy.ops.exomni
    for act in (ops.match, ops.take_show, ops.follow_strips, ops.take_hide, ops.take_keep,
                ops.take_step, ops.adjust_reset, ops.take_compare, ops.take_delete):  # fmt: skip
        try:
            act()
        except RuntimeError as error:
            if "unexpected" in str(error) or "Traceback" in str(error):
                from blender_addon.session import session

                surprises.append(f"{act}: {error}: {session.details[-1500:]}")
    return surprises


def open_all(folder):
    import blender_addon
    from blender_addon import handlers

    blender_addon.register()
    faults, opened, refused = {}, 0, 0
    for case in sorted(folder.glob("case*")):
        print(f"opening {case.name}", flush=True)
        mark(f"open-{case.name}")
        try:
            bpy.ops.wm.open_mainfile(filepath=str(case / "a.blend"))
        except RuntimeError:  # Blender itself can't read it
            refused += 1
            continue
        opened += 1
        try:
            handlers.after_change(bpy.context.scene)
            handlers._follow()
            bpy.context.scene.frame_set(5)
            draw()
            mark(f"use-{case.name}")
            surprises = use()
            draw()
            if surprises:
                faults[case.name] = "\n".join(surprises)
        except Exception:  # noqa: BLE001 (each is told)
            faults[case.name] = traceback.format_exc()
    mark("end")
    return {"opened": opened, "refused": refused, "faults": faults}


def main():
    what, folder, *rest = sys.argv[1:]
    if what == "make":
        found = make(Path(folder), Path(rest[0]), int(rest[1]), rest[2], rest[3])
    else:
        found = open_all(Path(folder))
    print(json.dumps(found), flush=True)
    os._exit(0)


main()
