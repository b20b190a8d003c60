# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's neutral and 52 offsets in, the few rows that metrics need out, in millimetres.

A blendshape face is linear, so the distance of two faces is (c - c') . B: lip metrics need only the
offsets at the lip vertices. Regions without a list are found by rules of shape displacement and
tagged `auto`, so that they are never mixed with listed ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, REGIONS
from exomni_core.errors import InputError

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]

# The rule of evaluation spec 1.2 for lips without a list.
_LIP_SHAPES: Final = ("mouthPucker", "mouthFunnel", "mouthRollUpper", "mouthRollLower")
_LIP_SHARE: Final = 0.5
_UPPER_SHAPES: Final = REGIONS["brows"] + REGIONS["lids"]
_UPPER_SHARE: Final = 0.1
BLOCK: Final = 512  # vertices whose motion over a clip of usual length stays in the cache
_MIDDLE: Final = 0.12  # of the mouth's width: what counts as the middle of the lips


@dataclass(frozen=True, eq=False)
class Regions:
    """Which vertices the metrics look at, as ids of the template.

    lips, upper (eyes and forehead): (n,) ids. pairs: (n, 2) inner-lip vertices, upper and lower;
    may be empty, then opening is not measured. tags: for each region `list`, `template` or `auto`.
    """

    lips: Ids
    upper: Ids
    pairs: Ids
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class FaceBasis:
    """Offsets per unit of weight in mm, each (52, 3 n) in ARKIT_52 order, n vertices of a region.

    Columns are n of x, then y, then z: whole rows of numbers are fastest to square. upper (of
    `upper_count` vertices) and moving (all that any shape moves, of `count` in the head) are blocks
    (B, 52, 3 * BLOCK), the last one filled up with zeros, so that long clips take little room. gap:
    of each of P inner-lip pairs, the upper vertex minus the lower one. neutral_gap: (3, P) mm, the
    same in the neutral face.
    """

    lips: Array
    upper: Array
    upper_count: int
    moving: Array
    count: int
    gap: Array
    neutral_gap: Array

    @property
    def has_opening(self) -> bool:
        """Whether the template names inner-lip pairs."""
        return self.neutral_gap.shape[1] > 0


def make_basis(
    neutral: npt.ArrayLike, offsets: npt.ArrayLike, regions: Regions, unit_to_mm: float
) -> FaceBasis:
    """Cut the offsets of every region out of a head.

    neutral: (V, 3); offsets: (52, V, 3) in ARKIT_52 order, both in units of `unit_to_mm` mm.
    Raises InputError for ids outside the head or an empty region.
    """
    points, table = np.asarray(neutral), np.asarray(offsets)
    check_ids(regions.lips, len(points), "the lip list")
    check_ids(regions.upper, len(points), "the list of the upper face")
    if len(regions.pairs):
        check_ids(regions.pairs.ravel(), len(points), "the list of lip pairs")
    if not (np.isfinite(unit_to_mm) and unit_to_mm > 0):
        raise InputError(f"{unit_to_mm!r} is no length of the template's unit in mm", field="unit")

    def rows(part: Array, kind: Any = np.float64) -> Array:
        flat = np.moveaxis(part, 2, 1).astype(kind) * kind(unit_to_mm)
        return np.ascontiguousarray(flat.reshape(len(table), -1))

    def blocks(ids: Ids) -> Array:
        return np.stack([rows(part, table.dtype.type) for part in _blocks(table[:, ids])])

    pairs = regions.pairs.reshape(-1, 2)
    exact = table[:, pairs].astype(np.float64)
    upper, lower = points[pairs[:, 0]].astype(np.float64), points[pairs[:, 1]]
    return FaceBasis(
        # In the head's own precision, single for most: twice as fast, exact to a millionth.
        lips=rows(table[:, regions.lips], table.dtype.type),
        upper=blocks(regions.upper),
        upper_count=len(regions.upper),
        moving=blocks(np.flatnonzero(table.any(axis=(0, 2)))),
        count=len(points),
        gap=rows(exact[:, :, 0] - exact[:, :, 1]),
        neutral_gap=np.ascontiguousarray((upper - lower).T) * unit_to_mm,
    )


def _blocks(part: Array) -> list[Array]:
    """(52, n, 3) cut into pieces of BLOCK vertices, the last one filled up with zeros."""
    short = -part.shape[1] % BLOCK if part.shape[1] else BLOCK
    filled = np.pad(part, ((0, 0), (0, short), (0, 0)))
    return np.split(filled, filled.shape[1] // BLOCK, axis=1)


def check_ids(ids: Ids, count: int, what: str) -> None:
    """Raise InputError unless `ids` name at least one vertex, and only vertices that exist."""
    if len(ids) == 0:
        raise InputError(f"{what} is empty; give vertex ids from 0 to {count - 1}")
    if ids.min() < 0 or ids.max() >= count:
        raise InputError(
            f"{what} names vertices {int(ids.min())} to {int(ids.max())}, but the template has "
            f"{count}, counted from 0; it belongs to another head"
        )


def ids_hash(ids: npt.ArrayLike) -> str:
    """Hex SHA-256 of a list of vertex ids, sorted, as decimal text with commas between."""
    text = ",".join(str(int(i)) for i in np.sort(np.asarray(ids).ravel()))
    return hashlib.sha256(text.encode()).hexdigest()


def find_lips(neutral: Array, offsets: Array) -> Ids:
    """Lip vertices of a head without a list: where pucker, funnel and rolls move it the most.

    A vertex counts when one of the four moves it by half of the head's largest such displacement
    and it lies in the mouth's half of the face (evaluation spec 1.2). Raises InputError.
    """
    moved = _largest(offsets, _LIP_SHAPES)
    if not moved.any():
        raise InputError(
            "the template has no lip shapes, so its lips can't be found; give --lip-ids"
        )
    # The face is what any shape moves; necks and shoulders would shift its middle.
    face = neutral[_largest(offsets, ARKIT_52) > 0.0]
    middle = (face[:, 1].min() + face[:, 1].max()) / 2
    found = np.flatnonzero((moved >= _LIP_SHARE * moved.max()) & (neutral[:, 1] < middle))
    if len(found) == 0:
        raise InputError("the template's lips can't be found by their motion; give --lip-ids")
    return found.astype(np.int64)


def find_upper_face(offsets: Array, lips: Ids) -> Ids:
    """Eyes and forehead: what brow and lid shapes move by a tenth of their largest displacement."""
    moved = _largest(offsets, _UPPER_SHAPES)
    found = np.flatnonzero((moved >= _UPPER_SHARE * moved.max()) & (moved > 0.0))
    return np.setdiff1d(found, lips).astype(np.int64)


def find_lip_pair(neutral: Array, offsets: Array, lips: Ids) -> Ids:
    """The inner-lip pair in the middle, (1, 2) upper and lower id, or (0, 2) if there is none.

    Lower lip: follows the jaw by half of the lips' largest way, upper lip: by less than a tenth.
    """
    jaw = np.linalg.norm(offsets[CHANNEL_INDEX["jawOpen"], lips], axis=1)
    if not jaw.any():
        return np.empty((0, 2), np.int64)
    points = neutral[lips]
    width = float(np.ptp(points[:, 0]))
    middle = np.abs(points[:, 0] - points[:, 0].mean()) <= _MIDDLE * width
    upper = np.flatnonzero(middle & (jaw < 0.1 * jaw.max()))
    lower = np.flatnonzero(middle & (jaw > 0.5 * jaw.max()))
    if len(upper) == 0 or len(lower) == 0:
        return np.empty((0, 2), np.int64)
    apart = np.linalg.norm(points[upper][:, None] - points[lower][None], axis=2)
    a, b = np.unravel_index(int(apart.argmin()), apart.shape)
    return np.array([[lips[upper[a]], lips[lower[b]]]], np.int64)


def _largest(offsets: Array, names: Sequence[str]) -> Array:
    rows = offsets[[CHANNEL_INDEX[name] for name in names]]
    return np.asarray(np.linalg.norm(rows, axis=2).max(axis=0))
