# SPDX-License-Identifier: GPL-3.0-or-later
"""A file with a JSON object in each line in, its rows with their line numbers out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.foreign import check_cost, parse_json, read_text

MAX_BYTES: Final = 512 << 20
Numbered = list[tuple[int, dict[str, Any]]]


def read_json_lines(path: Path) -> Numbered:
    """(line number, object) of every line that is not blank; InputError names file and line."""
    try:
        text = read_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InputError(f"{path} can't be read: {reason}") from error
    try:
        check_cost(text, len(text))
    except ValueError as error:
        raise InputError(f"{path} can't be used: {error}; split it") from error
    rows: Numbered = []
    # Not splitlines: a text within quotes may hold other ends of lines, such as U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            raise InputError(f"{path}, line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number} is no JSON object")
        rows.append((number, row))
    if not rows:
        raise InputError(f"{path} is empty; write one JSON object per line")
    return rows


def whole_lines(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects in a file that a kill may have cut short; a line that is none is left out."""
    for line in data.split(b"\n"):
        try:
            row = parse_json(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            yield row


def of_system(rows: Numbered, path: Path, system: str) -> Numbered:
    """The rows of `system`, or all where they are of one; InputError(field="system")."""
    systems = sorted({str(row.get("system") or "") for _, row in rows})
    if system:
        chosen = [(number, row) for number, row in rows if row.get("system") == system]
        if not chosen:
            raise InputError(
                f"{path} has no line of system {system!r}; it has {', '.join(systems) or 'none'}",
                field="system",
            )
        return chosen
    if len(systems) > 1:
        raise InputError(
            f"{path} holds the systems {', '.join(systems)}; choose one: --system", field="system"
        )
    return rows
