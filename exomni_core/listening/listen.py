# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording, with its transcript if known, in -> its words and sounds out, by the best route.

The routes, best first: `transcript` (aligned), `recognised` (English words, then aligned),
`allphone` (sounds without words), `energy` (loudness alone). A route that fails, takes too long or
does not fit gives way to the next, and the notes say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from exomni_core import __version__
from exomni_core.audio import resample
from exomni_core.clip import Phone, Word
from exomni_core.engine import CancelCheck, ProgressCallback, report, stop_if
from exomni_core.errors import InputError, WorkerError
from exomni_core.listening.align import (
    SCORE_GAP,
    SCORE_GATE,
    Aligned,
    Pronounced,
    align_words,
    free_score,
    pronounce,
)
from exomni_core.listening.closures import inside
from exomni_core.listening.fit import (
    GAP_WORTH,
    clause_numbers,
    fit_words,
    share_without_words,
    with_heard,
)
from exomni_core.listening.listener import ListenerFacts
from exomni_core.listening.recognise import (
    hear_sounds,
    hear_words,
    mask_closures,
    shape_by_loudness,
    split_at_pauses,
)
from exomni_core.listening.sphinx import SAMPLE_RATE_HZ, Piece, is_installed
from exomni_core.phonetics.language import check_readable, choose_voice, is_english
from exomni_core.phonetics.loudness import loudness_db, speech_gate
from exomni_core.phonetics.track import Track
from exomni_core.text.said import LEVEL_FPS, loud_gaps

_Label = TypeVar("_Label", Phone, Word)

# What clips of words in recordings depend on; raise it when alignment or recognition changes.
LISTENING: Final = "the voice's own symbols, 1"
PAD_S: Final = 0.2  # silence that the recogniser needs at both ends
_NOISE_RMS: Final = 12.0  # of 32768: digital silence breaks the recogniser's noise estimate
_PEAK: Final = 16000.0
# Shares of speech frames with the right viseme group, measured against espeak-ng's own times.
CONFIDENCE: Final = {"transcript": 0.8, "recognised": 0.65, "allphone": 0.45, "energy": 0.2}
_LEAST_KEPT: Final = 0.5  # the share of a transcript that must be in its recording
_FEWEST_SOUNDS_PER_S: Final = 3.0  # slow speech has 6, usual speech 10 to 15
_CHECKABLE_S: Final = 1.0  # in less speech wrong words fit as often as not
_SILENT_CONFIDENCE: Final = 0.05


def listen(
    samples: npt.NDArray[np.float32],
    sample_rate_hz: int,
    *,
    transcript: str | None,
    language: str | None,
    budget_s: float,
    progress: ProgressCallback | None = None,
    cancel: CancelCheck | None = None,
) -> Track:
    """Find what is said in `samples` (S,).

    language: None means that of the transcript, or English. budget_s: wall seconds for recognising
    words. Raises InputError for an unknown language, and Cancelled; never fails for the sound.
    """
    spoken_language = _language(transcript, language)
    duration_s = len(samples) / sample_rate_hz
    rows = max(1, round(duration_s * LEVEL_FPS))
    level_db = loudness_db(samples, sample_rate_hz, rows, LEVEL_FPS)
    gate = speech_gate(level_db, LEVEL_FPS)
    notes: dict[str, Any] = {}
    if not gate.any():
        notes["note"] = "no speech was found in the recording"
        return Track((), (), transcript or "", spoken_language, "energy", _SILENT_CONFIDENCE, notes)
    recording = _Recording(
        prepare(samples, sample_rate_hz), level_db, gate, duration_s, 30.0 + 2.0 * duration_s
    )
    report(progress, "listening", 0.1)
    track = None
    if transcript is not None:
        track = _by_transcript(recording, transcript, spoken_language, notes, cancel)
    if track is None and is_english(language) and is_english(spoken_language):
        report(progress, "listening", 0.2)
        track = _by_words(recording, budget_s, notes, cancel)
    if track is None:
        report(progress, "listening", 0.6)
        track = _by_sounds(recording, transcript or "", spoken_language, notes, cancel)
    if track is None:
        guesses = shape_by_loudness(level_db, gate, LEVEL_FPS)
        track = Track((), (), transcript or "", spoken_language, "energy", CONFIDENCE["energy"],
                      notes, guesses)  # fmt: skip
    stop_if(cancel)
    return track


class SphinxListener:
    """`listen` as a registered listener: espeak-ng pronounces, pocketsphinx finds the sounds."""

    def facts(self) -> ListenerFacts:
        """It aligns any language that espeak-ng speaks, and recognises English words."""
        return ListenerFacts("pocketsphinx", (), ("en",))

    def version(self) -> str:
        """The code's; the embedded engine's own version covers it."""
        return __version__

    def reason(self) -> str:
        """What is missing for it, and how to get it."""
        if is_installed():
            return ""
        return (
            "to lip-sync recordings, pocketsphinx is needed in the engine's Python; run: "
            "pip install pocketsphinx"
        )

    def listen(
        self,
        samples: npt.NDArray[np.float32],
        sample_rate_hz: int,
        *,
        transcript: str | None,
        language: str | None,
        budget_s: float,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Track:
        """As `listen`."""
        return listen(
            samples, sample_rate_hz, transcript=transcript, language=language, budget_s=budget_s,
            progress=progress, cancel=cancel,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Recording:
    """pcm: (S,) int16 at 16 kHz, padded. level_db, gate: (T,) at LEVEL_FPS, not padded."""

    pcm: npt.NDArray[np.int16]
    level_db: npt.NDArray[np.float64]
    gate: npt.NDArray[np.bool_]
    duration_s: float
    patience_s: float


def _by_transcript(
    recording: _Recording,
    transcript: str,
    language: str,
    notes: dict[str, Any],
    cancel: CancelCheck | None,
) -> Track | None:
    voice = choose_voice(transcript, language, None, ()).voice
    try:
        check_readable(transcript, voice, field="transcript")
        told = pronounce(transcript, voice)
        aligned = _fitted(recording, transcript, told, cancel)
        if aligned is not None and len(aligned.words) < _LEAST_KEPT * len(told.words):
            aligned = None  # a few words of any text fit somewhere
        if aligned is None:
            notes["transcript_rejected"] = "its words were not found in the recording"
            return None
        if too_few := _too_few_sounds(recording, aligned):
            notes["transcript_rejected"] = too_few
            return None
        needed = SCORE_GATE
        if not aligned.fits_alone:
            needed = min(SCORE_GATE, _least_score(recording, aligned, cancel))
    except (InputError, WorkerError) as error:
        notes["transcript_rejected"] = str(error)
        return None
    if aligned.score < needed:
        notes["transcript_rejected"] = (
            f"its words do not fit the recording (score {aligned.score:.1f}, needed {needed:.1f})"
        )
        return None
    notes["alignment_score"] = round(aligned.score, 3)
    speech_s = float(recording.gate.sum()) / LEVEL_FPS
    if speech_s < _CHECKABLE_S:
        notes["transcript_unchecked"] = (
            f"the {speech_s:.1f} s of speech are too short to check the transcript's words"
        )
    track = _track(recording, aligned, transcript, language, "transcript", notes)
    return _with_gaps_heard(recording, track, cancel)


def _least_score(recording: _Recording, aligned: Aligned, cancel: CancelCheck | None) -> float:
    """What words must score that are judged by what any sounds reach, more if speech lacks words.

    A wrong transcript fits some of the speech by chance and leaves the rest.
    """
    pieces = split_at_pauses(recording.level_db, LEVEL_FPS, PAD_S, len(recording.pcm))
    best = free_score(recording.pcm, pieces, timeout_s=recording.patience_s, cancel=cancel)
    padded = np.pad(recording.gate, round(PAD_S * LEVEL_FPS))
    return best - SCORE_GAP + GAP_WORTH * share_without_words(aligned, padded)


def _fitted(
    recording: _Recording, transcript: str, told: Pronounced, cancel: CancelCheck | None
) -> Aligned | None:
    """The words of the transcript that are in the recording, in time; None if none are found."""
    pad = round(PAD_S * LEVEL_FPS)

    def align(ways: Sequence[frozenset[int]]) -> list[Aligned | None]:
        patience_s = recording.patience_s * len(ways)
        return align_words(recording.pcm, told, ways, timeout_s=patience_s, cancel=cancel)

    return fit_words(
        align, told.words, clause_numbers(transcript, told.words), np.pad(recording.gate, pad)
    )


def _with_gaps_heard(recording: _Recording, track: Track, cancel: CancelCheck | None) -> Track:
    """`track` with the sounds that are heard where speech goes on without words."""
    spans = [(word.start_s, word.end_s) for word in track.words]
    gaps = loud_gaps(spans, recording.level_db, recording.gate)
    if not gaps:
        return track
    pieces = [
        Piece(round((a + PAD_S) * SAMPLE_RATE_HZ), round((b + PAD_S) * SAMPLE_RATE_HZ))
        for a, b in gaps
    ]
    try:
        heard = hear_sounds(recording.pcm, pieces, timeout_s=recording.patience_s, cancel=cancel)
    except WorkerError:  # the note about the gap says enough
        return track
    phones = inside(_on_time(heard, recording.duration_s), gaps)
    return replace(track, phones=with_heard(track.phones, phones, gaps))


def _too_few_sounds(recording: _Recording, aligned: Aligned) -> str | None:
    """A few sounds stretched over much speech fit anything; the sentence that says so, or None."""
    speech_s = float(recording.gate.sum()) / LEVEL_FPS
    sounds = sum(bool(phone.symbol) for phone in aligned.phones)
    if speech_s < 1.0 or sounds >= _FEWEST_SOUNDS_PER_S * speech_s:
        return None
    return f"it has only {sounds} sounds, but there are {speech_s:.1f} s of speech"


def _by_words(
    recording: _Recording, budget_s: float, notes: dict[str, Any], cancel: CancelCheck | None
) -> Track | None:
    pieces = split_at_pauses(recording.level_db, LEVEL_FPS, PAD_S, len(recording.pcm))
    try:
        heard = hear_words(recording.pcm, pieces, timeout_s=budget_s, cancel=cancel)
    except WorkerError as error:
        notes["recognition_failed"] = str(error)
        return None
    if heard is None:
        notes["recognition_failed"] = "no words were recognised"
        return None
    notes["alignment_score"] = round(heard.score, 3)
    text = " ".join(word.text for word in heard.words)
    return _track(recording, heard, text, "en", "recognised", notes)


def _by_sounds(
    recording: _Recording,
    text: str,
    language: str,
    notes: dict[str, Any],
    cancel: CancelCheck | None,
) -> Track | None:
    pieces = split_at_pauses(recording.level_db, LEVEL_FPS, PAD_S, len(recording.pcm))
    try:
        heard = hear_sounds(recording.pcm, pieces, timeout_s=recording.patience_s, cancel=cancel)
    except WorkerError as error:
        notes["sounds_failed"] = str(error)
        return None
    phones = _on_time(heard, recording.duration_s)
    phones = mask_closures(phones, recording.gate, LEVEL_FPS)
    if not any(phone.symbol for phone in phones):
        return None
    return Track((), phones, text, language, "allphone", CONFIDENCE["allphone"], notes)


def _track(
    recording: _Recording,
    aligned: Aligned,
    text: str,
    language: str,
    route: str,
    notes: dict[str, Any],
) -> Track:
    # The worse the sounds fit, the less of the route's measured accuracy is to be expected.
    fit = min(1.0, max(0.7, 1.0 - (-12.0 - aligned.score) / 48.0))
    return Track(
        words=_on_time(aligned.words, recording.duration_s),
        phones=_on_time(aligned.phones, recording.duration_s),
        text=text,
        language=language,
        route=route,
        confidence=round(CONFIDENCE[route] * fit, 3),
        notes=notes,
    )


def _on_time(labels: Sequence[_Label], duration_s: float) -> tuple[_Label, ...]:
    """Words or phones on the recording's own clock: without the padding, cut at its ends."""
    moved = []
    for label in labels:
        start_s = min(max(label.start_s - PAD_S, 0.0), duration_s)
        end_s = min(max(label.end_s - PAD_S, 0.0), duration_s)
        if end_s > start_s:
            moved.append(replace(label, start_s=start_s, end_s=end_s))
    return tuple(moved)


def _language(transcript: str | None, language: str | None) -> str:
    """The language of the recording as the user would write it; InputError if it is unknown."""
    return choose_voice(transcript or "", language, None, ()).language


def prepare(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> npt.NDArray[np.int16]:
    """The recording as the recogniser likes it: 16 kHz, an even level, faint noise, padded ends.

    Returns (S',) int16; time 0 of the recording is at PAD_S.
    """
    if sample_rate_hz != SAMPLE_RATE_HZ:
        samples = resample(samples, sample_rate_hz, SAMPLE_RATE_HZ)
    scale = _PEAK / max(float(np.abs(samples).max(initial=0.0)), 1e-4)
    padded = np.pad(samples * np.float32(scale), round(PAD_S * SAMPLE_RATE_HZ))
    # Always the same noise, so that the same recording always gives the same clip.
    noise = np.random.Generator(np.random.PCG64(0)).normal(0.0, _NOISE_RMS, len(padded))
    pcm: npt.NDArray[np.int16] = np.clip(np.round(padded + noise), -32768, 32767).astype(np.int16)
    return pcm
