# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in, what its user should know about how it came about out, as sentences."""

from __future__ import annotations

from typing import Final

from exomni_core.clip import Clip

# Key of the provenance -> the words before its value.
_REASONS: Final = (
    ("transcript_rejected", "the transcript was not used: "),
    ("recognition_failed", "no words were recognised: "),
    ("note", ""),
)


def clip_notes(clip: Clip) -> list[str]:
    """Sentences such as why a transcript was rejected; empty for most clips."""
    return [words + str(clip.provenance[n]) for n, words in _REASONS if n in clip.provenance]
