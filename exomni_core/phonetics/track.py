# SPDX-License-Identifier: GPL-3.0-or-later
"""Words and speech sounds with their times in, one track out: what voices give to engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from exomni_core.clip import Phone, Word

FPS: Final = 30


@dataclass(frozen=True)
class Track:
    """Words and speech sounds in time, and how they were found.

    route: `tts_events`, `transcript`, `recognised`, `allphone` or `energy`. confidence: the share
    of speech frames expected to show the right one of 13 viseme groups, 0 to 1.
    notes: for the clip's provenance. guesses: sounds that move the
    mouth where none are known; they are not reported as phones.
    """

    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    text: str
    language: str
    route: str
    confidence: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    guesses: tuple[Phone, ...] = ()
