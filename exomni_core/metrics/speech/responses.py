# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON lines in and out: what a system answered.

Unknown keys are kept. Paths in a file are relative to its folder. A bad line raises with its number
where the file is one's own work; lists of transcripts are read the same way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.files import write_text
from exomni_core.storage.json_lines import of_system, read_json_lines

_HYPOTHESIS_KEYS: Final = ("text", "hyp", "hypothesis", "transcript")
_TEXTS: Final = ("system", "text", "audio", "face", "error", "lang")
_NUMBERS: Final = ("sample_rate", "duration_s", "face_fps", "n_units")


@dataclass(frozen=True)
class Response:
    """One answer of one system.

    audio, face: paths as in the file. face_names: channel names or the name of an order. n_units:
    speech units. truncated: the answer was cut by its length. error: why there is nothing. timing:
    seconds by name. gen: seed, temperature, top_p, max_new_tokens. lang: code of the answer. extra:
    all other keys.
    """

    id: str
    system: str = ""
    text: str = ""
    audio: str | None = None
    sample_rate: int | None = None
    duration_s: float | None = None
    face: str | None = None
    face_fps: float | None = None
    face_names: Sequence[str] | str | None = None
    n_units: int | None = None
    truncated: bool | None = None
    error: str | None = None
    timing: Mapping[str, float] | None = None
    gen: Mapping[str, Any] | None = None
    lang: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data without what is not known."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "extra"}
        known = {name: value for name, value in data.items() if value not in (None, "")}
        return {**known, **self.extra}


def read_responses(path: Path, *, system: str = "") -> list[Response]:
    """All answers in `path`, or those of `system`; InputError names file, line and field."""
    chosen = of_system(read_json_lines(path), path, system)
    return unique([_response(row, f"{path}, line {number}") for number, row in chosen], path)


def write_rows(rows: Iterable[Response], path: Path) -> None:
    """Write answers as JSON lines, in one step."""
    lines = (json.dumps(row.to_json(), ensure_ascii=False, allow_nan=False) for row in rows)
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_transcripts(path: Path) -> dict[str, str]:
    """A file of transcripts -> text by id; the last line of an id counts.

    A line is {"id", "text"} (or `hyp`, `hypothesis`, `transcript`). InputError for a line without.
    """
    found: dict[str, str] = {}
    for number, row in read_json_lines(path):
        text = next((row[key] for key in _HYPOTHESIS_KEYS if isinstance(row.get(key), str)), None)
        name = row.get("id", row.get("utt"))
        if not isinstance(name, str) or not name or text is None:
            raise InputError(
                f'{path}, line {number}: a transcript is {{"id": ..., "text": ...}}', field="hyp"
            )
        found[name] = text
    return found


def unique(rows: list[Response], path: Path) -> list[Response]:
    """The rows, if no id stands twice; InputError."""
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise InputError(f"{path} holds {row.id!r} twice; keep one line for each id")
        seen.add(row.id)
    return rows


def _response(row: Mapping[str, Any], where: str) -> Response:
    """A line as an answer; what it does not know goes to `extra`."""
    names = {f.name for f in fields(Response)} - {"extra"}
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in row.items():
        name = "lang" if key == "language" else key
        if name not in names:
            extra[key] = value
        elif value is not None:
            _check(name, value, where)
            values[name] = value
    if not isinstance(values.get("id"), str) or not values["id"]:
        raise InputError(f"{where} has no id; every line needs one", field="id")
    return Response(**values, extra=extra)


def _check(name: str, value: object, where: str) -> None:
    if name in _TEXTS and not isinstance(value, str):
        raise InputError(f"{where}: {name} must be a text", field=name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name in _NUMBERS and not (number and 0 <= value < float("inf")):  # type: ignore[operator]
        raise InputError(f"{where}: {name} must be a number from 0", field=name)
