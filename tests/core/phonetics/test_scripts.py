# SPDX-License-Identifier: GPL-3.0-or-later
"""Which language a text is in, by its script, also where names of another script stand in it."""

from __future__ import annotations

import pytest

from exomni_core.phonetics.scripts import (
    guess_language,
    leading_script,
    script_of_language,
    scripts_in_words,
)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("用ChatGPT写Python代码。", "zh"),
        ("我喜欢 Blender 和 iPhone 15。", "zh"),
        ("Я использую Blender и Python.", "ru"),
        ("用 github actions 部署", "zh"),
        ("Microsoft Windows и Linux", "ru"),
        ("このBlenderとUnreal Engine", "ja"),
        ("Χρησιμοποιώ το Blender και το Photoshop Lightroom", "el"),
        ("मैं Visual Studio Code में Python लिखता हूँ", "hi"),
        ("The word 好 means good", "en"),
        ("The Cyrillic letter Я means I", "en"),
        ("Open the file 文件.txt now please", "en"),
        ("Privet means Привет in Russian, and it is the first word you learn", "en"),
    ],
)
def test_names_in_latin_letters_do_not_make_a_text_english(text: str, language: str) -> None:
    assert guess_language(text) == language


def test_without_a_mixture_most_letters_decide() -> None:
    for text in ("Hello", "Привет", "你好", "안녕", "नमस्ते", "สวัสดี", "123"):
        assert guess_language(text) == leading_script(text)


def test_scripts_count_where_they_spell_words() -> None:
    assert scripts_in_words("the angle α is 3π") == ["en"]
    assert scripts_in_words("用K线") == ["zh"]
    assert scripts_in_words("Hello Привет") == ["ru", "en"]
    assert scripts_in_words("これは漢字です") == ["ja"]


@pytest.mark.parametrize(
    ("language", "script"),
    [("uk", "ru"), ("fa", "ar"), ("mr", "hi"), ("zh-hk", "zh"), ("yue", "zh"), ("de-at", "en"),
     ("ru-lv", "ru"), ("ko", "ko"), ("vi", "en")],
)  # fmt: skip
def test_the_script_of_a_language(language: str, script: str) -> None:
    assert script_of_language(language) == script
