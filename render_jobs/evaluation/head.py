# SPDX-License-Identifier: GPL-3.0-or-later
"""A template and the user's vertex lists in, the rows that face metrics need out, with their facts.

Every number's unit, lip list and template are told by hash, so that tables can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core.errors import InputError
from exomni_core.head_regions import (
    Ids,
    check_ids,
    find_lip_pair,
    find_lips,
    find_upper_face,
    ids_hash,
)
from exomni_core.metrics.faces.basis import FaceBasis, Regions, make_basis
from exomni_core.storage.foreign import load_json, read_text
from exomni_core.storage.npz import read_array
from templates.library import find_template, load_mesh, template_hash, unit_in_metres
from templates.mesh import TemplateMesh

UNITS_MM: Final = {"m": 1000.0, "cm": 10.0, "mm": 1.0}


@dataclass(frozen=True, eq=False)
class Head:
    """The basis of a template's metrics, and what a table must say about it."""

    basis: FaceBasis
    facts: dict[str, Any]


def prepare_head(
    template: str, *, lip_ids: Path | None = None, upper_ids: Path | None = None, unit: str = ""
) -> Head:
    """Load a template for metrics.

    lip_ids, upper_ids: files of vertex ids that replace the template's own or the automatic ones.
    unit: m, cm or mm; empty is the descriptor's, or a guess by the head's height that is told.
    Raises InputError and EnvironmentProblem.
    """
    found = find_template(template)
    mesh = load_mesh(found)
    notes = []
    if unit:
        unit_to_mm = UNITS_MM[unit]
    else:
        unit_to_mm = unit_in_metres(found, mesh) * 1000.0
        if found.unit_m is None:
            height = float(np.ptp(mesh.vertices[:, 1]))
            notes.append(
                f"the template doesn't tell its unit: {height:.3g} units tall, so 1 unit was taken "
                f"as {unit_to_mm:g} mm; --unit says it"
            )
    regions = _regions(mesh, lip_ids, upper_ids, derived=found.derived)
    tags = dict(regions.tags)
    basis = make_basis(mesh.vertices, mesh.shapes, regions, unit_to_mm)
    if not basis.has_opening:
        notes.append("the template's inner lips weren't found, so opening isn't measured")
    facts = {
        "template": found.name,
        "template_sha256": template_hash(found),
        "unit": "mm",
        "unit_to_mm": unit_to_mm,
        "vertices": len(mesh.vertices),
        "missing_shapes": list(mesh.missing_shapes),
        "lips": tags["lips"],
        "lip_count": len(regions.lips),
        "lip_sha256": ids_hash(regions.lips),
        "upper": tags["upper"],
        "upper_count": len(regions.upper),
        "upper_sha256": ids_hash(regions.upper),
        "opening": tags["pairs"],
        "opening_pairs": len(regions.pairs),
        "notes": notes,
    }
    return Head(basis, facts)


def read_ids(path: Path) -> Ids:
    """Vertex ids from a .npy, a .json list or a text file of numbers; InputError if it's none."""
    try:
        if path.suffix.lower() == ".npy":
            values = read_array(path)
        elif path.suffix.lower() == ".json":
            values = np.array(load_json(path))
        else:
            text = read_text(path).strip()
            values = np.array([int(cell) for cell in re.split(r"[\s,;]+", text) if cell])
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read as a list of vertex ids: {error}") from error
    if values.ndim == 1 and values.dtype == np.bool_:
        values = np.flatnonzero(values)
    if values.ndim != 1 or values.dtype.kind not in "iu" or len(values) == 0:
        raise InputError(f"{path} must hold one list of vertex ids, counted from 0")
    ids: Ids = np.unique(values).astype(np.int64)
    return ids


def _regions(
    mesh: TemplateMesh, lip_file: Path | None, upper_file: Path | None, derived: Sequence[str]
) -> Regions:
    """The user's lists, else the template's, else those found by motion.

    derived: which of the template's lists its import found by motion too.
    """
    if lip_file:
        lips, lip_tag = read_ids(lip_file), f"list {lip_file.name}"
        check_ids(lips, len(mesh.vertices), str(lip_file))
    elif len(mesh.lips):
        lips, lip_tag = np.unique(mesh.lips).astype(np.int64), "template"
        lip_tag = "auto" if "lips" in derived else lip_tag
    else:
        lips, lip_tag = find_lips(mesh.vertices, mesh.shapes), "auto"
    if upper_file:
        upper, upper_tag = read_ids(upper_file), f"list {upper_file.name}"
    else:
        upper, upper_tag = find_upper_face(mesh.shapes, lips), "auto"
    # A head may name several inner-lip pairs, one, or none.
    pairs = mesh.aperture_pairs.astype(np.int64)
    pair_tag = "auto" if "aperture_pairs" in derived else "template"
    if len(pairs) == 0 and len(mesh.lip_aperture_pair) == 2:
        pairs = mesh.lip_aperture_pair.astype(np.int64).reshape(1, 2)
    if len(pairs) == 0:
        pairs, pair_tag = find_lip_pair(mesh.vertices, mesh.shapes, lips), "auto"
    tags = (("lips", lip_tag), ("upper", upper_tag), ("pairs", pair_tag))
    return Regions(lips, upper, pairs, tags)
