# SPDX-License-Identifier: GPL-3.0-or-later
"""A head and lists of vertices in, its lips and upper face out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX, REGIONS
from exomni_core.errors import InputError

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]
# The geometric rule that finds lips without a list.
_LIP_SHAPES: Final = ("mouthPucker", "mouthFunnel", "mouthRollUpper", "mouthRollLower")
_LIP_SHARE: Final = 0.5
_UPPER_SHAPES: Final = REGIONS["brows"] + REGIONS["lids"]
_UPPER_SHARE: Final = 0.1
_MIDDLE: Final = 0.12  # of the mouth's width: what counts as the middle of the lips


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
    and it lies in the mouth's half of the face. Raises InputError.
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
