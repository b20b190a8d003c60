# SPDX-License-Identifier: GPL-3.0-or-later
"""Every word of a text is spoken, whatever the voice drops, or the notes tell which is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from exomni_core.clip import Phone, Word
from exomni_core.phonetics.tokens import text_tokens
from exomni_core.text.reading import Reading, read_text
from exomni_core.text.traced import trace
from exomni_core.voices.espeak import Espeak
from exomni_core.voices.voice import TimedSounds, Utterance
from exomni_core.voices.whole import speak_whole

NUMBERS = " ".join(map(str, range(1, 201)))
KOREAN = " ".join(
    ["나는 오늘 아침에 일찍 일어나서 학교에 갔습니다 그리고 친구를 만나서 점심을"] * 4
)


def as_it_is(text: str, language: str) -> Reading:
    """A reading without a front end's help: the check alone has to mend."""
    return Reading(text, trace(text), language)


def espeak(language: str) -> Callable[[str], Utterance]:
    return lambda text: Espeak().speak(text, language=language, voice=None, rate=1.0, seed=0)


def forgetful(most: int, deaf_to: str = "") -> Callable[[str], Utterance]:
    """A voice that says the first `most` words of each clause, and some words never."""

    def speak(text: str) -> Utterance:
        words, phones, at_s = [], [], 0.0
        for clause in re.split(r"(?<=[,.;]) ", text):
            for number, token in enumerate(text_tokens(clause)):
                if number < most and token.text != deaf_to:
                    words.append(Word(token.text, at_s, at_s + 0.2))
                    phones += [Phone("a", at_s, at_s + 0.1), Phone("b", at_s + 0.1, at_s + 0.2)]
                    at_s += 0.2
        samples = np.zeros(round(at_s * 100), np.float32)
        return Utterance(samples, 100, "en", TimedSounds(tuple(words), tuple(phones)))

    return speak


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [(NUMBERS, "en", 200), (NUMBERS, "ru", 200), (KOREAN, "ko", 44), ("b b b b b b", "en", 6),
     (" ".join(["a"] * 400), "en", 400)],
)  # fmt: skip
def test_what_espeak_drops_is_spoken_again(text: str, language: str, count: int) -> None:
    whole = speak_whole(as_it_is(text, language), espeak(language))
    assert whole.notes == ()
    assert whole.said.timed is not None
    words = whole.said.timed.words
    assert [word.text for word in words] == [token.text for token in text_tokens(text)]
    assert len(words) == count
    assert min(word.end_s - word.start_s for word in words) > 0.01
    assert all(a.end_s <= b.start_s + 1e-6 for a, b in pairwise(words))


def test_a_text_that_is_said_whole_is_spoken_once_and_stays_as_it_is() -> None:
    calls: list[str] = []
    speak = espeak("en")

    def counted(text: str) -> Utterance:
        calls.append(text)
        return speak(text)

    text = "One of the men, e.g. Mr. Smith, is to be in the house at 10 a.m."
    whole = speak_whole(read_text(text, language="en"), counted)
    assert calls == [text]
    assert whole.said.timed == speak(text).timed
    assert whole.notes == ()


def test_any_voice_is_asked_again_for_what_it_dropped() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    whole = speak_whole(as_it_is(text, "en"), forgetful(6))
    assert whole.said.timed is not None
    assert " ".join(word.text for word in whole.said.timed.words) == text
    assert whole.notes == ()


def test_what_no_pause_helps_is_told_and_is_no_word() -> None:
    whole = speak_whole(as_it_is("one two three four", "en"), forgetful(99, deaf_to="three"))
    assert whole.said.timed is not None
    assert [word.text for word in whole.said.timed.words] == ["one", "two", "four"]
    assert whole.notes == ("1 word was not spoken by the voice: “three”",)


def test_notes_of_the_reading_come_along_and_words_are_as_written() -> None:
    whole = speak_whole(read_text("ALICE: Oﬃce (laughs) day", language="en"), espeak("en"))
    assert whole.said.timed is not None
    assert [word.text for word in whole.said.timed.words] == ["Oﬃce", "day"]
    assert len(whole.notes) == 2


def test_a_first_word_without_an_event_of_its_own_is_a_word() -> None:
    whole = speak_whole(as_it_is("나는 오늘 간다", "ko"), espeak("ko"))
    assert whole.said.timed is not None
    assert [word.text for word in whole.said.timed.words] == ["나는", "오늘", "간다"]
