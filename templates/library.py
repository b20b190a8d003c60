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
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.files import sha256_file
from templates.mesh import TemplateMesh, axes_matrix, check_mesh, mesh_from_npz

SCHEMA_VERSION: Final = 1
DESCRIPTOR: Final = "template.json"
BUNDLED: Final = Path(__file__).parent
# How tall a head may be with its neck, in metres: outside it a unit is not guessed.
_HEAD_HEIGHT_M: Final = (0.15, 0.5)

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """How the head is framed, in Blender's axes (z up, the face looks along -y) and metres.

    location, target: where the camera stands and looks; `None` means it is worked out so that the
    head fills the picture, `margin` of the picture's width or height left free at each side.
    lens_mm: focal length on a picture 36 mm high.
    crop_below: the share of the head's height, from below, that may fall out of the picture;
    `None` shows a bit of neck below the chin and lets shoulders fall out.
    """

    location: tuple[float, float, float] | None = None
    target: tuple[float, float, float] | None = None
    lens_mm: float = 85.0
    margin: float = 0.04
    crop_below: float | None = None


@dataclass(frozen=True)
class Look:
    """How the head is lit. Colours are scene-linear RGB.

    light: Workbench's `MATCAP`, `STUDIO` or `FLAT`. matcap: file name of Blender's studio light,
    empty for Blender's default. antialias: Workbench's `OFF`, `FXAA`, `5`, `8`, `11`, `16`, `32`.
    """

    light: str = "MATCAP"
    matcap: str = ""
    antialias: str = "FXAA"
    world_colour: Colour = (0.25, 0.27, 0.30)
    view_transform: str = "Standard"


@dataclass(frozen=True)
class UserFile:
    """A file that we may not ship: the user gets it and points to it.

    names: what the file may be called. env: the variable that may hold its path (or its folder).
    help: one sentence, where to get it and under which licence.
    """

    names: tuple[str, ...]
    env: str
    help: str


@dataclass(frozen=True)
class Template:
    """A head and its look, as `template.json` tells them.

    mesh: a file beside the descriptor (.npz or .blend), or {"builder": "module:function"} for
    heads that code builds (bundled templates only).
    unit_m: metres per mesh unit; `None` guesses it from the head's height.
    up, forward: the file's axes. channel_order: `names`, or `arkit_52` / `live_link` for an npz
    without bs_names. ids_from: what the first vertex is called in the faces (0, 1, `auto`).
    lips: `mesh` if the mesh file lists lip vertices, else a .npy file of vertex ids beside it.
    part_colours: scene-linear RGB for each part of the mesh; `*` is for all others.
    samples: per pixel, for engines other than Workbench.
    """

    name: str
    title: str
    mesh: str | Mapping[str, str]
    licence: str
    source: str
    schema_version: int = SCHEMA_VERSION
    unit_m: float | None = 1.0
    up: str = "+Y"
    forward: str = "+Z"
    channel_order: str = "names"
    ids_from: int | str = 0
    lips: str = "mesh"
    part_colours: Mapping[str, Colour] = field(default_factory=dict)
    camera: Camera = Camera()
    look: Look = Look()
    samples: Mapping[str, int] = field(default_factory=lambda: {"eevee": 16, "cycles": 16})
    user_file: UserFile | None = None
    folder: Path = BUNDLED  # not in the file: where it lies

    @property
    def mesh_path(self) -> Path | None:
        """The mesh file, or None for a head that code builds."""
        return self.folder / self.mesh if isinstance(self.mesh, str) else None

    @property
    def is_blend(self) -> bool:
        """Whether the head is a .blend file, which only Blender can read."""
        return isinstance(self.mesh, str) and self.mesh.lower().endswith(".blend")


# For meshes that come without a descriptor; part names as ICT-FaceKit's export has them.
_DARK: Final[Colour] = (0.02, 0.02, 0.02)
_IRIS: Final[Colour] = (0.20, 0.35, 0.50)
_SCLERA: Final[Colour] = (0.90, 0.90, 0.90)
_PLAIN_COLOURS: Final[Mapping[str, Colour]] = {
    "*": (0.80, 0.62, 0.52),
    "teeth": (0.85, 0.83, 0.78), "gums_tongue": (0.65, 0.25, 0.25),
    "mouth_socket": (0.45, 0.12, 0.12),
    "sclera_L": _SCLERA, "sclera_R": _SCLERA, "iris_L": _IRIS, "iris_R": _IRIS,
    "pupil_L": _DARK, "pupil_R": _DARK, "eyelashes_L": _DARK, "eyelashes_R": _DARK,
}  # fmt: skip


def list_templates() -> tuple[Template, ...]:
    """The bundled templates, by name; also those that still need a file from the user."""
    return tuple(_read_descriptor(path) for path in sorted(BUNDLED.glob(f"*/{DESCRIPTOR}")))


def find_template(name_or_path: str | Path) -> Template:
    """A template by bundled name, folder, template.json, .npz or .blend file.

    Raises InputError if there is no such template or its descriptor is wrong, EnvironmentProblem
    if it needs a file that the user has to fetch first.
    """
    text = str(name_or_path)
    bundled = BUNDLED / text / DESCRIPTOR
    if text and Path(text).name == text and bundled.is_file():
        return _with_user_file(_read_descriptor(bundled))
    path = Path(text).expanduser()
    if path.is_dir():
        path = path / DESCRIPTOR
    if not path.is_file():
        names = ", ".join(template.name for template in list_templates())
        raise InputError(
            f"there is no template {text!r}; use {names}, or the path of a template folder, an "
            ".npz or a .blend file",
            field="template",
        )
    if path.suffix == ".json":
        return _with_user_file(_read_descriptor(path))
    if path.suffix.lower() in (".npz", ".blend"):
        return _from_bare_file(path.resolve())
    raise InputError(f"{path} is no template; give a folder, .npz or .blend", field="template")


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
        )
        where = str(template.mesh_path)
    else:
        mesh = _builder(template)()
    if template.lips != "mesh":
        mesh = replace(mesh, lips=_read_ids(template.folder / template.lips))
    check_mesh(mesh, where)
    unknown = sorted(set(template.part_colours) - {*mesh.part_names, "*"})
    if unknown and template.part_colours is not _PLAIN_COLOURS:
        raise InputError(
            f"{where}: part_colours names {', '.join(unknown)}, but the mesh has the parts "
            f"{', '.join(mesh.part_names)}"
        )
    return mesh


def unit_in_metres(template: Template, mesh: TemplateMesh) -> float:
    """Metres per mesh unit: as the descriptor says, else guessed from the head's height."""
    if template.unit_m is not None:
        return template.unit_m
    height = float(np.ptp(mesh.vertices[:, 1]))
    for unit in (1.0, 0.01, 0.001, 0.1):
        if _HEAD_HEIGHT_M[0] <= height * unit <= _HEAD_HEIGHT_M[1]:
            return unit
    raise InputError(
        f"template {template.name!r} is {height:.3g} units tall, which is no head in metres, "
        'centimetres or millimetres; say "unit_m" in a template.json'
    )


def template_hash(template: Template) -> str:
    """Hex SHA-256 over the descriptor and the mesh's content (for a builder: its source files).

    It doesn't depend on where the files lie.
    """
    described = asdict(template)
    del described["folder"]
    if isinstance(described["mesh"], str):
        described["mesh"] = Path(described["mesh"]).name
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    contents = [template.mesh_path] if template.mesh_path else _builder_sources(template)
    if template.lips != "mesh":
        contents.append(template.folder / template.lips)
    for path in contents:
        try:
            digest.update(f"\n{path.name} {sha256_file(path)}".encode())
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror or error}") from error
    return digest.hexdigest()


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
    """The files that decide what a builder makes: its folder's code and data, and the mesh type."""
    module, _ = _builder_names(template)
    folder = BUNDLED.joinpath(*module.split(".")[1:-1])
    kinds = (".py", ".json", ".npz", ".csv")
    inside = [p for p in folder.rglob("*") if p.suffix in kinds and p.name != DESCRIPTOR]
    return [*sorted(inside), BUNDLED / "mesh.py"]


def _read_ids(path: Path) -> npt.NDArray[np.int32]:
    try:
        ids = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read as a .npy of vertex ids: {error}") from error
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim != 1:
        raise InputError(f"{path} must hold one list of whole numbers")
    return ids.astype(np.int32)


def _read_descriptor(path: Path) -> Template:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read as JSON: {error}", field="template") from error
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), int):
        raise InputError(f'{path} lacks "schema_version": {SCHEMA_VERSION}', field="template")
    if data["schema_version"] > SCHEMA_VERSION:
        raise InputError(
            f"{path} was written for a newer version (schema {data['schema_version']}); update "
            "Ex-Omni for Blender to use it",
            field="template",
        )
    sections = {"camera": Camera, "look": Look, "user_file": UserFile}
    for name, kind in sections.items():
        if name in data:
            data[name] = _section(kind, data[name], path, f"{name}.")
    template = _section(Template, data, path, "", hidden={"folder"})
    template = replace(template, folder=path.resolve().parent)
    _check_values(template, path)
    return template


_T = TypeVar("_T")
_WORKED_OUT: Final = ("unit_m", "location", "target", "crop_below")  # may be "auto"


def _section(
    kind: type[_T],
    data: Any,
    path: Path,
    prefix: str,
    hidden: frozenset[str] | set[str] = frozenset(),
) -> _T:
    """A dataclass from a JSON object; every unknown or missing key is named with its file."""
    if not isinstance(data, dict):
        raise InputError(f"{path}: {prefix[:-1]} must be an object", field="template")
    known = {f.name: f for f in fields(kind) if f.name not in hidden}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(known)):
        raise InputError(
            f"{path}: unknown key {prefix}{unknown[0]}; the keys are {', '.join(known)}",
            field="template",
        )
    for name, f in known.items():
        if f.default is MISSING and f.default_factory is MISSING and name not in data:
            raise InputError(f"{path} lacks the key {prefix}{name}", field="template")
    chosen = {n: v for n, v in data.items() if not (v == "auto" and n in _WORKED_OUT)}
    worked_out = {n: None for n in data if n not in chosen}
    return kind(**{name: _plain(value) for name, value in chosen.items()}, **worked_out)


def _plain(value: Any) -> Any:
    """JSON's lists as tuples, so that what is frozen can't change."""
    if isinstance(value, list):
        return tuple(_plain(part) for part in value)
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return value


def _check_values(template: Template, path: Path) -> None:
    """Raise InputError for values of the wrong kind, naming file and key."""

    def need(good: bool, key: str, what: str) -> None:
        if not good:
            raise InputError(f"{path}: {key} must be {what}", field="template")

    for key in ("name", "title", "licence", "source", "channel_order", "lips", "up", "forward"):
        need(isinstance(getattr(template, key), str), key, "text")
    need(isinstance(template.mesh, (str, dict)), "mesh", 'a file name or {"builder": ...}')
    need(template.unit_m is None or _is_number(template.unit_m, above=0), "unit_m", "a number > 0")
    need(isinstance(template.part_colours, dict), "part_colours", "an object")
    for name, colour in template.part_colours.items():
        need(_is_vector(colour), f"part_colours.{name}", "three numbers")
    need(isinstance(template.samples, dict), "samples", "an object")
    need(set(template.samples) <= {"eevee", "cycles"}, "samples", "of eevee and cycles")
    camera, look = template.camera, template.look
    for key, place in (("location", camera.location), ("target", camera.target)):
        need(place is None or _is_vector(place), f"camera.{key}", 'three numbers or "auto"')
    need(_is_number(camera.lens_mm, above=1), "camera.lens_mm", "a number of millimetres")
    need(_is_number(camera.margin) and 0 <= camera.margin < 0.4, "camera.margin", "from 0 to 0.4")
    crop = camera.crop_below
    crop_good = crop is None or (_is_number(crop) and 0 <= crop < 0.9)
    need(crop_good, "camera.crop_below", 'from 0 to 0.9, or "auto"')
    need(_is_vector(look.world_colour), "look.world_colour", "three numbers")
    for key in ("light", "matcap", "antialias", "view_transform"):
        need(isinstance(getattr(look, key), str), f"look.{key}", "text")
    axes_matrix(template.up, template.forward)


def _is_number(value: Any, above: float = -math.inf) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and value > above


def _is_vector(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 3 and all(map(_is_number, value))
