# SPDX-License-Identifier: GPL-3.0-or-later
"""Letters in any Unicode form become plain ones; what means something in its form stays."""

from __future__ import annotations

import unicodedata

import pytest

from exomni_core.text.letters import plain_letters
from exomni_core.text.traced import trace


def plain(text: str) -> str:
    return plain_letters(trace(text)).text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Ａｐｐｌｅ　２０２４", "Apple　2024"),
        ("ﬁnal ﬂow oﬃce", "final flow office"),
        ("𝐇𝐞𝐥𝐥𝐨 𝓌ℴ𝓇𝓁𝒹", "Hello world"),
        ("ⓗⓘ ①②", "hi 12"),
        ("Ⅳ ⅻ", "IV xii"),
        ("ｶﾞｷﾞ ｱｲｳ", "ガギ アイウ"),
        ("ﻣﺮﺣﺒﺎ", "مرحبا"),
        ("foo\u200bbar co\u00adop \ufeffbom", "foobar coop bom"),
        ("a\u200eb\u202ac\u2066d", "abcd"),
        ("1\ufe0f\u20e3 2\ufe0f\u20e3", "1 2"),
        ("３．５％ １，０００", "3.5% 1,000"),
        ("⼈⽣", "人生"),
        ("tab\tnew\nline \x01x\x7f", "tab\tnew\nline  x "),
    ],
)
def test_other_forms_of_a_letter_become_the_letter(written: str, read: str) -> None:
    assert plain(written) == read


@pytest.mark.parametrize(
    "text",
    [
        "Äpfel und Übermut",
        "Việt Nam đẹp",
        "한국어",
        "ガギグ",
        "Ёлка й",
        "कि बाज़ार",
        "café Ångström",
    ],
)
def test_decomposed_letters_are_composed(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)
    taken_apart = unicodedata.normalize("NFD", text)
    assert plain(taken_apart) == composed
    assert plain(composed) == composed


@pytest.mark.parametrize(
    "text",
    ["x² + y³", "½ cup", "你好！今天，很好。", "ㅋㅋㅋ", "5 ℃ ™ №7", "👩\u200d💻 ❤\ufe0f",
     "می\u200cروم", "क्\u200dष", "“Well” — don’t…", "ʰello", "𝄞"],
)  # fmt: skip
def test_what_means_something_in_its_form_stays(text: str) -> None:
    assert plain(text) == text


def test_a_break_without_width_parts_words_only_where_blanks_do_not() -> None:
    assert plain("ไทย\u200bไทย") == "ไทย ไทย"
    assert plain("be\u200bfore") == "before"


def test_every_letter_knows_where_it_came_from() -> None:
    written = "e\u0301te\u0301 ﬁn\u200be"
    traced = plain_letters(trace(written))
    assert traced.text == "été fine"
    assert [written[k] for k in traced.origin] == list("ete ﬁﬁne")
    assert list(traced.origin) == sorted(traced.origin)
