# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz file in, its arrays out; a file that is damaged, pickled or too large is one sentence."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError

MAX_BYTES: Final = 1 << 30  # after unpacking: a small file may hold a huge one
_FAULTS: Final = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError,
    RuntimeError,  # it wants a password
    MemoryError,  # a header that asks for more than there is
)  # fmt: skip


def read_arrays(path: Path, most_bytes: int = MAX_BYTES) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the file; InputError if it is none, is larger than that or holds pickles."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
        if size > most_bytes:
            raise InputError(
                f"{path} would take {size >> 20} MB; {most_bytes >> 20} MB is the limit"
            )
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except _FAULTS as error:
        raise InputError(f"{path} can't be read as an npz file of plain arrays: {error}") from error
