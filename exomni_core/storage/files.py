# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths in, whole files out: write to a temporary name and rename, hash, sweep leftovers."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.foreign import open_regular

# Every unfinished file of ours carries this mark, so that a later run can tell it from a result.
TEMPORARY_MARK: Final = ".exomni-tmp"
_serial = itertools.count()


def is_file_name(name: str) -> bool:
    """Whether a name that somebody else chose stays in the folder that it is looked up in."""
    return name not in ("", ".", "..") and not any(c in name for c in "/\\\0")


def temporary_name(final: Path) -> Path:
    """A new name beside `final` for unfinished work, with its extension, which writers go by."""
    # Process and serial number: two writers of one process never meet, even in equal stems.
    mark = f".{os.getpid()}-{next(_serial)}{TEMPORARY_MARK}"
    return final.with_name(f".{_short(final.stem)}{mark}{final.suffix}")


def _short(stem: str) -> str:
    return stem.encode("utf-8", "ignore")[:80].decode("utf-8", "ignore")


@contextlib.contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Yield a temporary path; on success it becomes `final` in one step, on error it is removed.

    Raises InputError when the folder can't be written.
    """
    if not final.name or "\0" in str(final):
        raise InputError(f"{str(final)!r} is not a file name; choose another")
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
        with contextlib.suppress(OSError):  # such as a parent that is no folder
            temporary.unlink(missing_ok=True)


def write_bytes(final: Path, data: bytes) -> None:
    """Write `data` to `final` in one step; an old file stays until the new one is whole."""
    with replacing(final) as temporary:
        temporary.write_bytes(data)


def write_text(final: Path, text: str) -> None:
    """Write UTF-8 `text` to `final` in one step."""
    write_bytes(final, text.encode("utf-8"))


def replace_folder(built: Path, final: Path) -> None:
    """Make the folder `built`, which lies beside it, `final`; what was there goes only then.

    Raises OSError; `final` is then as it was.
    """
    old = temporary_name(final.with_name(f"{final.name}.old"))
    there = final.exists()
    if there:
        os.replace(final, old)
    try:
        os.replace(built, final)
    except OSError:
        if there:
            os.replace(old, final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a regular file's bytes; raises OSError."""
    with open_regular(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def check_writable(final: Path) -> None:
    """Raise InputError now if `final` can't be written later, before hours of work are lost."""
    if final.is_dir():
        raise InputError(f"{final} is a folder; name a file", field="output")
    probe = temporary_name(final)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{final} can't be written ({reason}); choose another place", field="output"
        ) from error


def remove_leftovers(folder: Path, *, deep: bool = False, of: str = "*") -> int:
    """Delete what a killed run left unfinished in `folder`; returns how many files and folders.

    deep: also in its subfolders. of: only those of files with this name, without its ending.
    What another process works on that still runs on this machine is left alone, and so is a
    finished folder that `replace_folder` had only put aside.
    """
    stem = of if of == "*" else glob.escape(_short(of))
    pattern = f".{stem}.*{TEMPORARY_MARK[1:]}*"
    found = list(folder.rglob(pattern) if deep else folder.glob(pattern))
    leftovers = [path for path in found if not _is_in_use(path) and not _is_put_aside(path)]
    for path in leftovers:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):  # it lay in one of the folders, or is held open
                path.unlink(missing_ok=True)
    return len(leftovers)


@contextlib.contextmanager
def swept(*folders: Path, deep: bool = False, of: str = "*") -> Iterator[None]:
    """Remove leftovers from `folders` before the block and after it, also when it fails.

    deep, of: see `remove_leftovers`.
    Before: those of an earlier run that was killed. After: those of a helper process that died.
    """
    for folder in folders:
        remove_leftovers(folder, deep=deep, of=of)
    try:
        yield
    finally:
        for folder in folders:
            remove_leftovers(folder, deep=deep, of=of)


def _is_put_aside(path: Path) -> bool:
    """Whether it is an old folder whose successor never came."""
    name = re.sub(r"^\.(.*)\.\d+-\d+" + re.escape(TEMPORARY_MARK) + r"\.old$", r"\1", path.name)
    return name != path.name and not path.with_name(name).exists()


def _is_in_use(temporary: Path) -> bool:
    found = re.search(r"\.(\d{1,9})(-\d+)?" + re.escape(TEMPORARY_MARK), temporary.name)
    if found is None or os.name != "posix":  # on Windows, signal 0 would not be harmless
        return False
    process = int(found[1])
    if process in (0, os.getpid()):  # containers give each run the same number
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists, but belongs to somebody else
        return True
    return True


def content_key(facts: Mapping[str, Any]) -> str:
    """Hex SHA-256 over plain data: equal facts, equal key."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
