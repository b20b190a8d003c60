# SPDX-License-Identifier: GPL-3.0-or-later
"""Drivers of other people's models, in pretended checkouts that die, hang and lie."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from system_tools import config, run, write_prompts

from exomni_core.arkit import ARKIT_52, UNITALKER_51
from exomni_core.audio import write_wav
from exomni_core.clip import load_clip
from render_jobs.batch.folder import read_rows
from render_jobs.systems.config import OUTSIDE, AdapterSystem


@pytest.fixture
def fakes(repo):
    sys.path.insert(0, str(repo / "tests" / "jobs" / "systems"))
    try:
        import fake_checkouts
    finally:
        sys.path.pop(0)
    return fake_checkouts


def emotalk(checkout: Path, **changes) -> AdapterSystem:
    given = {
        "checkout": checkout,
        "python": sys.executable,
        "checkpoint": "EmoTalk.pth",
        "start_s": 60.0,
        "timeout_s": 60.0,
        "retries": 0,
    }
    return AdapterSystem("emotalk", "emotalk", **(given | changes))


def test_emotalk_driver_in_a_pretended_checkout(fakes, spoken, tmp_path):
    checkout = fakes.make_emotalk(tmp_path / "checkout")
    rows = run(emotalk(checkout, options={"person": 7}), spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"], rows
    clip = load_clip(tmp_path / "run" / "clips" / "p1.clip")
    assert len(clip.weights) == 39
    assert (clip.channel("eyeBlinkLeft") == 0.0).all()  # no random blinks
    assert np.ptp(clip.channel("jawOpen")) < 0.35  # smoothed
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert facts["used"]["person"] == 7
    assert facts["used"]["smoothing"] is True
    assert facts["versions"]["torch"] == "0.0.fake"
    assert len(facts["checkpoint_sha256"]) == 64
    assert facts["keys"]["unexpected"] == ["audio_encoder_cont.lm_head.bias"]
    assert "loading" in (tmp_path / "run" / "driver.log").read_text()


def test_a_fault_of_the_model_harms_its_own_item(fakes, tmp_path, study_tools):
    _, speech = study_tools
    loud = np.clip(speech(1, 1.0), -0.5, 0.5)
    loud[100] = 0.875  # what the pretended model fails at
    write_wav(tmp_path / "a.wav", loud, 16_000)
    write_wav(tmp_path / "b.wav", speech(2, 1.0), 16_000)
    rows = [{"id": "a", "audio": "a.wav"}, {"id": "b", "audio": "b.wav"}, {"id": "c", "text": "x"}]
    prompts = write_prompts(tmp_path, rows)
    rows = run(emotalk(fakes.make_emotalk(tmp_path / "c")), prompts, tmp_path / "run")
    assert [row.status for row in rows] == ["failed", "done", "failed"]
    assert rows[0].error == ("prompts.jsonl:1: emotalk: RuntimeError: out of memory on device 0")
    assert "there is no speech" in rows[2].error


@pytest.mark.parametrize("model_adds", [True, False])
@pytest.mark.parametrize(("head", "width"), [("D3", 52), ("D6", 51)])
def test_unitalker_driver_in_a_pretended_checkout(fakes, spoken, tmp_path, head, width, model_adds):
    checkout = fakes.make_unitalker(tmp_path / "checkout", model_adds_template=model_adds)
    system = AdapterSystem(
        "d",
        "unitalker",
        checkout,
        sys.executable,
        "B.pt",
        start_s=60.0,
        retries=0,
        options={"head": head, "config": "config.json", "template": f"template{width}.npy"},
    )
    rows = run(system, spoken, tmp_path / "run")
    assert [row.status for row in rows] == ["done", "done"], rows
    clip = load_clip(tmp_path / "run" / "clips" / "p0.clip")
    order = ARKIT_52 if head == "D3" else UNITALKER_51
    for name in ("eyeBlinkRight", "jawOpen", "mouthPucker", "cheekSquintRight"):
        expected = min(1.0, order.index(name) / 100 + 0.125)
        assert np.allclose(clip.channel(name), expected, atol=1e-5), name
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert facts["used"]["template_added_by"] == ("model" if model_adds else "driver")
    assert facts["used"]["template_row"] == (0 if head == "D3" else 4)
    if head == "D6":
        assert "without tongueOut" in rows[0].notes


def test_long_clips_go_in_windows_that_fade_into_each_other(repo):
    sys.path.insert(0, str(OUTSIDE))
    try:
        import unitalker_driver as driver
    finally:
        sys.path.remove(str(OUTSIDE))
    rate = 16_000
    assert driver.windows(24 * rate) == [(0, 24 * rate)]
    assert driver.windows(47 * rate) == [
        (0, 25 * rate),
        (20 * rate, 45 * rate),
        (40 * rate, 47 * rate),
    ]
    calls = []

    def ask(piece, frames):
        calls.append(frames)
        return np.full((frames, 3), len(calls), np.float32)

    table = driver.windowed(ask, np.zeros(47 * rate, np.float32))
    assert table.shape == (1410, 3)
    assert calls == [750, 750, 210]
    assert (table[:600] == 1).all()
    assert (table[750:1200] == 2).all()
    assert (np.diff(table[600:750, 0]) > 0).all()
    constant = driver.windowed(lambda p, n: np.full((n, 1), 0.4, np.float32), np.zeros(61 * rate))
    assert np.allclose(constant, 0.4)


DRIVER = """
import json, sys, time
import numpy as np
job = json.load(open(sys.argv[1]))
mode = job["options"].get("mode")
if mode == "no start": print("no such module", file=sys.stderr); sys.exit(4)
if mode == "slow start": time.sleep(60)
print(json.dumps({"event": "ready"}), flush=True)
for item in job["items"]:
    if mode == "die" and item["id"] == "p0": sys.exit(9)
    if mode == "hang" and item["id"] == "p0": time.sleep(60)
    print("chatter", flush=True)
    if mode != "lie":
        np.savez(item["out"], coef=np.zeros((30 if item["id"] == "p0" else 39, 1)),
                 names=["jawOpen"], fps=30.0)
    print(json.dumps({"id": item["id"]}), flush=True)
"""


ADAPTER_FAULTS = {
    "die": (["failed", "done"], "the driver ended with code 9"),
    "hang": (["failed", "done"], "an item took more than 2 s"),
    "no start": (["failed", "failed"], "code 4; it said: no such module"),
    "slow start": (["failed", "failed"], "loading the model took more than 3 s"),
    "lie": (["failed", "failed"], "can't be read"),
}


@pytest.mark.parametrize("mode", ADAPTER_FAULTS)
def test_a_driver_may_die_hang_and_lie(mode, spoken, tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER)
    limits = {"start_s": 3.0, "timeout_s": 2.0, "retries": 0}
    script = str(tmp_path / "driver.py")
    system = AdapterSystem(
        "own", script, tmp_path, sys.executable, options={"mode": mode}, **limits
    )
    rows = run(system, spoken, tmp_path / "run")
    states, words = ADAPTER_FAULTS[mode]
    assert [row.status for row in rows] == states
    assert words in rows[0].error


def test_a_stopped_adapter_run_keeps_what_it_has(spoken, tmp_path, repo):
    (tmp_path / "driver.py").write_text(
        DRIVER.replace('item["id"] == "p0": time', '"1" in item["id"]: time')
    )
    text = f"""[systems.own]
kind = "adapter"
driver = "driver.py"
checkout = "."
python = "{sys.executable}"
options = {{ mode = "hang" }}
"""
    where = ["-o", str(tmp_path / "run"), "--config", str(config(tmp_path, text)), "--no-video"]
    command = [sys.executable, "-m", "render_jobs.cli", "systems", "run", "own", str(spoken)]
    process = subprocess.Popen([*command, *where], cwd=repo, stderr=subprocess.PIPE)
    clip = tmp_path / "run" / "clips" / "p0.clip"
    for _ in range(600):
        if clip.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    rows = read_rows(tmp_path / "run" / "manifest.jsonl")
    assert {key: row.status for key, row in rows.items()} == {"p0": "done"}


def test_drivers_are_python_38_and_import_nothing_of_ours():
    for script in sorted(OUTSIDE.glob("*.py")):
        tree = ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 8))
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(n.startswith(("exomni", "render_jobs", "templates")) for n in names)
