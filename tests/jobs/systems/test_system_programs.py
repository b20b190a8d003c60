# SPDX-License-Identifier: GPL-3.0-or-later
"""Outside programs as systems: they crash, hang, lie, and never leave their folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from system_tools import FACE_PROGRAM, config, gone, program, run, write_prompts

from exomni_core.audio import read_audio, write_wav
from exomni_core.clip import load_clip, save_clip
from render_jobs.batch.folder import read_rows
from render_jobs.study.making.runs import read_run
from render_jobs.systems.config import EngineSystem, ProgramSystem


def test_a_program_makes_a_run_as_batch_does(spoken, tmp_path):
    rows = run(program(tmp_path, "good"), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"]
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert clip.duration_s == pytest.approx(1.3)
    assert np.array_equal(clip.audio, read_audio(tmp_path / "s1.wav").samples)
    assert (clip.channel("jawOpen") == 0.5).all()
    assert (clip.engine, clip.language) == ("tool", "en")
    assert "without browDownLeft" in rows[0].notes[0]
    # The words came as one argument: no shell has read them.
    assert (tmp_path / "tool" / "text").read_text() == "héllo; rm -rf $HOME \"'"
    items = read_run(tmp_path / "run", "tool").items
    assert items["p0"].clip == tmp_path / "run" / "clips" / "p0.clip"
    assert json.loads((tmp_path / "run" / "run.json").read_text())["state"] == "finished"
    assert not (tmp_path / "run" / ".work").exists()


def test_what_is_finished_is_not_made_again(spoken, tmp_path):
    system = program(tmp_path, "good")
    run(system, spoken, tmp_path / "run")
    (tmp_path / "tool" / "face.py").write_text("raise SystemExit(1)")
    assert [r.status for r in run(system, spoken, tmp_path / "run")] == ["skipped"] * 2
    changed = run(program(tmp_path, "other"), spoken, tmp_path / "run")  # another command
    assert [r.status for r in changed] == ["done"] * 2


def test_a_second_attempt_is_made_and_told(spoken, tmp_path):
    rows = run(program(tmp_path, "once", retries=1), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"]
    assert "it took 2 attempts" in rows[0].notes
    (tmp_path / "tool" / "tried").unlink()
    rows = run(program(tmp_path, "once"), spoken, tmp_path / "again")
    assert [row.status for row in rows] == ["failed", "done"]
    assert rows[0].error == (
        "prompts.jsonl:1: tool failed: it ended with code 3; it said: CUDA is shy today"
    )


BAD = {
    "kill": "ended by signal 9",
    "nothing": "wrote no out.npz",
    "empty": "an empty out.npz",
    "link": "wrote no out.npz",
    "nan": "no finite number",
    "names": "'wiggle' is not an ARKit",
    "long": "don't belong together",
}


@pytest.mark.parametrize("mode", BAD)
def test_bad_output_is_one_sentence_and_harms_only_its_row(mode, spoken, tmp_path):
    rows = run(program(tmp_path, mode), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["failed", "failed"]
    assert BAD[mode] in rows[0].error
    assert rows[0].error.startswith("prompts.jsonl:1: ")
    assert "\n" not in rows[0].error
    assert not list((tmp_path / "run").glob("clips/*"))


def test_a_hanging_program_ends_with_all_it_has_started(spoken, tmp_path):
    started = time.perf_counter()
    rows = run(program(tmp_path, "hang", timeout_s=1.0), spoken, tmp_path / "run")
    assert "took more than 1 s" in rows[0].error
    assert time.perf_counter() - started < 30
    assert gone(int((tmp_path / "tool" / "child").read_text()))


def test_ctrl_c_ends_the_program_and_keeps_what_is_done(spoken, tmp_path, repo):
    text = """[systems.tool]
kind = "program"
command = ["{python}", "face.py", "{audio}", "{text}", "{out}", "hang2"]
cwd = "tool"
"""
    program(tmp_path, "good")
    tool = tmp_path / "tool" / "face.py"
    hang = 'if mode == "hang2" and frames > 30: os.system("sleep 60 & echo $! > child; wait")\n'
    tool.write_text(FACE_PROGRAM.replace('if mode == "kill"', hang + 'if mode == "kill"'))
    where = ["-o", str(tmp_path / "run"), "--config", str(config(tmp_path, text)), "--no-video"]
    command = [sys.executable, "-m", "render_jobs.cli", "systems", "run", "tool", str(spoken)]
    process = subprocess.Popen([*command, *where], cwd=repo, stderr=subprocess.PIPE)
    child = tmp_path / "tool" / "child"
    for _ in range(600):
        if child.exists() and child.read_text().strip():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert told.decode().endswith("Stopped. Run the same command again to resume.\n")
    assert gone(int(child.read_text()))
    rows = read_rows(tmp_path / "run" / "manifest.jsonl")
    assert {key: row.status for key, row in rows.items()} == {"p0": "done"}
    assert not (tmp_path / "run" / ".work").exists()


def test_a_program_that_is_not_there(spoken, tmp_path):
    system = program(tmp_path, "good", command=("no-such-program", "{audio}", "{out}"))
    rows = run(system, spoken, tmp_path / "run")
    assert "no-such-program can't be started" in rows[0].error


def test_a_program_may_speak_itself(tmp_path):
    code = (
        "import sys, wave\nimport numpy as np\n"
        "w = wave.open(sys.argv[2], 'wb'); w.setnchannels(1); w.setsampwidth(2)\n"
        "w.setframerate(22050); w.writeframes(b'\\1\\2' * 22050); w.close()\n"
        "np.savez(sys.argv[1], coef=np.zeros((30, 1)), names=['jawOpen'], fps=30)\n"
    )
    (tmp_path / "speak.py").write_text(code)
    command = ("{python}", "speak.py", "{out}", "{out_audio}", "{text}")
    system = ProgramSystem("speaker", command, cwd=tmp_path)
    prompts = write_prompts(tmp_path, [{"id": "a", "text": "hello"}])
    rows = run(system, prompts, tmp_path / "run")
    assert rows[0].status == "done"
    assert load_clip(tmp_path / "run" / "clips" / "a.clip").sample_rate_hz == 22050


def test_ids_cannot_leave_the_folder(tmp_path):
    write_wav(tmp_path / "s.wav", np.zeros(8000, np.float32), 16_000)
    prompts = write_prompts(
        tmp_path, [{"id": name, "audio": "s.wav"} for name in ("../up", "/abs", "a/b", "ok")]
    )
    rows = run(program(tmp_path, "good"), prompts, tmp_path / "run")
    assert [row.status for row in rows] == ["failed"] * 3 + ["done"]
    assert {p.name for p in (tmp_path / "run" / "clips").iterdir()} == {"ok.clip"}
    assert not (tmp_path / "up.clip").exists()


def test_another_runs_speech_is_shared(spoken, tmp_path, make_clip):
    save_clip(make_clip(1.2, language="zh", text="世界"), tmp_path / "target" / "p1.clip")
    rows = run(program(tmp_path, "good"), spoken, tmp_path / "run", audio_from=tmp_path / "target")
    assert [row.status for row in rows] == ["failed", "done"]
    assert "has no such prompt" in rows[0].error
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert np.array_equal(clip.audio, load_clip(tmp_path / "target" / "p1.clip").audio)
    assert clip.language == "zh"


def test_an_engine_moves_its_lips_to_another_runs_speech(tmp_path, make_clip):
    save_clip(make_clip(1.2, language="en"), tmp_path / "target" / "p1.clip")
    prompts = write_prompts(
        tmp_path, [{"id": "p1", "text": "hello"}, {"id": "p2", "text": "x"}, {"id": "p3", "no": 1}]
    )
    system = EngineSystem("quiet", prompt={"style": "quiet"})
    rows = run(system, prompts, tmp_path / "run", audio_from=tmp_path / "target")
    assert [row.status for row in rows] == ["done", "failed", "failed"]
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert np.array_equal(clip.audio, load_clip(tmp_path / "target" / "p1.clip").audio)
    assert clip.prompt["style"] == "quiet"
    plain = run(system, prompts, tmp_path / "plain")
    assert [row.status for row in plain] == ["done", "done", "failed"]
    assert "unknown field" in plain[2].error
    assert load_clip(tmp_path / "plain" / "clips" / "p2.clip").prompt["style"] == "quiet"
