# SPDX-License-Identifier: GPL-3.0-or-later
"""A file from elsewhere in, its bytes, JSON or zip directory out, within bounds: the one gate.

Who made the file is unknown, so nothing in it is believed: it must be a regular file, no more than
a limit is read, and what it would take in memory is worked out before it is decoded. A refusal is
an OSError (the file) or a ValueError (its contents) with half a sentence; the reader that knows
what the file is for makes it whole.
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

MAX_TEXT_BYTES: Final = 256 << 20
_FREE_BYTES: Final = 110 << 20  # what even the smallest file may take in memory
_TIMES: Final = 18  # and that many times its own size on top
# What Python takes at most, in bytes: for an object or a list, and for any other value.
_CONTAINER_BYTES: Final = 200
_VALUE_BYTES: Final = 60
_VALUE_TIMES: Final = 12  # a number or text takes no more than this many times its own letters
_MAX_DIRECTORY_BYTES: Final = 4 << 20
_MAX_MEMBERS: Final = 20_000
_END, _END_64, _LOCATOR_64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
# Opening a pipe waits for a writer, unless it is told not to; a terminal must not become ours.
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def allowance(input_bytes: int) -> int:
    """How many bytes of memory the contents of a file of that size may take."""
    return _FREE_BYTES + _TIMES * input_bytes


def open_regular(path: Path | str) -> io.BufferedReader:
    """Open a regular file for reading; OSError for a folder, a pipe, a device or a socket.

    It never waits for another program. ValueError for a path that holds a NUL.
    """
    _check_regular(Path(path).stat(), path)  # some devices act when they are opened
    source = open(path, "rb", opener=_open_at_once)  # noqa: SIM115 (the caller closes it)
    try:
        _check_regular(os.fstat(source.fileno()), path)  # another may lie there by now
    except OSError:
        source.close()
        raise
    return source


def read_at_most(path: Path | str, most: int) -> bytes:
    """The bytes of a regular file; OSError if it can't be read or holds more than `most`."""
    with open_regular(path) as source:
        data = source.read(most + 1)
    if len(data) > most:
        told = f"{most >> 20} MB" if most >= 1 << 20 else f"{most} bytes"
        raise OSError(errno.EFBIG, f"it is larger than {told}", str(path))
    return data


def read_text(path: Path | str, most: int = MAX_TEXT_BYTES) -> str:
    """The UTF-8 text of a regular file, each end of line as one `\\n`; OSError or ValueError."""
    text = read_at_most(path, most).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def load_json(path: Path | str, most: int = MAX_TEXT_BYTES) -> Any:
    """The data of a JSON file; OSError as `read_at_most`, ValueError as `parse_json`."""
    return parse_json(read_at_most(path, most).decode("utf-8-sig"))


def check_cost(text: bytes | str, input_bytes: int) -> None:
    """ValueError if the values in JSON text would take more memory than `allowance`.

    Counting brackets and commas is quick; those within texts count too, which does no harm.
    """
    size = len(text)
    marks = [text.count(m) for m in "{[,"] if isinstance(text, str) else [
        text.count(m) for m in (b"{", b"[", b",")
    ]  # fmt: skip
    cost = _CONTAINER_BYTES * (marks[0] + marks[1])
    cost += min(_VALUE_BYTES * marks[2], _VALUE_TIMES * size)
    cost += size * (2 if text.isascii() else 5)  # the text itself, up to four bytes a letter
    if cost > allowance(input_bytes):
        raise ValueError(
            f"it would take about {cost >> 20} MB of memory; {allowance(input_bytes) >> 20} MB is "
            "the most for a file of its size"
        )


def parse_json(
    data: bytes | str,
    *,
    input_bytes: int | None = None,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    parse_constant: Callable[[str], Any] | None = None,
) -> Any:
    """The data of JSON text (UTF-8, where it is bytes); ValueError in half a sentence.

    input_bytes: the size of the file that it came from, where it was packed there. Text that
    would take more memory than `allowance` is refused before it is decoded.
    """
    size = len(data)
    check_cost(data, size if input_bytes is None else input_bytes)
    text = data.decode("utf-8") if isinstance(data, bytes) else data
    try:
        return json.loads(text, object_pairs_hook=object_pairs_hook, parse_constant=parse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except MemoryError as error:
        raise ValueError("it takes more memory than there is") from error


def open_zip(data: bytes) -> zipfile.ZipFile:
    """The zip in these bytes; ValueError if it is none, or lists more files than any of ours."""
    _check_directory(data)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, OSError, NotImplementedError, OverflowError) as error:
        raise ValueError(f"it is no whole zip: {error}"[:100]) from error
    if len(archive.infolist()) > _MAX_MEMBERS:
        raise ValueError(f"it lists {len(archive.infolist())} files; {_MAX_MEMBERS} is the most")
    return archive


def _open_at_once(name: str, flags: int) -> int:
    return os.open(name, flags | _NO_WAIT)


def _check_regular(found: os.stat_result, path: Path | str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _check_directory(data: bytes) -> None:
    """The directory of a zip becomes objects as soon as it is opened, so its size comes first."""
    end = data.rfind(_END, max(0, len(data) - (1 << 16) - 22))
    if end < 0 or end + 22 > len(data):
        raise ValueError("it is no zip")
    size = int.from_bytes(data[end + 12 : end + 16], "little")
    if data[max(0, end - 20) : end][:4] == _LOCATOR_64:
        start = data.rfind(_END_64, 0, end - 20)
        size = int.from_bytes(data[start + 40 : start + 48], "little") if start >= 0 else 1 << 62
    if size > _MAX_DIRECTORY_BYTES:
        raise ValueError("its list of files is damaged or too long")
