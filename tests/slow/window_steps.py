# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps for a real Blender window: the extension's panel before, during and after a Say.

`blender --python window_steps.py` runs them by timers, as no script may block the window. They ask
scripts/blender_window.sh for screenshots through files, and write result.json at the end.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path

import bpy

HOME = Path("/exomni")
EXTENSION = "bl_ext.user_default.exomni"
TAB = "Ex-Omni"
SHORT = "Mama may bake a pie for Bob, and far away the moon is over the bay."
LONG = " ".join([SHORT] * 60)  # four minutes of speech
results = {
    "blender": bpy.app.version_string,
    "python": sys.version.split()[0],
    "how": "program, real window",
    "passed": [],
    "failed": [],
    "facts": {},
}
started = time.monotonic()


def log(*words):
    print("STEP", round(time.monotonic() - started, 1), *words, flush=True)


def check(name, good, detail=""):
    results["passed" if good else "failed"].append(name if good else f"{name}: {detail}")
    log("ok  " if good else "FAIL", name, detail)


def view():
    window = bpy.context.window_manager.windows[0]
    views = [a for a in window.screen.areas if a.type == "VIEW_3D"]
    area = max(views, key=lambda a: a.width * a.height)
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


def frame_head(item):
    """Look at the head from the front, close up."""
    window, area, region = view()
    bpy.context.view_layer.objects.active = item
    for other in bpy.context.view_layer.objects:
        other.select_set(other == item)
    with bpy.context.temp_override(window=window, area=area, region=region["WINDOW"]):
        bpy.ops.view3d.view_axis(type="FRONT")
        bpy.ops.view3d.view_selected()
    space = area.spaces.active
    space.overlay.show_cursor = space.overlay.show_object_origins = False
    space.overlay.show_outline_selected = False
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False


def say(text, **wish):
    """Press Generate as the panel does."""
    settings = bpy.context.scene.exomni
    settings.mode, settings.text = "say", text
    for name, value in wish.items():
        setattr(settings, name, value)
    in_view(bpy.ops.exomni.generate, "INVOKE_DEFAULT")


def session():
    return sys.modules[f"{EXTENSION}.session"].session


def wait_for_end(limit_s=120.0, picture="", cancel_after_s=None):
    """Let Blender work until the request has ended; notes the slowest tick."""
    begun = last = time.monotonic()
    slowest, taken = 0.0, not picture
    while session().is_busy or time.monotonic() - begun < 0.2:
        yield 0.005
        now = time.monotonic()
        slowest, last = max(slowest, now - last), now
        if not taken and 0.1 < session().progress < 0.9:
            taken = True
            for region in view()[1].regions:
                region.tag_redraw()
            yield 0.1
            (HOME / "asks" / f"shot.{picture}").touch()
        if cancel_after_s is not None and now - begun > cancel_after_s:
            cancel_after_s = None
            if in_view(bpy.ops.exomni.cancel.poll):
                in_view(bpy.ops.exomni.cancel)
            else:
                check("there is something to cancel", False, session().status)
        if now - begun > limit_s:
            check("the request ends", False, session().status)
            return
    for _ in range(100):  # the last keys are written after the request's end
        yield 0.02
    results["facts"]["slowest_tick_ms"] = round(1000 * slowest)


def curves_of(item):
    """Data path -> F-curve of what moves the character's first mesh."""
    keys = item.exomni.targets[0].object.data.shape_keys
    animation = keys.animation_data
    action = animation.action if animation else None
    return {curve.data_path: curve for curve in action.fcurves} if action else {}


def poses(item):
    """The frames with the widest mouth and with the tightest closed lips."""
    curves = curves_of(item)
    find = {p.split('"')[1]: c for p, c in curves.items()}
    scene = bpy.context.scene
    frames = range(scene.frame_start, scene.frame_end + 1)
    jaw = [find["jawOpen"].evaluate(f) for f in frames]
    close = [
        find["mouthClose"].evaluate(f)
        - abs(find["jawOpen"].evaluate(f)) * 0.5
        + find["mouthPressLeft"].evaluate(f)
        for f in frames
    ]
    # A closure after the first sounds: at the very start every mouth is closed.
    later = close[20:] or close
    tightest = frames[len(close) - len(later) + later.index(max(later))]
    return frames[jaw.index(max(jaw))], tightest, max(jaw)


def speak_and_look(item, text, name):
    """Say a line on a character and check keys, sound and scene; pictures of two poses."""
    scene = bpy.context.scene
    say(text)
    yield from wait_for_end()
    curves = curves_of(item)
    check(f"{name}: keys for the channels", len(curves) >= 48, len(curves))
    if not curves:
        log("status", session().status)
        return
    count = len(next(iter(curves.values())).keyframe_points)
    check(f"{name}: a key on each frame", count > 30, count)
    strips = scene.sequence_editor.sequences_all if scene.sequence_editor else []
    check(f"{name}: a sound strip", any(s.type == "SOUND" for s in strips), list(strips))
    last = max(c.range()[1] for c in curves.values())
    check(f"{name}: the scene is long enough", scene.frame_end >= last - 1, (scene.frame_end, last))
    vowel, closure, widest = poses(item)
    check(f"{name}: the mouth opens", widest > 0.2, widest)
    for pose, frame in (("vowel", vowel), ("closure", closure)):
        scene.frame_set(frame)
        yield from shot(f"{name}_{pose}")


def steps():
    """All of it, in order; each yields how long Blender may go on by itself."""
    yield from open_sidebar()
    head = yield from add_built_in_head()
    yield from make_takes(head)
    head = yield from undo_and_redo()
    yield from import_other_head(head)
    yield from listen_and_fail(head)
    yield from other_looks(head)
    say(LONG)  # the window closes in the middle of this
    yield 0.7


def open_sidebar():
    """The extension is on, and its tab is in the sidebar."""
    prefs = bpy.context.preferences
    check("the extension is on", EXTENSION in prefs.addons, list(prefs.addons.keys()))
    import exomni_core

    check("the core comes from the extension's wheel", ".local" in exomni_core.__file__)
    bpy.data.objects.remove(bpy.data.objects["Cube"])
    yield 2.0
    _, area, region = view()
    area.spaces.active.show_region_ui = True
    area.tag_redraw()
    yield 3.0
    region["UI"].active_panel_category = TAB
    check("the sidebar has our tab", region["UI"].active_panel_category == TAB)
    yield from shot("panel_first")


def add_built_in_head():
    """The built-in head becomes the character, which is returned."""
    in_view(bpy.ops.exomni.add_head, "INVOKE_DEFAULT")
    head = bpy.context.scene.exomni.character
    check("the built-in head is the character", head is not None)
    frame_head(head)
    yield from shot("panel_character")
    return head


def make_takes(head):
    """A line that is cancelled, a long line, a short one."""
    actions, strips = len(bpy.data.actions), len(bpy.data.sounds)
    say(LONG)
    yield from wait_for_end(cancel_after_s=0.4)
    left = (len(bpy.data.actions), len(bpy.data.sounds), len(head.exomni.takes))
    check("cancel leaves nothing", left == (actions, strips, 0), left)
    log("status", session().status)

    say(LONG)
    yield from wait_for_end(picture="panel_during")
    check("a long line becomes a take", len(head.exomni.takes) == 1, session().status)
    results["facts"]["long_take_s"] = (
        round(head.exomni.takes[0].duration_s, 1) if head.exomni.takes else 0
    )
    yield from shot("panel_after")
    yield from speak_and_look(head, SHORT, "head")


def undo_and_redo():
    """One take goes and comes back; returns the head, which is another object afterwards."""
    before = len(bpy.context.scene.exomni.character.exomni.takes)
    in_view(bpy.ops.ed.undo)
    yield 1.0
    takes = len(bpy.context.scene.exomni.character.exomni.takes)
    check("one undo takes one take back", takes == before - 1, (before, takes))
    in_view(bpy.ops.ed.redo)
    yield 1.0
    head = bpy.data.objects["Head"]  # undo and redo replace every datablock
    check("and redo brings it back", len(head.exomni.takes) == before, len(head.exomni.takes))
    return head


def import_other_head(head):
    """A head from a file becomes the character, speaks and gives way to `head` again."""
    other = HOME / "shared" / "head.npz"
    if not other.exists():
        return
    head.hide_set(True)
    in_view(bpy.ops.exomni.add_head, template=str(other), name="Imported")
    item = bpy.context.scene.exomni.character
    check("another head is imported", item.name.startswith("Imported"), item.name)
    frame_head(item)
    yield from speak_and_look(item, SHORT, "imported")
    bpy.context.scene.exomni.character = head
    head.hide_set(False)
    item.hide_set(True)


def listen_and_fail(head):
    """A recording, then an engine that is killed."""
    settings = bpy.context.scene.exomni
    recording = HOME / "shared" / "line.wav"
    if recording.exists():
        settings.mode, settings.audio, settings.transcript = "lipsync", str(recording), SHORT
        in_view(bpy.ops.exomni.generate, "INVOKE_DEFAULT")
        yield from wait_for_end()
        take = head.exomni.takes[-1]
        check(
            "a recording is listened to", take.route == "transcript", (take.route, session().status)
        )
    before = len(head.exomni.takes)
    say(LONG)
    while session().progress < 0.01 and session().is_busy:
        yield 0.01
    session()._service.process.process.kill()
    yield from wait_for_end()
    check("a killed engine is told in a sentence", session().is_error, session().status)
    check("nothing of it is kept", len(head.exomni.takes) == before, len(head.exomni.takes))
    yield from shot("panel_failure")
    say(SHORT)
    yield from wait_for_end()
    check("the next line works", len(head.exomni.takes) == before + 1, session().status)


def open_panels(names, workspace):
    """Show just these folded panels unfolded, in a workspace whose sidebar is new."""
    classes = sys.modules[f"{EXTENSION}.registration"].CLASSES
    panels = [c for c in classes if issubclass(c, bpy.types.Panel)]
    for kind in reversed(panels):
        bpy.utils.unregister_class(kind)
    for kind in panels:
        folded = kind.__name__ not in {"MainPanel", *names}
        kind.bl_options = {"DEFAULT_CLOSED"} if folded else set()
        bpy.utils.register_class(kind)
    bpy.data.workspaces[workspace].object_mode = "OBJECT"
    bpy.context.window_manager.windows[0].workspace = bpy.data.workspaces[workspace]
    yield 2.0
    _, area, _ = view()
    area.spaces.active.show_region_ui = True
    area.tag_redraw()
    yield 2.0
    _, _, region = view()
    region["UI"].active_panel_category = TAB


def other_looks(head):
    """The folded panels, and the panel in two more languages."""
    yield from open_panels(
        {"CharacterPanel", "MeshesPanel", "SpeakPanel", "VoicePanel"}, "Modeling"
    )
    frame_head(head)
    yield from shot("panel_channels")
    yield from open_panels({"TakesPanel", "AdjustPanel", "AudioPanel", "ExportPanel"}, "Sculpting")
    frame_head(head)
    yield from shot("panel_takes")
    bpy.context.window_manager.windows[0].workspace = bpy.data.workspaces["Layout"]
    yield 2.0
    chosen = bpy.context.preferences.view
    translations = sys.modules[f"{EXTENSION}.words.table"].DICTIONARY
    for language in ("zh_HANS", "ja_JP"):
        try:
            chosen.language = language
        except TypeError:  # not every build of Blender has languages
            log("no language", language)
            continue
        word = bpy.app.translations.pgettext_iface("Copy report")  # no word of Blender's own
        check(f"our words in {language}", word != "Copy report" and language in translations, word)
        yield 2.0
        yield from shot(f"panel_{language[:2]}")
    chosen.language = "en_US"


def summary():
    """Results by the names that the wheels' test uses, for the table of tested versions."""
    themes = {
        "install": "extension core",
        "register": "sidebar",
        "match": "character",
        "say": "head:",
        "lipsync": "recording",
        "undo": "undo redo",
    }
    found = {}
    for theme, words in themes.items():
        passed, failed = (
            [name for name in results[kind] if any(word in name for word in words.split())]
            for kind in ("passed", "failed")
        )
        if passed or failed:
            found[theme] = "; ".join(failed)
    return found


def run():
    steps_left = steps()

    def tick():
        try:
            return next(steps_left)
        except StopIteration:
            pass
        except Exception as error:  # noqa: BLE001 (whatever it is, the window must close)
            traceback.print_exc()
            results["failed"].append(f"{type(error).__name__}: {error}")
        if results["failed"] and f"{EXTENSION}.session" in sys.modules:
            print(session().report(bpy.app.version_string), flush=True)
        results["checks"] = summary()
        (HOME / "result.json").write_text(json.dumps(results))
        bpy.ops.wm.quit_blender()
        return None

    bpy.app.timers.register(tick, first_interval=3.0)


run()
