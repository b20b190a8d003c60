# SPDX-License-Identifier: GPL-3.0-or-later
"""A look's name in, everything about the picture but the head out: light, colours, camera, size.

A look is one json file in `templates/looks/` and fits any head. A template's descriptor names the
look that it is shown in by default and may change single values of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from exomni_core.errors import InputError
from exomni_core.storage.files import sha256_file
from exomni_core.storage.schema import AS_WRITTEN, Must, Place, Range, hints_of, read_values
from templates.matcaps import MATCAPS
from templates.reading import AUTO, Colour, Crop, Lens, Margin, Positive, Share, read_object

SCHEMA_VERSION: Final = 1
LOOKS: Final = Path(__file__).parent / "looks"
DEFAULT_LOOK: Final = "skin"
_BASE_LOOK: Final = "emotalk"  # what a descriptor changes that names no look: a plain one
GENERATED: Final = "generated:"
_NOT_IN_FILES: Final = ("name", "folder")
_LOOK_VERSION: Final = 2  # raise it when the same values give another picture


def _is_side(value: int) -> bool:
    return 16 <= value <= 8192 and value % 2 == 0


def _is_matcap(name: str) -> bool:
    return not name.startswith(GENERATED) or name.removeprefix(GENERATED) in MATCAPS


Factors = Mapping[str, Annotated[float, AS_WRITTEN, Range(0)]]
Side = Annotated[int, Must(_is_side, "an even number, 16 to 8192")]
Matcap = Annotated[
    str, Must(_is_matcap, f"{GENERATED}NAME with one of {', '.join(MATCAPS)}, or a file's name")
]


@dataclass(frozen=True)
class Look:
    """How any head is shown. Colours are scene-linear RGB.

    light: Workbench's `MATCAP`, `STUDIO` or `FLAT`. matcap: Blender's own studio light by file
    name, a file beside the look's json, or `generated:NAME` of `templates/matcaps.py`; empty for
    Blender's default. antialias: Workbench's `OFF`, `FXAA`, `5`, `8`, `11`, `16`, `32`.
    colours: `part` (the template's colour of each part), `tint` (those times the mesh's own tint
    at each vertex) or `single` (single_colour times the tone of the part).
    tones: multipliers by part name, `*` and `?` allowed; the first that fits counts, else 1.
    occlusion: how much hollows and folds are darker, 0 to 1; hollows: multipliers of that by part
    name, as tones.
    shades: how much the dark places of the mesh's tint (nostrils, the line between the lips)
    darken a single colour, 0 to 1. blush: by part name, how strong the hues of the tint are, 1 as
    painted. throat: what is left of the colours deep in the mouth, 1 for all. neck: how light the
    foot of the neck and the shoulders are, 1 as the face. even: by part name, 0 to 1, how much of
    the relief of a part (the tufts of a brow) is left out of its light.
    camera: `PERSP` or `ORTHO`. framing: `head` fills the picture with the head as the template's
    camera says; `bounds` shows the whole mesh, half a picture being `bounds_factor` times its
    largest coordinate (the reference demo). margin, lens_mm, crop_below: instead of the
    template's. width, height, fps: of a video whose size is not given.
    """

    name: str = ""
    title: str = ""
    light: Literal["MATCAP", "STUDIO", "FLAT"] = "MATCAP"
    matcap: Matcap = ""
    antialias: str = "FXAA"
    world_colour: Colour = (0.25, 0.27, 0.30)
    view_transform: str = "Standard"
    colours: Literal["part", "tint", "single"] = "part"
    single_colour: Colour = (0.8, 0.8, 0.8)
    tones: Factors = field(default_factory=dict)
    occlusion: Share = 0.0
    hollows: Factors = field(default_factory=dict)
    shades: Share = 0.0
    blush: Factors = field(default_factory=dict)
    throat: Share = 1.0
    neck: Share = 1.0
    even: Factors = field(default_factory=dict)
    camera: Literal["PERSP", "ORTHO"] = "PERSP"
    framing: Literal["head", "bounds"] = "head"
    bounds_factor: Positive = 1.2
    margin: Margin | None = None
    lens_mm: Lens | None = None
    crop_below: Annotated[Crop | None, AUTO] = None
    width: Side = 512
    height: Side = 768
    fps: Positive = 30.0
    folder: Path = LOOKS  # not in the file: where a matcap file lies

    @property
    def matcap_path(self) -> Path | None:
        """The matcap's own file, or None if it is Blender's or made by code."""
        if not self.matcap or self.matcap.startswith(GENERATED):
            return None
        path = self.folder / Path(self.matcap).name  # never out of the folder
        return path if path.is_file() else None


def list_looks() -> tuple[Look, ...]:
    """All looks, by name."""
    return tuple(_read_look(path) for path in sorted(LOOKS.glob("*.json")))


def default_look() -> Look:
    """The look of a template that states none."""
    return find_named_look(DEFAULT_LOOK)


def read_look(data: Any, key: str, place: Place) -> Look:
    """The `look` object of a descriptor: a look's name and what is different here."""
    if not isinstance(data, dict):
        raise place.wrong(key, "an object", data)
    changes = dict(data)
    name = changes.pop("name", _BASE_LOOK)
    chosen = read_values(hints_of(Look, _NOT_IN_FILES), changes, place.within(key))
    if "matcap" in chosen:
        chosen["folder"] = Path(place.name).resolve().parent
    return replace(find_named_look(str(name)), **chosen)


def look_hash(look: Look) -> str:
    """Hex SHA-256 over every value of the look and its matcap's content, wherever it lies."""
    values = asdict(look) | {"version": _LOOK_VERSION}
    del values["folder"]
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode())
    if look.matcap.startswith(GENERATED):
        digest.update(repr(MATCAPS[look.matcap.removeprefix(GENERATED)]).encode())
    if look.matcap_path is not None:
        digest.update(sha256_file(look.matcap_path).encode())
    return digest.hexdigest()


def find_named_look(name: str) -> Look:
    """The look of that name; raises InputError (field "look") that lists what exists."""
    path = LOOKS / f"{name}.json"
    if Path(name).name != name or not path.is_file():
        names = ", ".join(sorted(p.stem for p in LOOKS.glob("*.json")))
        raise InputError(f"there is no look {name!r}; use {names}", field="look")
    return _read_look(path)


def _read_look(path: Path) -> Look:
    data, place = read_object(path, SCHEMA_VERSION, "look")
    del data["schema_version"]
    chosen = read_values(hints_of(Look, _NOT_IN_FILES), data, place)
    return Look(name=path.stem, **chosen)
