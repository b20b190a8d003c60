# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz of coefficients in (`coef` (T, K), `names`, `fps`), named columns and their rate out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError
from exomni_core.formats.live_link import NamedTable
from exomni_core.storage.npz import read_arrays

_TABLES: Final = ("coef", "weights")  # the second as our own drivers may call it


def read_npz(path: Path, fps: float | None, names: tuple[str, ...] | None) -> NamedTable:
    """Read the npz; `fps` and `names` stand in for what it lacks, `fps` also overrides.

    Raises InputError for a file without a table, without names or without a rate.
    """
    arrays = read_arrays(path)
    table = next((arrays[key] for key in _TABLES if key in arrays), None)
    if table is None:
        raise InputError(f"{path} holds no array 'coef' (frames x channels); write it again")
    if "names" in arrays:
        names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in arrays["names"].flat)
    if names is None:
        raise InputError(f"{path} doesn't name its columns: it lacks the array 'names'; add it")
    rate = fps
    if rate is None and arrays.get("fps", np.empty(0)).size == 1:
        rate = _number(arrays["fps"])
    if rate is None:
        raise InputError(f"{path} doesn't tell its frame rate: add 'fps'", field="fps")
    return NamedTable(names, table, rate)


def _number(value: npt.NDArray[Any]) -> float:
    return float(value.item()) if value.dtype.kind in "fiu" else math.nan
