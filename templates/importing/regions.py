# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's shapes in, where its lips, eyes and brows are out: for heads that list none of it.

A geometric rule finds the lips. Its results are marked `derived`, because measurements with them
can't be compared with measurements with listed lips.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import IntArray
from exomni_core.errors import InputError
from exomni_core.head_regions import find_lips
from templates.mesh import TemplateMesh

_GROUPS: Final = {
    "eye_L": ("eyeBlinkLeft",),
    "eye_R": ("eyeBlinkRight",),
    "brow_L": ("browDownLeft", "browOuterUpLeft"),
    "brow_R": ("browDownRight", "browOuterUpRight"),
}
_GROUP_SHARE: Final = 0.3
_PAIRS: Final = 9  # across the mouth
_UPPER_TRAVEL: Final = 0.25  # of the lower lip's when the jaw opens
_LOWER_TRAVEL: Final = 0.6


def with_regions(mesh: TemplateMesh) -> tuple[TemplateMesh, tuple[str, ...]]:
    """The head with what it lacked of lips, pairs and groups, and the names of what was derived."""
    derived = []
    if not len(mesh.lips):
        lips = lips_by_rule(mesh)
        if len(lips):
            mesh = replace(mesh, lips=lips)
            derived.append("lips")
    upper, lower = split_lips(mesh)
    if not len(mesh.upper_lip) and len(upper):
        mesh = replace(mesh, upper_lip=upper, lower_lip=lower)
    if not len(mesh.aperture_pairs):
        pairs = find_pairs(mesh)
        if len(pairs):
            mesh = replace(mesh, aperture_pairs=pairs)
            derived.append("aperture_pairs")
    if not len(mesh.lip_aperture_pair) and len(mesh.aperture_pairs):
        middle = _widest(mesh)
        mesh = replace(mesh, lip_aperture_pair=mesh.aperture_pairs[middle])
    groups = find_groups(mesh)
    if fresh := {name: ids for name, ids in groups.items() if name not in mesh.vertex_groups}:
        mesh = replace(mesh, vertex_groups={**mesh.vertex_groups, **fresh})
        derived.append("vertex_groups")
    return mesh, tuple(derived)


def lips_by_rule(mesh: TemplateMesh) -> IntArray:
    """The lips as metrics find them where nobody lists any; none where the shapes are missing."""
    try:
        return find_lips(mesh.vertices, mesh.shapes).astype(np.int32)
    except InputError:
        return np.empty(0, np.int32)


def split_lips(mesh: TemplateMesh) -> tuple[IntArray, IntArray]:
    """(upper, lower): the lips' vertices by whether they go along when the jaw opens."""
    ids = mesh.lips
    if not len(ids):
        return ids, ids
    drop = -mesh.shapes[CHANNEL_INDEX["jawOpen"], ids, 1]
    if drop.max() <= 0:
        return np.empty(0, np.int32), np.empty(0, np.int32)
    goes = drop > 0.4 * drop.max()
    return ids[~goes], ids[goes]


def find_pairs(mesh: TemplateMesh) -> IntArray:
    """(n, 2) upper and lower inner-lip vertices that touch or nearly do and part with the jaw.

    One pair in each of nine slices across the mouth: the nearest two of which only the lower goes
    down; slices without such a pair are left out.
    """
    ids = mesh.lips
    drop = -mesh.shapes[CHANNEL_INDEX["jawOpen"], ids, 1] if len(ids) else np.empty(0)
    if not len(ids) or drop.max(initial=0.0) <= 0:
        return np.empty((0, 2), np.int32)
    still, going = drop < _UPPER_TRAVEL * drop.max(), drop > _LOWER_TRAVEL * drop.max()
    if not still.any() or not going.any():
        return np.empty((0, 2), np.int32)
    across = mesh.vertices[ids[still | going], 0]
    edges = np.linspace(across.min(), across.max(), _PAIRS + 1)
    pairs, gaps = [], []
    for low, high in itertools.pairwise(edges):
        inside = (mesh.vertices[ids, 0] >= low) & (mesh.vertices[ids, 0] <= high)
        upper, lower = ids[inside & still], ids[inside & going]
        if len(upper) and len(lower):
            apart = np.linalg.norm(
                mesh.vertices[upper][:, None] - mesh.vertices[lower][None], axis=2
            )
            row, column = np.unravel_index(int(apart.argmin()), apart.shape)
            pairs.append((upper[row], lower[column]))
            gaps.append(float(apart[row, column]))
    # Beyond the corners the nearest two are outer skin, far apart.
    most = max(0.05 * float(np.ptp(across)), 2.5 * float(np.median(gaps))) if gaps else 0.0
    kept = [pair for pair, gap in zip(pairs, gaps, strict=True) if gap <= most]
    return np.array(kept, np.int32).reshape(-1, 2)


def opening(mesh: TemplateMesh, pairs: IntArray, **weights: float) -> npt.NDArray[np.float32]:
    """(n,) how far apart the pairs are, in mesh units, with the given channels' weights."""
    points = mesh.vertices.copy()
    for channel, weight in weights.items():
        points += np.float32(weight) * mesh.shapes[CHANNEL_INDEX[channel]]
    apart: npt.NDArray[np.float32] = np.linalg.norm(
        points[pairs[:, 0]] - points[pairs[:, 1]], axis=1
    )
    return apart


def find_groups(mesh: TemplateMesh) -> dict[str, IntArray]:
    """Eyes and brows by what their shapes move, and the lips; groups that would be empty lack."""
    groups = {name: _moved(mesh, channels) for name, channels in _GROUPS.items()}
    groups |= {"lips": mesh.lips, "upper_lip": mesh.upper_lip, "lower_lip": mesh.lower_lip}
    return {name: np.unique(ids).astype(np.int32) for name, ids in groups.items() if len(ids)}


def has_mouth_interior(mesh: TemplateMesh) -> bool:
    """Whether teeth, tongue or a mouth bag lie behind the lips: else an open mouth is a hole.

    Looked for between the lips' corners and behind them, no deeper than the mouth is wide.
    """
    if not len(mesh.lips):
        return False
    lips = mesh.vertices[mesh.lips]
    low, high = lips.min(axis=0), lips.max(axis=0)
    width = high[0] - low[0]
    box_low = np.array([low[0] + 0.2 * width, low[1] - 0.2 * width, low[2] - width])
    box_high = np.array([high[0] - 0.2 * width, high[1] + 0.2 * width, high[2] - 0.35 * width])
    inside = ((mesh.vertices > box_low) & (mesh.vertices < box_high)).all(axis=1)
    inside[mesh.lips] = False
    return int(inside.sum()) >= 8


def _widest(mesh: TemplateMesh) -> int:
    return int(opening(mesh, mesh.aperture_pairs, jawOpen=1.0).argmax())


def _travel(mesh: TemplateMesh, channels: Sequence[str]) -> npt.NDArray[np.float32]:
    rows = [CHANNEL_INDEX[channel] for channel in channels]
    travel: npt.NDArray[np.float32] = np.linalg.norm(mesh.shapes[rows], axis=2).max(axis=0)
    return travel


def _moved(mesh: TemplateMesh, channels: Sequence[str]) -> IntArray:
    travel = _travel(mesh, channels)
    if not travel.any():
        return np.empty(0, np.int32)
    return np.flatnonzero(travel >= _GROUP_SHARE * travel.max()).astype(np.int32)
