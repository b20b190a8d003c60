# SPDX-License-Identifier: GPL-3.0-or-later
"""Vowels that espeak-ng writes with a rounded symbol and that are not rounded."""

from __future__ import annotations

import pytest

from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.prompt import Prompt
from exomni_core.voices import espeak
from exomni_core.voices.espeak_symbols import correction_facts, heard_symbol


@pytest.mark.parametrize(
    ("text", "language", "vowel", "count"),
    [
        ("сыр, мы, рыба, ты, сын, вы", "ru", "ɨ", 6),
        ("thư, mưa, lửa", "vi", "ɯ", 3),
        ("mâine, câine, pâine", "ro", "ɨɪ", 3),
        ("llyn, hyfryd, ddyn", "cy", "ɨ", 3),
        ("yvy, mbya", "gn", "ɨ", 3),
    ],
)
def test_the_vowel_does_not_round_the_lips(
    text: str, language: str, vowel: str, count: int
) -> None:
    prompt = Prompt(id="y", text=text, language=language)
    clip = EmbeddedEngine().generate(prompt)
    rounding = clip.channel("mouthPucker") + clip.channel("mouthFunnel")
    vowels = [phone for phone in clip.phones if phone.symbol.lstrip("ˈˌ").startswith(vowel)]
    assert len(vowels) == count
    for phone in vowels:
        frames = slice(round(phone.start_s * 30), max(1, round(phone.end_s * 30)))
        assert rounding[frames].max() < 0.1
    assert EmbeddedEngine().depends_on(prompt), "finished clips of this text are out of date"


@pytest.mark.parametrize(
    ("voice", "symbol", "heard"),
    [("ru", "ˈy", "ˈɨ"), ("ru+f2", "y", "ɨ"), ("de", "ˈyː", "ˈyː"), ("fr", "ø", "ø"),
     ("vi-vn-x-south", "yə", "ɯə"), ("cmn", "y", "y"), ("ro", "u", "u")],
)  # fmt: skip
def test_only_the_vowels_of_these_languages_change(voice: str, symbol: str, heard: str) -> None:
    assert heard_symbol(voice, symbol) == heard


def test_facts_tell_where_the_vowel_may_sound() -> None:
    assert correction_facts("ru", "Привет, как дела?") == {}
    assert correction_facts("de", "Übermut und Rhythmus") == {}
    assert correction_facts("ru+f2", "Мы")
    for text in ("Мама мыла раму.", "Жизнь.", "Шина.", "Цирк.", "У меня 4 кота.", "Цена"):
        symbols = [p.symbol for p in espeak.speak(text, "ru", with_pcm=False).phones]
        assert any("ɨ" in symbol for symbol in symbols)
        assert correction_facts("ru", text)
