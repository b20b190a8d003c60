# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `exorender doctor`: this machine in, a report out of what works and what is missing.

Each finding about a missing part says which command installs it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import click

from exomni_core import __version__
from exomni_core.engine import DEFAULT_ENGINE, ENGINE_KINDS, load_engine
from exomni_core.engine_kind import EngineKind
from exomni_core.errors import ExOmniError
from exomni_core.registry import Registry
from render_jobs.cli.options import EXISTING, HeadedCommand, json_option

State = Literal["ok", "missing", "note"]
_NEEDED: Final = (
    "numpy",
    "soundfile",
    "soxr",
    "espeakng-loader",
    "pocketsphinx",
    "click",
    "rich",
)
_RENDERING: Final = ("bpy", "ffmpeg-python", "imageio-ffmpeg")


@dataclass(frozen=True)
class Finding:
    """One checked thing. `missing`: something will not work; `note`: information only."""

    what: str
    state: State
    detail: str


@click.command(cls=HeadedCommand)
@json_option
@click.option("--blender", type=EXISTING, help="Check rendering with this Blender program.")
def doctor(*, as_json: bool, blender: Path | None) -> None:
    """Check this machine and print a report."""
    from render_jobs.cli.console import EXIT_ENVIRONMENT, print_json

    findings = examine(blender)
    if as_json:
        print_json({"healthy": healthy(findings), "findings": [vars(f) for f in findings]})
    else:
        for finding in findings:
            click.echo(f"{finding.state:7} {finding.what:22} {finding.detail}")
    if not healthy(findings):
        sys.exit(EXIT_ENVIRONMENT)


def examine(blender: Path | None = None) -> list[Finding]:
    """Check everything. This takes a few seconds, because it speaks, renders and encodes."""
    findings = [
        Finding("ex-omni for blender", "ok", __version__),
        _python(),
        Finding("system", "ok", f"{platform.platform()}, {os.cpu_count()} cores"),
    ]
    findings += [_package(name, needed=True) for name in _NEEDED]
    findings += [_package(name, needed=blender is None or name != "bpy") for name in _RENDERING]
    findings += [_engine_package(kind, name) for kind in _engines() for name in kind.packages]
    findings += [
        _try("speech", _speech),
        _try("ffmpeg", _ffmpeg),
        _try("rendering", lambda: _rendering(blender)),
        _try("template", _template),
        *_neural(),
        *_lists(),
        _fonts(),
        _try("temporary folder", _disk),
    ]
    return findings


def healthy(findings: Iterable[Finding]) -> bool:
    """True if nothing that clips and videos need is missing."""
    return all(finding.state != "missing" for finding in findings)


def _python() -> Finding:
    return Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _package(name: str, *, needed: bool) -> Finding:
    from render_jobs.batch.folder import installed_version

    version = installed_version(name)
    if version is not None:
        return Finding(name, "ok", version)
    extra = "[render]" if name in _RENDERING else ""
    line = f"not installed; in this project's folder: pip install '.{extra}'"
    return Finding(name, "missing" if needed else "note", line)


def _engines() -> list[EngineKind]:
    return list(ENGINE_KINDS.members().values())


def _engine_package(kind: EngineKind, name: str) -> Finding:
    from render_jobs.batch.folder import installed_version

    version = installed_version(name)
    if version is not None:
        return Finding(name, "ok", version)
    mend = f"the engine {kind.name} needs it: pip install {name}"
    if kind.extra:
        mend = f"in this project's folder: pip install '.[{kind.extra}]'"
    return Finding(name, "note", f"not installed; {mend}")


def _lists() -> list[Finding]:
    """The engines, voices, listeners and formats, also of other packages; broken ones are notes."""
    from exomni_core.formats.format import registered_formats
    from exomni_core.listening.listener import HEARERS
    from exomni_core.voices.voice import SYNTHESISERS

    lists: dict[str, Registry[Any]] = {
        "engines": ENGINE_KINDS,
        "voices": SYNTHESISERS,
        "listeners": HEARERS,
        "formats": registered_formats(),
    }
    findings = []
    for what, registry in lists.items():
        findings.append(Finding(what, "ok", ", ".join(registry.members())))
        findings += [Finding(f"{what}: {p.name}", "note", p.reason) for p in registry.problems()]
    return findings


def _try(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", check())
    except (ExOmniError, ImportError, OSError) as error:
        return Finding(what, "missing", str(error))


def _speech() -> str:
    from exomni_core.prompt import Prompt

    engine = load_engine(DEFAULT_ENGINE)
    clip = engine.generate(Prompt(id="doctor", text="Hello."))
    return f"engine {engine.name} {engine.version()[:40]} spoke {clip.duration_s:.1f} s"


def _ffmpeg() -> str:
    from render_jobs.video.ffmpeg_command import ENCODERS, check_ffmpeg

    return f"{check_ffmpeg('.mp4')} with {' and '.join(ENCODERS['.mp4'])}"


def _rendering(blender: Path | None) -> str:
    from render_jobs.video.make import render_worker
    from render_jobs.workers.pool import Worker

    with tempfile.TemporaryDirectory(prefix="exorender-") as scratch:
        worker = Worker(render_worker(Path(scratch), blender))
        try:
            ready = worker.wait_ready()
        finally:
            worker.stop()
    return f"Blender {ready.get('blender')} draws with {ready.get('renderer')}"


def _template() -> str:
    from templates.library import find_template, load_mesh

    mesh = load_mesh(find_template("head"))
    return f"head: {len(mesh.vertices)} vertices, {len(mesh.shapes)} shapes"


def _neural() -> list[Finding]:
    """State of the neural engine. It is optional, so nothing counts as missing."""
    from exomni_core.omni.weights.store import KNOWN, is_tiny, look, models_folder
    from render_jobs.batch.folder import installed_version

    findings = [_device()] if installed_version("torch") else []
    for found in (look(model, models_folder()) for model in KNOWN):
        mend = f"exorender models pull {found.model.name}"
        if found.state in ("ready", "unverified"):
            tiny = " (a tiny random one)" if is_tiny(found.folder) else ""
            findings.append(Finding(found.model.name, "ok", f"{found.folder}{tiny}"))
        elif found.state == "incomplete":
            detail = f"incomplete in {found.folder} ({found.detail}); run: {mend}"
            findings.append(Finding(found.model.name, "note", detail))
        else:
            purpose = f"{found.model.title}; not in {found.folder.parent}; to get it: {mend}"
            findings.append(Finding(found.model.name, "note", purpose))
    return findings


def _device() -> Finding:
    try:
        from exomni_core.omni.model import choose_device

        if choose_device("auto").type != "cpu":
            return Finding("gpu", "ok", "the neural engine uses it")
    except Exception as error:  # noqa: BLE001 (PyTorch and its plug-ins may raise anything)
        return Finding("gpu", "note", f"PyTorch can't start ({error})")
    return Finding("gpu", "note", "PyTorch finds no GPU; the neural engine runs slowly on the CPU")


def _fonts() -> Finding:
    program = shutil.which("fc-list")
    if program is None:
        return Finding("fonts", "note", "fontconfig is not installed; only captions need fonts")
    lists = {
        language: subprocess.run(
            [program, f":lang={language}", "family"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout.splitlines()
        for language in ("en", "zh")
    }
    if not lists["zh"]:
        return Finding(
            "fonts", "note", "no Chinese font; for Chinese captions: apt-get install fonts-noto-cjk"
        )
    return Finding("fonts", "ok", f"{len(lists['en'])} Latin, {len(lists['zh'])} Chinese")


def _disk() -> str:
    folder = tempfile.gettempdir()
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < 1:
        raise OSError(f"only {free_gb:.1f} GB free in {folder}; make room or set TMPDIR")
    return f"{folder}, {free_gb:.0f} GB free"
