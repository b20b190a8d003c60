# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of a face as a file has them in, values that can be used and what was done to them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52
from exomni_core.arrays import Array, FloatArray
from exomni_core.errors import InputError

_FAR_OUT: Final = 2.0  # weights a little above 1 are exaggeration; these need a word
_LEAST_PERCENT: Final = 10.0  # a face in percent reaches this
_MOST_PERCENT: Final = 110.0
_OTHER_SCALE: Final = 0.2  # share of the values that are not zero
_MOST_NAMES: Final = 12


def fill_lost(
    values: Array, is_lost: npt.NDArray[np.bool_], times_s: Array
) -> tuple[Array, tuple[str, ...]]:
    """(T, K) values, some rows of which hold no face -> all rows filled, and a note with the count.

    Between two faces the values go straight from one to the other; before the first and after the
    last one they are held. At least one row must hold a face.
    """
    if not is_lost.any():
        return values, ()
    kept = np.flatnonzero(~is_lost)
    filled = np.column_stack([np.interp(times_s, times_s[kept], c) for c in values[kept].T])
    first, last, total = int(kept[0]), int(len(values) - 1 - kept[-1]), int(is_lost.sum())
    parts = []
    if first:
        parts.append(f"the first {first} hold the first face seen")
    if inner := total - first - last:
        parts.append(f"{inner} are filled from their neighbours")
    if last:
        parts.append(f"the last {last} hold the last face seen")
    note = f"{total} of {len(values)} rows hold no face (tracking was lost): " + ", ".join(parts)
    return filled, (note,)


def in_range(weights: FloatArray, where: str) -> tuple[FloatArray, tuple[str, ...]]:
    """(T, 52) weights -> the same, or divided by 100 where they are percent, and a note.

    Raises InputError for another scale, such as 0 to 255. A few stray values stay as they are.
    """
    top = float(np.abs(weights).max())
    if top <= _FAR_OUT:
        return weights, ()
    above = float((np.abs(weights) > 1.0).sum()) / max(1, int((weights != 0.0).sum()))
    if above < _OTHER_SCALE or top <= _LEAST_PERCENT:
        peaks = np.abs(weights).max(axis=0)
        told = [f"{ARKIT_52[i]} up to {peaks[i]:.4g}" for i in np.flatnonzero(peaks > _FAR_OUT)]
        return weights, ("weights go from 0 to 1, but " + _some(told),)
    if top > _MOST_PERCENT:
        raise InputError(
            f"{where} holds values up to {top:.4g}; weights go from 0 to 1 (or 0 to 100): "
            "scale them"
        )
    note = f"its values go up to {top:.4g}: they are read as percent and divided by 100"
    return (weights / np.float32(100.0)).astype(np.float32), (note,)


def unknown_note(columns: Sequence[str]) -> tuple[str, ...]:
    """A note that names the columns which hold no channel; none for none."""
    return (f"columns that are no ARKit channels are passed over: {_some(columns)}",) * bool(
        columns
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
