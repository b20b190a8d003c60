# SPDX-License-Identifier: GPL-3.0-or-later
"""A template, its mesh and a look in, the colour of each polygon corner out; no bpy."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from templates.mesh import FloatArray, TemplateMesh

if TYPE_CHECKING:
    from templates.descriptor import Template
    from templates.looks import Look

_OTHER = (0.8, 0.8, 0.8)  # of a part without a colour


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
    if is_tinted(mesh, look):
        corners *= mesh.tint[mesh.polygons]
    return np.ascontiguousarray(corners, np.float32)


def is_tinted(mesh: TemplateMesh, look: Look) -> bool:
    """Whether colours differ within a part: the look wants the mesh's tint and there is one."""
    return look.colours == "tint" and len(getattr(mesh, "tint", ())) > 0


def _part_colour(template: Template, part: str, look: Look) -> tuple[float, ...]:
    colours = template.part_colours
    colour = colours.get(part, colours.get("*", _OTHER))
    if look.colours == "single":
        colour = look.single_colour
    tone = next((t for pattern, t in look.tones.items() if fnmatchcase(part, pattern)), 1.0)
    return tuple(tone * value for value in colour)
