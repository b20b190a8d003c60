# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's plan in, `study.json` out, and back; the plan is frozen before the first rating.

The file holds everything that decides what a rater sees and how answers will be counted, sealed by
one hash. It holds no dates: the same seed and the same inputs give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final, Literal, get_args

from exomni_core.storage.files import content_key
from exomni_core.storage.schema import Must, Range, one_of

SCHEMA_VERSION: Final = 1
STUDY_FILE: Final = "study.json"
VIDEO_FOLDER: Final = "videos"
MAX_FILE_BYTES: Final = 256 << 20
PLAIN_TITLE: Final = "Speech and face"  # what a study is called that was given no title

TrialKind = Literal["practice", "main", "catch_identical", "catch_desync"]
StimulusMode = Literal["composite", "dual"]
AudioMode = Literal["shared", "own"]
TRIAL_KINDS: Final[tuple[str, ...]] = get_args(TrialKind)
COMPOSITE_ROLES: Final = ("both",)
DUAL_ROLES: Final = ("left", "right", "audio")

Count = Annotated[int, Range(0)]
Amount = Annotated[int, Range(1)]
VideoName = Annotated[
    str, Must(re.compile(r"[0-9a-f]{16}\.(mp4|m4a)").fullmatch, "a name of a video of this study")
]
Sha256 = Annotated[str, Must(re.compile(r"[0-9a-f]{64}").fullmatch, "a SHA-256 in hex digits")]


@dataclass(frozen=True)
class Stimulus:
    """What one trial shows.

    files: names under `videos/` by role: `both` (composite), or `left`, `right`, `audio` (dual).
    duration_ms, frames: of the whole presentation. sha256: of each file, by the same roles.
    """

    files: Mapping[str, VideoName]
    duration_ms: Amount
    frames: Amount
    sha256: Mapping[str, Sha256]


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
    index: Count
    kind: TrialKind
    pair_id: str
    left: str
    right: str
    expected: Annotated[str, one_of(("", "left", "right", "tie"))]
    stimulus: Stimulus
    language: str


@dataclass(frozen=True)
class Seat:
    """One rater's fixed list of trials, in order. number: from 0."""

    number: Count
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
    seed: Count
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
    break_every: Amount = 20
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


def study_files(study: Study) -> dict[str, str]:
    """Every file under `videos/` that the study shows -> its hex SHA-256."""
    stimuli = [trial.stimulus for seat in study.seats for trial in seat.trials]
    stimuli += [stimulus for pair in study.pairs for stimulus in pair.stimuli.values()]
    return {name: one.sha256[role] for one in stimuli for role, name in one.files.items()}
