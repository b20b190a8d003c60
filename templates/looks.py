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
from typing import TYPE_CHECKING, Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.files import sha256_file
from templates.matcaps import MATCAPS
from templates.reading import Colour, is_number, is_vector, need, read_object, section

if TYPE_CHECKING:
    pass

SCHEMA_VERSION: Final = 1
LOOKS: Final = Path(__file__).parent / "looks"
DEFAULT_LOOK: Final = "skin"
_BASE_LOOK: Final = "emotalk"  # what a descriptor changes that names no look: a plain one
GENERATED: Final = "generated:"
_LOOK_VERSION: Final = 2  # raise it when the same values give another picture
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "light": ("MATCAP", "STUDIO", "FLAT"),
    "colours": ("part", "tint", "single"),
    "camera": ("PERSP", "ORTHO"),
    "framing": ("head", "bounds"),
}


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
    light: str = "MATCAP"
    matcap: str = ""
    antialias: str = "FXAA"
    world_colour: Colour = (0.25, 0.27, 0.30)
    view_transform: str = "Standard"
    colours: str = "part"
    single_colour: Colour = (0.8, 0.8, 0.8)
    tones: Mapping[str, float] = field(default_factory=dict)
    occlusion: float = 0.0
    hollows: Mapping[str, float] = field(default_factory=dict)
    shades: float = 0.0
    blush: Mapping[str, float] = field(default_factory=dict)
    throat: float = 1.0
    neck: float = 1.0
    even: Mapping[str, float] = field(default_factory=dict)
    camera: str = "PERSP"
    framing: str = "head"
    bounds_factor: float = 1.2
    margin: float | None = None
    lens_mm: float | None = None
    crop_below: float | None = None
    width: int = 512
    height: int = 768
    fps: float = 30.0
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


def look_from_json(data: Any, path: Path) -> Look:
    """The `look` object of a descriptor at `path`: a look's name and what is different here."""
    if not isinstance(data, dict):
        raise InputError(f"{path}: look must be an object", field="template")
    changes = dict(data)
    name = changes.pop("name", _BASE_LOOK)
    given = section(Look, changes, path, "look.", hidden=("folder", "name"))
    chosen = {key: getattr(given, key) for key in changes}
    if "matcap" in chosen:
        chosen["folder"] = path.resolve().parent
    look = replace(find_named_look(str(name)), **chosen)
    _check_look(look, path, "look.")
    return look


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
    data = read_object(path, SCHEMA_VERSION, "look")
    del data["schema_version"]
    look = replace(section(Look, data, path, hidden=("folder", "name")), name=path.stem)
    _check_look(look, path, "")
    return look


def _check_look(look: Look, path: Path, prefix: str) -> None:
    """Raise InputError for values of the wrong kind, naming file and key."""
    for key in ("title", "matcap", "antialias", "view_transform"):
        need(isinstance(getattr(look, key), str), path, prefix + key, "text")
    name = look.matcap.removeprefix(GENERATED)
    known = name in MATCAPS or not look.matcap.startswith(GENERATED)
    need(known, path, prefix + "matcap", f"{GENERATED}NAME with one of {', '.join(MATCAPS)}")
    for key, choices in _CHOICES.items():
        need(getattr(look, key) in choices, path, prefix + key, f"one of {', '.join(choices)}")
    for key in ("world_colour", "single_colour"):
        need(is_vector(getattr(look, key)), path, prefix + key, "three numbers")
    for key in ("tones", "hollows", "blush", "even"):
        factors = getattr(look, key)
        good = isinstance(factors, dict) and all(is_number(f) and f >= 0 for f in factors.values())
        need(good, path, prefix + key, "an object of numbers from 0")
    for key in ("width", "height"):
        value = getattr(look, key)
        fits = isinstance(value, int) and 16 <= value <= 8192 and value % 2 == 0
        need(fits, path, prefix + key, "an even number, 16 to 8192")
    for key in ("fps", "bounds_factor"):
        need(is_number(getattr(look, key), above=0), path, prefix + key, "a number > 0")
    for key, low, high in (
        ("occlusion", 0, 1.001),
        ("shades", 0, 1.001),
        ("throat", 0, 1.001),
        ("neck", 0, 1.001),
        ("margin", 0, 0.4),
        ("lens_mm", 1, 1000),
        ("crop_below", 0, 0.9),
    ):
        value = getattr(look, key)
        fits = value is None or (is_number(value) and low <= value < high)
        need(fits, path, prefix + key, f"from {low} to {high}")
