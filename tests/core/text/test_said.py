# SPDX-License-Identifier: GPL-3.0-or-later
"""The check whether everything was said: each kind of loss, and no false alarm."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from exomni_core.clip import Phone, Word
from exomni_core.text.said import (
    Said,
    check_said,
    missing_words,
    words_without_own_sounds,
)

RATE_HZ = 16000


def sound(*loud: tuple[float, float], seconds: float) -> np.ndarray:
    """Noise where it is loud, silence elsewhere."""
    samples = np.zeros(round(seconds * RATE_HZ), np.float32)
    noise = np.random.default_rng(0).normal(0.0, 0.1, len(samples)).astype(np.float32)
    for start_s, end_s in loud:
        a, b = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
        samples[a:b] = noise[a:b]
    return samples


def spoken(*words: tuple[str, float, float, int]) -> tuple[list[Word], list[Phone]]:
    """Words and as many equal sounds in each as told."""
    phones = []
    for _, start_s, end_s, count in words:
        edges = np.linspace(start_s, end_s, count + 1)
        phones += [Phone("a", float(a), float(b)) for a, b in pairwise(edges)]
    return [Word(text, start_s, end_s) for text, start_s, end_s, _ in words], phones


def check(words: list[Word], phones: list[Phone], samples: np.ndarray, **given: object) -> Said:
    to_say = given.get("to_say", [word.text for word in words])
    return check_said(to_say, words, phones, samples, RATE_HZ, is_aligned=True)


GOOD = (("hello", 0.2, 0.7, 5), ("there", 0.7, 1.2, 4), ("friend", 1.4, 2.0, 6))


def test_nothing_is_told_where_all_is_said() -> None:
    words, phones = spoken(*GOOD)
    assert check(words, phones, sound((0.2, 1.2), (1.4, 2.0), seconds=2.4)) == Said()


def test_speech_without_words_is_told_with_its_times() -> None:
    words, phones = spoken(*GOOD)
    said = check(words, phones, sound((0.2, 1.2), (1.4, 2.0), (2.6, 3.7), seconds=4.2))
    assert len(said.gaps) == 1
    assert said.gaps[0] == pytest.approx((2.6, 3.75), abs=0.1)
    notes = said.notes(of_recording=True)
    assert notes == ["1.1 s of sound have no words in the transcript: 2.6 to 3.7 s"]


def test_words_without_any_time_are_told() -> None:
    words, phones = spoken(*GOOD)
    given = ["hello", "there", "my", "friend", "of", "old"]
    said = check(words, phones, sound((0.2, 2.0), seconds=2.4), to_say=given)
    assert said.unsaid == ("my", "of", "old")
    assert said.notes(of_recording=False) == [
        "3 words have no sound in the speech: “my”, “of”, “old”"
    ]


def test_words_in_silence_and_squeezed_words_are_told() -> None:
    words, phones = spoken(*GOOD, ("sighs", 2.2, 2.4, 3))
    said = check(words, phones, sound((0.2, 2.0), seconds=2.8))
    assert said.unsaid == ("sighs",)
    squeezed = (("please", 2.0, 2.12, 4), ("try", 2.12, 2.21, 3), ("again", 2.21, 2.36, 5))
    words, phones = spoken(*GOOD, *squeezed)
    said = check(words, phones, sound((0.2, 2.36), seconds=2.8))
    assert said.unsaid == ("please", "try", "again")


def test_short_words_spoken_quickly_are_words() -> None:
    words, phones = spoken(
        *GOOD, ("of", 2.0, 2.06, 2), ("the", 2.06, 2.12, 2), ("way", 2.12, 2.4, 2)
    )
    assert check(words, phones, sound((0.2, 2.4), seconds=2.8)).unsaid == ()


def test_a_sound_that_is_cut_off_and_words_after_its_end_are_told() -> None:
    words, phones = spoken(*GOOD)
    said = check(words, phones, sound((0.2, 1.8), seconds=1.8))
    assert said.is_cut
    assert said.beyond_s == pytest.approx(0.2)
    assert len(said.notes(of_recording=True)) == 2


def test_a_word_of_no_time_is_told() -> None:
    words, phones = spoken(*GOOD)
    words.append(Word("now", 2.0, 2.0))
    assert check(words, phones, sound((0.2, 2.0), seconds=2.4)).unsaid == ("now",)


def test_a_voice_may_speak_as_fast_as_it_likes() -> None:
    squeezed = (("please", 2.0, 2.12, 4), ("try", 2.12, 2.21, 3), ("again", 2.21, 2.36, 5))
    words, phones = spoken(*GOOD, *squeezed)
    samples = sound((0.2, 2.36), seconds=2.8)
    assert check_said([], words, phones, samples, RATE_HZ, is_aligned=False) == Said()


def test_words_that_share_the_sounds_of_one_are_found_by_their_number() -> None:
    _, phones = spoken(("of", 0.0, 0.2, 4))
    assert words_without_own_sounds(
        [Word("of", 0.0, 0.08), Word("the", 0.08, 0.2)], phones
    ) == []  # fmt: skip
    many = [Word(str(n), 0.2 * n / 79, 0.2 * (n + 1) / 79) for n in range(79)]
    assert words_without_own_sounds(many, phones) == list(range(1, 79))
    arrows = [Word("yes", 0.0, 0.1), Word("→", 0.1, 0.2)]
    assert words_without_own_sounds(arrows, phones) == [], "a sign need not be spoken"


@pytest.mark.parametrize(
    ("to_say", "timed", "missing"),
    [
        ("a b c", "a b c", []),
        ("b a c b", "a c b", [0]),
        ("b b b b b b", "b b b", [3, 4, 5]),
        ("the x the y", "the y", [1, 2]),
        ("a b", "", [0, 1]),
        ("a b c d", "a → b c d", []),
    ],
)
def test_missing_words_are_found_in_order(to_say: str, timed: str, missing: list[int]) -> None:
    assert missing_words(to_say.split(), timed.split()) == missing
