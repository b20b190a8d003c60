# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording and its words in -> when each word and sound is spoken, and how well they fit.

espeak-ng pronounces the words and pocketsphinx's English model finds the sounds; that serves any
language, as long as the sequence of sounds is given (measured: Mandarin as well as English). The
English model gives the times alone: the sounds keep the voice's own symbols, as English has no ø.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Phone, Word
from exomni_core.engine import CancelCheck
from exomni_core.listening.closures import band_level_db, tightened_closures
from exomni_core.listening.sphinx import Piece, Sound, ask_sphinx
from exomni_core.phonetics.phones import to_arpabet
from exomni_core.voices import espeak

# Mean score per frame: right words -10 to -20, wrong ones -28 to -63 (22 clips of real speech).
SCORE_GATE: Final = -24.0
# Some voices, synthetic ones above all, fit no model well. Below the gate we ask how much worse the
# words fit than any sounds do: right words up to 27 worse, wrong ones 36 and more (espeak-ng).
SCORE_GAP: Final = 31.0


@dataclass(frozen=True)
class Aligned:
    """Words and sounds in time; score: the mean per 10 ms frame of speech, near -10 is good."""

    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    score: float

    @property
    def fits_alone(self) -> bool:
        """True if the score is good enough without comparison."""
        return self.score >= SCORE_GATE


@dataclass(frozen=True)
class Pronounced:
    """The words of a transcript and how the voice pronounces each, in its own IPA symbols."""

    words: tuple[str, ...]
    symbols: tuple[tuple[str, ...], ...]

    def arpabet(self, number: int) -> str:
        """The nearest English sounds of a word; "" if it is not pronounced."""
        return " ".join(sound for symbol in self.symbols[number] for sound in to_arpabet(symbol))


def pronounce(transcript: str, voice: str) -> Pronounced:
    """How espeak-ng's `voice` pronounces a transcript. Raises what `espeak.speak` raises."""
    spoken = espeak.speak(transcript, voice, with_pcm=False)
    symbols: list[list[str]] = [[] for _ in spoken.words]
    for phone, owner in zip(spoken.phones, spoken.word_of_phone, strict=True):
        if owner >= 0:
            symbols[owner].append(phone.symbol)
    return Pronounced(
        tuple(word.text for word in spoken.words), tuple(tuple(one) for one in symbols)
    )


def align_words(
    samples: npt.NDArray[np.int16],
    told: Pronounced,
    ways: Sequence[frozenset[int]] = (frozenset(),),
    *,
    timeout_s: float,
    cancel: CancelCheck | None = None,
) -> list[Aligned | None]:
    """Find the words of a transcript in `samples` (S,) at 16 kHz; None if they can't be found.

    ways: for each alignment the numbers of the words to leave out. Raises WorkerError and
    Cancelled.
    """
    kept = [[k for k in range(len(told.words)) if k not in without] for without in ways]
    pieces = [Piece(0, len(samples), tuple(told.arpabet(k) for k in words)) for words in kept]
    found = ask_sphinx("align", samples, pieces, timeout_s=timeout_s, cancel=cancel)
    level_db = band_level_db(samples)
    aligned: list[Aligned | None] = []
    for heard, words in zip(found, kept, strict=True):
        if heard is None or not any(sound.symbol for sound in heard.sounds):
            aligned.append(None)
            continue
        phones = own_symbols(heard.sounds, [told.symbols[k] for k in words])
        in_time = words_in_time([told.words[k] for k in words], heard.sounds)
        closed = tightened_closures(phones, level_db)
        aligned.append(Aligned(in_time, closed, mean_score(heard.sounds)))
    return aligned


def own_symbols(sounds: Sequence[Sound], symbols_of_word: Sequence[Sequence[str]]) -> list[Phone]:
    """The voice's symbols at the times of the English sounds that stood for them.

    A word whose sounds are not all there keeps the English ones.
    """
    phones: list[Phone] = []
    for number, group in groupby(sounds, key=lambda sound: sound.word):
        found = list(group)
        symbols = symbols_of_word[number] if number >= 0 else ()
        counts = [len(to_arpabet(symbol)) for symbol in symbols]
        if sum(counts) != len(found):
            phones += [Phone(s.symbol, s.start_s, s.end_s) for s in found]
            continue
        at = 0
        for symbol, count in zip(symbols, counts, strict=True):
            if count:
                end_s = found[at + count - 1].end_s
                phones.append(Phone(symbol, found[at].start_s, end_s))
            at += count
    return phones


def free_score(
    samples: npt.NDArray[np.int16],
    pieces: Sequence[Piece],
    *,
    timeout_s: float,
    cancel: CancelCheck | None = None,
) -> float:
    """The mean score of the sounds that fit best, whatever the words: what a voice can reach."""
    found = ask_sphinx("allphone", samples, pieces, timeout_s=timeout_s, cancel=cancel)
    return mean_score(tuple(s for heard in found if heard is not None for s in heard.sounds))


def words_in_time(texts: list[str], sounds: tuple[Sound, ...]) -> tuple[Word, ...]:
    """Times for the words, from the sounds that name them; one without shares the one before."""
    spans: dict[int, tuple[float, float]] = {}
    for sound in sounds:
        if sound.word >= 0 and sound.symbol:
            spans[sound.word] = (spans.get(sound.word, (sound.start_s,))[0], sound.end_s)
    words: list[Word] = []
    followers = [*list(spans)[1:], len(texts)]
    for (number, (start_s, end_s)), following in zip(spans.items(), followers, strict=False):
        words += espeak.share_time(texts[number:following], start_s, end_s)
    return tuple(words)


def mean_score(sounds: tuple[Sound, ...]) -> float:
    """The mean score per frame over all sounds but silence; -100 if there is none."""
    voiced = [sound for sound in sounds if sound.symbol]
    seconds = sum(sound.end_s - sound.start_s for sound in voiced)
    if not seconds:
        return -100.0
    return sum(sound.score * (sound.end_s - sound.start_s) for sound in voiced) / seconds
