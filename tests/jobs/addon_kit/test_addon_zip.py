# SPDX-License-Identifier: GPL-3.0-or-later
"""The built zip: what it holds, that it is reproducible, and that the core in it stands alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import numpy as np
import pytest

import render_jobs.addon_kit.build as addon_build
from exomni_core import __version__
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from render_jobs.addon_kit.build import Built, build_addon, facts, find_extension_tool

HERE = Path(__file__).resolve().parent
MOST_BYTES = 48_000_000


@pytest.fixture(scope="session")
def built(repo, tmp_path_factory) -> Built:
    """The extension for Linux, with wheels from PyPI the first time."""
    try:
        (one,) = build_addon(
            ["linux-x64"], tmp_path_factory.mktemp("dist"), repo / "build" / "addon-wheels"
        )
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))
    return one


@pytest.fixture(scope="session")
def unpacked(built, tmp_path_factory) -> Path:
    """The zip's contents, and in site/ those of its wheels, as Blender lays them out."""
    folder = tmp_path_factory.mktemp("extension")
    with zipfile.ZipFile(built.path) as archive:
        archive.extractall(folder)
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    return folder


def test_the_same_sources_give_the_same_bytes(built, repo, tmp_path):
    cache = repo / "build" / "addon-wheels"
    (again,) = build_addon(["linux-x64"], tmp_path, cache)
    assert again.sha256 == built.sha256
    assert again.path.read_bytes() == built.path.read_bytes()
    assert built.path.name == f"exomni-{__version__}-linux_x64.zip"
    with zipfile.ZipFile(built.path) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_what_the_zip_holds(built):
    with zipfile.ZipFile(built.path) as archive:
        names = archive.namelist()
        manifest = tomllib.loads(archive.read("blender_manifest.toml").decode())
    assert names[0] == "blender_manifest.toml"
    assert {"__init__.py", "_vendor.py", "README.md", "LICENSE"} <= set(names)
    assert not [n for n in names if "__pycache__" in n or n.endswith(".pyc")]
    assert manifest["id"] == "exomni"
    assert manifest["version"] == __version__
    assert manifest["blender_version_min"] == "4.2.0"
    assert manifest["platforms"] == ["linux-x64"]
    assert {"network", "files"} <= set(manifest["permissions"])
    assert sorted(manifest["wheels"]) == sorted(f"./{n}" for n in names if n.startswith("wheels/"))
    # A wheel for one Python only would shut out every Blender with another.
    assert all("-none-" in wheel for wheel in manifest["wheels"])
    assert built.size == built.path.stat().st_size < MOST_BYTES
    told = facts(built)
    assert told["bytes"] == built.size
    pythons = {w["file"].partition("-")[0]: w["pythons"] for w in told["wheels"]}
    assert pythons["espeakng_loader"] == ["any"]
    assert pythons["pocketsphinx"] == ["3.11", "3.13"]
    json.dumps(told)


def test_blenders_own_tool_accepts_it(built):
    assert find_extension_tool() is None or "extension tool" in built.checked_by


def test_a_refused_zip_is_not_written(monkeypatch, repo, tmp_path, built):
    if find_extension_tool() is None:
        pytest.skip("needs the bpy wheel's extension tool")
    real = addon_build._common_files

    def spoilt() -> dict[str, bytes]:
        files = real()
        files["blender_manifest.toml"] = files["blender_manifest.toml"].replace(
            b'tagline = "', b'tagline = "Ends with a dot.'
        )
        files["blender_manifest.toml"] = files["blender_manifest.toml"].replace(
            b'id = "exomni"', b'id = "no good"'
        )
        return files

    monkeypatch.setattr(addon_build, "_common_files", spoilt)
    with pytest.raises(WorkerError, match=r"Blender refuses exomni-.*zip: .*id"):
        build_addon(["linux-x64"], tmp_path / "out", repo / "build" / "addon-wheels")
    assert not list(tmp_path.rglob("*.zip"))


def test_wrong_wishes(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="no platform 'amiga'; choose from linux-x64"):
        build_addon(["amiga"], tmp_path, tmp_path)
    monkeypatch.setattr(addon_build, "__version__", "9.9.9")
    with pytest.raises(InputError, match=r"says version .*, the core 9\.9\.9"):
        build_addon(["linux-x64"], tmp_path, tmp_path)
    monkeypatch.setattr(addon_build, "PROJECT", tmp_path)
    with pytest.raises(EnvironmentProblem, match="source folder"):
        build_addon(["linux-x64"], tmp_path, tmp_path)


def test_the_command(built, repo, tmp_path):
    command = [sys.executable, "-m", "render_jobs.cli", "addon", "build", "-o", str(tmp_path)]
    done = subprocess.run(
        [*command, "--platform", "linux-x64", "--json"],
        cwd=repo, capture_output=True, text=True, timeout=300, check=True,
    )  # fmt: skip
    (told,) = json.loads(done.stdout)["zips"]
    assert told["sha256"] == built.sha256
    assert Path(told["file"]).is_file()
    bad = subprocess.run(
        [*command, "--platform", "amiga"], cwd=repo, capture_output=True, text=True
    )
    assert bad.returncode == 2
    assert "choose from linux-x64" in bad.stderr


def alone(unpacked: Path, script: str, *arguments: str) -> dict:
    """Run a script with numpy, the wheels of the zip and nothing else; its last line is JSON."""
    numpy_only = unpacked / "numpy_only"
    numpy_only.mkdir(exist_ok=True)
    for name in ("numpy", "numpy.libs"):
        place = Path(np.__file__).parents[1] / name
        if place.exists() and not (numpy_only / name).exists():
            (numpy_only / name).symlink_to(place)
    # -S and -I: no site-packages, no PYTHONPATH, not even the script's own folder.
    start = (
        f"import sys; sys.path += [{str(unpacked / 'site')!r}, {str(numpy_only)!r}]; "
        f"sys.argv = sys.argv[1:]; exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'))"
    )
    command = [sys.executable, "-I", "-S", "-c", start, str(HERE / script), *arguments]
    done = subprocess.run(
        command, cwd=unpacked, capture_output=True, text=True, timeout=300,
        env={"PATH": os.environ["PATH"]}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_core_stands_alone(unpacked, repo, tmp_path):
    """No repository, no packages but numpy and the wheels: the head is there, and it speaks."""
    found = alone(unpacked, "core_alone.py", str(tmp_path))
    assert found["foreign"] == []
    assert found["head_shapes"] == 52
    assert found["duration_s"] > 1
    assert found["jaw"] > 0.15
    assert found["reloaded_equal"]
    assert found["has_omni"] is False
    assert str(repo) not in found["core"]


def test_recordings_too(unpacked, tmp_path):
    """A recording at another rate, as FLAC, is listened to: soundfile, soxr, pocketsphinx work."""
    found = alone(unpacked, "core_alone.py", str(tmp_path), "lipsync")
    assert found["route"] == "transcript", found
    assert found["duration_s"] > 1


def test_the_engine_wheel_is_the_product(unpacked, repo):
    (wheel,) = (unpacked / "engine").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (about,) = {n.partition("/")[0] for n in names if ".dist-info/" in n}
        archive.extractall(unpacked / "product")
    for name in ("exomni_core/omni/engine.py", "exomni_core/phonetics/visemes.csv",
                 "render_jobs/cli/commands.py"):  # fmt: skip
        assert name in names
    pins = {path.name for path in (unpacked / "engine").iterdir()} - {wheel.name}
    assert pins == {"install.py", "base.txt", "omni.txt", "torch.txt", "torch-cpu.txt"}
    product = PathDistribution(unpacked / "product" / about)
    assert product.metadata["Name"] == "exomni-blender"
    assert product.version.startswith(f"{__version__}+")
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    needs = product.requires or []
    assert set(project["dependencies"]) <= set(needs)
    assert any(n.startswith("torch") and 'extra == "omni"' in n for n in needs)
    assert any("python_version" in n and 'extra == "render"' in n for n in needs)
    assert [(e.name, e.value) for e in product.entry_points] == [
        ("exorender", "render_jobs.cli:main")
    ]


def test_a_python_without_its_part_of_a_joined_wheel(monkeypatch):
    """There the package is found, but not what it stands on: lip-sync has to say so."""
    from exomni_core.listening import sphinx

    assert sphinx.is_installed()
    monkeypatch.setattr(sphinx, "EXTENSION_SUFFIXES", [".cpython-399-x86_64-linux-gnu.so"])
    assert not sphinx.is_installed()
