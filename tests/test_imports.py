# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrows run one way (render_jobs, blender_addon -> templates -> exomni_core); doors stay shut."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
PACKAGES = ("exomni_core", "templates", "render_jobs", "blender_addon")
MAY_NOT_IMPORT = {
    "exomni_core": {"render_jobs", "templates", "blender_addon"},
    "templates": {"render_jobs", "blender_addon"},
    "render_jobs": {"blender_addon"},
    "blender_addon": {"render_jobs"},
}
BLENDER = {"bpy", "gpu", "bmesh", "mathutils", "bpy_extras", "gpu_extras", "aud", "blf"}
BLENDER_DOORS = ("blender_addon/", "render_jobs/", "templates/", "exomni_core/keyframes.py")
NEURAL = {"torch", "transformers", "safetensors", "huggingface_hub", "torchaudio"}
# Drivers run in the Python of somebody else's checkout.
NEURAL_DOORS = ("exomni_core/omni/", "render_jobs/outside/")
# The interface of all engines and the command line must start at once, and anywhere.
HEAVY = ("bpy", "torch", "transformers", "soundfile", "soxr", "pocketsphinx", "espeakng_loader",
         "scipy", "imageio_ffmpeg", "ffmpeg", "PIL", "jiwer", "rapidfuzz",
         "whisper_normalizer")  # fmt: skip


def sources() -> list[str]:
    found = [p for package in PACKAGES for p in (REPO / package).rglob("*.py")]
    return sorted(p.relative_to(REPO).as_posix() for p in found)


def imported_roots(text: str, package: str) -> set[str]:
    """First names of all modules that a source imports anywhere, also inside functions."""
    roots = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # A relative import stays in its own package.
            roots.add((node.module or "").partition(".")[0] if node.level == 0 else package)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                roots.add(node.args[0].value.partition(".")[0])
    return roots


@pytest.mark.parametrize("source", sources())
def test_imports_point_downwards(source):
    package = source.partition("/")[0]
    roots = imported_roots((REPO / source).read_text(encoding="utf-8"), package)
    assert not roots & MAY_NOT_IMPORT[package]
    if not source.startswith(BLENDER_DOORS):
        assert not roots & BLENDER
    if not source.startswith(NEURAL_DOORS):
        assert not roots & NEURAL


def test_the_rule_sees_hidden_imports():
    text = "def f():\n  import bpy.types\n  from torch.nn import x\n  import_module('templates.a')"
    assert imported_roots(text, "p") == {"bpy", "torch", "templates"}
    assert imported_roots("from . import a", "p") == {"p"}


LIGHT = [
    "exomni_core.arkit", "exomni_core.audio", "exomni_core.clip", "exomni_core.engine",
    "exomni_core.storage.files", "exomni_core.formats", "exomni_core.prompt", "exomni_core.retime",
    "render_jobs.cli.commands",
]  # fmt: skip


def test_light_modules_load_nothing_heavy():
    there = [m for m in LIGHT if (REPO / (m.replace(".", "/") + ".py")).exists()]
    assert "exomni_core.engine" in there
    code = (
        f"import sys\nfor name in {there!r}:\n"
        f"    __import__(name)\n"
        f"    loaded = [h for h in {HEAVY!r} if h in sys.modules]\n"
        f"    assert not loaded, f'{{name}} loads {{loaded}}'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_source_starts_with_its_licence():
    for source in sources():
        text = (REPO / source).read_text(encoding="utf-8")
        first = text.partition("\n")[0]
        assert not text or first == "# SPDX-License-Identifier: GPL-3.0-or-later", source
