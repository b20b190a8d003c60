# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording and the words that are said in it in, independently found sounds in time out.

The embedded engine's forced aligner serves any engine's clips: each knows its own text.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from exomni_core.clip import Phone
from exomni_core.errors import InputError
from exomni_core.listening.listen import listen


def align_text(
    samples: npt.NDArray[Any], sample_rate_hz: int, text: str, language: str | None
) -> tuple[Phone, ...]:
    """When the sounds of `text` are spoken in `samples` (S,).

    language: as a prompt names it; None guesses it from the text. Raises InputError where the words
    don't fit the sound, EnvironmentProblem where espeak-ng or pocketsphinx is missing.
    """
    # The sounds without the words would be no truth, so no time is spent on recognising them.
    track = listen(samples, sample_rate_hz, transcript=text, language=language, budget_s=1.0)
    if track.route != "transcript":
        why = track.notes.get("transcript_rejected") or track.notes.get("note") or "no speech"
        raise InputError(f"the text can't be aligned: {why}")
    return track.phones
