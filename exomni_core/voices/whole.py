# SPDX-License-Identifier: GPL-3.0-or-later
"""A reading and a synthesiser's `speak` in -> speech in which every word is said out, or a note.

A voice that drops the end of a clause is asked again with pauses before what it dropped. Works with
any voice that tells the times of its words; of others only the samples are known here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from exomni_core.clip import Word
from exomni_core.phonetics.tokens import Token, text_tokens
from exomni_core.text.reading import Reading, has_sound
from exomni_core.text.said import missing_words, quoted, words_without_own_sounds
from exomni_core.voices.voice import TimedSounds, Utterance

_ROUNDS: Final = 4
_WORDS_BETWEEN_PAUSES: Final = 20  # among words that were dropped


@dataclass(frozen=True, eq=False)
class Spoken:
    """said: the speech; its words are those of the text as written. notes: for the user."""

    said: Utterance
    notes: tuple[str, ...]


def speak_whole(reading: Reading, speak: Callable[[str], Utterance]) -> Spoken:
    """Speak all of `reading`; what is still missing after several tries is told in a note."""
    said = speak(reading.spoken)
    lost = _lost(reading, said)
    best, best_said, fewest = reading, said, lost
    for _ in range(_ROUNDS):
        if not lost:
            break
        reading = reading.with_pauses([token.start for token in lost[::_WORDS_BETWEEN_PAUSES]])
        said = speak(reading.spoken)
        lost = _lost(reading, said)
        if len(lost) >= len(fewest):
            break
        best, best_said, fewest = reading, said, lost
    notes = list(best.notes)
    if fewest:
        count = "1 word was" if len(fewest) == 1 else f"{len(fewest)} words were"
        texts = [token.text for token in fewest]
        notes.append(f"{count} not spoken by the voice: {quoted(texts)}")
    return Spoken(_as_written(best, best_said), tuple(notes))


def _lost(reading: Reading, said: Utterance) -> list[Token]:
    """The words of the spoken text that have no sounds, with their places in it."""
    if said.timed is None or said.is_silent:
        return []
    tokens = [token for token in text_tokens(reading.spoken) if has_sound(token.text)]
    shared = set(words_without_own_sounds(said.timed.words, said.timed.phones))
    words = [(_bare(word.text), k in shared) for k, word in enumerate(said.timed.words)]
    words = [(text, is_shared) for text, is_shared in words if text]
    texts = [_bare(token.text) for token in tokens]
    if texts == [text for text, _ in words]:
        return [token for token, (_, is_shared) in zip(tokens, words, strict=True) if is_shared]
    timed = [text for text, is_shared in words if not is_shared]
    missing = missing_words(texts, timed)
    if len(missing) > len(tokens) // 2 and len(words) > len(tokens) // 2:
        return []  # the voice tells words of another kind, which can't be compared
    return [tokens[k] for k in missing]


def _bare(text: str) -> str:
    """A word as voices may write it, without marks and capitals; "" if it has no sound."""
    return "".join(sign for sign in text.casefold() if sign.isalnum())


def _as_written(reading: Reading, said: Utterance) -> Utterance:
    """`said` with the words of the text as written; none of them without sounds of its own."""
    if said.timed is None:
        return said
    words: list[Word] = []
    shared = set(words_without_own_sounds(said.timed.words, said.timed.phones))
    for number, word in enumerate(said.timed.words):
        if number in shared:
            words[-1] = dataclasses.replace(words[-1], end_s=word.end_s)
        else:
            words.append(word)
    timed = TimedSounds(reading.as_written(words), said.timed.phones)
    return dataclasses.replace(said, timed=timed)
