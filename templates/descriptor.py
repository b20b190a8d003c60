# SPDX-License-Identifier: GPL-3.0-or-later
"""A `template.json` in, a checked frozen Template out; every fault names the file and the key.

Nothing is loaded here but the descriptor: `library.py` finds templates and loads their meshes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from exomni_core.errors import InputError
from templates.mesh import axes_matrix

SCHEMA_VERSION: Final = 1
DESCRIPTOR: Final = "template.json"
BUNDLED: Final = Path(__file__).parent

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


def read_descriptor(path: Path) -> Template:
    """Read one descriptor; InputError if it is no JSON, has unknown or wrong keys or is too new."""
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
