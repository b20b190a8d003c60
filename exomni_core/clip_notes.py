# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in -> what its user should know about how it came about, as sentences, out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from exomni_core.clip import Clip

_REASONS: Final = (
    ("transcript_rejected", "the transcript was not used: "),
    ("transcript_unchecked", ""),
    ("recognition_failed", "no words were recognised: "),
    ("note", ""),
)


def clip_notes(clip: Clip) -> list[str]:
    """Such as a rejected transcript, words that were not spoken, sounds that have no words."""
    return notes_in(clip.provenance)


def notes_in(facts: Mapping[str, Any]) -> list[str]:
    """The notes of a clip whose provenance is `facts`."""
    told = [words + str(facts[name]) for name, words in _REASONS if name in facts]
    more = facts.get("notes")  # a foreign clip may hold anything there
    told += [str(note) for note in more] if isinstance(more, (list, tuple)) else []
    return told + clipped_note(facts)


def clipped_note(facts: Mapping[str, Any]) -> list[str]:
    """The note on values of a foreign face that a clip could not hold; none for none."""
    count = facts.get("clipped_values")
    if type(count) is not int or count <= 0:
        return []
    return [f"{count} values outside 0 to 1 are clipped"]
