# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data of a `study.json` in, the Study out; whatever is missing, odd or extra is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, get_args

from exomni_core.errors import InputError
from exomni_core.storage.files import sha256_file, write_text
from render_jobs.study.plan import (
    COMPOSITE_ROLES,
    DUAL_ROLES,
    EXPECTED,
    MAX_FILE_BYTES,
    SCHEMA_VERSION,
    STUDY_FILE,
    TRIAL_KINDS,
    VIDEO_FOLDER,
    AudioMode,
    Dropped,
    Pair,
    Seat,
    Stimulus,
    StimulusMode,
    Study,
    Trial,
    plan_hash,
    study_files,
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


def write_study(study: Study, folder: Path) -> Study:
    """Seal `study` with its hash, write `folder/study.json` in one step, return what was written.

    Raises InputError when a promise of the plan is broken or the folder can't be written.
    """
    sealed = replace(study, plan_sha256=plan_hash(study))
    path = Path(folder) / STUDY_FILE
    _check(sealed, str(path))
    text = json.dumps(asdict(sealed), ensure_ascii=False, indent=1, sort_keys=True)
    write_text(path, text + "\n")
    return sealed


def read_study(folder: Path) -> Study:
    """Read `folder/study.json`; InputError in one sentence where it is missing or wrong."""
    path = Path(folder) / STUDY_FILE
    try:
        with open(path, "rb") as handle:
            raw = handle.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} can't be read ({reason}); name a folder that exorender pairs has made"
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise InputError(f"{path} is larger than any study; restore it")
    try:
        data = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is broken JSON ({error}); restore it") from error
    study = parse_study(data, str(path))
    _check(study, str(path))
    return study


def check_files(study: Study, folder: Path) -> None:
    """Raise InputError unless plan and videos are what was sealed before the first rating."""
    path = Path(folder) / STUDY_FILE
    if plan_hash(study) != study.plan_sha256:
        raise InputError(
            f"{path} was changed after it was made; restore it, or make a new study with "
            "exorender pairs"
        )
    for name, expected in sorted(study_files(study).items()):
        video = Path(folder) / VIDEO_FOLDER / name
        try:
            found = sha256_file(video)
        except OSError as error:
            raise InputError(f"{video} can't be read ({error.strerror}); restore it") from error
        if found != expected:
            raise InputError(f"{video} was changed after the study was made; restore it")


def _check(study: Study, where: str) -> None:
    """The promises that reach beyond one object; InputError."""
    pairs = {pair.pair_id: pair for pair in study.pairs}
    if len(pairs) != len(study.pairs):
        raise InputError(f"{where} holds one pair twice; restore it", field="pairs")
    if study.target not in study.systems:
        raise InputError(f"{where}: target {study.target!r:.40} is no system of the study")
    for pair in study.pairs:
        if {pair.system_a, pair.system_b} - study.systems.keys():
            raise InputError(f"{where}: pair {pair.pair_id} names a system that is not listed")
    if [seat.number for seat in study.seats] != list(range(len(study.seats))):
        raise InputError(f"{where}: the seats are not numbered from 0", field="seats")
    seen: set[str] = set()
    for seat in study.seats:
        for index, trial in enumerate(seat.trials):
            place = f"{where}: seat {seat.number}, trial {index}"
            if trial.index != index:
                raise InputError(f"{place} has the index {trial.index}; restore it")
            if trial.trial_id in seen:
                raise InputError(f"{place} has the id of another trial; restore it")
            seen.add(trial.trial_id)
            if trial.kind == "main":
                _check_main(trial, pairs.get(trial.pair_id), place)


def _check_main(trial: Trial, pair: Pair | None, place: str) -> None:
    if pair is None:
        raise InputError(f"{place} names a pair that the study lacks; restore it")
    side = {(pair.system_a, pair.system_b): "AB", (pair.system_b, pair.system_a): "BA"}.get(
        (trial.left, trial.right)
    )
    if side is None or trial.stimulus != pair.stimuli[side]:
        raise InputError(f"{place} does not show the sides that it names; restore it")
