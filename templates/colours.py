# SPDX-License-Identifier: GPL-3.0-or-later
"""A template, its mesh and a look in, the colour of each polygon corner out; no bpy."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from templates.mesh import FloatArray, TemplateMesh
from templates.occlusion import darken, open_sky, smooth

if TYPE_CHECKING:
    from templates.descriptor import Template
    from templates.looks import Look

_OTHER = (0.8, 0.8, 0.8)  # of a part without a colour
_LIPS = (0.85, 0.60, 0.58)  # of the skin's colour


def part_colours(template: Template, mesh: TemplateMesh, look: Look) -> FloatArray:
    """(parts, 3) scene-linear RGB of each of the mesh's parts in this look, without tint."""
    rows = [_part_colour(template, name, look) for name in mesh.part_names]
    return np.array(rows, np.float32)


def polygon_colours(template: Template, mesh: TemplateMesh, look: Look) -> FloatArray:
    """(Q, 4, 3) scene-linear RGB for each corner of each polygon.

    The fourth corner of a triangle carries the colour of the part, without meaning.
    """
    base = part_colours(template, mesh, look)[mesh.polygon_part]
    corners = np.repeat(base[:, None, :], 4, axis=1)
    if look.colours == "tint":
        corners *= mesh_tint(mesh)[mesh.polygons]
    if look.occlusion:
        factors = [_factor(look.hollows, name) for name in mesh.part_names]
        strength = np.minimum(look.occlusion * np.array(factors, np.float32), 1.0)
        seen = open_sky(mesh)[mesh.polygons]
        corners = darken(corners, seen, strength[mesh.polygon_part][:, None])
    return np.ascontiguousarray(corners, np.float32)


def mesh_tint(mesh: TemplateMesh) -> FloatArray:
    """(V, 3) the mesh's own tint; where it has none and no part for the lips, redder lips."""
    if len(mesh.tint):
        return mesh.tint
    tint = np.ones_like(mesh.vertices)
    if not any(fnmatchcase(name.lower(), "*lip*") for name in mesh.part_names):
        on_lips = np.zeros(len(tint), np.float32)
        on_lips[mesh.lips] = 1.0
        tint -= smooth(on_lips, mesh.polygons)[:, None] * (1.0 - np.array(_LIPS, np.float32))
    return tint


def is_tinted(mesh: TemplateMesh, look: Look) -> bool:
    """Whether colours differ within a part: by a tint, or as hollows are darker."""
    lips = len(mesh.tint) > 0 or len(mesh.lips) > 0
    return look.occlusion > 0 or (look.colours == "tint" and lips)


def _part_colour(template: Template, part: str, look: Look) -> tuple[float, ...]:
    colours = template.part_colours
    colour = colours.get(part, colours.get("*", _OTHER))
    if look.colours == "single":
        colour = look.single_colour
    tone = _factor(look.tones, part)
    return tuple(tone * value for value in colour)


def _factor(factors: Mapping[str, float], part: str) -> float:
    return next((f for pattern, f in factors.items() if fnmatchcase(part, pattern)), 1.0)
