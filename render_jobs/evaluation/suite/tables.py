# SPDX-License-Identifier: GPL-3.0-or-later
"""A table of a TOML file in, its values checked against a list of fields out; strict, by sentence.

An unknown field is a typing error that would silently change a result, so it is refused.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError

_WORDS: Final = {
    "text": "a text", "path": "a path", "whole": "a whole number from 0", "number": "a number",
    "flag": "true or false", "texts": "a list of texts", "table": "a table",
}  # fmt: skip
_LARGEST: Final = 1e9


@dataclass(frozen=True)
class Field:
    """kind: a key of _WORDS. default: when left out. choice: the texts that are allowed."""

    kind: str
    default: Any = None
    choice: tuple[str, ...] = ()
    needed: bool = False


def read_toml(path: Path) -> dict[str, Any]:
    """The file's data; InputError if it can't be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise InputError(f"{path} can't be read: {reason}", field="config") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is broken TOML: {error}", field="config") from error


def read_table(
    data: object, fields: Mapping[str, Field], where: str, folder: Path
) -> dict[str, Any]:
    """All fields of a table, with defaults; paths are relative to `folder`.

    where: file and table, for the sentence of the InputError, whose `field` is the key.
    """
    if not isinstance(data, dict):
        raise InputError(f"{where} must be a table", field="config")
    for key in data:
        if key not in fields:
            raise InputError(
                f"{where} has an unknown key {key!r:.40}; known are {', '.join(fields)}", field=key
            )
    values: dict[str, Any] = {}
    for key, field in fields.items():
        if key in data:
            values[key] = _value(data[key], field, key, where, folder)
        elif field.needed:
            raise InputError(f"{where} lacks {key}, {_WORDS[field.kind]}", field=key)
        else:
            values[key] = field.default
    return values


def unique_names(names: Sequence[str], where: str) -> None:
    """InputError for a name that stands twice."""
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where} holds {name!r} twice; give each its own name", field="name")


def _value(value: Any, field: Field, key: str, where: str, folder: Path) -> Any:
    wrong = InputError(f"{where}: {key} must be {_WORDS[field.kind]}, not {value!r:.40}", field=key)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if field.kind in ("text", "path"):
        if not isinstance(value, str) or not value or "\0" in value:
            raise wrong
        if field.choice and value not in field.choice:
            raise InputError(
                f"{where}: {key} is {value!r:.40}; the choice is {', '.join(field.choice)}",
                field=key,
            )
        return folder / Path(value).expanduser() if field.kind == "path" else value
    if field.kind in ("whole", "number"):
        whole = field.kind == "number" or isinstance(value, int)
        if not is_number or not whole or not 0 <= value < _LARGEST:
            raise wrong
        return value
    if field.kind == "texts":
        if not isinstance(value, list) or not value or not all(isinstance(x, str) for x in value):
            raise wrong
        return tuple(value)
    if not isinstance(value, bool if field.kind == "flag" else dict):
        raise wrong
    return value
