# SPDX-License-Identifier: GPL-3.0-or-later
"""A template's name or path in, its checked descriptor and mesh out; no bpy, no rendering.

A template is one folder with a `template.json`: which mesh, in which unit and axes, and how it is
shown. A bare .npz or .blend file works too, with defaults. `bundled name -> Template` is
`find_template`, `Template -> TemplateMesh` is `load_mesh`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.head_regions import ids_hash
from exomni_core.storage.files import sha256_file
from exomni_core.storage.npz import read_array
from exomni_core.storage.places import user_place
from templates.descriptor import BUNDLED, DESCRIPTOR, Colour, Template, read_descriptor
from templates.looks import Look, find_named_look, look_hash
from templates.mesh import TemplateMesh, check_mesh, mesh_from_npz

# The environment variable that says where the user's own templates lie.
FOLDER_VARIABLE: Final = "EXOMNI_TEMPLATES"
# Stands for `mesh.py` in the hash of a head that code builds, so that an edit there which changes
# no head leaves finished videos valid. Change it when the same builder makes another mesh.
_MESH_TYPE: Final = "mesh.py f4e356b4ec94ecfdb214136b201b14ae50c7322f230cc4f7757f649f955e0f3e"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# How tall a head may be with its neck, in metres: outside it a unit is not guessed.
_HEAD_HEIGHT_M: Final = (0.15, 0.5)

# For meshes that come without a descriptor; part names as ICT-FaceKit's export has them.
_DARK: Final[Colour] = (0.02, 0.02, 0.02)
_IRIS: Final[Colour] = (0.20, 0.35, 0.50)
_SCLERA: Final[Colour] = (0.90, 0.90, 0.90)
_PLAIN_COLOURS: Final[Mapping[str, Colour]] = {
    "*": (0.86, 0.61, 0.49),
    "teeth": (0.85, 0.83, 0.78), "gums_tongue": (0.65, 0.25, 0.25),
    "mouth_socket": (0.45, 0.12, 0.12),
    "sclera_L": _SCLERA, "sclera_R": _SCLERA, "iris_L": _IRIS, "iris_R": _IRIS,
    "pupil_L": _DARK, "pupil_R": _DARK, "eyelashes_L": _DARK, "eyelashes_R": _DARK,
}  # fmt: skip


def list_templates() -> tuple[Template, ...]:
    """The bundled templates, by name; also those that still need a file from the user."""
    return tuple(read_descriptor(path) for path in sorted(BUNDLED.glob(f"*/{DESCRIPTOR}")))


def user_folder(environment: Mapping[str, str] = os.environ, system: str = sys.platform) -> Path:
    """Where the user's own templates lie: $EXOMNI_TEMPLATES, else a folder of the user's data."""
    if chosen := environment.get(FOLDER_VARIABLE):
        return Path(chosen).expanduser().absolute()
    return user_place("data", environment, system) / "templates"


def list_user_templates() -> tuple[tuple[Template, ...], tuple[str, ...]]:
    """The user's own templates by name, and a sentence for each that can't be read."""
    found, faults = [], []
    for path in sorted(user_folder().glob(f"*/{DESCRIPTOR}")):
        try:
            found.append(read_descriptor(path))
        except InputError as error:
            faults.append(str(error))
    return tuple(found), tuple(faults)


def checked_name(name: str) -> str:
    """Check a name for a user's template; InputError if it could lead out of the folder."""
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise InputError(
            f"{name[:80]!r} is not a valid template name; use at most 64 of letters, "
            "digits, -, _ and .",
            field="name",
        )
    if (BUNDLED / name).exists():
        raise InputError(f"{name!r} is a built-in template; choose another name", field="name")
    return name


def find_template(name_or_path: str | Path) -> Template:
    """A template by bundled name, the user's own name, folder, template.json, .npz or .blend file.

    Raises InputError if there is no such template or its descriptor is wrong, EnvironmentProblem
    if it needs a file that the user has to fetch first.
    """
    text = str(name_or_path)
    bundled = BUNDLED / text / DESCRIPTOR
    if text and Path(text).name == text and bundled.is_file():
        return _with_user_file(read_descriptor(bundled))
    if _NAME.fullmatch(text) and (own := user_folder() / text / DESCRIPTOR).is_file():
        return read_descriptor(own)
    path = Path(text).expanduser()
    if path.is_dir():
        path = path / DESCRIPTOR
    if not path.is_file():
        names = ", ".join(t.name for t in (*list_templates(), *list_user_templates()[0]))
        raise InputError(
            f"there is no template {text!r}; use {names}, or the path of a template folder, an "
            ".npz or a .blend file",
            field="template",
        )
    if path.suffix == ".json":
        return _with_user_file(read_descriptor(path))
    if path.suffix.lower() in (".npz", ".blend"):
        return _from_bare_file(path.resolve())
    raise InputError(f"{path} is not a template; give a folder, .npz or .blend", field="template")


def load_mesh(template: Template) -> TemplateMesh:
    """The template's head, checked, in the template's unit; InputError if anything is wrong.

    A .blend template has its mesh inside Blender and can't be loaded here.
    """
    where = f"template {template.name!r}"
    if template.is_blend:
        raise InputError(
            f"{where} is a .blend file; metrics and tools outside Blender need an .npz"
        )
    if isinstance(template.mesh, str):
        mesh = mesh_from_npz(
            template.folder / template.mesh,
            channel_order=template.channel_order,
            ids_from=template.ids_from,
            up=template.up,
            forward=template.forward,
            channels=template.shape_sums,
        )
        where = str(template.mesh_path)
    else:
        mesh = _builder(template)()
    if template.lips != "mesh":
        mesh = replace(mesh, lips=_read_ids(template.folder / template.lips))
    check_mesh(mesh, where)
    if template.lips_sha256 and ids_hash(np.unique(mesh.lips)) != template.lips_sha256:
        raise InputError(
            f"{where}: the lip vertices don't match lips_sha256 in {DESCRIPTOR}; "
            "measurements with other lips can't be compared"
        )
    unknown = sorted(set(template.part_colours) - {*mesh.part_names, "*"})
    if unknown and template.part_colours is not _PLAIN_COLOURS:
        raise InputError(
            f"{where}: part_colours names {', '.join(unknown)}, but the mesh has the parts "
            f"{', '.join(mesh.part_names)}"
        )
    return mesh


def unit_in_metres(template: Template, mesh: TemplateMesh) -> float:
    """Metres per mesh unit: as the descriptor says, else guessed from the head's height.

    Raises InputError where the guess isn't sure: a wrong unit would make every distance wrong.
    """
    if template.unit_m is not None:
        return template.unit_m
    height = float(np.ptp(mesh.vertices[:, 1]))
    for unit in (1.0, 0.01, 0.001):
        if _HEAD_HEIGHT_M[0] <= height * unit <= _HEAD_HEIGHT_M[1]:
            return unit
    raise InputError(
        f"template {template.name!r} is {height:.3g} units tall, which is not a head in metres, "
        'centimetres or millimetres; set "unit_m" in a template.json'
    )


def display_unit(template: Template, mesh: TemplateMesh) -> float:
    """Metres per mesh unit to show the head by: the true unit, or one that makes it head-sized."""
    try:
        return unit_in_metres(template, mesh)
    except InputError:
        return 0.3 / max(float(np.ptp(mesh.vertices[:, 1])), 1e-9)


def template_hash(template: Template, look: str = "") -> str:
    """Hex SHA-256 over the descriptor and the mesh's content (for a builder: its source files).

    look: what it is shown in ("": its own); the look's content counts too. The hash doesn't depend
    on where the files lie. Raises InputError for an unknown look.
    """
    described = asdict(template)
    del described["folder"]
    described["look"] = look_hash(find_look(look, template))
    if isinstance(described["mesh"], str):
        described["mesh"] = Path(described["mesh"]).name
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    if template.mesh_path:
        stamps = [_stamp(template.mesh_path)]
    else:
        stamps = [*map(_stamp, _builder_sources(template)), _MESH_TYPE]
    if template.lips != "mesh":
        stamps.append(_stamp(template.folder / template.lips))
    for stamp in stamps:
        digest.update(f"\n{stamp}".encode())
    return digest.hexdigest()


def _stamp(path: Path) -> str:
    """A file's name and the hash of its content."""
    try:
        return f"{path.name} {sha256_file(path)}"
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror or error}") from error


def _from_bare_file(path: Path) -> Template:
    """A template around a mesh file alone: a known file's own descriptor, or defaults."""
    for known in list_templates():
        if known.user_file and path.name.lower() in map(str.lower, known.user_file.names):
            return replace(known, mesh=path.name, folder=path.parent)
    return Template(
        name=path.stem,
        title=path.name,
        mesh=path.name,
        licence="unknown",
        source=path.name,
        unit_m=None,
        part_colours=_PLAIN_COLOURS,
        folder=path.parent,
    )


def _with_user_file(template: Template) -> Template:
    """Point a template that needs a user's file at that file; EnvironmentProblem if it's absent."""
    wanted = template.user_file
    if wanted is None:
        return template
    named = os.environ.get(wanted.env, "")
    place = Path(named).expanduser() if named else template.folder
    choices = [place] if place.is_file() else [place / name for name in wanted.names]
    for path in choices:
        if path.is_file() and path.suffix.lower() in (".npz", ".blend"):
            return replace(template, mesh=path.name, folder=path.resolve().parent)
    at = f"{wanted.env}={named} holds no such file: " if named else ""
    raise EnvironmentProblem(
        f"{at}template {template.name!r} needs your own {' or '.join(wanted.names)}: "
        f"{wanted.help} Then use --template /path/to/{wanted.names[-1]} or set {wanted.env}"
    )


def _builder(template: Template) -> Callable[[], TemplateMesh]:
    module, name = _builder_names(template)
    try:
        built: Callable[[], TemplateMesh] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"template {template.name!r} can't be built ({error}); reinstall this package"
        ) from error
    return built


def _builder_names(template: Template) -> tuple[str, str]:
    assert not isinstance(template.mesh, str)
    module, _, name = template.mesh.get("builder", "").partition(":")
    # A descriptor from elsewhere must not choose what code runs here.
    if not module.startswith("templates.") or not name or template.folder.parent != BUNDLED:
        raise InputError(
            f"template {template.name!r}: only bundled templates may name a builder; give a mesh "
            "file instead"
        )
    return module, name


def _builder_sources(template: Template) -> list[Path]:
    """The files that decide what a builder makes: its folder's code and data."""
    module, _ = _builder_names(template)
    folder = BUNDLED.joinpath(*module.split(".")[1:-1])
    kinds = (".py", ".json", ".npz", ".csv")
    inside = [p for p in folder.rglob("*") if p.suffix in kinds and p.name != DESCRIPTOR]
    return sorted(inside)


def _read_ids(path: Path) -> npt.NDArray[np.int32]:
    try:
        ids = read_array(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a .npy of vertex ids: {error}") from error
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise InputError(f"{path} must hold one list of whole numbers")
    return ids.astype(np.int32)


def find_look(name: str, template: Template) -> Look:
    """The look called `name` for `template`; "" is the template's own.

    Raises InputError (field "look") that lists what exists.
    """
    return template.look if not name else find_named_look(name)
