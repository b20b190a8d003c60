# SPDX-License-Identifier: GPL-3.0-or-later
"""A head's neutral and 52 offsets in, the few rows that metrics need out, in millimetres.

A blendshape face is linear, so the distance of two faces is (c - c') . B: lip metrics need only the
offsets at the lip vertices. Regions without a list are found by rules of shape displacement and
tagged `auto`, so that they are never mixed with listed ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError
from exomni_core.head_regions import Array, Ids, check_ids

BLOCK: Final = 512  # vertices whose motion over a clip of usual length stays in the cache


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
