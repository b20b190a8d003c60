# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data of a `study.json` in, the Study out; whatever is missing, odd or extra is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, get_args

from exomni_core.errors import InputError
from render_jobs.study.plan import (
    COMPOSITE_ROLES,
    DUAL_ROLES,
    EXPECTED,
    SCHEMA_VERSION,
    TRIAL_KINDS,
    AudioMode,
    Dropped,
    Pair,
    Seat,
    Stimulus,
    StimulusMode,
    Study,
    Trial,
)

_OPAQUE: Final = re.compile(r"[0-9a-f]{16}\.(mp4|m4a)")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class _Reader:
    """One JSON object, read field by field; every complaint names file and field."""

    def __init__(self, data: object, where: str) -> None:
        if not isinstance(data, dict):
            raise InputError(f"{where} is not a JSON object; restore the study")
        self.data, self.where = data, where

    def only(self, kind: type) -> None:
        """Refuse fields that `kind` doesn't have: a typing error must not pass as a default."""
        known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
        for name in self.data:
            if name not in known:
                raise InputError(f"{self.where} has an unknown field {name!r:.40}; restore it")

    def get(self, name: str, kind: type) -> Any:
        value = self.data.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(
                f"{self.where}: {name} must be {_NAMES[kind]}, not {type(value).__name__}",
                field=name,
            )
        return value

    def count(self, name: str, low: int = 0) -> int:
        value: int = self.get(name, int)
        if value < low:
            raise InputError(f"{self.where}: {name} is {value}; {low} is the least", field=name)
        return value

    def one_of(self, name: str, known: Sequence[str]) -> Any:
        value = self.get(name, str)
        if value not in known:
            choices = ", ".join(map(repr, known))
            raise InputError(
                f"{self.where}: {name} is {value!r:.40}, not one of {choices}", field=name
            )
        return value

    def texts(self, name: str) -> dict[str, str]:
        """A mapping of texts."""
        found = self.get(name, dict)
        if not all(isinstance(text, str) for text in found.values()):
            raise InputError(f"{self.where}: {name} must hold texts only", field=name)
        return dict(found)

    def words(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = self.get(name, list)
        if not all(isinstance(text, str) for text in found):
            raise InputError(f"{self.where}: {name} must be a list of texts", field=name)
        return tuple(found)

    def rows(self, name: str, read: Callable[[object, str], Any]) -> tuple[Any, ...]:
        rows = self.get(name, list)
        return tuple(read(row, f"{self.where}: {name}[{i}]") for i, row in enumerate(rows))


_NAMES: Final = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}


def _stimulus(data: object, where: str) -> Stimulus:
    read = _Reader(data, where)
    read.only(Stimulus)
    files, sha256 = read.texts("files"), read.texts("sha256")
    if files.keys() != sha256.keys() or tuple(sorted(files)) not in (
        tuple(sorted(COMPOSITE_ROLES)),
        tuple(sorted(DUAL_ROLES)),
    ):
        raise InputError(f"{where}: files and sha256 must name 'both', or left, right and audio")
    for role, name in files.items():
        if not _OPAQUE.fullmatch(name):
            raise InputError(f"{where}: {name!r:.40} is no name of a video of ours", field="files")
        if not _SHA256.fullmatch(sha256[role]):
            raise InputError(f"{where}: the hash of {name} is no SHA-256", field="sha256")
    return Stimulus(files, read.count("duration_ms", 1), read.count("frames", 1), sha256)


def _pair(data: object, where: str) -> Pair:
    read = _Reader(data, where)
    read.only(Pair)
    stimuli = {
        side: _stimulus(one, f"{where}: stimuli.{side}")
        for side, one in read.get("stimuli", dict).items()
    }
    if stimuli.keys() != {"AB", "BA"}:
        raise InputError(f"{where}: stimuli must be AB and BA", field="stimuli")
    names = ("pair_id", "item_id", "language", "system_a", "system_b")
    return Pair(stimuli=stimuli, **{name: read.get(name, str) for name in names})


def _trial(data: object, where: str) -> Trial:
    read = _Reader(data, where)
    read.only(Trial)
    return Trial(
        trial_id=read.get("trial_id", str),
        index=read.count("index"),
        kind=read.one_of("kind", TRIAL_KINDS),
        pair_id=read.get("pair_id", str),
        left=read.get("left", str),
        right=read.get("right", str),
        expected=read.one_of("expected", EXPECTED),
        stimulus=_stimulus(read.get("stimulus", dict), f"{where}: stimulus"),
        language=read.get("language", str),
    )


def _seat(data: object, where: str) -> Seat:
    read = _Reader(data, where)
    read.only(Seat)
    return Seat(read.count("number"), read.rows("trials", _trial))


def _dropped(data: object, where: str) -> Dropped:
    read = _Reader(data, where)
    read.only(Dropped)
    return Dropped(read.get("item", str), read.get("reason", str))


def _comparison(data: object, where: str) -> tuple[str, str]:
    if not isinstance(data, list) or len(data) != 2 or not all(isinstance(s, str) for s in data):
        raise InputError(f"{where} must be a list of two system ids", field="comparisons")
    return data[0], data[1]


def parse_study(data: object, where: str) -> Study:
    """Plain data of `study.json` -> the Study; InputError names file and field."""
    read = _Reader(data, where)
    version = read.count("schema_version", 1)
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{where} was written by a newer version (study schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}); update exorender"
        )
    read.only(Study)
    return Study(
        title=read.get("title", str),
        seed=read.count("seed"),
        target=read.get("target", str),
        systems=read.texts("systems"),
        comparisons=read.rows("comparisons", _comparison),
        languages=read.words("languages"),
        stimulus=read.one_of("stimulus", get_args(StimulusMode)),
        audio=read.one_of("audio", get_args(AudioMode)),
        pairs=read.rows("pairs", _pair),
        seats=read.rows("seats", _seat),
        dropped=read.rows("dropped", _dropped),
        page_languages=read.words("page_languages"),
        break_every=read.count("break_every", 1),
        protocol=read.texts("protocol"),
        consent=read.texts("consent"),
        plan=read.get("plan", dict),
        balance=read.get("balance", dict),
        plan_sha256=read.get("plan_sha256", str),
        schema_version=version,
    )
