# SPDX-License-Identifier: GPL-3.0-or-later
"""A prepared head in, a template folder of the user's out; written beside, then moved, whole.

Removing deletes only folders that hold a descriptor and lie in the user's template folder.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.errors import InputError
from exomni_core.head_regions import ids_hash
from exomni_core.storage.files import replace_folder, temporary_name, write_text
from templates.descriptor import DESCRIPTOR, SCHEMA_VERSION, read_descriptor
from templates.library import checked_name, user_folder
from templates.mesh import TemplateMesh, save_npz
from templates.reading import Colour

MESH: Final = "mesh.npz"
BLEND: Final = "head.blend"


@dataclass(frozen=True)
class Label:
    """What a template is called and where it is from. dest: the folder of templates, or None."""

    name: str
    licence: str
    source: str
    title: str = ""
    dest: Path | None = None
    replace: bool = False

    @property
    def folder(self) -> Path:
        """Where the template goes; InputError for a name that is none."""
        return (self.dest or user_folder()) / checked_name(self.name)


def check_free(label: Label) -> None:
    """Raise InputError now if the template's folder is taken, before any work is done."""
    if label.folder.exists() and not (label.folder / DESCRIPTOR).is_file():
        raise InputError(f"{label.folder} exists and is not a template; choose another --name")
    if label.folder.exists() and not label.replace:
        raise InputError(
            f"template {label.name!r} exists already in {label.folder}; choose another --name "
            "or add --force to replace it",
            field="name",
        )


def keep_mesh(
    label: Label,
    mesh: TemplateMesh,
    *,
    colours: Mapping[str, Colour],
    derived: tuple[str, ...],
    origin: Mapping[str, Any],
) -> Path:
    """Write a template around `mesh` (in metres, our axes); returns its folder."""
    described = _described(label, MESH, origin)
    described |= {"unit_m": 1.0, "derived": list(derived), "part_colours": dict(colours)}
    if len(mesh.lips):
        described["lips_sha256"] = ids_hash(np.unique(mesh.lips))

    def fill(folder: Path) -> None:
        save_npz(mesh, folder / MESH)

    return _keep(label, described, fill)


def keep_blend(
    label: Label, blend: Path, *, channels: Mapping[str, Any], origin: Mapping[str, Any]
) -> Path:
    """Copy a .blend that stays as it is, with its camera and light; returns its folder."""
    described = _described(label, BLEND, origin) | {"unit_m": "auto", "engine": "workbench"}
    if channels:
        described["channels"] = dict(channels)

    def fill(folder: Path) -> None:
        shutil.copyfile(blend, folder / BLEND)

    return _keep(label, described, fill)


def remove(name: str, dest: Path | None = None) -> Path:
    """Delete the user's template `name`; returns the folder that is gone. Raises InputError."""
    folder = (dest or user_folder()) / checked_name(name)
    if folder.is_symlink() or not (folder / DESCRIPTOR).is_file():
        raise InputError(
            f"there is no template {name!r} of yours in {folder.parent}; see: exorender templates",
            field="name",
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise InputError(f"{folder} can't be removed: {error.strerror or error}") from error
    return folder


def _described(label: Label, mesh: str, origin: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": label.name,
        "title": label.title or f"{label.name}, imported from {origin['file']}",
        "mesh": mesh,
        "licence": label.licence or "unknown: ask whoever made the head",
        "source": label.source or str(origin["file"]),
        "origin": dict(origin),
    }


def _keep(label: Label, described: Mapping[str, Any], fill: Callable[[Path], None]) -> Path:
    """Make the folder beside its place, read it back as a user would, then put it in its place."""
    final = label.folder
    check_free(label)
    building = temporary_name(final)
    try:
        building.mkdir(parents=True)
        fill(building)
        text = json.dumps(described, ensure_ascii=False, indent=2)
        write_text(building / DESCRIPTOR, text + "\n")
        read_descriptor(building / DESCRIPTOR)
        replace_folder(building, final)
    except OSError as error:
        raise InputError(
            f"{final} can't be written ({error.strerror or error}); choose another --dest"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return final
