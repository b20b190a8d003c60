# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine says all of a text, tells what it does not, and keeps clips that were right."""

from __future__ import annotations

from itertools import pairwise

import pytest

from exomni_core.clip import Clip
from exomni_core.clip_notes import clip_notes
from exomni_core.embedded.engine import EmbeddedEngine
from exomni_core.prompt import Prompt
from exomni_core.server.bundle import bundle_parts, read_bundle

NUMBERS = " ".join(map(str, range(1, 201)))


def say(text: str, language: str | None = None) -> Clip:
    return EmbeddedEngine().generate(Prompt(id="a", text=text, language=language))


def symbols(clip: Clip) -> list[str]:
    return [phone.symbol for phone in clip.phones]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_numbers_from_1_to_200_are_all_spoken(language: str) -> None:
    clip = say(NUMBERS, language)
    assert [word.text for word in clip.words] == NUMBERS.split()
    for word, following in pairwise(clip.words):
        assert following.start_s >= word.end_s - 1e-6
        assert word.end_s - word.start_s > 0.05
    assert clip.duration_s - clip.words[-1].end_s < 0.5
    assert clip_notes(clip) == []


def test_a_hundred_digits_are_one_word_and_all_spoken() -> None:
    digits = "1234567890" * 10
    clip = say(digits)
    assert [word.text for word in clip.words] == [digits]
    assert clip.words[0].end_s - clip.words[0].start_s > 20.0
    assert sum(bool(symbol) for symbol in symbols(clip)) > 250


@pytest.mark.parametrize(
    ("written", "plain", "language"),
    [
        ("A\u0308pfel und U\u0308bermut", "Äpfel und Übermut", "de"),
        ("Ｈｅｌｌｏ ｗｏｒｌｄ", "Hello world", "en"),
        ("de\u0301ja\u0300 vu", "déjà vu", "fr"),
        ("zero\u200bwidth ﬂow", "zerowidth flow", "en"),
        ("ALICE: Hello. (laughs)", "Hello.", "en"),
    ],
)
def test_other_forms_of_a_text_sound_like_the_plain_one(
    written: str, plain: str, language: str
) -> None:
    assert symbols(say(written, language)) == symbols(say(plain, language))


@pytest.mark.parametrize(
    ("text", "language"),
    [("用ChatGPT写Python代码。", "zh"), ("我喜欢 Blender 和 iPhone 15。", "zh"),
     ("Я использую Blender и Python.", "ru"), ("このBlenderはいいです", "ja")],
)  # fmt: skip
def test_names_in_another_script_do_not_change_the_language(text: str, language: str) -> None:
    clip = say(text)
    assert clip.language == language
    assert len(clip_notes(clip)) == 1
    assert f"read as {language}" in clip_notes(clip)[0]


def test_notes_reach_clients_of_the_service() -> None:
    clip = say("BOB: Hi. [music]")
    data = read_bundle(b"".join(bytes(part) for part in bundle_parts(clip)))
    assert list(data.notes) == clip_notes(clip)
    assert len(data.notes) == 2


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(id="a", text="Hello! My name is Ex-Omni.", language="en"),
        Prompt(id="a", text="你好！今天天气很好，我们一起做动画吧。", language="zh", voice="f2"),
        Prompt(id="a", text="Guten Morgen! Aus einem Satz wird ein Gesicht.", language="de"),
        Prompt(id="a", text="Привет, как дела?"),
        Prompt(id="a", text="我用 Blender 做动画", language="zh"),
        Prompt(id="a", text="Hola, ¿cómo está usted?", language="es"),
        Prompt(id="a", mode="lipsync", audio="a.wav", language="de"),
        Prompt(id="a", text="hi", language="tlh"),
    ],
)
def test_a_clip_of_a_plain_text_keeps_its_content_key(prompt: Prompt) -> None:
    assert EmbeddedEngine().depends_on(prompt) == {}


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(id="a", text=NUMBERS),
        Prompt(id="a", text="A\u0308pfel", language="de"),
        Prompt(id="a", text="用ChatGPT写Python代码。"),
        Prompt(id="a", text="Мы", language="ru"),
        Prompt(id="a", text="El lobo sube.", language="es"),
        Prompt(id="a", mode="lipsync", audio="a.wav"),
        Prompt(id="a", mode="lipsync", audio="a.wav", transcript="Every voice has a face."),
        Prompt(id="a", mode="lipsync", audio="a.wav", transcript="BOB: Hi."),
        Prompt(id="a", mode="lipsync", audio="a.wav", transcript="Мы", language="ru"),
    ],
)
def test_a_clip_that_comes_out_otherwise_has_another_key(prompt: Prompt) -> None:
    assert EmbeddedEngine().depends_on(prompt)
