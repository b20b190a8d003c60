# SPDX-License-Identifier: GPL-3.0-or-later
"""A `template.json` in, a checked frozen Template out; every fault names the file and the key.

Only the descriptor is loaded here; `library.py` finds templates and loads their meshes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.storage.schema import AS_WRITTEN, By, Must, Range, one_of, read
from templates.looks import Look, default_look, read_look
from templates.mesh import axes_matrix
from templates.reading import AUTO, Colour, Crop, Margin, Number, Positive, read_object
from templates.render_engines import RENDER_ENGINES

SCHEMA_VERSION: Final = 1
DESCRIPTOR: Final = "template.json"
BUNDLED: Final = Path(__file__).parent

__all__ = ["Camera", "Colour", "Look", "Template", "UserFile", "read_descriptor"]


def _is_inside(name: object) -> bool:
    """A descriptor from elsewhere must not reach for other files of this machine."""
    if not isinstance(name, str):
        return True
    return not Path(name).is_absolute() and ".." not in Path(name).parts and "\\" not in name


_INSIDE: Final = Must(_is_inside, "a file in the template's own folder")
Point = Annotated[tuple[Number, Number, Number] | None, AUTO]
Channel = Annotated[str, Must(CHANNEL_INDEX.__contains__, "one of ARKit's 52 names")]
Shape = Annotated[
    str | tuple[tuple[str, Number], ...],
    Must(lambda _: True, "a shape's name or a list of [name, weight]"),
]
Derived = Literal["lips", "landmarks68", "aperture_pairs", "vertex_groups"]


@dataclass(frozen=True)
class Camera:
    """How the head is framed, in Blender's axes (z up, the face looks along -y) and metres.

    location, target: place of the camera and the point it looks at; `None`: computed so that the
    head fills the picture, `margin` of the picture's width or height left free at each side.
    lens_mm: focal length on a picture 36 mm high. crop_below: the share of the head's height, from
    below, that may fall out of the picture; `None` shows a bit of neck below the chin and lets
    shoulders fall out.
    """

    location: Point = None
    target: Point = None
    lens_mm: Annotated[float, AS_WRITTEN, Range(above=1)] = 85.0
    margin: Margin = 0.04
    crop_below: Annotated[Crop | None, AUTO] = None


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
    """A head and its look, as stated in `template.json`.

    mesh: a file beside the descriptor (.npz or .blend), or {"builder": "module:function"} for
    heads that code builds (bundled templates only).
    unit_m: metres per mesh unit; `None` guesses it from the head's height.
    up, forward: the file's axes. channel_order: `names`, or `arkit_52` / `live_link` for an npz
    without bs_names. ids_from: the number of the first vertex in the faces (0, 1, `auto`).
    lips: `mesh` if the mesh file lists lip vertices, else a .npy file of vertex ids beside it.
    lips_sha256: what `metrics.basis.ids_hash` gives for the lip vertices; empty: unchecked.
    channels: channel -> the file's own name for it, where it differs from ARKit's, or a list of
        [name, weight] that are summed.
    derived: what nobody listed and code worked out from the shapes: some of Derived's.
    part_colours: scene-linear RGB for each part of the mesh; `*` is for all others.
    look: how it is shown by default; a file names a look and what is different for this head.
    engine: the render engine that suits it best; `auto` leaves the choice to the renderer.
    samples: per pixel, for engines other than Workbench.
    origin: where an imported head came from and how it was read, for the record.
    """

    name: str
    title: str
    mesh: Annotated[str | Mapping[str, str], _INSIDE]
    licence: str
    source: str
    schema_version: int = SCHEMA_VERSION
    unit_m: Annotated[Positive | None, AUTO] = 1.0
    up: str = "+Y"
    forward: str = "+Z"
    channel_order: str = "names"
    ids_from: int | str = 0
    lips: Annotated[str, _INSIDE] = "mesh"
    lips_sha256: str = ""
    channels: Mapping[Channel, Shape] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()
    part_colours: Mapping[str, Colour] = field(default_factory=dict)
    camera: Camera = Camera()
    look: Annotated[Look, By(read_look, "an object")] = field(default_factory=default_look)
    engine: Annotated[str, one_of(RENDER_ENGINES)] = "auto"
    samples: Mapping[Annotated[str, one_of(("eevee", "cycles"))], int] = field(
        default_factory=lambda: {"eevee": 16, "cycles": 16}
    )
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
    data, place = read_object(path, SCHEMA_VERSION, "template")
    template = read(Template, data, place, {"folder": path.resolve().parent})
    axes_matrix(template.up, template.forward)
    return template
