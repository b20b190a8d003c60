# SPDX-License-Identifier: GPL-3.0-or-later
"""`exorender eval sync` on clips of the embedded engine, on other files, and on a .blend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from exomni_core.arkit import ARKIT_52
from exomni_core.audio import write_wav
from exomni_core.clip import load_clip, save_clip
from exomni_core.engine import load_engine
from exomni_core.prompt import Prompt
from render_jobs.cli.commands import main

LINES = {
    "one": ("Bob bought a blue bicycle for my mother.", "en"),
    "two": ("妈妈买了一本书。", "zh"),
}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("spoken")
    engine = load_engine("embedded")
    for name, (text, language) in LINES.items():
        clip = engine.generate(Prompt(id=name, text=text, language=language))
        save_clip(clip, folder / f"{name}.clip")
    return folder


def sync(*arguments: object, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(main, [str(a) for a in ("eval", "sync", *arguments, "--json")])
    assert done.exit_code == code, done.output
    if code == 2:
        return {"error": done.output.strip()}
    found: dict[str, Any] = json.loads(done.output.strip().splitlines()[-1])
    return found


def test_clips_of_the_engine_by_language_and_route(spoken, tmp_path):
    found = sync(spoken, "-o", tmp_path / "out")
    titles = [(g["language"], g["route"]) for g in found["groups"]]
    assert titles == [("en", "tts_events"), ("zh", "tts_events"), ("all", "all")]
    both = found["groups"][-1]
    assert both["truth"] == {"events": 2}
    assert both["shares"]["closure_hit"]["value"] == 1.0
    assert both["shares"]["false_closure"]["value"] == 0.0
    assert both["shares"]["closure_hit"]["if_shifted"] is not None
    assert both["smoothness"]["largest_step"] <= 0.35
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| p, b, m closed | 1.000 of" in text
    assert (tmp_path / "out" / "rows.csv").read_text().count("\n") == 3


def test_alignment_of_known_text_agrees_with_the_events(spoken):
    events, aligned = sync(spoken), sync(spoken, "--realign")
    assert aligned["groups"][-1]["truth"] == {"aligned": 2}
    a, b = (g["groups"][-1]["shares"]["closure_hit"] for g in (events, aligned))
    assert a["of"] == b["of"]
    assert b["value"] >= 0.8


def test_a_terminal_gets_blocks_of_its_width_and_a_word_where_nothing_is_measured(spoken, tmp_path):
    (tmp_path / "phones").mkdir()
    done = CliRunner().invoke(
        main, ["eval", "sync", str(spoken), "--phones", str(tmp_path / "phones")]
    )
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "open in a" in done.stdout
    assert "phones has no sounds for 2 of 2 clips" in done.stderr
    (tmp_path / "film.mp4").write_bytes(b"x")
    done = CliRunner().invoke(main, ["eval", "sync", str(tmp_path / "film.mp4")])
    assert done.exit_code == 1
    assert done.stdout == "none of 1 clips could be measured\n"


def test_files_of_any_engine_with_sound_and_text_beside(spoken, tmp_path):
    clip = load_clip(spoken / "one.clip")
    columns = clip.weights
    np.savez(tmp_path / "one.npz", coef=columns, names=np.array(ARKIT_52), fps=30.0)
    bare = sync(tmp_path / "one.npz")
    assert bare["groups"][0]["truth"] == {"none": 1}
    assert bare["groups"][0]["shares"]["closure_hit"]["of"] == 0
    assert bare["groups"][0]["offset"]["ms"] is None
    assert "their sounds are not known" in bare["settings"]["notes"][0]
    (tmp_path / "sounds").mkdir()
    write_wav(tmp_path / "sounds" / "one.wav", clip.audio, clip.sample_rate_hz)
    (tmp_path / "texts.jsonl").write_text(
        json.dumps({"id": "one", "text": clip.text, "lang": "en"})
    )
    full = sync(
        tmp_path / "one.npz", "--audio", tmp_path / "sounds", "--texts", tmp_path / "texts.jsonl"
    )
    assert full["groups"][0]["truth"] == {"aligned": 1}
    assert full["groups"][0]["language"] == "en"
    assert full["groups"][0]["shares"]["closure_hit"]["value"] >= 0.8
    assert full["groups"][0]["offset"]["clips"] == 1


def test_a_transcript_that_does_not_fit_is_told(spoken, tmp_path):
    clip = load_clip(spoken / "one.clip")
    other = "Entirely different words about the weather in Portugal."
    line = {"id": "one", "system": "x", "face": "one.npz", "audio": "one.wav", "text": other}
    np.savez(tmp_path / "one.npz", coef=clip.weights, names=np.array(ARKIT_52), fps=30.0)
    write_wav(tmp_path / "one.wav", clip.audio, clip.sample_rate_hz)
    failed = {"id": "two", "system": "x", "error": "out of memory"}
    path = tmp_path / "responses.jsonl"
    path.write_text(json.dumps(line) + "\n" + json.dumps(failed) + "\n")
    found = sync(path, code=1)
    rows = {row["id"]: row for row in found["rows"]}
    assert rows["one"]["truth"] == "none"
    assert "can't be aligned" in rows["one"]["note"]
    assert rows["two"]["reason"] == "out of memory"
    assert found["counts"] == {"n": 2, "n_scored": 1, "n_failed": 1}


def test_bad_files_get_one_sentence(spoken, tmp_path):
    (tmp_path / "broken.clip").write_bytes(b"nothing")
    (tmp_path / "one.clip").write_bytes((spoken / "one.clip").read_bytes())
    (tmp_path / "bad.jsonl").write_text('{"id": "one"}\n[]\n')
    found = sync(tmp_path / "broken.clip", code=1)
    assert "not a clip" in found["failures"][0]["reason"]
    assert found["groups"] == []
    refused = sync(tmp_path / "one.clip", "--texts", tmp_path / "bad.jsonl", code=2)
    assert "bad.jsonl, line 2 is no JSON object" in refused["error"]


MAKE = """
import os, sys
sys.path[:0] = sys.argv[1:3]
import bpy, blender_addon
from addon_kit import character, face, fresh
blender_addon.register()
scene = fresh()
scene.render.fps = 24
character(face())
for number, clip in enumerate(sys.argv[4:]):
    bpy.ops.exomni.import_clip(filepath=clip, start_frame=11 + 200 * number)
    if len(sys.argv) > 5:
        bpy.ops.exomni.take_keep()
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[3])
os._exit(0)
"""


def make_blend(repo: Path, blend: Path, *clips: Path) -> None:
    scripts = repo / "tests" / "addon" / "scripts"
    argv = [sys.executable, "-c", MAKE, repo, scripts, blend, *clips]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)


@pytest.mark.bpy
def test_a_blender_take_is_measured_in_its_blend(spoken, tmp_path, repo):
    pytest.importorskip("bpy")
    blend = tmp_path / "take.blend"
    make_blend(repo, blend, spoken / "one.clip")
    found = sync(blend)
    group = found["groups"][0]
    clip = load_clip(spoken / "one.clip")
    assert (group["language"], group["route"]) == ("en", "blender")
    assert group["truth"] == {"events": 1}
    assert group["shares"]["closure_hit_within_a_frame"]["value"] == 1.0
    assert found["rows"][0]["fps"] == 24.0
    assert found["rows"][0]["duration_s"] == pytest.approx(len(clip.weights) / 30, abs=0.1)


@pytest.mark.bpy
def test_lines_one_after_the_other_are_measured_together(spoken, tmp_path, repo):
    pytest.importorskip("bpy")
    alone = [sync(spoken / f"{name}.clip")["groups"][0]["shares"] for name in LINES]
    make_blend(repo, tmp_path / "lines.blend", *(spoken / f"{name}.clip" for name in LINES))
    together = sync(tmp_path / "lines.blend")["groups"][0]
    for name in ("closure_hit", "false_closure"):
        assert together["shares"][name]["of"] == sum(one[name]["of"] for one in alone)
    assert together["shares"]["closure_hit_within_a_frame"]["value"] == 1.0
    assert together["offset"]["clips"] == 1


@pytest.mark.bpy
def test_a_blend_without_a_take_is_told(tmp_path):
    pytest.importorskip("bpy")
    blend = tmp_path / "empty.blend"
    code = "import bpy,sys; bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, blend], check=True, capture_output=True, timeout=60)
    found = sync(blend, code=1)
    assert "has no mesh with shape keys" in found["failures"][0]["reason"]
