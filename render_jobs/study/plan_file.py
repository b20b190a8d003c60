# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data of a `study.json` in, the Study out; whatever is missing, odd or extra is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from exomni_core.errors import InputError
from exomni_core.storage.documents import check_version, read_json
from exomni_core.storage.files import sha256_file, write_text
from exomni_core.storage.schema import Place, read
from render_jobs.study.plan import (
    COMPOSITE_ROLES,
    DUAL_ROLES,
    MAX_FILE_BYTES,
    SCHEMA_VERSION,
    STUDY_FILE,
    VIDEO_FOLDER,
    Pair,
    Stimulus,
    Study,
    Trial,
    plan_hash,
    study_files,
)

_ROLES: Final = (tuple(sorted(COMPOSITE_ROLES)), tuple(sorted(DUAL_ROLES)))
_ADVICE: Final = "restore it, or make a new study with exorender pairs"


def parse_study(data: object, where: str) -> Study:
    """Plain data of `study.json` -> the Study; InputError names file and field."""
    place = Place(where, advice=_ADVICE)
    check_version(data, SCHEMA_VERSION, place, "exorender")
    return read(Study, data, place, whole=True)


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
    advice = "name a folder that exorender pairs has made"
    data = read_json(path, advice=advice, most=MAX_FILE_BYTES)
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
    for place, stimulus in _stimuli(study):
        roles = tuple(sorted(stimulus.files))
        if roles != tuple(sorted(stimulus.sha256)) or roles not in _ROLES:
            raise InputError(
                f"{where}: {place} must name 'both', or left, right and audio, in files and sha256"
            )
    pairs = {pair.pair_id: pair for pair in study.pairs}
    if len(pairs) != len(study.pairs):
        raise InputError(f"{where} holds one pair twice; restore it", field="pairs")
    if study.target not in study.systems:
        raise InputError(f"{where}: target {study.target!r:.40} is no system of the study")
    for pair in study.pairs:
        if {pair.system_a, pair.system_b} - study.systems.keys():
            raise InputError(f"{where}: pair {pair.pair_id} names a system that is not listed")
        if pair.stimuli.keys() != {"AB", "BA"}:
            raise InputError(f"{where}: stimuli of pair {pair.pair_id} must be AB and BA")
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


def _stimuli(study: Study) -> Iterator[tuple[str, Stimulus]]:
    """Each stimulus of the study, and where it stands, in words."""
    for pair in study.pairs:
        for side, stimulus in pair.stimuli.items():
            yield f"pair {pair.pair_id}, {side}", stimulus
    for seat in study.seats:
        for trial in seat.trials:
            yield f"seat {seat.number}, trial {trial.index}", trial.stimulus


def _check_main(trial: Trial, pair: Pair | None, place: str) -> None:
    if pair is None:
        raise InputError(f"{place} names a pair that the study lacks; restore it")
    side = {(pair.system_a, pair.system_b): "AB", (pair.system_b, pair.system_a): "BA"}.get(
        (trial.left, trial.right)
    )
    if side is None or trial.stimulus != pair.stimuli[side]:
        raise InputError(f"{place} does not show the sides that it names; restore it")
