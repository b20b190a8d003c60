# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows with the content hash of what made them in, a file of JSON lines out; a killed run goes on.

While rows come, each is appended and flushed; at the end the file is rewritten in order. A row that
is there under the same key is not computed again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from exomni_core.storage.files import write_text

Row = dict[str, Any]


class RowBook:
    """The rows of one system on one set by one metric."""

    def __init__(self, path: Path) -> None:
        """path: the file; what lies there is taken over by key."""
        self.path = path
        self.known = dict(_rows_by_key(path))
        self._handle: IO[str] | None = None

    def __enter__(self) -> RowBook:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A line that a kill cut short must not swallow ours.
        there = self.path.read_bytes() if self.path.is_file() else b""
        cut = bool(there) and not there.endswith(b"\n")
        self._handle = open(self.path, "a", encoding="utf-8")
        if cut:
            self._handle.write("\n")
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._handle is not None
        self._handle.close()

    def add(self, row: Row) -> None:
        """Put a row with its `key` into the file."""
        assert self._handle is not None
        self._handle.write(row_line(row))
        self._handle.flush()
        self.known[row["key"]] = row

    def finish(self, rows: Sequence[Row]) -> None:
        """Rewrite the file with the final rows, in one step."""
        write_rows(self.path, rows)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSON lines, written in one step."""
    write_text(path, "".join(map(row_line, rows)))


def row_line(row: Mapping[str, Any]) -> str:
    """One row as a line of JSON without NaN."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file; a line cut short by a kill is passed over."""
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                row = json.loads(line)
                if isinstance(row, dict):
                    yield row


def _rows_by_key(path: Path) -> Iterator[tuple[str, Row]]:
    for row in read_rows(path):
        if isinstance(row.get("key"), str):
            yield row["key"], row
