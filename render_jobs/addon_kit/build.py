# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's sources in, Blender extensions out: one reproducible zip per operating system.

A zip holds the add-on, the core and the heads as one pure wheel (Blender puts wheels on its path
by itself), the wheels of espeak-ng and of what recordings need, and the whole product as a wheel
of its own in engine/, from which the add-on makes the neural engine's environment; the pins beside
it say which packages that gets.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import EnvironmentProblem, InputError, WorkerError
from exomni_core.storage.codecs import zip_bytes
from exomni_core.storage.files import write_bytes
from render_jobs.addon_kit.wheels import (
    SYSTEMS,
    System,
    Wheel,
    collect_wheels,
    content_mark,
    write_wheel,
)

PROJECT: Final = Path(__file__).resolve().parents[2]
MANIFEST: Final = "blender_manifest.toml"
_ENDINGS: Final = (".py", ".csv", ".json", ".npz", ".typed", ".toml", ".txt", ".png", ".svg")
_CHECK_TIMEOUT_S: Final = 120


@dataclass(frozen=True)
class Built:
    """A written zip: where, for which system, its wheels, what it lacks and who checked it."""

    path: Path
    system: str
    size: int
    sha256: str
    wheels: tuple[Wheel, ...]
    notes: tuple[str, ...]
    checked_by: str


def build_addon(
    systems: Sequence[str],
    output: Path,
    cache: Path,
    *,
    blender: Path | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> list[Built]:
    """Write the extension for each of `systems` (names in SYSTEMS) into the folder `output`.

    cache: where downloaded wheels are kept. blender: a Blender program to check the zips with;
    without it, the checks of an installed bpy wheel are used. Raises InputError and
    EnvironmentProblem, and WorkerError if Blender refuses a zip.
    """
    unknown = [name for name in systems if name not in SYSTEMS]
    if unknown:
        raise InputError(f"there is no platform {unknown[0]!r}; choose from {', '.join(SYSTEMS)}")
    common = _common_files()
    built = []
    for name in dict.fromkeys(systems):
        on_step(f"{name}: collecting wheels")
        wheels, notes = collect_wheels(SYSTEMS[name], cache)
        files = _with_wheels(common, SYSTEMS[name], [_core_wheel(), *wheels])
        data = zip_bytes({path: files[path] for path in _ordered(files)}, stored=".whl")
        # As Blender's own tool names them: a dash separates, so a system is spelt without one.
        path = output / f"{_manifest()['id']}-{__version__}-{name.replace('-', '_')}.zip"
        on_step(f"{name}: checking with Blender's tool")
        checked_by = _check(data, path.name, blender)
        write_bytes(path, data)
        digest = hashlib.sha256(data).hexdigest()
        shipped = tuple(Wheel(n.removeprefix("wheels/"), files[n], _pythons(n, wheels))
                        for n in _ordered(files) if n.startswith("wheels/"))  # fmt: skip
        built.append(Built(path, name, len(data), digest, shipped, tuple(notes), checked_by))
    return built


def facts(built: Built) -> dict[str, Any]:
    """What `--json` tells of a zip."""
    return {
        "file": str(built.path),
        "platform": built.system,
        "bytes": built.size,
        "sha256": built.sha256,
        "wheels": [
            {"file": w.file_name, "bytes": len(w.data), "pythons": list(w.pythons)}
            for w in built.wheels
        ],
        "checked_by": built.checked_by,
        "notes": list(built.notes),
    }


def _pythons(member: str, wheels: Sequence[Wheel]) -> tuple[str, ...]:
    return next((w.pythons for w in wheels if member.endswith(w.file_name)), ("any",))


def _ordered(files: Mapping[str, bytes]) -> list[str]:
    """The manifest first, as Blender's own tool does, then by name."""
    return sorted(files, key=lambda path: (path != MANIFEST, path))


def _manifest() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "blender_addon" / MANIFEST).read_text(encoding="utf-8"))


def _common_files() -> dict[str, bytes]:
    """What every system's zip holds: path in the zip -> bytes."""
    if not (PROJECT / "pyproject.toml").is_file() or not (PROJECT / "docs").is_dir():
        raise EnvironmentProblem(
            "the extension can only be built in the project's source folder; clone it and run "
            "'exorender addon build' there"
        )
    version = _manifest()["version"]
    if version != __version__:
        raise InputError(
            f"{MANIFEST} says version {version}, the core {__version__}; make them one"
        )
    files = _sources("blender_addon", inside="")
    files["LICENSE"] = (PROJECT / "LICENSE").read_bytes()
    files["README.md"] = (PROJECT / "docs" / "addon.md").read_bytes()
    files["matching.md"] = (PROJECT / "docs" / "matching.md").read_bytes()
    for picture in sorted((PROJECT / "docs" / "screens").glob("*.png")):
        if picture.name.encode() in files["README.md"]:  # the others only document the tests
            files[f"screens/{picture.name}"] = picture.read_bytes()
    name, data = _product_wheel()
    files[f"engine/{name}"] = data
    for path in _engine_pins():
        files[f"engine/{path.name}"] = path.read_bytes()
    return files


def _engine_pins() -> list[Path]:
    """What installs that wheel from pinned packages."""
    names = ("install.py", "base.txt", "omni.txt", "torch.txt", "torch-cpu.txt")
    return [PROJECT / "requirements" / name for name in names]


def _sources(package: str, *, inside: str, without: str = "") -> dict[str, bytes]:
    """A package's own files, their paths led by `inside`, less those in its folder `without`."""
    root = PROJECT / package
    found = {}
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        left_out = "__pycache__" in place or (without and place.startswith(without))
        if path.is_file() and path.suffix in _ENDINGS and not left_out:
            found[f"{inside}{place}"] = path.read_bytes()
    return found


def _core_wheel() -> Wheel:
    """What the add-on and its engine process import, as a wheel; without the neural engine."""
    files = _sources("exomni_core", inside="exomni_core/", without="omni/")
    files |= _sources("templates", inside="templates/")
    # The mark makes Blender replace an installed core of the same version that differs.
    version = f"{__version__}+{content_mark(files)}"
    about = f"Metadata-Version: 2.1\nName: exomni-core\nVersion: {version}\n"
    about += "License: GPL-3.0-or-later\nRequires-Dist: numpy>=1.26\n"
    files[f"exomni_core-{version}.dist-info/METADATA"] = about.encode()
    if groups := _project().get("entry-points"):
        files[f"exomni_core-{version}.dist-info/entry_points.txt"] = _entry_points(groups)
    return Wheel(*write_wheel("exomni_core", version, files), ("any",))


def _project() -> dict[str, Any]:
    """What pyproject.toml says of the product."""
    text = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(text)["project"]
    return project


def _entry_points(groups: Mapping[str, Mapping[str, str]]) -> bytes:
    """The file that tells an installed Python where each group's members stand."""
    lines = []
    for group, members in groups.items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in members.items())]
    return ("\n".join(lines) + "\n").encode()


def _product_wheel() -> tuple[str, bytes]:
    """The product as `pip install` would have it, with its extras, for the engine's environment."""
    project = _project()
    files: dict[str, bytes] = {}
    for package in ("exomni_core", "templates", "render_jobs"):
        files |= _sources(package, inside=f"{package}/")
    version = f"{__version__}+{content_mark(files)}"
    about = [
        "Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {version}",
        f"Summary: {project['description']}", "License: GPL-3.0-or-later",
        f"Requires-Python: {project['requires-python']}",
        *(f"Requires-Dist: {need}" for need in project["dependencies"]),
    ]  # fmt: skip
    for extra, needs in project["optional-dependencies"].items():
        about.append(f"Provides-Extra: {extra}")
        for need in needs:
            package, _, marker = need.partition(";")
            condition = (
                f'({marker.strip()}) and extra == "{extra}"' if marker else f'extra == "{extra}"'
            )
            about.append(f"Requires-Dist: {package}; {condition}")
    package = str(project["name"]).replace("-", "_")
    info = f"{package}-{version}.dist-info"
    files[f"{info}/METADATA"] = ("\n".join(about) + "\n").encode()
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    files[f"{info}/entry_points.txt"] = _entry_points(groups)
    return write_wheel(package, version, files)


def _with_wheels(
    common: Mapping[str, bytes], system: System, wheels: Sequence[Wheel]
) -> dict[str, bytes]:
    """Add the wheels, and name them and the system in the manifest, before its first table."""
    files = dict(common)
    for wheel in wheels:
        files[f"wheels/{wheel.file_name}"] = wheel.data
    names = sorted(f"./wheels/{wheel.file_name}" for wheel in wheels)
    added = f"platforms = [{json.dumps(system.name)}]\nwheels = [\n"
    added += "".join(f"  {json.dumps(name)},\n" for name in names) + "]\n\n"
    head, table, tail = files[MANIFEST].decode().partition("[permissions]")
    files[MANIFEST] = (head + added + table + tail).encode()
    return files


def _check(data: bytes, name: str, blender: Path | None) -> str:
    """Let Blender's own tool judge the zip; returns whose it was, "" if there is none.

    Raises WorkerError with Blender's words if it refuses.
    """
    tool = None if blender else find_extension_tool()
    if blender is None and tool is None:
        return ""
    if blender is not None:
        command, who = [str(blender), "--factory-startup", "--command", "extension"], str(blender)
    else:
        command, who = [sys.executable, "-I", str(tool)], _tool_version(tool)
    with tempfile.TemporaryDirectory(prefix="exorender-") as scratch:
        zipped, folder = Path(scratch) / name, Path(scratch) / "unpacked"
        zipped.write_bytes(data)
        _unpack(zipped, folder)
        _run([*command, "validate", str(zipped)], name)
        build = ["build", "--source-dir", str(folder), "--output-filepath", f"{scratch}/again.zip"]
        _run([*command, *build], name)
    return who


def _unpack(zipped: Path, folder: Path) -> None:
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(folder)


def _run(command: list[str], name: str) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_CHECK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerError(f"Blender's check of {name} can't run ({error}); try again") from error
    lines = (done.stdout + done.stderr).strip().splitlines()
    wrong = [line for line in lines if line.startswith(("Error", "error", "FATAL_ERROR"))]
    if done.returncode != 0 or wrong:
        detail = " ".join(wrong or lines[-3:]) or f"exit status {done.returncode}"
        raise WorkerError(f"Blender refuses {name}: {detail}")


def find_extension_tool() -> Path | None:
    """Blender's command-line tool for extensions, in an installed bpy wheel; bpy isn't loaded."""
    spec = importlib.util.find_spec("bpy")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        for tool in sorted(Path(root).glob("*/scripts/addons_core/bl_pkg/cli/blender_ext.py")):
            return tool
    return None


def _tool_version(tool: Path | None) -> str:
    return f"Blender {tool.parents[4].name}'s extension tool" if tool else ""
