# SPDX-License-Identifier: GPL-3.0-or-later
"""A `template.json` in, a checked frozen Template out; every fault names the file and the key.

Nothing is loaded here but the descriptor: `library.py` finds templates and loads their meshes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from templates import reading
from templates.looks import Look, look_from_json
from templates.mesh import axes_matrix
from templates.reading import Colour, is_number, is_vector, read_object, section

SCHEMA_VERSION: Final = 1
DESCRIPTOR: Final = "template.json"
BUNDLED: Final = Path(__file__).parent

__all__ = ["Camera", "Colour", "Look", "Template", "UserFile", "read_descriptor"]


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
    look: how it is shown by default; a file names a look and what is different for this head.
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
    look: Look = field(default_factory=Look)
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
    data = read_object(path, SCHEMA_VERSION, "template")
    for name, kind in (("camera", Camera), ("user_file", UserFile)):
        if name in data:
            data[name] = section(kind, data[name], path, f"{name}.")
    data["look"] = look_from_json(data.get("look", {}), path)
    template = section(Template, data, path, hidden=("folder",))
    template = replace(template, folder=path.resolve().parent)
    _check_values(template, path)
    return template


def _check_values(template: Template, path: Path) -> None:
    """Raise InputError for values of the wrong kind, naming file and key."""

    def need(good: bool, key: str, what: str) -> None:
        reading.need(good, path, key, what)

    for key in ("name", "title", "licence", "source", "channel_order", "lips", "up", "forward"):
        need(isinstance(getattr(template, key), str), key, "text")
    need(isinstance(template.mesh, (str, dict)), "mesh", 'a file name or {"builder": ...}')
    need(template.unit_m is None or is_number(template.unit_m, above=0), "unit_m", "a number > 0")
    need(isinstance(template.part_colours, dict), "part_colours", "an object")
    for name, colour in template.part_colours.items():
        need(is_vector(colour), f"part_colours.{name}", "three numbers")
    need(isinstance(template.samples, dict), "samples", "an object")
    need(set(template.samples) <= {"eevee", "cycles"}, "samples", "of eevee and cycles")
    camera = template.camera
    for key, place in (("location", camera.location), ("target", camera.target)):
        need(place is None or is_vector(place), f"camera.{key}", 'three numbers or "auto"')
    need(is_number(camera.lens_mm, above=1), "camera.lens_mm", "a number of millimetres")
    need(is_number(camera.margin) and 0 <= camera.margin < 0.4, "camera.margin", "from 0 to 0.4")
    crop = camera.crop_below
    crop_good = crop is None or (is_number(crop) and 0 <= crop < 0.9)
    need(crop_good, "camera.crop_below", 'from 0 to 0.9, or "auto"')
    axes_matrix(template.up, template.forward)
