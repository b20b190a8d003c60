# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a text: the text itself wherever possible, and words that point at it."""

from __future__ import annotations

import pytest

from exomni_core.clip import Word
from exomni_core.phonetics.tokens import text_tokens
from exomni_core.text.reading import read_text
from exomni_core.voices.espeak import LIMITS


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello! My name is Ex-Omni.", None),
        ("你好！今天天气很好，我们一起做动画吧。", "zh"),
        ("我用 Blender 做动画", "zh"),
        ("Guten Morgen! Aus einem Satz wird ein sprechendes Gesicht.", "de"),
        ("Peter bought five big maps, but Bob may give them back to Mum.", None),
        ("Note: it is 10:30 (or later), isn't it? 50 % — a → b, α.", "en"),
    ],
)
def test_a_plain_text_goes_through_as_it_is(text: str, language: str | None) -> None:
    reading = read_text(text, language=language, limits=LIMITS)
    assert reading.spoken == text
    assert reading.is_as_written
    assert reading.facts() == {}


@pytest.mark.parametrize(
    "text", ["A\u0308pfel", "ALICE: Hi!", "b b b b b", "用ChatGPT写Python代码。", "我喜欢Blender"]
)
def test_a_changed_text_and_a_note_are_facts_of_the_clip(text: str) -> None:
    assert read_text(text, limits=LIMITS).facts().keys() == {"text"}


def test_the_language_is_guessed_where_scripts_mix_and_told() -> None:
    for text, language, scripts in (
        ("用ChatGPT写Python代码。", "zh", "Latin and Chinese"),
        ("我喜欢 Blender 和 iPhone 15。", "zh", "Latin and Chinese"),
        ("Я использую Blender и Python.", "ru", "Latin and Cyrillic"),
    ):
        reading = read_text(text)
        assert reading.language == language
        assert reading.notes == (
            f"the text mixes {scripts} letters; all of it is read as {language}",
        )
    assert read_text("用ChatGPT写Python代码。", language="zh").notes == ()


def test_letters_that_a_given_language_does_not_know_are_told() -> None:
    notes = read_text("Say Привет to him.", language="en").notes
    assert notes == ("the text has Cyrillic letters, which the voice for en may spell out",)
    assert read_text("Меня зовут Anna.", language="uk").notes == ()


def test_a_text_of_marks_alone_is_spoken_as_it_is() -> None:
    assert read_text("(laughs)").spoken == "(laughs)"
    assert read_text("[music]").notes == ()


def test_words_point_at_the_text_as_written() -> None:
    written = "ALICE: E\u0301te\u0301 ﬁnal, " + "12345" * 8 + " [music] ende"
    reading = read_text(written, limits=LIMITS)
    tokens = text_tokens(reading.spoken)
    words = [Word(t.text, float(k), float(k + 1)) for k, t in enumerate(tokens)]
    told = reading.as_written(words)
    assert [word.text for word in told] == ["E\u0301te\u0301", "ﬁnal", "12345" * 8, "ende"]
    assert (told[2].start_s, told[2].end_s) == (2.0, 42.0)
    assert [t.text for t in reading.words_to_say()] == [word.text for word in told]


def test_pauses_can_be_added_and_words_still_point_at_the_text() -> None:
    reading = read_text("one two three").with_pauses([4, 8])
    assert reading.spoken == "one, two, three"
    words = [Word(t, 0.0, 1.0) for t in ("one", "two", "three")]
    assert [w.text for w in reading.as_written(words)] == ["one", "two", "three"]
