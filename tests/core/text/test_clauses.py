# SPDX-License-Identifier: GPL-3.0-or-later
"""Clauses are cut below a voice's limits, at natural places, and left alone below them."""

from __future__ import annotations

import re

import pytest

from exomni_core.phonetics.language import choose_voice
from exomni_core.text.clauses import sounds_in, within_limits
from exomni_core.text.traced import trace
from exomni_core.voices import espeak

NUMBERS = " ".join(map(str, range(1, 201)))
KOREAN = (
    "나는 오늘 아침에 일찍 일어나서 학교에 갔습니다 그리고 친구를 만나서 같이 점심을 먹고 "
    "도서관에서 공부를 했습니다 그런데 비가 와서 우산을 사고 집으로 돌아와서 저녁을 먹고 "
    "텔레비전을 보다가 잠을 잤습니다 내일은 주말이라서 가족과 함께 산에 가려고 하는데 "
    "날씨가 좋았으면 좋겠다고 생각하면서 준비를 하고 있습니다"
)
KANA = "わたしはきょうともだちとこうえんにいきました"
CHINESE = "我们一起去公园看花然后回家吃饭再看电影"


def cut(text: str) -> str:
    return within_limits(trace(text), espeak.LIMITS).text


def sounds(text: str, language: str) -> int:
    voice = choose_voice(text, language, None, ()).voice
    return sum(bool(p.symbol) for p in espeak.speak(text, voice, with_pcm=False).phones)


@pytest.mark.parametrize(
    "text",
    [
        "Hello! My name is Ex-Omni. Type a line, and I will say it for you.",
        " ".join(["the quick brown fox jumps over lazy dogs"] * 30),
        " ".join(["strengths"] * 400),
        ("The boats keep moving until the morning, and nobody remembers why. " * 60).strip(),
        CHINESE * 9,
        KANA * 2,
        "no no no no no no, 5 5 5 5 5, ha ha ha ha, x y x y x y",
        "Call 0123456789 or 1,234,567,890.",
    ],
)
def test_a_text_that_the_voice_says_whole_is_left_as_it_is(text: str) -> None:
    assert cut(text) == text


@pytest.mark.parametrize(
    ("text", "language"),
    [(NUMBERS, language) for language in ("en", "ru", "de", "zh", "fr", "hi")]
    + [(KOREAN, "ko"), (KANA * 10, "ja"), (CHINESE * 14, "zh"), (" ".join(["a"] * 400), "en"),
       ("b b b b b b", "en"), ("1234567890" * 10, "en"), ("ab" * 90, "en"), ("WWW " * 80, "en"),
       ("Donaudampfschifffahrtsgesellschaft" * 8, "de"), ("7" * 150, "ru")],
)  # fmt: skip
def test_the_voice_says_no_more_when_every_part_is_a_sentence(text: str, language: str) -> None:
    whole = cut(text)
    assert whole != text
    pieces = re.split(", ", whole)
    alone = sounds("; ".join(pieces), language)
    assert sounds(whole, language) == pytest.approx(alone, rel=0.02)
    assert sounds(text, language) < 0.97 * alone, "without cuts the voice drops the end"


def test_only_blanks_and_commas_are_added() -> None:
    for text in (NUMBERS, KOREAN, KANA * 10, CHINESE * 14, "b b b b b b", "12" * 60):
        assert re.sub("[ ,]", "", cut(text)) == re.sub("[ ,]", "", text)


def test_pauses_come_before_conjunctions_where_there_are_some() -> None:
    assert ", 그리고" in cut(KOREAN) or ", 그런데" in cut(KOREAN)
    numbers = " ".join(["17 18 19 and"] * 60)
    assert re.findall(r", (\w+)", cut(numbers)) == ["and"] * cut(numbers).count(",")


def test_pauses_come_at_the_ends_of_lines_where_there_are_some() -> None:
    lines = "\n".join([" ".join(str(n) for n in range(k, k + 9)) for k in range(100, 280, 9)])
    whole = cut(lines)
    assert whole.count(",") >= 2
    for number in re.findall(r", (\d+)", whole):
        assert int(number) % 9 == 100 % 9


def test_equal_letters_are_parted_by_threes() -> None:
    assert cut("b b b b b b b") == "b b b, b b b, b"
    assert cut("B. B. B. B.").count(",") == 1
    assert cut("b b b, b b b, c c c") == "b b b, b b b, c c c"


def test_long_numbers_are_read_digit_by_digit() -> None:
    assert cut("1" * 30) == "1" * 30
    assert cut("1234567890" * 4).startswith("1 2 3 4 5 6 7 8 9 0, 1 2")


@pytest.mark.parametrize(
    ("unit", "voice"),
    [("177", "en-us"), ("777", "de"), ("999", "ru"), ("WWW", "en-us"), ("strengths", "en-us"),
     ("unabhängigkeit", "de"), ("здравствуйте", "ru"), ("안녕하세요", "ko"), ("装", "cmn"),
     ("きょうと", "ja"), ("नमस्ते", "hi"), ("الأشياء", "ar")],
)  # fmt: skip
def test_the_estimate_is_on_the_safe_side(unit: str, voice: str) -> None:
    speech = espeak.speak(unit, voice, with_pcm=False)
    said = sum(bool(p.symbol) for p in speech.phones)
    assert said <= sounds_in(unit) <= 6 * said
