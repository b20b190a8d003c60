# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's ending in, the face format that reads or writes it out; every format by name.

Each format is one file of this folder with a `FORMAT` in it; another package adds one through the
entry point group `exomni.formats`, which names a Format.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exomni_core import formats
from exomni_core.arrays import FloatArray
from exomni_core.clip import Clip
from exomni_core.errors import InputError
from exomni_core.formats.face_track import FaceTrack
from exomni_core.registry import FORMATS, Registry, resolve


@dataclass(frozen=True)
class Wishes:
    """What the user says of a file to read. fps: overrides the file's own rate. names: the columns
    of an array that has none.
    """

    fps: float | None = None
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Format:
    """A kind of file that holds a face.

    name: a word for lists. title: for people. ending: such as `.csv`, in lower case. keeps: what of
    a clip survives in it, in a phrase. read: a file in, its face out. write: a path, (T, 52)
    weights in ARKIT_52 order and their rate in, the whole file or none out. write_clip: for
    formats that hold more than the face: a path and a clip in, facts for the user out. claims:
    whether a file is of this format, for formats that share their ending with another one; one
    without it takes what no other claims. All raise InputError; none is needed but one of the
    first three.
    """

    name: str
    title: str
    ending: str
    keeps: str
    read: Callable[[Path, Wishes], FaceTrack] | None = None
    write: Callable[[Path, FloatArray, float], None] | None = None
    write_clip: Callable[[Path, Clip], dict[str, Any]] | None = None
    claims: Callable[[Path], bool] | None = None

    @property
    def ways(self) -> str:
        """What can be done with such a file, in words."""
        writes = self.write is not None or self.write_clip is not None
        return " and ".join(["read"] * (self.read is not None) + ["written"] * writes)


def _built_in() -> dict[str, Format | str]:
    """The formats of this folder: whichever of its files has a FORMAT."""
    found: dict[str, Format | str] = {}
    for module in pkgutil.iter_modules(formats.__path__):
        place = f"{formats.__name__}.{module.name}:FORMAT"
        try:
            member = resolve(place)
        except AttributeError:  # it helps the others
            continue
        found[member.name] = member
    return found


def _checked(name: str, found: Any) -> Format:
    if not isinstance(found, Format):
        raise InputError(f"its entry point names no Format but a {type(found).__name__}")
    if found.name != name:
        raise InputError(f"its Format is called {found.name!r}")
    return found


@functools.cache
def registered_formats() -> Registry[Format]:
    """The list of formats; made when it is first needed, since it imports all of ours."""
    return Registry[Format](FORMATS, "format", _built_in(), _checked)


@functools.cache
def known_formats() -> tuple[Format, ...]:
    """All formats that can be used, ours first; looked up once in a process."""
    return tuple(registered_formats().members().values())


def readable() -> list[Format]:
    """All formats that can be read."""
    return [f for f in known_formats() if f.read is not None]


def writable() -> list[Format]:
    """All formats that a face without sound can be written to."""
    return [f for f in known_formats() if f.write is not None]


def endings(chosen: list[Format]) -> tuple[str, ...]:
    """Their endings, each once."""
    return tuple(dict.fromkeys(f.ending for f in chosen))


def format_of(path: Path, chosen: list[Format]) -> Format | None:
    """The one of `chosen` that `path` is of, by its ending and by what formats claim; or None."""
    fitting = [f for f in chosen if f.ending == path.suffix.lower()]
    if len(fitting) > 1 and path.exists():
        for one in fitting:
            if one.claims is not None and one.claims(path):
                return one
    plain = [f for f in fitting if f.claims is None]
    return next(iter(plain or fitting), None)
