# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on inside every Blender at hand: characters, takes, adjusting, undo, sound, export."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_package import install_tiny

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.clip import Clip, save_clip

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"
OTHER_PYTHONS = [p for p in os.environ.get("EXOMNI_BPY_PYTHONS", "").split(os.pathsep) if p]

pytestmark = pytest.mark.bpy


def spoken_clip(path: Path, seconds: float) -> Path:
    """A clip like speech: a jaw that moves, lips that close, blinks."""
    rows = int(np.ceil(seconds * 30))
    rng = np.random.default_rng(3)
    time_s = np.arange(rows)[:, None] / 30
    speed, phase = rng.uniform(0.5, 4, 52), rng.uniform(0, 6, 52)
    weights = (0.4 + 0.35 * np.sin(2 * np.pi * speed * time_s + phase)).astype(np.float32)
    weights[::17, CHANNEL_INDEX["mouthClose"]] = weights[::17, CHANNEL_INDEX["jawOpen"]]
    audio = np.round(8000 * np.sin(np.arange(round(seconds * 16_000)) / 12)) / 32768
    clip = Clip(audio, 16_000, weights, fps=30.0, text="Hello there, how are you?", engine="test")
    save_clip(clip, path)
    return path


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return [str(spoken_clip(folder / f"{s:g}.clip", s)) for s in (2.0, 60.0)]


def run_script(python, name, *arguments, site=()):
    if python == sys.executable:
        pytest.importorskip("bpy")
    paths = [ROOT, SCRIPTS, *site]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [python, str(SCRIPTS / name), *arguments],
        capture_output=True, text=True, env=env, timeout=600,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"blender"')]
    assert lines, done.stdout[-2000:] + done.stderr[-3000:]
    report = json.loads(lines[-1])
    failed = {name: text for name, text in report["results"].items() if text}
    assert not failed, "\n".join(f"--- {name}\n{text}" for name, text in failed.items())
    return report


@pytest.mark.parametrize("script", ["character", "takes", "lines", "bones", "stored"])
@pytest.mark.parametrize("python", [sys.executable, *OTHER_PYTHONS])
def test_takes(python, script, clips):
    print(run_script(python, f"check_{script}.py", *clips))


@pytest.mark.parametrize("python", [sys.executable, *OTHER_PYTHONS])
def test_storage_and_speed(python, clips):
    report = run_script(python, "check_storage.py", *clips)
    print(report)
    # Measured 0.02 s on a quiet machine; 0.25 s is what benchmarks/ must show.
    assert report["apply_60_s"] < 1.0


@pytest.mark.parametrize("python", [sys.executable, *OTHER_PYTHONS])
def test_generate_with_a_service_that_misbehaves(python, clips):
    report = run_script(python, "check_session.py", *clips)
    print(report)
    assert report["longest_tick_ms"] < 30.0  # measured 7 to 9 ms of processor time


@pytest.mark.parametrize("python", [sys.executable, *OTHER_PYTHONS])
def test_panels(python, clips):
    print(run_script(python, "check_panel.py", *clips))


@pytest.mark.parametrize("python", [sys.executable, *OTHER_PYTHONS])
def test_exports(python, clips):
    report = run_script(python, "check_export.py", *clips)
    print(report)
    assert report["gltf_error"] < 1e-3


def test_the_real_engine(clips):
    print(run_script(sys.executable, "check_real_engine.py"))


def test_an_engine_of_another_package(tmp_path):
    site = install_tiny(tmp_path / "site")
    print(run_script(sys.executable, "check_engines.py", site=[site]))


@pytest.mark.skipif(bool(OTHER_PYTHONS), reason="EXOMNI_BPY_PYTHONS is set, so they all ran")
def test_other_blender_versions():
    pytest.skip("set EXOMNI_BPY_PYTHONS to Pythons with other bpy versions to check those too")
