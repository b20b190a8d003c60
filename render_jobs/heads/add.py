# SPDX-License-Identifier: GPL-3.0-or-later
"""The path of a user's own head in, a checked template in the user's template folder out.

npz files and ICT-FaceKit folders are read here; glTF, FBX and .blend by Blender, in a process of
its own with a time limit.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from exomni_core.arkit import canonical_name
from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError, WorkerError
from exomni_core.storage.files import sha256_file, swept, write_text
from render_jobs.workers.pool import Worker, WorkerCommand
from templates.descriptor import DESCRIPTOR, Template
from templates.importing import store
from templates.importing.ict_source import is_obj_folder, read_folder
from templates.importing.npz_source import read_npz
from templates.importing.part_colours import part_colours
from templates.importing.prepare import Prepared, Wishes, prepare
from templates.importing.raw import Origin, RawHead
from templates.importing.report import Report
from templates.importing.store import Label
from templates.library import find_template, load_mesh
from templates.mesh import mesh_from_npz

_MAX_FILE_BYTES: Final = 1 << 30
KINDS: Final = {
    ".npz": "npz",
    ".glb": "gltf",
    ".gltf": "gltf",
    ".vrm": "gltf",
    ".fbx": "fbx",
    ".blend": "blend",
}
TIME_LIMIT_S: Final = 300.0
SHEET: Final = "shapes.png"
REPORT: Final = "report.json"


@dataclass(frozen=True)
class Added:
    """A new template: its folder and its report."""

    folder: Path
    report: Report


class BlenderReader:
    """A Blender that reads files, started when the first one comes; close it, or use `with`."""

    def __init__(self, blender: Path | None = None, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._blender, self._limit_s = blender, time_limit_s
        self._scratch = tempfile.TemporaryDirectory(prefix="exorender-")
        self._worker: Worker | None = None

    def __enter__(self) -> BlenderReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, path: Path, kind: str) -> tuple[RawHead, bool]:
        """The head in `path`, and whether it is a .blend that is to be kept with its scene.

        Raises InputError, EnvironmentProblem without Blender, WorkerError if it crashed or took
        longer than the limit.
        """
        scratch = Path(self._scratch.name)
        source, out = path.resolve(), scratch / "raw.npz"
        if path.suffix.lower() == ".vrm":  # a GLB by another name
            source = Path(shutil.copyfile(source, scratch / "head.glb"))
        request = {"job": 0, "file": str(source), "kind": kind, "out": str(out)}
        try:
            if self._worker is None:
                self._worker = Worker(import_worker(scratch, self._blender))
                self._worker.wait_ready()
            answer = self._worker.ask(request, silence_s=self._limit_s)
        except InputError as error:
            raise InputError(str(error).replace(str(source), str(path))) from error
        except WorkerError as error:
            self._stop()  # the next file gets a fresh one
            raise WorkerError(f"{path} may be broken or too large: {error}") from error
        except EnvironmentProblem:
            self._stop()
            raise
        return RawHead(mesh_from_npz(out), _origin(answer["origin"])), bool(answer["keep_blend"])

    def close(self) -> None:
        """End Blender and remove its files."""
        self._stop()
        self._scratch.cleanup()

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop(now=True)
            self._worker = None


def add_template(path: Path, label: Label, wishes: Wishes, reader: BlenderReader) -> Added:
    """Import the head at `path` as the template `label`.

    Raises InputError in one sentence where the head or the name is unusable, and what `reader`
    raises.
    """
    with swept(label.folder.parent, label.folder):
        return _add(path, label, wishes, reader)


def _add(path: Path, label: Label, wishes: Wishes, reader: BlenderReader) -> Added:
    store.check_free(label)
    raw, keep_blend = read_head(path, reader)
    ready = prepare(raw, wishes, name=label.name, path=path)
    label = replace(
        label, licence=label.licence or raw.origin.licence, source=label.source or raw.origin.source
    )
    origin = _told(path, raw.origin, ready)
    if keep_blend:
        folder = store.keep_blend(label, path, channels=_renamed(raw.origin), origin=origin)
    else:
        colours = part_colours(ready.mesh.part_names, raw.origin.colours)
        folder = store.keep_mesh(
            label, ready.mesh, colours=colours, derived=ready.report.derived, origin=origin
        )
    write_text(folder / REPORT, json.dumps(ready.report.to_json(), ensure_ascii=False, indent=1))
    return Added(folder, ready.report)


def check_head(name_or_path: str, wishes: Wishes, reader: BlenderReader) -> Report:
    """The report about a template, or about a file that might become one; nothing is kept."""
    path = Path(name_or_path).expanduser()
    if path.exists() and not (path / DESCRIPTOR).is_file() and path.suffix != ".json":
        raw, _ = read_head(path, reader)
        return prepare(raw, replace(wishes, force=True), name=path.stem, path=path).report
    template = find_template(name_or_path)
    raw = _raw_of(template, reader)
    where = template.mesh_path or Path(template.name)
    return prepare(raw, replace(wishes, force=True), name=template.name, path=where).report


def read_head(path: Path, reader: BlenderReader) -> tuple[RawHead, bool]:
    """The head at `path` as it is, and whether it is a .blend that is to be kept with its scene."""
    if path.is_dir():
        if not is_obj_folder(path):
            raise InputError(
                f"{path} is not a head; give an .npz, .glb, .gltf, .vrm, .fbx or .blend file, or "
                "ICT-FaceKit's folder with generic_neutral_mesh.obj"
            )
        return read_folder(path), False
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise InputError(
            f"{path} can't be read as a head; the kinds are {', '.join(KINDS)}, or a folder "
            "of .obj files as ICT-FaceKit has it"
        )
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(f"{path} is larger than {_MAX_FILE_BYTES >> 30} GB; a head takes far less")
    if kind == "npz":
        return read_npz(path), False
    return reader.read(path, kind)


def _raw_of(template: Template, reader: BlenderReader) -> RawHead:
    if template.is_blend:
        assert template.mesh_path is not None
        return read_head(template.mesh_path, reader)[0]
    mesh = load_mesh(template)
    keys = sum(bool(row.any()) for row in mesh.shapes)
    made_of = {
        c: ((str(made), 1.0),) for c, made in dict(template.origin.get("shapes", {})).items()
    }
    stand_ins = tuple(template.origin.get("stand_ins", ()))
    origin = Origin("template", keys, made_of, stand_ins, unit_hint=template.unit_m)
    return RawHead(mesh, origin)


def import_worker(scratch: Path, blender: Path | None = None) -> WorkerCommand:
    """How to start an import worker: our own bpy, or the user's Blender at `blender`."""
    script = Path(__file__).with_name("worker.py")
    argv: tuple[str, ...] = (sys.executable, "-m", "render_jobs.heads.worker")
    if blender is not None:
        argv = (str(blender), "--background", "--factory-startup", "--python", str(script))
    root = str(script.parents[2])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    env = {"TMPDIR": str(scratch.resolve()), "PYTHONPATH": path}
    return WorkerCommand("import worker", argv, env)


def _origin(data: dict[str, Any]) -> Origin:
    """What came over the wire, with its lists as tuples again."""
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    plain["shared"] = tuple((left, right) for left, right in plain["shared"])
    plain["made_of"] = {
        channel: tuple((name, weight) for name, weight in parts)
        for channel, parts in plain["made_of"].items()
    }
    plain["colours"] = {k: (v[0], v[1], v[2]) for k, v in plain["colours"].items()}
    return Origin(**plain)


def _told(path: Path, origin: Origin, ready: Prepared) -> dict[str, Any]:
    """What a template's descriptor says about where it came from."""
    report = ready.report
    told: dict[str, Any] = {"file": path.name, "format": origin.format}
    if path.is_file():
        told["sha256"] = sha256_file(path)
    told |= {"unit": report.unit, "axes": report.axes, "families": list(origin.families)}
    told["coverage"] = report.coverage
    told["shapes"] = {c: origin.recipe(c) for c in origin.made_of if origin.recipe(c) != c}
    told["stand_ins"] = list(origin.stand_ins)
    told["notes"] = list(ready.notes)
    return {name: value for name, value in told.items() if value}


def _renamed(origin: Origin) -> dict[str, Any]:
    """channel -> key, for those keys that a .blend template would not find by ARKit's names."""
    chosen: dict[str, Any] = {}
    for channel, parts in origin.made_of.items():
        (name, weight), *more = parts
        if more or weight != 1 or canonical_name(name) != channel:
            chosen[channel] = name if not more and weight == 1 else [list(part) for part in parts]
    return chosen


def draw_sheet(
    folder: Path, on_cells: Callable[[int], None] | None = None
) -> tuple[Path | None, str]:
    """The contact sheet of all shapes beside the template, or a sentence why there is none.

    on_cells: told how many more of its pictures are done.
    """
    try:
        from render_jobs.video.sheet import shape_sheet
    except ImportError as error:
        return None, f"no contact sheet: {error}"
    try:
        with swept(folder):
            shape_sheet(str(folder), folder / SHEET, on_cells=on_cells)
    except (ExOmniError, OSError, RuntimeError, ImportError) as error:
        return None, f"no contact sheet: {error}"
    return folder / SHEET, ""
