# SPDX-License-Identifier: GPL-3.0-or-later
"""A table that a person, a phone or a spreadsheet saved in, its header and its rows of cells out.

The one reader for tables of faces and of study results: commas, semicolons or tabs between cells,
decimal commas, a byte order mark, UTF-8 or UTF-16, any line ends. Nothing is guessed in silence:
what can't be read is one sentence that says what to do.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from exomni_core.errors import InputError
from exomni_core.formats.face_track import read_bytes

_SEPARATORS: Final = (",", ";", "\t")
_NAMES: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
# Byte order marks; the one of UTF-32 begins with that of UTF-16, and nobody saves tables so.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECIMAL_COMMA: Final = re.compile(r"([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)")


@dataclass(frozen=True)
class Table:
    """A header and rows of cells, as texts without outer blanks in the header.

    lines: the line of the file on which each row ends; the header is on line 1. separator: what
    stands between cells. Rows may have more or fewer cells than the header: the caller decides
    what that means. Empty rows are left out.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    separator: str


def table_text(path: Path) -> str:
    """The text of a file that may be a table; InputError if it can't be read or is no text."""
    return decoded(read_bytes(path), str(path))


def decoded(data: bytes, where: str) -> str:
    """Bytes as text, by their mark or as UTF-8, also UTF-16 without a mark; InputError."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _text(data[len(mark) :], encoding, where)
    # Text in Latin letters has a zero in every second byte of UTF-16, and none in UTF-8.
    head = data[:256]
    if len(head) >= 8 and not any(head[0::2]) and all(head[1::2]):
        return _text(data, "utf-16-be", where)
    if len(head) >= 8 and not any(head[1::2]) and all(head[0::2]):
        return _text(data, "utf-16-le", where)
    return _text(data, "utf-8", where)


def parse_table(text: str, where: str) -> Table:
    """The table in `text`; InputError(`where`: ...) if it is none."""
    named = re.match(r'\s*"?sep=(.)"?[ \t]*(?:\r\n|\r|\n)', text)  # Excel's own first line
    if named and named[1] in _SEPARATORS:
        return _parse(text[named.end() :], named[1], where, 1)
    head = text.lstrip("\r\n").partition("\n")[0]
    separator = max(_SEPARATORS, key=lambda one: _count(head, one))
    return _parse(text, separator, where, 0)


def number(cell: str) -> float | None:
    """A cell as a number, with a decimal point or a decimal comma; None if it is none."""
    plain = cell.strip()
    comma = _DECIMAL_COMMA.fullmatch(plain)
    try:
        return float(f"{comma[1]}.{comma[2]}" if comma else plain)
    except ValueError:
        return None


def squeezed(name: str) -> str:
    """A column's name without case and punctuation: `PROLIFIC_PID` and `Prolific pid` are one."""
    return "".join(c for c in name.casefold() if c.isalnum())


def ragged(table: Table, row: int, where: str, what: str) -> InputError:
    """The error for a row whose cells don't fit the header. what: the row's name, with number."""
    cells, width = len(table.rows[row]), len(table.header)
    hint = ""
    if table.separator == "," and cells > 1.5 * width:
        hint = "; if its numbers have decimal commas, save it with semicolons between the cells"
    elif width == 1 or cells > width:
        hint = f"; it was read with {_NAMES[table.separator]} between the cells"
    return InputError(f"{where} is ragged: {what} has {cells} cells, its header {width}{hint}")


def _count(line: str, separator: str) -> int:
    """How many cells `line` has; those in quotes count as one."""
    try:
        return len(next(csv.reader([line], delimiter=separator), []))
    except csv.Error:
        return 0


def _parse(text: str, separator: str, where: str, skipped: int) -> Table:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if any(row):
                rows.append(tuple(row))
                lines.append(reader.line_num + skipped)
    except csv.Error as error:
        line = reader.line_num + skipped
        raise InputError(
            f"{where} is not readable CSV ({error} in line {line}); export it again"
        ) from error
    if not rows:
        raise InputError(f"{where} is empty; export it again")
    header = tuple(name.strip() for name in rows[0])
    return Table(header, tuple(rows[1:]), tuple(lines[1:]), separator)


def _text(data: bytes, encoding: str, where: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text; save it as CSV in UTF-8") from error
