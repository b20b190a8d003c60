# SPDX-License-Identifier: GPL-3.0-or-later
"""A study's settings in; the texts for raters and the rules of the analysis out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core.errors import InputError
from exomni_core.storage.foreign import load_json
from render_jobs.study.plan import AudioMode

PAGE_LANGUAGES: Final = ("en", "zh")
_FOLDER: Final = Path(__file__).with_name("texts")
_READING_S: Final = 240.0  # consent, sound check, instructions, breaks
_ANSWER_S: Final = 4.0
_REPLAY_SHARE: Final = 1.2


@dataclass(frozen=True)
class Texts:
    """protocol, consent: by page language; the consent may hold {trials}, {minutes}, {contact} and
    {storage}. contact, storage: what stands there when the user names nothing.
    """

    protocol: Mapping[str, str]
    consent: Mapping[str, str]
    contact: Mapping[str, str]
    storage: Mapping[str, str]

    def filled_consent(
        self, *, trials: int, playing_s: float, contact: str, storage: str
    ) -> dict[str, str]:
        """The consent for a session of `trials` trials whose videos last `playing_s` in all."""
        whole_s = _READING_S + trials * _ANSWER_S + playing_s * _REPLAY_SHARE
        return {
            language: _fill(
                text,
                trials=str(trials),
                minutes=str(max(5, 5 * math.ceil(whole_s / 300))),
                contact=contact or self.contact.get(language, ""),
                storage=storage or self.storage.get(language, ""),
            )
            for language, text in self.consent.items()
        }


def is_word_of_ours(name: str) -> bool:
    """Whether the built-in texts hold this name anyway: they ask for a quiet place, and a system
    may well be called "quiet"; there it tells raters nothing.
    """
    ours = [_read(_FOLDER / "consent.json"), *_read(_FOLDER / "protocol.json").values()]
    words = " ".join(text[language] for text in ours for language in PAGE_LANGUAGES)
    return bool(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words, re.IGNORECASE))


def read_texts(own: Path | None, audio: AudioMode) -> Texts:
    """The built-in texts, or those of the JSON file `own`: {"protocol": {"en": ...}, "consent":
    {"en": ...}}, where either may be left out. Raises InputError.
    """
    protocol = _read(_FOLDER / "protocol.json")[audio]
    consent = _read(_FOLDER / "consent.json")
    contact, storage = consent.pop("contact"), consent.pop("storage")
    if own is not None:
        given = _read(own)
        if unknown := sorted(given.keys() - {"protocol", "consent"}):
            raise InputError(
                f"{own} holds {unknown[0]!r:.40}; it takes protocol and consent", field="texts"
            )
        protocol = _by_language(given.get("protocol", protocol), own, "protocol")
        consent = _by_language(given.get("consent", consent), own, "consent")
    if protocol.keys() != consent.keys():
        raise InputError(
            f"{own}: protocol and consent must be given in the same languages", field="texts"
        )
    return Texts(protocol, consent, contact, storage)


def analysis_plan(target: str, audio: AudioMode) -> dict[str, Any]:
    """How the study will be counted, fixed before the first rating."""
    return {
        "target": target,
        "question": "share of ratings that prefer the target, a tie as half",
        "headline": "two-way cluster-robust t over raters and pairs, min(raters, pairs) - 1 df, "
        "against 0.5, two-sided",
        "alpha": 0.05,
        "several_comparisons": "Holm",
        "interval": "two-way bootstrap over raters and pairs, 95 %",
        "pair_label": "most frequent answer of a pair; two equally frequent count as a tie",
        "agreement": "MMF (mean over pairs, modal count) beside the MMF that chance gives",
        "side_audio": "both sides play the target's speech"
        if audio == "shared"
        else "each side plays its own speech, left first, then right",
        "exclusion": {
            "catch_min": 0.75,
            "min_coverage": 0.95,
            "min_complete": 0.8,
            "rt_at_least_video_length": True,
        },
        "without_exclusions_too": True,
        "corrections": "until the block ends; the later answer counts",
        "stop": "all seats are complete; no look at outcomes before",
    }


def _fill(text: str, **values: str) -> str:
    # Not str.format: a stray brace in the user's own text is no error.
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def _read(path: Path) -> dict[str, Any]:
    try:
        data = load_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} can't be read as JSON ({error})", field="texts") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} should hold a JSON object", field="texts")
    return data


def _by_language(data: object, path: Path, name: str) -> dict[str, str]:
    if not isinstance(data, dict) or not data:
        raise InputError(f"{path}: {name} must be texts by language", field="texts")
    for language, text in data.items():
        if language not in PAGE_LANGUAGES:
            raise InputError(
                f"{path}: {name} is given in {language!r:.20}; the page speaks "
                f"{' and '.join(PAGE_LANGUAGES)}",
                field="texts",
            )
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{path}: {name} in {language} must be a text", field="texts")
    return dict(data)
