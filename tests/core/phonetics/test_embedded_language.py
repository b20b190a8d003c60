# SPDX-License-Identifier: GPL-3.0-or-later
"""Language and voice of a prompt."""

from __future__ import annotations

import pytest

from exomni_core.errors import InputError
from exomni_core.phonetics.language import (
    OFFERED_LANGUAGES,
    VoiceChoice,
    check_readable,
    choose_voice,
)
from exomni_core.phonetics.scripts import guess_language
from exomni_core.voices import espeak

VARIANTS = ("f1", "f2", "f3", "m3", "Annie", "whisper")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello", "en"),
        ("你好，世界", "zh"),
        ("我用 Blender 做动画", "zh"),
        ("こんにちは、元気", "ja"),
        ("안녕하세요", "ko"),
        ("Привет", "ru"),
        ("नमस्ते", "hi"),
        ("123 ...", "en"),
        ("", "en"),
        ("The word 好 means good", "en"),
    ],
)
def test_language_is_guessed_by_script(text: str, language: str) -> None:
    assert guess_language(text) == language


@pytest.mark.parametrize(
    ("language", "voice", "expected"),
    [
        (None, None, ("en", "en-us")),
        ("zh", None, ("zh", "cmn")),
        ("zh-cn", None, ("zh-cn", "cmn")),
        ("zh-hk", None, ("zh-hk", "yue")),
        ("en-gb", None, ("en-gb", "en")),
        ("de-at", None, ("de-at", "de")),
        ("de", "f2", ("de", "de+f2")),
        ("de", "+F2", ("de", "de+f2")),
        ("de", "en-us+f3", ("en-us", "en-us+f3")),
        (None, "cmn+Annie", ("zh", "cmn+Annie")),
        (None, "en-us", ("en-us", "en-us")),
        ("fr", None, ("fr", "fr")),
    ],
)
def test_choice_of_voice(
    language: str | None, voice: str | None, expected: tuple[str, str]
) -> None:
    assert choose_voice("Hello", language, voice, VARIANTS) == VoiceChoice(*expected)


@pytest.mark.parametrize(
    ("language", "voice", "field", "hint"),
    [
        ("tlh", None, "language", "such as|example|mean"),
        ("eng-x", None, None, None),
        (None, "f9", "voice", "f1|f2|f3"),
        (None, "en-us+nope", "voice", "variant"),
        (None, "../../etc/passwd", "voice", "try"),
        (None, "en-us+../../x", "voice", "variant"),
    ],
)
def test_unknown_choices_name_close_ones(
    language: str | None, voice: str | None, field: str | None, hint: str | None
) -> None:
    if field is None:
        choose_voice("Hello", language, voice, VARIANTS)
        return
    with pytest.raises(InputError, match=hint) as caught:
        choose_voice("Hello", language, voice, VARIANTS)
    assert caught.value.field == field


def test_kanji_are_refused_with_advice() -> None:
    check_readable("こんにちは", "ja", field="text")
    check_readable("你好", "cmn", field="text")
    with pytest.raises(InputError, match="kana"):
        check_readable("日本語です", "ja+f2", field="text")


def test_the_installed_library_offers_what_we_list() -> None:
    installed = set(espeak.language_codes())
    missing = [
        code
        for code in OFFERED_LANGUAGES
        if choose_voice("", code, None, ()).voice not in installed and code != "chr"
    ]
    assert missing == []
    assert {"f2", "m3"} <= set(espeak.voice_variants())
