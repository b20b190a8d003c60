# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's changes in, `events.jsonl` and SQLite rows out: the one writer of ratings on disk.

The lines of the log are links of a chain (`chain.py`); the database knows its end.

One thread owns the database. Changes that wait together are written together: all their lines,
one fsync, one commit. So 50 raters who answer in the same moment wait for one disk, not for 50.
A change that is told to its sender as done is in both files, whatever happens to the process next.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from exomni_core.errors import InputError, WorkerError
from exomni_core.storage.files import replacing
from render_jobs.study.serving import chain
from render_jobs.study.serving.chain import Head

DATABASE_FILE: Final = "ratings.sqlite"
EVENTS_FILE: Final = "events.jsonl"
_MOST_AT_ONCE: Final = 64
_BUSY_S: Final = 10.0  # how long another process may hold the database
Event = Mapping[str, Any]
T = TypeVar("T")


@dataclass
class Turn:
    """What a change may use. events: lines that it wants in the log. at: the server's time."""

    db: sqlite3.Connection
    at: str
    events: list[dict[str, Any]] = field(default_factory=list)

    def log(self, event: str, rater_id: str, **facts: Any) -> None:
        """Put a line into the log, should the change succeed."""
        self.events.append({"event": event, "at": self.at, "rater_id": rater_id, **facts})

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        found: sqlite3.Row | None = self.db.execute(sql, values).fetchone()
        return found

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows."""
        return self.db.execute(sql, values).fetchall()

    def run(self, sql: str, *values: Any) -> None:
        """Change something."""
        self.db.execute(sql, values)


Change = Callable[[Turn], Any]


def open_database(folder: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """The study's database; raises InputError where it can't be used."""
    path = Path(folder) / DATABASE_FILE
    try:
        if read_only:
            # A database of a folder that can't be written has no other users either.
            way = "mode=ro" if os.access(folder, os.W_OK) else "mode=ro&immutable=1"
            db = sqlite3.connect(
                f"{path.absolute().as_uri()}?{way}", uri=True, timeout=_BUSY_S, isolation_level=None
            )
        else:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # its keeper's alone
            db = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA secure_delete=ON")  # what a rater takes back is overwritten
        db.execute("PRAGMA schema_version").fetchone()
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{path} can't be used ({error}); restore it or remove it") from error
    db.row_factory = sqlite3.Row
    return db


def read_events(folder: Path) -> Iterator[dict[str, Any]]:
    """The log's events in order, without what was taken back or cut short by a crash."""
    path = Path(folder) / EVENTS_FILE
    if not path.exists():
        return
    with open(path, encoding="utf-8", errors="replace") as source:
        for line in source:
            if line.encode("utf-8", "replace").startswith(chain.REMOVED):
                continue
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and line.endswith("\n"):
                    yield event


def time_text(moment: datetime) -> str:
    """A time in UTC as it is stored, such as 2026-05-04T03:02:01.000Z."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Journal:
    """The database and the log of one study, open for writing.

    Raises InputError when another process serves the folder, or it can't be written.
    """

    def __init__(self, folder: Path, schema: str) -> None:
        self._folder = Path(folder)
        self._lock = _lock(self._folder)
        self._db = open_database(self._folder)
        self._db.executescript(schema + chain.HEAD_SCHEMA)
        self._log = _open_log(self._folder)
        self._head, self._size = Head(), -1  # the chain's end, and the log's size at that end
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._jobs: queue.SimpleQueue[tuple[Change, Future[Any]] | None] = queue.SimpleQueue()
        self._closed = self._tidy_due = self._head_due = False
        self._lines: list[bytes] = []  # of the changes at work, not in the log yet
        self._thread = threading.Thread(target=self._work, daemon=True, name="journal")
        self._thread.start()

    def write(self, change: Callable[[Turn], T]) -> T:
        """Run `change` in the database's thread; returns when what it did is on disk.

        What it raises is raised here, and nothing of it is kept. Raises WorkerError when the disk
        takes nothing any more.
        """
        if self._closed:
            raise WorkerError("the study's server is ending; try again")
        future: Future[T] = Future()
        self._jobs.put((change, future))
        return future.result()

    def close(self) -> None:
        """Finish what waits, then close both files."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        self._thread.join()
        os.close(self._log)
        self._db.close()
        _unlock(self._lock)

    def forget(self, rater_id: str, at: str) -> None:
        """Remove what a rater's lines say, also from old pages; inside a change.

        Stubs keep the chain whole. The line that tells of it goes into the same file at once, with
        those of the changes before: a crash can't leave stubs that nothing speaks of.
        """
        path = self._folder / EVENTS_FILE
        waiting = [line for line in self._lines if not _is_about(line, rater_id)]
        os.close(self._log)  # an open file can't be replaced everywhere
        try:
            with replacing(path) as new, open(path, "rb") as source, open(new, "wb") as target:
                head, removed = Head(), []
                for link in chain.links(source):
                    gone = _is_about(link.line, rater_id)
                    removed += [link.number] if gone else []
                    target.write(chain.stub(link) if gone else link.line)
                    head = Head(link.number, link.hash)
                told = {"event": "deleted", "at": at, "rater_id": rater_id, "removed": removed}
                target.writelines(chain.linked([*waiting, _line(told)], head)[0])
        finally:
            self._log = _open_log(self._folder)
        self._lines, self._size = [], -1
        self._tidy_due = self._head_due = True

    def _work(self) -> None:
        ending = False
        while not ending:
            jobs = [self._jobs.get()]
            with contextlib.suppress(queue.Empty):
                while len(jobs) < _MOST_AT_ONCE:
                    jobs.append(self._jobs.get_nowait())
            ending = None in jobs
            self._commit([job for job in jobs if job is not None])

    def _commit(self, jobs: list[tuple[Change, Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        size = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._lines = []
            for change, future in jobs:
                with self._one(future) as turn:
                    result = change(turn)
                    self._lines += [_line(event) for event in turn.events]
                    done.append((future, result))
            if self._lines or self._head_due:
                size = os.fstat(self._log).st_size
                self._append(size)
            self._db.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            self._undo(size)
            problem = WorkerError(f"the study's disk takes nothing ({error}); free some space")
            for _, future in jobs:
                if not future.done():
                    future.set_exception(problem)
            return
        if self._tidy_due:  # the write-ahead log still holds what somebody took back
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._tidy_due = False
        for future, result in done:
            future.set_result(result)

    def _append(self, size: int) -> None:
        """Write the lines at work as the chain's next links; the log has `size` bytes now."""
        if size != self._size:  # at the start, or another process has closed the study
            self._head = _head_on_disk(self._folder)
        gap = _gap(self._db, self._head, self._now())
        lines, head = chain.linked([*gap, *self._lines], self._head)
        data = b"".join(lines)
        _write_all(self._log, data)
        os.fsync(self._log)
        chain.keep_head(self._db, head)
        self._head, self._size = head, size + len(data)
        self._head_due = False

    @contextlib.contextmanager
    def _one(self, future: Future[Any]) -> Iterator[Turn]:
        """One change of a batch: its failure undoes it alone."""
        self._db.execute("SAVEPOINT one")
        try:
            yield Turn(self._db, self._now())
        except Exception as error:  # noqa: BLE001 (its sender must hear of it)
            self._db.execute("ROLLBACK TO one")
            future.set_exception(error)
        self._db.execute("RELEASE one")

    def _undo(self, size: int | None) -> None:
        self._size = -1
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")
        if size is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._log, size)

    def _now(self) -> str:
        """The time, UTC; never the same twice nor back, so that the later answer wins."""
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        now = self._latest = max(now, self._latest + timedelta(milliseconds=1))
        return time_text(now)


def append_event(folder: Path, db: sqlite3.Connection, event: Event) -> None:
    """Put one line into the log of a study that another process may be serving.

    db: in a transaction of ours, so that the other one waits with its lines.
    """
    db.execute(chain.HEAD_SCHEMA)
    handle = _open_log(folder, mend=False)
    try:
        lines, head = chain.linked([_line(event)], _head_on_disk(folder))
        _write_all(handle, b"".join(lines))
        os.fsync(handle)
        chain.keep_head(db, head)
    finally:
        os.close(handle)


def _head_on_disk(folder: Path) -> Head:
    with open(folder / EVENTS_FILE, "rb") as source:
        return chain.head_of(source)


def _gap(db: sqlite3.Connection, head: Head, at: str) -> list[bytes]:
    """A line that tells that the log ends before what the database knows of it."""
    known = chain.known_head(db)
    if known.number <= head.number:
        return []
    return [_line({"event": "gap", "at": at, "rater_id": "", "known": known.number})]


def _line(event: Event) -> bytes:
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace") + b"\n"


def _is_about(line: bytes, rater_id: str) -> bool:
    try:
        return bool(json.loads(line).get("rater_id") == rater_id)
    except (ValueError, AttributeError):
        return False


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _open_log(folder: Path, *, mend: bool = True) -> int:
    path = Path(folder) / EVENTS_FILE
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags, 0o600)
        if mend:
            _cut_unfinished(path, handle)
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror})") from error
    return handle


def _cut_unfinished(path: Path, handle: int) -> None:
    """Remove a last line that a crash cut short: nobody was told that it is kept."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.ftruncate(handle, whole)


def _lock(folder: Path) -> int:
    path = folder / ".serving"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(
            f"{folder} can't be written ({error.strerror}); answers need a place"
        ) from error
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows: the port is the only guard
        pass
    except OSError as error:
        os.close(handle)
        raise InputError(
            f"{folder} is being served already; stop the other server first"
        ) from error
    return handle


def _unlock(handle: int) -> None:
    os.close(handle)
