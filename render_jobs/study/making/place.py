# SPDX-License-Identifier: GPL-3.0-or-later
"""A built study in, that study at its place out: whole or not at all, losing nothing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exomni_core.errors import InputError
from exomni_core.storage.files import replace_folder, swept
from render_jobs.batch.folder import BatchFolder, lock_folder
from render_jobs.study.plan import STUDY_FILE, VIDEO_FOLDER

_WORK_FOLDERS: Final = ("made", "rendered")
RATINGS_FILES: Final = ("ratings.sqlite", "events.jsonl")


def check_place(out: Path, *, force: bool) -> None:
    """InputError when `out` holds what must not be lost."""
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file; name a folder", field="out")
    if any((out / name).exists() for name in RATINGS_FILES):
        raise InputError(
            f"{out} holds ratings already; export them and name another folder", field="out"
        )
    if (out / STUDY_FILE).exists():
        if not force:
            raise InputError(
                f"{out} holds a study already; name another folder, or add --force to make it anew",
                field="out",
            )
    elif any(out.iterdir()):
        raise InputError(f"{out} holds other files; name a new folder", field="out")


@contextlib.contextmanager
def building(out: Path) -> Iterator[Path]:
    """The folder beside `out` where the study grows; kept when the build is stopped or fails."""
    folder = out.resolve().with_name(f".{out.resolve().name}.building")
    with lock_folder(BatchFolder(folder)), swept(folder, deep=True):
        shutil.rmtree(folder / VIDEO_FOLDER, ignore_errors=True)
        try:
            yield folder
        finally:
            if folder.exists() and not any((folder / part).exists() for part in _WORK_FOLDERS):
                shutil.rmtree(folder, ignore_errors=True)


def put_in_place(folder: Path, out: Path) -> None:
    """Drop what only the build needed, then make `folder` the study in one step."""
    for part in _WORK_FOLDERS:
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    out = out.resolve()
    try:
        replace_folder(folder, out)
    except OSError as error:
        raise InputError(f"{out} can't be written ({error.strerror})", field="out") from error
