# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths in, whole files out: write to a temporary name and rename, hash, sweep leftovers."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from exomni_core.errors import InputError

# Every unfinished file of ours carries this mark, so that a later run can tell it from a result.
TEMPORARY_MARK = ".exomni-tmp"


def temporary_name(final: Path) -> Path:
    """A name beside `final` (same extension, so that writers guess the format) for unfinished work."""
    return final.with_name(f".{final.stem[:80]}.{os.getpid()}{TEMPORARY_MARK}{final.suffix}")


@contextlib.contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `final` in one step, on error it is removed.

    Raises InputError when the folder can't be written.
    """
    temporary = temporary_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, final)
    except OSError as error:
        raise InputError(
            f"{final} can't be written ({error.strerror or error}); choose another place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(final: Path, data: bytes) -> None:
    """Write `data` to `final` in one step; the old file, if any, stays until the new one is whole."""
    with replacing(final) as temporary:
        temporary.write_bytes(data)


def write_text(final: Path, text: str) -> None:
    """Write UTF-8 `text` to `final` in one step."""
    write_bytes(final, text.encode("utf-8"))


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes; raises OSError."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def remove_leftovers(folder: Path) -> int:
    """Delete the unfinished files that a killed run left in `folder`; returns how many."""
    leftovers = [p for p in folder.glob(f".*{TEMPORARY_MARK}*") if p.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
