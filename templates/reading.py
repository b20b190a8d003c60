# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON data in, a frozen dataclass out; every unknown, missing or wrong key names its file."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from exomni_core.errors import InputError

Colour = tuple[float, float, float]
_T = TypeVar("_T")
_WORKED_OUT: Final = ("unit_m", "location", "target", "crop_below")  # may be "auto"


def read_object(path: Path, version: int, field: str) -> dict[str, Any]:
    """The JSON object in `path`, without its `schema_version` if that is known.

    Raises InputError(field=field) if it is no JSON object, or written for a newer version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read as JSON: {error}", field=field) from error
    if not isinstance(data, dict) or not isinstance(data.get("schema_version"), int):
        raise InputError(f'{path} lacks "schema_version": {version}', field=field)
    if data["schema_version"] > version:
        raise InputError(
            f"{path} was written for a newer version (schema {data['schema_version']}); update "
            "Ex-Omni for Blender to use it",
            field=field,
        )
    return data


def section(
    kind: type[_T],
    data: Any,
    path: Path,
    prefix: str = "",
    hidden: Collection[str] = (),
) -> _T:
    """A dataclass from a JSON object; InputError names each unknown or missing key.

    prefix: text before the keys in a message, such as `camera.`. hidden: fields that a file
    may not set.
    """
    if not isinstance(data, dict):
        raise InputError(f"{path}: {prefix[:-1]} must be an object", field="template")
    known = {f.name: f for f in fields(kind) if f.name not in hidden}  # type: ignore[arg-type]
    if unknown := sorted(set(data) - set(known)):
        raise InputError(
            f"{path}: unknown key {prefix}{unknown[0]}; the keys are {', '.join(known)}",
            field="template",
        )
    for name, f in known.items():
        if f.default is MISSING and f.default_factory is MISSING and name not in data:
            raise InputError(f"{path} lacks the key {prefix}{name}", field="template")
    chosen = {n: v for n, v in data.items() if not (v == "auto" and n in _WORKED_OUT)}
    worked_out = {n: None for n in data if n not in chosen}
    return kind(**{name: plain(value) for name, value in chosen.items()}, **worked_out)


def plain(value: Any) -> Any:
    """JSON's lists as tuples, so that what is frozen can't change."""
    if isinstance(value, list):
        return tuple(plain(part) for part in value)
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    return value


def need(good: bool, path: Path, key: str, what: str) -> None:
    """Raise InputError "PATH: KEY must be WHAT" unless `good`."""
    if not good:
        raise InputError(f"{path}: {key} must be {what}", field="template")


def is_number(value: Any, above: float = -math.inf) -> bool:
    """Whether `value` is a finite number greater than `above`; True and False are none."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    return good and math.isfinite(value) and value > above


def is_vector(value: Any) -> bool:
    """Whether `value` is a tuple of three finite numbers."""
    return isinstance(value, tuple) and len(value) == 3 and all(map(is_number, value))
