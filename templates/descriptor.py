# SPDX-License-Identifier: GPL-3.0-or-later
"""A `template.json` in, a checked frozen Template out; every fault names the file and the key.

Nothing is loaded here but the descriptor: `library.py` finds templates and loads their meshes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from exomni_core.arkit import CHANNEL_INDEX
from templates import reading
from templates.looks import Look, default_look, look_from_json
from templates.mesh import axes_matrix
from templates.reading import Colour, is_number, is_vector, read_object, section
from templates.render_engines import RENDER_ENGINES

SCHEMA_VERSION: Final = 1
DESCRIPTOR: Final = "template.json"
BUNDLED: Final = Path(__file__).parent
DERIVED: Final = ("lips", "landmarks68", "aperture_pairs", "vertex_groups")

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
    lips_sha256: what `metrics.basis.ids_hash` gives for the lip vertices; empty: unchecked.
    channels: channel -> the file's own name for it, where it differs from ARKit's, or a list of
        [name, weight] that are summed.
    derived: what nobody listed and code worked out from the shapes: some of DERIVED.
    part_colours: scene-linear RGB for each part of the mesh; `*` is for all others.
    look: how it is shown by default; a file names a look and what is different for this head.
    engine: the render engine that suits it best; `auto` leaves the choice to the renderer.
    samples: per pixel, for engines other than Workbench.
    origin: where an imported head came from and how it was read, for the record.
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
    lips_sha256: str = ""
    channels: Mapping[str, Any] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    part_colours: Mapping[str, Colour] = field(default_factory=dict)
    camera: Camera = Camera()
    look: Look = field(default_factory=default_look)
    engine: str = "auto"
    samples: Mapping[str, int] = field(default_factory=lambda: {"eevee": 16, "cycles": 16})
    origin: Mapping[str, Any] = field(default_factory=dict)
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

    @property
    def shape_sums(self) -> dict[str, tuple[tuple[str, float], ...]]:
        """`channels` with every entry as a sum: channel -> (name, weight) for each part."""
        return {
            channel: ((wish, 1.0),) if isinstance(wish, str) else tuple(wish)
            for channel, wish in self.channels.items()
        }


def read_descriptor(path: Path) -> Template:
    """Read one descriptor; InputError if it is no JSON, has unknown or wrong keys or is too new."""
    data = read_object(path, SCHEMA_VERSION, "template")
    for name, kind in (("camera", Camera), ("user_file", UserFile)):
        if name in data:
            data[name] = section(kind, data[name], path, f"{name}.")
    if "look" in data:
        data["look"] = look_from_json(data["look"], path)
    template = section(Template, data, path, hidden=("folder",))
    template = replace(template, folder=path.resolve().parent)
    _check_values(template, path)
    return template


_TEXTS: Final = ("name", "title", "licence", "source", "channel_order", "lips", "lips_sha256",
                 "up", "forward", "engine")  # fmt: skip


def _check_channels(template: Template, need: Callable[[bool, str, str], None]) -> None:
    need(isinstance(template.channels, dict), "channels", "an object")
    for channel, wish in template.channels.items():
        key = f"channels.{channel}"
        need(channel in CHANNEL_INDEX, key, "under one of ARKit's 52 names")
        parts = ((wish, 1.0),) if isinstance(wish, str) else wish
        good = isinstance(parts, tuple) and all(
            isinstance(part, tuple)
            and len(part) == 2
            and isinstance(part[0], str)
            and is_number(part[1])
            for part in parts
        )
        need(good, key, "a shape's name or a list of [name, weight]")


def _check_values(template: Template, path: Path) -> None:
    """Raise InputError for values of the wrong kind, naming file and key."""

    def need(good: bool, key: str, what: str) -> None:
        reading.need(good, path, key, what)

    for key in _TEXTS:
        need(isinstance(getattr(template, key), str), key, "text")
    file_name = template.mesh if isinstance(template.mesh, str) else ""
    for key, name in (("mesh", file_name), ("lips", template.lips)):
        # A descriptor from elsewhere must not reach for other files of this machine.
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        need(inside and "\\" not in name, key, "a file in the template's own folder")
    _check_channels(template, need)
    need(isinstance(template.origin, dict), "origin", "an object")
    known = isinstance(template.derived, tuple) and all(d in DERIVED for d in template.derived)
    need(known, "derived", f"a list out of {', '.join(DERIVED)}")
    need(template.engine in RENDER_ENGINES, "engine", f"one of {', '.join(RENDER_ENGINES)}")
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
