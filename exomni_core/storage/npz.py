# SPDX-License-Identifier: GPL-3.0-or-later
"""An npz file in, its arrays out; a file that is damaged, pickled or too large is one sentence."""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.errors import InputError
from exomni_core.storage.foreign import allowance, open_zip, read_at_most

MAX_BYTES: Final = 1 << 30  # after unpacking: a small file may hold a huge one
_COPIES: Final = 3  # how often a reader may hold an array while it works on it
_MAX_NAMES: Final = 10_000
_FAULTS: Final = (
    OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError,
    RuntimeError,  # it wants a password
    MemoryError,  # a header that asks for more than there is
    # What numpy stumbles over in an odd header:
    TypeError, KeyError, SyntaxError, OverflowError, AttributeError, tokenize.TokenError,
)  # fmt: skip


def read_arrays(path: Path, most_bytes: int = MAX_BYTES) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the file; InputError if it is none, is larger than that or holds pickles."""
    try:
        data = read_at_most(path, most_bytes)
        with open_zip(data) as archive:
            size = sum(info.file_size for info in archive.infolist())
            if size > most_bytes:
                raise InputError(
                    f"{path} would take {size >> 20} MB; {most_bytes >> 20} MB is the limit"
                )
            _check_cost(archive, len(data))
        with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
            # A member that is no npy file comes as its bytes; it is no array of ours.
            found = {name: loaded[name] for name in loaded.files}
        for name, array in found.items():
            _check_letters(name, array)
    except _FAULTS as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} can't be read as an npz file of plain arrays: {reason}"
        ) from error
    return {name: array for name, array in found.items() if isinstance(array, np.ndarray)}


def read_array(path: Path, most_bytes: int = MAX_BYTES) -> npt.NDArray[Any]:
    """The array of an npy file; OSError or ValueError if it is none, or is larger than that."""
    data = read_at_most(path, most_bytes)
    try:
        _member_cost(io.BytesIO(data), len(data))
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except _FAULTS as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    if not isinstance(found, np.ndarray):
        raise ValueError("it is an npz file")
    return found


def array_names(array: npt.NDArray[Any], where: str) -> list[str]:
    """The texts that an array holds; InputError, which begins with `where`, for any other array.

    Bytes are read as UTF-8.
    """
    if array.dtype.kind not in "SUOiuf" or array.size > _MAX_NAMES:
        raise InputError(f"{where} must be a list of at most {_MAX_NAMES} texts")
    try:
        return [n.decode() if isinstance(n, bytes) else str(n) for n in array.flat]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} holds bytes that are not UTF-8; write them as texts") from error


def _check_letters(name: str, array: Any) -> None:
    """ValueError for texts that Python can't make: numpy keeps their numbers unchecked."""
    kind = getattr(array, "dtype", np.dtype("V"))
    if kind.kind == "U" and kind.itemsize:
        letters = np.frombuffer(array.tobytes(), np.dtype(f"{kind.str[0]}u4"))
        if letters.max(initial=0) > 0x10FFFF:
            raise ValueError(f"the texts in {name!r:.40} are damaged")


def _check_cost(archive: zipfile.ZipFile, input_bytes: int) -> None:
    """ValueError if the arrays would take more memory than a file of that size may."""
    cost = 0
    for info in archive.infolist():
        with archive.open(info) as member:
            cost += _member_cost(member, info.file_size)
        if cost * _COPIES > allowance(input_bytes):
            raise ValueError(f"its arrays would take more than {cost >> 20} MB of memory")


def _member_cost(member: Any, size: int) -> int:
    """The bytes of an array as a reader works on it: whole numbers may become floats of eight."""
    try:
        version = np.lib.format.read_magic(member)  # type: ignore[no-untyped-call]
    except ValueError:
        return size  # no npy file
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, kind = read(member)  # type: ignore[no-untyped-call]
    count = math.prod(shape)
    if count < 0 or count * kind.itemsize > size:
        raise ValueError(f"an array of shape {shape} is cut off")
    least = {"f": 4, "i": 8, "u": 8, "b": 8}.get(kind.kind, 1)
    return int(max(size, count * max(kind.itemsize, least)))
