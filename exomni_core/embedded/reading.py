# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in -> what is to be read of its text; a track and that -> the track with its notes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.listening.listen import LISTENING
from exomni_core.phonetics.language import choose_voice, is_english, language_of_voice
from exomni_core.phonetics.track import Track
from exomni_core.prompt import Prompt
from exomni_core.text.clauses import Limits
from exomni_core.text.reading import Reading, read_text
from exomni_core.text.said import check_said
from exomni_core.voices import espeak
from exomni_core.voices.espeak_symbols import correction_facts
from exomni_core.voices.voice import find_voice, split_voice

# Routes in which the words are those that were given.
_GIVEN_WORDS = ("tts_events", "transcript")


def read_prompt(prompt: Prompt) -> Reading | None:
    """What to read of a prompt's text or transcript; None if it has none."""
    if prompt.mode == "say":
        synthesiser, voice = split_voice(prompt.voice)
        return read_text(
            prompt.text or "",
            language=language_of_voice(voice) or prompt.language,
            limits=_limits_of(synthesiser),
        )
    if prompt.transcript is None:
        return None
    return read_text(
        prompt.transcript, language=prompt.language, limits=espeak.LIMITS, kind="transcript"
    )


def _limits_of(synthesiser: str) -> Limits | None:
    try:
        return find_voice(synthesiser).facts().limits
    except EnvironmentProblem:  # its package is broken; speaking tells so
        return None


def espeak_facts(prompt: Prompt, reading: Reading) -> dict[str, str]:
    """What the clip depends on where espeak-ng pronounces `reading`."""
    named = prompt.voice if prompt.mode == "say" else None
    try:
        choice = choose_voice(reading.spoken, prompt.language, named, espeak.voice_variants())
    except InputError:  # the engine will say so when it is asked for the clip
        return {}
    return correction_facts(choice.voice, reading.spoken)


def heard_facts(prompt: Prompt) -> dict[str, str]:
    """What a clip depends on whose sounds are found in its recording, or in an untimed voice's."""
    if prompt.mode == "say":
        if _tells_times(split_voice(prompt.voice)[0]):
            return {}
    elif prompt.transcript is None and not is_english(prompt.language):
        return {}  # neither aligned nor recognised
    return {"heard": LISTENING}


def _tells_times(synthesiser: str) -> bool:
    try:
        return find_voice(synthesiser).facts().tells_times
    except EnvironmentProblem:  # its package is broken; speaking tells so
        return True


def with_notes(
    track: Track,
    notes: Sequence[str],
    reading: Reading | None,
    samples: npt.NDArray[np.float32],
    sample_rate_hz: int,
) -> Track:
    """`track` with `notes` and what the check finds between its words and its sound."""
    is_aligned = track.route != "tts_events"
    told = list(notes)
    if track.words:
        given = reading is not None and track.route in _GIVEN_WORDS
        to_say = reading.words_to_say() if reading and is_aligned and given else []
        said = check_said(
            [token.text for token in to_say],
            track.words,
            track.phones,
            samples,
            sample_rate_hz,
            is_aligned=is_aligned,
        )
        said = said if given else dataclasses.replace(said, unsaid=(), gaps=())
        told += said.notes(of_recording=is_aligned)
    return dataclasses.replace(track, notes={**track.notes, "notes": told}) if told else track
