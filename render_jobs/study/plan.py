# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's plan in, `study.json` out, and back; the plan is frozen before the first rating.

The file holds everything that decides what a rater sees and how answers will be counted, sealed by
one hash. It holds no dates: the same seed and the same inputs give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

from exomni_core.errors import InputError
from exomni_core.files import sha256_file, write_text
from render_jobs.manifest import content_key

SCHEMA_VERSION: Final = 1
STUDY_FILE: Final = "study.json"
VIDEO_FOLDER: Final = "videos"
MAX_FILE_BYTES: Final = 256 << 20

TrialKind = Literal["practice", "main", "catch_identical", "catch_desync"]
StimulusMode = Literal["composite", "dual"]
AudioMode = Literal["shared", "own"]
TRIAL_KINDS: Final[tuple[str, ...]] = get_args(TrialKind)
EXPECTED: Final = ("", "left", "right", "tie")
COMPOSITE_ROLES: Final = ("both",)
DUAL_ROLES: Final = ("left", "right", "audio")


@dataclass(frozen=True)
class Stimulus:
    """What one trial shows.

    files: names under `videos/` by role: `both` (composite), or `left`, `right`, `audio` (dual).
    duration_ms, frames: of the whole presentation. sha256: of each file, by the same roles.
    """

    files: Mapping[str, str]
    duration_ms: int
    frames: int
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Pair:
    """One item by two systems. stimuli: `AB` shows system_a on the left, `BA` on the right."""

    pair_id: str
    item_id: str
    language: str
    system_a: str
    system_b: str
    stimuli: Mapping[str, Stimulus]


@dataclass(frozen=True)
class Trial:
    """One question to one rater.

    trial_id: opaque, unique in the study. index: place in the seat, from 0, practice first.
    left, right: system ids; of a catch trial `same`/`same`, or `intact` and `delayed`.
    expected: the right answer of a catch trial, else empty.
    """

    trial_id: str
    index: int
    kind: TrialKind
    pair_id: str
    left: str
    right: str
    expected: str
    stimulus: Stimulus
    language: str


@dataclass(frozen=True)
class Seat:
    """One rater's fixed list of trials, in order. number: from 0."""

    number: int
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Dropped:
    """An item that is not in the study although a run names it, and why."""

    item: str
    reason: str


@dataclass(frozen=True)
class Study:
    """The whole plan; `study.json` is this, field by field.

    systems: id -> description. comparisons: pairs of ids. languages: of the items.
    page_languages: what the page can be shown in. protocol, consent: text by page language.
    plan: the analysis plan and the exclusion rules. balance: what `check_balance` counted.
    plan_sha256: over everything else; see `plan_hash`.
    """

    title: str
    seed: int
    target: str
    systems: Mapping[str, str]
    comparisons: tuple[tuple[str, str], ...]
    languages: tuple[str, ...]
    stimulus: StimulusMode
    audio: AudioMode
    pairs: tuple[Pair, ...]
    seats: tuple[Seat, ...]
    dropped: tuple[Dropped, ...] = ()
    page_languages: tuple[str, ...] = ("en", "zh")
    break_every: int = 20
    protocol: Mapping[str, str] = field(default_factory=dict)
    consent: Mapping[str, str] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    balance: Mapping[str, Any] = field(default_factory=dict)
    plan_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def pair(self, pair_id: str) -> Pair:
        """The pair of that id; KeyError."""
        for pair in self.pairs:
            if pair.pair_id == pair_id:
                return pair
        raise KeyError(pair_id)


def plan_hash(study: Study) -> str:
    """Hex SHA-256 over everything in the study but `plan_sha256` itself."""
    facts = asdict(study)
    del facts["plan_sha256"]
    return content_key(facts)


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
    from render_jobs.study.plan_reader import parse_study

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


def study_files(study: Study) -> dict[str, str]:
    """Every file under `videos/` that the study shows -> its hex SHA-256."""
    stimuli = [trial.stimulus for seat in study.seats for trial in seat.trials]
    stimuli += [stimulus for pair in study.pairs for stimulus in pair.stimuli.values()]
    return {name: one.sha256[role] for one in stimuli for role, name in one.files.items()}


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
