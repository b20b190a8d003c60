# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON and TOML <-> plain data; a file that can't be read is refused in one sentence."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.foreign import parse_json, read_at_most
from exomni_core.storage.schema import Place

MAX_BYTES: Final = 16 << 20


def read_json(path: Path, *, advice: str, field: str | None = None, most: int = MAX_BYTES) -> Any:
    """The data of a JSON file of at most `most` bytes; InputError that ends in the advice."""
    return _read(path, parse_json, "JSON", advice, field, most)


def read_toml(path: Path, *, advice: str, field: str = "config") -> dict[str, Any]:
    """The data of a TOML file of at most 16 MB; InputError that ends in the advice."""
    found: dict[str, Any] = _read(path, tomllib.loads, "TOML", advice, field, MAX_BYTES)
    return found


def json_bytes(data: Mapping[str, Any]) -> bytes:
    """Plain data as one line of UTF-8 JSON, without a line end."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")  # file names may hold what UTF-8 can't


def check_version(data: object, newest: int, place: Place, program: str) -> None:
    """InputError unless `data` is an object with a `schema_version` that we can read."""
    version = data.get("schema_version") if isinstance(data, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise place.error(f' lacks "schema_version": {newest}', "schema_version")
    if version > newest:
        raise InputError(
            f"{place.name} was written for a newer version (schema {version}; this one reads up to "
            f"{newest}); update {program}",
            field=place.field,
        )


def _read(
    path: Path, parse: Callable[[str], Any], kind: str, advice: str, field: str | None, most: int
) -> Any:
    try:
        text = read_at_most(path, most).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InputError(f"{path} can't be read ({reason}); {advice}", field=field) from error
    try:
        return parse(text)
    except (ValueError, RecursionError) as error:  # its sentence tells line and column
        raise InputError(f"{path} is broken {kind} ({error}); {advice}", field=field) from error
