# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by a Python that has bpy: Generate against a service that plays back, fails, dies, hangs."""

import time
from pathlib import Path

import bpy
from addon_kit import (
    CLIP,
    LONG,
    character,
    face,
    fingerprint,
    foreign_action,
    fresh,
    key_value,
    refused,
    run,
)
from fake_service import FakeClient, use
from fake_window import FakeContext, FakeOperator, modal

FACTS = {}


def modules():
    from blender_addon import session
    from blender_addon.buttons.generate import Generate

    return Generate, session


def nothing_is_left(item, action, before):
    """After a failure everything is as it was."""
    keys = item.data.shape_keys
    assert len(item.exomni.takes) == 0
    assert list(bpy.data.actions) == [action]
    assert keys.animation_data.action == action
    assert fingerprint(action) == before
    assert not keys.animation_data.nla_tracks
    scene = bpy.context.scene
    from blender_addon import compat

    assert not compat.existing_strips(scene)
    assert not bpy.data.sounds


def ready(mood="good", clip=CLIP, **more):
    """A character with an Action of its own and a service of this mood."""
    _, session_module = modules()
    fresh()
    item = face()
    action = foreign_action(item)
    character(item)
    client = FakeClient(clip, mood, **more)
    session = use(session_module, client)
    return item, action, client, session


def check_blocking_form():
    item, action, client, session = ready()
    before = fingerprint(action)
    bpy.context.scene.frame_current = 7
    assert bpy.ops.exomni.generate(text="Hello", seed=5, language="en") == {"FINISHED"}
    prompt, engine, stream = client.prompts[0]
    assert prompt == {
        "id": "take",
        "mode": "say",
        "text": "Hello",
        "seed": 5,
        "language": "en",
        "style": "neutral",
        "rate": 1.0,
    }, prompt
    assert (engine, stream) == ("embedded", True)
    take = item.exomni.takes[0]
    assert take.start_frame == 7
    assert take.engine == "test"
    assert item.exomni.shown == take.id
    bpy.context.scene.frame_set(20)
    assert key_value(item, "jawOpen") > 0
    assert fingerprint(action) == before
    assert not session.is_busy
    assert session.status.startswith(("Done", "the take has no sound strip"))
    # Several characters, one after the other, from one script.
    other = face(name="Other")
    character(other)
    for name in ("Face", "Other"):
        assert bpy.ops.exomni.generate(character=name, text=name, start_frame=50) == {"FINISHED"}
    assert len(item.exomni.takes) == 2
    assert other.exomni.takes[0].start_frame == 50


def check_failures_leave_nothing():
    for mood, words in (
        ("fails", "voice xx is unknown"),
        ("dies", "ended in the middle"),
        ("refuses", "protocol 9"),
    ):
        item, action, _, session = ready(mood)
        before = fingerprint(action)
        sentence = refused(bpy.ops.exomni.generate, text="Hello")
        assert words in sentence, sentence
        nothing_is_left(item, action, before)
        assert session.is_error
        assert words in session.status
        assert not session.is_busy
        assert words in session.report("x")
        # And it works again.
        use(modules()[1], FakeClient(CLIP))
        assert bpy.ops.exomni.generate(text="Hello") == {"FINISHED"}
        assert not session.is_error


def check_input_is_refused_before_anything_starts():
    item, action, client, session = ready()
    before = fingerprint(action)
    assert "no text" in refused(bpy.ops.exomni.generate, text="  ")
    assert "no file" in refused(bpy.ops.exomni.generate, mode="lipsync", audio="/nowhere.wav")
    assert "no recording" in refused(bpy.ops.exomni.generate, mode="lipsync")
    assert "no object" in refused(bpy.ops.exomni.generate, text="a", character="Nobody")
    assert not client.prompts
    assert session.is_error
    nothing_is_left(item, action, before)


def check_panel_settings_are_used():
    _, _, client, _ = ready()
    wish = bpy.context.scene.exomni
    wish.text, wish.seed, wish.voice, wish.style = "From the panel", 3, "f2", "lively"
    assert bpy.ops.exomni.generate() == {"FINISHED"}
    prompt = client.prompts[-1][0]
    assert (prompt["text"], prompt["seed"], prompt["voice"]) == ("From the panel", 3, "f2")
    block = bpy.data.texts.new("line")
    block.from_string("From the text block")
    wish.text_block = block
    bpy.ops.exomni.generate()
    assert client.prompts[-1][0]["text"].strip() == "From the text block"
    bpy.ops.exomni.generate(mode="lipsync", audio=str(CLIP), transcript="words")
    prompt = client.prompts[-1][0]
    assert prompt["audio"] == str(CLIP)
    assert prompt["transcript"] == "words"
    assert "text" not in prompt


def check_modal_form():
    item, action, _, session = ready(clip=LONG, pieces=30, pause_s=0.03)
    before = fingerprint(action)
    seen = []

    def look(_):
        seen.append((len(item.exomni.takes), session.progress))

    result, longest, _ = modal({"text": "Hello", "start_frame": 1}, look)
    assert result == {"FINISHED"}
    FACTS["longest_tick_ms"] = round(longest, 2)
    assert any(count == 1 and 0 < done < 1 for count, done in seen), "no keys while it was made"
    assert len(item.exomni.takes) == 1
    assert fingerprint(action) == before
    bpy.context.scene.frame_set(700)
    assert key_value(item, "jawOpen") > 0


def check_cancel_at_any_moment():
    for moment in (0, 1, 3, 8, 20):
        item, action, client, session = ready("hangs" if moment > 3 else "good", pause_s=0.01)
        before = fingerprint(action)

        def stop(tick, moment=moment, session=session):
            if tick > moment and not session._cancel.is_set():
                bpy.ops.exomni.cancel()

        result, _, _ = modal({"text": "Hello"}, stop)
        assert result == {"CANCELLED"}, moment
        assert client.cancelled.is_set() or moment == 0
        nothing_is_left(item, action, before)
        assert not session.is_error
        assert "Nothing is being made" in refused(bpy.ops.exomni.cancel)


def check_undo_in_the_middle():
    """Undo while keys appear: the take comes back with the next piece, nothing breaks."""
    ready(clip=LONG, pieces=20, pause_s=0.02)
    bpy.ops.ed.undo_push(message="before")
    done = []

    def undo(tick):
        if tick == 25 and not done:
            done.append(len(bpy.data.objects["Face"].exomni.takes))
            bpy.ops.ed.undo_push(message="something else")
            bpy.ops.ed.undo()

    result, _, _ = modal({"text": "Hello"}, undo)
    assert result == {"FINISHED"}
    assert done
    assert len(bpy.data.objects["Face"].exomni.takes) == 1


def check_deleted_in_the_middle():
    for moment in (3, 10, 14, 19, 25):
        for what in ("character", "action", "mesh"):
            ready(clip=LONG, pieces=20, pause_s=0.02)

            def remove(tick, moment=moment, what=what):
                if tick == moment and what == "character":
                    bpy.data.objects.remove(bpy.data.objects["Face"])
                elif tick == moment and what == "mesh":
                    bpy.data.objects["Face"].shape_key_clear()
                elif tick == moment and what == "action":
                    ours = [a for a in bpy.data.actions if "exomni_take" in a]
                    bpy.data.actions.remove(ours[0]) if ours else None

            result, _, operator = modal({"text": "Hello"}, remove)
            assert not modules()[1].session.is_busy
            if result == {"CANCELLED"}:
                assert operator.reports, what
                assert not [a for a in bpy.data.actions if "exomni_take" in a]
            else:
                assert what == "action", what


def check_busy_reasons():
    _, _, _, session = ready("hangs")
    kind, _ = modules()
    context = FakeContext()
    operator = FakeOperator(kind, {"text": "Hello", "character": ""})
    arriving = operator._begin(context)
    assert session.is_busy
    assert "being made" in refused(bpy.ops.exomni.generate, text="x")
    assert "being made" in refused(bpy.ops.exomni.add_head)
    assert "being made" in refused(bpy.ops.exomni.stop_engine)
    session.cancel()
    list(session.wait())
    arriving.discard()
    assert bpy.ops.exomni.stop_engine() == {"FINISHED"}
    assert "isn't running" in refused(bpy.ops.exomni.stop_engine)


def check_remote_uploads():
    from blender_addon.preferences import Place
    from blender_addon.service import Request

    _, session_module = modules()
    client = FakeClient(CLIP)
    session = use(session_module, client)
    place = Place("remote", address="10.0.0.1", port=1, token="t" * 20)
    session.begin(Request(place, {"mode": "lipsync"}, audio=CLIP))
    kinds = [happening.kind for happening in session.wait()]
    assert kinds[-1] == "done", kinds
    assert client.uploads == [CLIP]
    assert client.prompts[0][0]["audio"] == "upload-1"
    assert "t" * 20 not in session.report("x")


def wait_for(condition):
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    assert condition()


def check_full_disk():
    from blender_addon.takes import clips
    from exomni_core.errors import InputError

    item, action, _, session = ready()
    before = fingerprint(action)
    write = clips.write_bytes

    def full(path, data):
        raise InputError(f"{path} can't be written (No space left on device); choose another place")

    clips.write_bytes = full
    try:
        assert "No space left" in refused(bpy.ops.exomni.generate, text="Hello")
    finally:
        clips.write_bytes = write
    nothing_is_left(item, action, before)
    assert "No space left" in session.status
    assert bpy.ops.exomni.generate(text="Hello") == {"FINISHED"}


def check_microphone():
    _, _, client, session = ready()
    bpy.context.scene.exomni.mode = "lipsync"
    bpy.context.scene.exomni.audio_source = "microphone"
    assert "no recording" in refused(bpy.ops.exomni.generate)
    assert bpy.ops.exomni.record() == {"FINISHED"}
    wait_for(lambda: session.recording == "on")
    assert bpy.ops.exomni.record() == {"FINISHED"}
    wait_for(lambda: session.recording == "")
    assert bpy.ops.exomni.generate() == {"FINISHED"}
    assert client.prompts[0][0]["audio"] == "upload-2"
    _, _, _, session = ready("deaf")
    bpy.ops.exomni.record()
    wait_for(lambda: session.recording == "")
    assert session.is_error
    assert "no microphone" in session.status


def check_install_needs_the_network():
    from blender_addon.buttons.engine import product

    source, pins = product()
    assert Path(source, "pyproject.toml").is_file()
    assert (pins / "install.py").is_file()
    if not bpy.app.online_access:
        assert "offline" in refused(bpy.ops.exomni.install_engine)
    assert "Nothing is being installed" in refused(bpy.ops.exomni.cancel_install)


run([value for name, value in list(globals().items()) if name.startswith("check_")], FACTS)
