# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz of coefficients in (`coef` (T, K), `names`, `fps`), a face track out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError
from exomni_core.formats.face_track import FaceTrack, track_of
from exomni_core.formats.format import Format, Wishes
from exomni_core.storage.npz import array_names, read_arrays

_TABLES: Final = ("coef", "weights")  # the second as our own drivers may call it


def read_npz(path: Path, wishes: Wishes) -> FaceTrack:
    """Read the npz; the wishes stand in for what it lacks, and their rate also overrides.

    Raises InputError for a file without a table, without names or without a rate.
    """
    arrays, names = read_arrays(path), wishes.names
    table = next((arrays[key] for key in _TABLES if key in arrays), None)
    if table is None:
        raise InputError(f"{path} holds no array 'coef' (frames x channels); write it again")
    if "names" in arrays:
        names = tuple(array_names(arrays["names"], f"{path}: its array 'names'"))
    if names is None:
        raise InputError(f"{path} doesn't name its columns: it lacks the array 'names'; add it")
    rate = wishes.fps
    if rate is None and arrays.get("fps", np.empty(0)).size == 1:
        rate = _number(arrays["fps"])
    if rate is None:
        raise InputError(
            f"{path} doesn't tell its frame rate: add 'fps', or give --fps", field="fps"
        )
    return track_of(names, table, rate, path)


def _number(value: npt.NDArray[Any]) -> float:
    return float(value.item()) if value.dtype.kind in "fiu" else math.nan


FORMAT: Final = Format("npz", "NumPy arrays with names", ".npz", "the face and its rate", read_npz)
