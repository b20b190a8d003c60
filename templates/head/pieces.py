# SPDX-License-Identifier: GPL-3.0-or-later
"""Grids of points -> the loose pieces that half a head is put together from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class Part:
    """A piece of half a head.

    `rig` says what moves it: skull, jaw, tongue, eye, glint, lash or skin. A `central` piece
    crosses the middle: its points with x = 0 are shared by both halves. tint: (n, 3), what the
    part's colour is multiplied by, None for 1.
    """

    name: str
    points: Array
    polygons: Ints
    rig: str
    central: bool = False
    tint: Array | None = None


def sheet(rows: int, columns: int, closed: bool = False) -> Ints:
    """Quads of a (rows, columns) grid; with `closed`, the last column joins the first."""
    ids = np.arange(rows * columns).reshape(rows, columns)
    a, b = (ids, np.roll(ids, -1, 1)) if closed else (ids[:, :-1], ids[:, 1:])
    result: Ints = np.stack([a[:-1], a[1:], b[1:], b[:-1]], -1).reshape(-1, 4)
    return result
