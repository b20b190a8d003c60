# SPDX-License-Identifier: GPL-3.0-or-later
"""A head in; light on the inside of its mouth, and depth down its neck, per vertex out.

Both are worked out at rest from the lips and the jaw, so they fit heads of any shape and unit.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import FloatArray, IntArray
from templates.mesh import TemplateMesh
from templates.occlusion import vertex_normals

# Lengths are shares of the mouth's width, which is some 50 mm.
_BAG_DEEP: Final = 0.23  # behind the lips' edge the bag is as dark as it gets
_TONGUE_DEEP: Final = 0.55  # behind the tip of the tongue
_TIP: Final = 0.85  # the light on the tip of the tongue
_TEETH_DEEP: Final = 0.75  # behind the incisors
_BACKS: Final = 0.35  # the light behind teeth, as a share of the deepest
_TOOTH: Final = 0.12  # about how thick a tooth is
_MOLARS: Final = 0.35  # the light on the outer side of the last teeth
WITH_JAW: Final = 0.8  # of the largest travel at jawOpen: the chin
_NECK: Final = (0.02, 0.28)  # from and to below the chin, as a share of chin to top
_TONGUES: Final = ("*tongue*",)
_ROWS: Final = ("teeth*", "tooth*", "gums*")
_BAGS: Final = ("mouth*",)
INSIDES: Final = (*_TONGUES, *_ROWS, *_BAGS)  # patterns of parts' names


def is_inside(part: str) -> bool:
    """Whether a part of this name lies in the mouth."""
    return _fits(part, INSIDES)


def mouth_light(mesh: TemplateMesh, deepest: float) -> FloatArray:
    """(V,) float32 multiplier: 1 outside and at the lips, falling to `deepest` inside the mouth.

    The backs of teeth are darkest, because light comes only from the front. A head without known
    lips stays unchanged.
    """
    light = np.ones(len(mesh.vertices), np.float32)
    if not len(mesh.lips) or deepest >= 1.0:
        return light
    points = mesh.vertices
    wide = max(float(np.ptp(points[mesh.lips, 0])), 1e-9)
    normals = vertex_normals(points, mesh.polygons)
    teeth = _ids(mesh, [k for k, name in enumerate(mesh.part_names) if _fits(name, _ROWS)])
    for number, name in enumerate(mesh.part_names):
        if not is_inside(name):
            continue
        ids = _ids(mesh, [number])
        if not len(ids):
            continue
        if _fits(name, _TONGUES):
            behind = (points[ids, 2].max() - points[ids, 2]) / (_TONGUE_DEEP * wide)
            share = _TIP * (1.0 - (1.0 - deepest) * _ease(behind))
        elif _fits(name, _ROWS):
            share = _row_light(points[ids], normals[ids], points[teeth], wide, deepest)
        else:
            behind = _distance(points[ids], points[mesh.lips]) / (_BAG_DEEP * wide)
            share = deepest ** np.clip(behind, 0.0, 1.0)
        light[ids] = share
    return light


def down_the_neck(mesh: TemplateMesh) -> FloatArray:
    """(V,) float32 from 0, at the chin and above, to 1 at the foot of the neck and below."""
    height = mesh.vertices[:, 1]
    travel = np.linalg.norm(mesh.shapes[CHANNEL_INDEX["jawOpen"]], axis=1)
    if not travel.any():
        return np.zeros(len(height), np.float32)
    chin = float(height[travel > WITH_JAW * travel.max()].min())
    below = (chin - height) / max(float(height.max()) - chin, 1e-9)
    return np.asarray(_ease((below - _NECK[0]) / (_NECK[1] - _NECK[0])), np.float32)


def _row_light(
    points: FloatArray, normals: FloatArray, teeth: FloatArray, wide: float, deepest: float
) -> FloatArray:
    """Light on gums and teeth: less towards the cheeks, least on what faces the throat."""
    front = float(teeth[:, 2].max())
    behind = _ease((front - points[:, 2]) / (_TEETH_DEEP * wide))
    outside = 1.0 - (1.0 - _MOLARS) * behind
    # The middle of the arch, which is about as deep as it is wide.
    middle = (front + float(teeth[:, 2].min())) / 2
    outward = points[:, [0, 2]] - np.array([0.0, middle])
    outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
    # Which side of its tooth a point lies on, and which way it looks.
    radius = np.hypot(points[:, 0], points[:, 2] - middle)
    side = (radius - _mean_near(points, radius, _TOOTH * wide)) / (0.3 * _TOOTH * wide)
    looks = (normals[:, [0, 2]] * outward).sum(axis=1)
    facing = _ease((np.clip(side, -1.0, 1.0) + 0.6 * looks + 0.7) / 0.9)
    darkest = _BACKS * deepest
    light: FloatArray = darkest + (outside - darkest) * facing
    return light


def _mean_near(points: FloatArray, values: FloatArray, reach: float) -> FloatArray:
    """(n,) the mean of the values of the points within `reach` of each of the (n, 3) points."""
    mean = np.empty(len(points), np.float32)
    order = np.argsort(points[:, 0], kind="stable")
    points, values = points[order], values[order]
    for start in range(0, len(points), 128):
        some = points[start : start + 128]
        low, high = np.searchsorted(points[:, 0], (some[0, 0] - reach, some[-1, 0] + reach))
        gap = some[:, None] - points[None, low:high]
        near = (gap * gap).sum(axis=2) < reach * reach
        mean[order[start : start + 128]] = (near * values[low:high]).sum(axis=1) / near.sum(axis=1)
    return mean


def _distance(points: FloatArray, others: FloatArray) -> FloatArray:
    """(n,) from each of (n, 3) points to the nearest of the others."""
    nearest = np.empty(len(points), np.float32)
    for start in range(0, len(points), 512):
        gap = points[start : start + 512, None] - others[None]
        nearest[start : start + 512] = np.sqrt((gap * gap).sum(axis=2).min(axis=1))
    return nearest


def _ids(mesh: TemplateMesh, parts: list[int]) -> IntArray:
    ids: IntArray = np.unique(mesh.polygons[np.isin(mesh.polygon_part, parts)])
    used: IntArray = ids[ids >= 0]
    return used


def _fits(part: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(part.lower(), pattern) for pattern in patterns)


def _ease(share: FloatArray) -> FloatArray:
    clipped = np.clip(share, 0.0, 1.0)
    eased: FloatArray = clipped * clipped * (3.0 - 2.0 * clipped)
    return eased
