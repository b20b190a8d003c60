# SPDX-License-Identifier: GPL-3.0-or-later
"""A template, its mesh and a look in, the colour of each polygon corner out; no bpy."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import numpy as np

from exomni_core.arrays import FloatArray
from templates.insides import down_the_neck, is_inside, mouth_light
from templates.matcaps import MATCAPS, shade
from templates.mesh import TemplateMesh
from templates.occlusion import darken, open_sky, smooth, vertex_normals

if TYPE_CHECKING:
    from templates.descriptor import Template
    from templates.looks import Look

_OTHER = (0.8, 0.8, 0.8)  # of a part without a colour
_LUMINANCE = (0.2126, 0.7152, 0.0722)
_SHADE = 0.72  # of the tint: what is darker is a hole or a line, not a shade of skin
_AHEAD = (0.0, 0.35, 0.937)  # a brow as a whole looks ahead and up
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
        corners *= _blushing(mesh, look)
    if look.colours == "single" and look.shades:
        corners *= _shades(mesh, look.shades)[mesh.polygons][..., None]
    if look.occlusion:
        corners = _with_hollows(corners, mesh, look)
    if look.throat < 1.0:
        corners *= mouth_light(mesh, look.throat)[mesh.polygons][..., None]
    if look.neck < 1.0:
        corners *= 1.0 - (1.0 - look.neck) * down_the_neck(mesh)[mesh.polygons][..., None]
    if look.even:
        corners *= _evened(mesh, look)
    return np.ascontiguousarray(corners, np.float32)


def _blushing(mesh: TemplateMesh, look: Look) -> FloatArray:
    """(Q, 4, 3) the tint at each corner, its hues stronger or weaker and its lightness the same.

    Strong hues stay as they are: rims of lids and nostrils are red enough.
    """
    tint = mesh_tint(mesh)[mesh.polygons]
    power = _by_part(mesh, look.blush)
    if (power == 1.0).all():
        return tint
    light = np.maximum(tint @ np.array(_LUMINANCE, np.float32), 1e-6)[..., None]
    faint = np.clip((tint.min(axis=2) / np.maximum(tint.max(axis=2), 1e-6) - 0.78) / 0.06, 0, 1)
    exponent = 1.0 + (power[:, None] - 1.0) * faint
    strong: FloatArray = light * (tint / light) ** exponent[..., None]
    return strong


def _shades(mesh: TemplateMesh, strength: float) -> FloatArray:
    """(V,) the lightness of the mesh's tint where it is dark, else 1."""
    light = mesh_tint(mesh) @ np.array(_LUMINANCE, np.float32)
    shades: FloatArray = 1.0 - strength * (1.0 - np.clip(light / _SHADE, 0.0, 1.0))
    return shades


def _with_hollows(corners: FloatArray, mesh: TemplateMesh, look: Look) -> FloatArray:
    factors = _by_part(mesh, look.hollows)
    if look.throat < 1.0 and len(mesh.lips):  # they have a light of their own
        factors *= [not is_inside(mesh.part_names[k]) for k in mesh.polygon_part]
    strength = np.minimum(look.occlusion * factors, 1.0)
    # Folds as dark as they are, or more; wide and shallow hollows (a cheek) less.
    seen = open_sky(mesh)
    seen = seen * seen * (3.0 - 2.0 * seen)
    return darken(corners, seen[mesh.polygons], strength[:, None])


def _evened(mesh: TemplateMesh, look: Look) -> FloatArray:
    """(Q, 4, 3) factors that light a part as if it had no relief, for our matcaps."""
    factors = np.ones((*mesh.polygons.shape, 3), np.float32)
    matcap = MATCAPS.get(look.matcap.removeprefix("generated:"))
    share = _by_part(mesh, look.even)
    chosen = np.array([any(fnmatchcase(n, p) for p in look.even) for n in mesh.part_names])
    share = np.where(chosen[mesh.polygon_part], np.minimum(share, 1.0), 0.0)
    if matcap is None or not share.any():
        return factors
    normals = vertex_normals(mesh.vertices, mesh.polygons)
    normals[~normals.any(axis=1)] = _AHEAD
    normals[:, 2] = np.abs(normals[:, 2])  # a matcap is looked up by x and y alone
    wanted, own = shade(matcap, np.array(_AHEAD, np.float32))[0], shade(matcap, normals)[0]
    ratio = np.clip(wanted / np.maximum(own, 1e-6), 0.3, 4.0)[mesh.polygons]
    factors += share[:, None, None] * (ratio - 1.0)
    return factors


def _by_part(mesh: TemplateMesh, factors: Mapping[str, float]) -> FloatArray:
    """(Q,) the factor of each polygon's part."""
    rows = [_factor(factors, name) for name in mesh.part_names]
    return np.array(rows, np.float32)[mesh.polygon_part]


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
    own = look.colours == "tint" or (look.colours == "single" and look.shades > 0)
    shaded = look.occlusion > 0 or min(look.throat, look.neck) < 1.0 or len(look.even) > 0
    return shaded or (own and lips)


def _part_colour(template: Template, part: str, look: Look) -> tuple[float, ...]:
    colours = template.part_colours
    colour = colours.get(part, colours.get("*", _OTHER))
    if look.colours == "single":
        colour = look.single_colour
    tone = _factor(look.tones, part)
    return tuple(tone * value for value in colour)


def _factor(factors: Mapping[str, float], part: str) -> float:
    return next((f for pattern, f in factors.items() if fnmatchcase(part, pattern)), 1.0)
