# SPDX-License-Identifier: GPL-3.0-or-later
"""A batch folder in, its rows, manifest and lock out; knows no engine and no bpy.

While a batch runs, finished rows are appended to `manifest.jsonl`, each flushed to disk, so that a
killed run loses nothing. When it ends, the file is rewritten with one row per prompt, in order.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final, Literal, get_args

from exomni_core import __version__
from exomni_core.errors import InputError, full_disk
from exomni_core.storage.files import swept, write_text
from exomni_core.storage.foreign import read_at_most
from exomni_core.storage.json_lines import MAX_BYTES, whole_lines

# Whose versions a run records and the doctor reports.
PACKAGES: Final = (
    "numpy", "soundfile", "soxr", "espeakng-loader", "pocketsphinx", "click", "rich", "bpy",
    "ffmpeg-python", "imageio-ffmpeg", "torch", "transformers",
)  # fmt: skip

Status = Literal["done", "failed", "skipped"]


@dataclass(frozen=True)
class Row:
    """One prompt's fate. `done`: made in this run; `skipped`: was finished before; `failed`.

    clip, video, sheet: paths relative to the folder, or None. line: in the prompts file.
    frames: of the video, or rows of weights where no video was asked for.
    notes: what the user should know, such as why a transcript was not used.
    seconds: time spent by stage. sha256: of the files. key: content hashes of what made them.
    """

    id: str | None
    line: int
    status: Status
    clip: str | None = None
    video: str | None = None
    sheet: str | None = None
    duration_s: float | None = None
    frames: int | None = None
    engine: str | None = None
    route: str | None = None
    confidence: float | None = None
    notes: Sequence[str] = ()
    error: str | None = None
    field: str | None = None
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    sha256: Mapping[str, str] = dataclasses.field(default_factory=dict)
    key: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class BatchFolder:
    """The layout of a run's output folder."""

    root: Path
    video_ending: str = ".mp4"

    @property
    def manifest(self) -> Path:
        """One row per prompt."""
        return self.root / "manifest.jsonl"

    @property
    def errors(self) -> Path:
        """The failed rows only: line, id, field, error."""
        return self.root / "errors.jsonl"

    @property
    def run(self) -> Path:
        """Settings, versions and counts of the last run."""
        return self.root / "run.json"

    @property
    def work(self) -> Path:
        """Unfinished files; removed when the run ends, swept when the next one starts."""
        return self.root / ".work"

    @property
    def parts(self) -> tuple[Path, ...]:
        """Every folder that a run writes results to."""
        results = (self.clip("x"), self.video("x"), self.sheet("x"))
        return (self.root, self.root / "audio", *(path.parent for path in results))

    def clip(self, prompt_id: str) -> Path:
        """Where the clip of that prompt lies."""
        return self.root / "clips" / f"{prompt_id}.clip"

    def video(self, prompt_id: str) -> Path:
        """Where the video of that prompt lies."""
        return self.root / "videos" / f"{prompt_id}{self.video_ending}"

    def sheet(self, prompt_id: str) -> Path:
        """Where the contact sheet of that prompt lies."""
        return self.root / "sheets" / f"{prompt_id}.png"


def read_rows(path: Path) -> dict[str, Row]:
    """The last row of each id; a line cut short by a kill, or changed since, is passed over.

    A prompt that was refused because its id stood on an earlier line says nothing of that line's.
    """
    rows: dict[str, Row] = {}
    with contextlib.suppress(FileNotFoundError):
        for data in whole_lines(_rows_file(path)):
            row = _row(data)
            if row is not None and row.id and not _is_shadowed(row, rows.get(row.id)):
                rows[row.id] = row
    return rows


def _rows_file(path: Path) -> bytes:
    try:
        return read_at_most(path, MAX_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(
            f"{path} can't be read ({error.strerror}); choose another folder", field="out"
        ) from error


def _row(data: Mapping[str, Any]) -> Row | None:
    """The row that a line tells; None for a line that was changed into something else."""
    if any(name not in _KINDS or not _KINDS[name](value) for name, value in data.items()):
        return None
    try:
        return Row(**data)
    except TypeError:  # a field is missing
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_text_by_name(value: object) -> bool:
    return isinstance(value, dict) and _is_texts(list(value.values()))


def _is_number_by_name(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "line": lambda value: type(value) is int,
    "status": lambda value: value in get_args(Status),
    "notes": _is_texts, "seconds": _is_number_by_name,
    "sha256": _is_text_by_name, "key": _is_text_by_name,
    **dict.fromkeys(("id", "clip", "video", "sheet", "engine", "route", "error", "field"),
                    _is_text_or_none),
    **dict.fromkeys(("duration_s", "frames", "confidence"), _is_number_or_none),
}  # fmt: skip


def _is_shadowed(row: Row, earlier: Row | None) -> bool:
    return earlier is not None and row.status == "failed" and row.line > earlier.line


class ManifestWriter:
    """Appends finished rows to the manifest as they come."""

    def __init__(self, folder: BatchFolder) -> None:
        """Open both files; the failures of earlier runs are forgotten, finished rows are kept."""
        self._folder = folder
        self._manifest = _open_for_append(folder.manifest)
        folder.errors.unlink(missing_ok=True)
        self._errors = _open_for_append(folder.errors)

    def add(self, row: Row) -> None:
        """Put `row` on disk before returning."""
        _append(self._manifest, _row_line(row))
        if row.status == "failed":
            _append(self._errors, _error_line(row))

    def close(self, rows: Iterable[Row]) -> None:
        """Rewrite both files with the final `rows`, in order, each in one step."""
        self._manifest.close()
        self._errors.close()
        rows = list(rows)
        write_text(self._folder.manifest, "".join(map(_row_line, rows)))
        failed = [row for row in rows if row.status == "failed"]
        write_text(self._folder.errors, "".join(map(_error_line, failed)))


def write_run(folder: BatchFolder, settings: Any, state: str, rows: Iterable[Row]) -> None:
    """Write `run.json`: how the run was asked for, with which versions, and how far it came."""
    counts = Counter(row.status for row in rows)
    record = {
        "state": state,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "exomni": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "settings": asdict(settings),
        "rows": dict(counts),
    }
    write_text(folder.run, json.dumps(record, ensure_ascii=False, indent=1, default=str) + "\n")


def installed_version(package: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def work_folder(folder: BatchFolder) -> Iterator[None]:
    """A place for unfinished files, empty at the start and gone at the end of a run.

    A full disk is an EnvironmentProblem in one sentence.
    What dead runs and dead workers left beside the results is swept at both ends.
    """
    shutil.rmtree(folder.work, ignore_errors=True)
    with swept(*folder.parts):
        try:
            folder.work.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            if problem := full_disk(error, str(folder.root)):
                raise problem from error
            raise
        finally:
            shutil.rmtree(folder.work, ignore_errors=True)


@contextlib.contextmanager
def lock_folder(folder: BatchFolder) -> Iterator[None]:
    """Hold the folder for one run; the system frees it if we are killed. Raises InputError."""
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        handle = open(folder.root / ".lock", "wb")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise InputError(
            f"{folder.root} can't be written: {error.strerror}", field="out"
        ) from error
    with handle:
        try:
            _lock(handle)
        except OSError as error:
            raise InputError(
                f"another exorender is at work in {folder.root}; wait, or choose another folder",
                field="out",
            ) from error
        yield


def _lock(handle: IO[bytes]) -> None:
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _open_for_append(path: Path) -> IO[bytes]:
    handle = open(path, "ab+")  # noqa: SIM115 (the writer closes it)
    # A line that a kill cut short must not swallow ours.
    if handle.tell() and _last_byte(handle) != b"\n":
        handle.write(b"\n")
    return handle


def _last_byte(handle: IO[bytes]) -> bytes:
    handle.seek(-1, os.SEEK_END)
    return handle.read(1)


def _append(handle: IO[bytes], line: str) -> None:
    handle.write(line.encode())
    handle.flush()
    os.fsync(handle.fileno())


def _row_line(row: Row) -> str:
    return json.dumps(asdict(row), ensure_ascii=False) + "\n"


def _error_line(row: Row) -> str:
    named = {"line": row.line, "id": row.id, "field": row.field, "error": row.error}
    return json.dumps(named, ensure_ascii=False) + "\n"
