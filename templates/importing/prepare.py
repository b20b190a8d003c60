# SPDX-License-Identifier: GPL-3.0-or-later
"""A raw head and the user's wishes in, a head in metres and our axes with its report out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import IntArray
from exomni_core.errors import InputError
from templates.importing import checks, clean, orient, regions
from templates.importing.checks import Finding
from templates.importing.landmarks import find_landmarks
from templates.importing.lip_tint import lip_tint
from templates.importing.parts import with_parts
from templates.importing.raw import Origin, RawHead, refuse_not_finite
from templates.importing.report import Report, make_report
from templates.mesh import TemplateMesh, check_mesh

_OURS: Final = ("+Y", "+Z")
_ASIDE_M: Final = 0.005  # faces are not more lopsided than this


@dataclass(frozen=True, eq=False)
class Wishes:
    """What the user said. unit_m: metres per unit, or None to find out. lips: vertex ids, or None.

    swap: exchange left and right. force: accept what makes results wrong.
    """

    unit_m: float | None = None
    lips: IntArray | None = None
    swap: bool = False
    force: bool = False


@dataclass(frozen=True, eq=False)
class Prepared:
    """A head that is ready to be kept: in metres, our axes, cleaned, with regions."""

    mesh: TemplateMesh
    report: Report
    notes: tuple[str, ...]


def prepare(raw: RawHead, wishes: Wishes, *, name: str, path: Path) -> Prepared:
    """Turn, scale, clean and check a head.

    Raises InputError in one sentence where nothing usable comes out, and for findings that make
    results wrong unless they are forced.
    """
    where, origin = str(path), raw.origin
    mesh, notes = _cleaned(raw, wishes, where)
    mesh, axes = _turned(mesh, origin)
    unit = orient.find_unit(mesh, wishes.unit_m, origin.unit_hint, where, force=wishes.force)
    mesh, more = _placed(orient.scale(mesh, unit.metres), wishes, origin)
    mesh, mended = _mended(mesh)
    mesh, derived = regions.with_regions(mesh)
    if not len(mesh.landmarks68) and len(found := find_landmarks(mesh)):
        mesh, derived = replace(mesh, landmarks68=found), (*derived, "landmarks68")
    if "lips" in derived and not len(mesh.tint) and not _has_lip_part(mesh):
        mesh = replace(mesh, tint=lip_tint(mesh))
    mesh, told_apart = with_parts(mesh)
    notes += [*more, *mended]
    if told_apart:
        notes.append(f"told apart by where they lie and what moves them: {', '.join(told_apart)}")
    check_mesh(mesh, where)
    said = [Finding("note", "told", text) for text in notes]
    report = make_report(
        mesh,
        name=name,
        file=path.name,
        origin=origin,
        unit=unit.how,
        axes=axes,
        derived=derived,
        findings=[*checks.find(mesh, origin, derived), *said],
    )
    if report.bad and not wishes.force:
        reasons = "; ".join(finding.text for finding in report.bad)
        raise InputError(f"{where}: {reasons}; or add --force")
    return Prepared(mesh, report, tuple(notes))


def _cleaned(raw: RawHead, wishes: Wishes, where: str) -> tuple[TemplateMesh, list[str]]:
    """The head with the user's lips, without what Blender rejects or nothing uses."""
    mesh, notes = raw.mesh, list(raw.origin.notes)
    refuse_not_finite(mesh, raw.origin, where)
    if not len(mesh.polygons):
        raise InputError(f"{where} has no faces, only points; export the surface too")
    if wishes.lips is not None:
        mesh = _with_lips(mesh, wishes.lips)
    mesh, broken = clean.drop_broken_faces(mesh)
    if broken:
        notes.append(f"{broken} broken or doubled faces left out")
    return clean.drop_empty_parts(clean.drop_loose_vertices(mesh)), notes


def _placed(mesh: TemplateMesh, wishes: Wishes, origin: Origin) -> tuple[TemplateMesh, list[str]]:
    """The head in the middle, with shapes for left and right."""
    notes = []
    aside = orient.sideways(mesh)
    if abs(aside) > _ASIDE_M:
        mesh = replace(mesh, vertices=mesh.vertices - np.array([aside, 0, 0], np.float32))
        notes.append(f"it stood {abs(aside) * 100:.0f} cm to the side and was moved to the middle")
    mesh = clean.split_sides(mesh, origin.shared)
    if wishes.swap:
        mesh = clean.swap_sides(mesh)
        notes.append("left and right were exchanged, as you said")
    return mesh, notes


def _has_lip_part(mesh: TemplateMesh) -> bool:
    return any("lip" in name.lower() for name in mesh.part_names)


def _turned(mesh: TemplateMesh, origin: Origin) -> tuple[TemplateMesh, str]:
    found = orient.axes_of(mesh, origin.stand_ins)
    if found is None:
        return mesh, "taken as they are: no shapes tell where brows and mouth are"
    if found == _OURS:
        return mesh, ""
    up, forward = found
    return orient.turn(mesh, up, forward), f"turned: its face looked along {forward}, {up} was up"


def _mended(mesh: TemplateMesh) -> tuple[TemplateMesh, list[str]]:
    """The head with dead shapes called missing and Claire's mouthClose made an ordinary one."""
    notes = []
    missing = tuple(n for n, row in zip(ARKIT_52, mesh.shapes, strict=True) if not row.any())
    mesh, dead = checks.drop_dead(replace(mesh, missing_shapes=missing), 1000.0)
    if dead:
        notes.append(f"shapes that move nothing, so they count as missing: {', '.join(dead)}")
    if checks.claire_close(mesh):
        shapes = mesh.shapes.copy()
        shapes[CHANNEL_INDEX["mouthClose"]] -= shapes[CHANNEL_INDEX["jawOpen"]]
        mesh = replace(mesh, shapes=shapes)
        notes.append(
            "its mouthClose opens the jaw too, as in heads for Audio2Face; jawOpen was taken out "
            "of it, so that jawOpen + mouthClose closes the lips"
        )
    return mesh, notes


def _with_lips(mesh: TemplateMesh, lips: IntArray) -> TemplateMesh:
    """The user's lips in place of all lists that speak of the file's lips."""
    if not len(lips) or lips.min() < 0 or lips.max() >= len(mesh.vertices):
        raise InputError(
            f"the lip list names vertices {lips.min() if len(lips) else '-'} to "
            f"{lips.max() if len(lips) else '-'}, but the head has {len(mesh.vertices)}, counted "
            "from 0",
            field="lip-ids",
        )
    empty = np.empty(0, np.int32)
    lips = np.unique(lips).astype(np.int32)
    return replace(mesh, lips=lips, upper_lip=empty, lower_lip=empty)
