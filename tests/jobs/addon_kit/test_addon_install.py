# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip in a fresh profile of every bpy there is: from install to unregister.

EXOMNI_BPY_PYTHONS names more Pythons with bpy, separated as in PATH. What passed is written to
build/addon-tested.json; scripts/addon_table.py writes the tables in the docs from it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import render_jobs.addon_kit.build as addon_build
from exomni_core.errors import EnvironmentProblem
from exomni_core.storage.files import write_text
from render_jobs.addon_kit.build import build_addon

HERE = Path(__file__).resolve().parent
PYTHONS = [sys.executable] * (importlib.util.find_spec("bpy") is not None)
PYTHONS += [p for p in os.environ.get("EXOMNI_BPY_PYTHONS", "").split(os.pathsep) if p]


@pytest.fixture(scope="module")
def extension(repo, tmp_path_factory) -> Path:
    try:
        cache = repo / "build" / "addon-wheels"
        return build_addon(["linux-x64"], tmp_path_factory.mktemp("dist"), cache)[0].path
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))


@pytest.mark.bpy
@pytest.mark.skipif(not PYTHONS, reason="needs the bpy wheel")
@pytest.mark.parametrize("python", PYTHONS or [""])
def test_from_install_to_unregister(python, extension, repo, tmp_path):
    done = run_in(python, tmp_path, "install_in_blender.py", str(extension), str(tmp_path))
    found = result_of(done)
    note_tested(repo / "build" / "addon-tested.json", found)
    failed = {name: error for name, error in found["checks"].items() if error}
    assert not failed, (found["blender"], failed, done.stderr[-3000:])


@pytest.mark.bpy
@pytest.mark.skipif(not PYTHONS, reason="needs the bpy wheel")
def test_a_newer_zip_replaces_all_of_an_older_one(extension, repo, tmp_path, monkeypatch):
    """Of the same version even: the core's wheel is known by its contents, old modules go."""
    real = addon_build._sources

    def later(package: str, **where: str) -> dict[str, bytes]:
        files = real(package, **where)
        if package == "exomni_core":
            files["exomni_core/later_only.py"] = b"LATER = True\n"
        return files

    monkeypatch.setattr(addon_build, "_sources", later)
    (newer,) = build_addon(["linux-x64"], tmp_path, repo / "build" / "addon-wheels")
    done = run_in(PYTHONS[0], tmp_path, "upgrade_in_blender.py", str(extension), str(newer.path))
    assert result_of(done) == {
        "later": True,
        "again": ["FINISHED"],
        "old_engine_ended": True,
        "paths": 1,
    }


def run_in(python: str, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run a script in a Python that has bpy, in a fresh profile, away from the repository."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    env["BLENDER_USER_RESOURCES"] = str(folder / "profile")
    return subprocess.run(
        # -P: the script's own folder is no place to import from.
        [python, "-P", str(HERE / script), *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def result_of(done: subprocess.CompletedProcess) -> dict:
    """What a script told in its last line."""
    _, told, line = done.stdout.rpartition("RESULT ")  # Blender itself prints without line ends
    assert told, done.stdout[-1500:] + done.stderr[-2500:]
    return json.loads(line.partition("\n")[0])


def note_tested(record: Path, found: dict) -> None:
    """Keep the newest result of each Blender version."""
    known = json.loads(record.read_text()) if record.is_file() else {}
    known[found["blender"]] = found
    write_text(record, json.dumps(known, indent=1, sort_keys=True) + "\n")
