# SPDX-License-Identifier: GPL-3.0-or-later
"""A text in -> the scripts it is written in, and the language it is most likely to be in, out."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

# First and last code point of a script -> its most spoken language here.
_SCRIPTS: Final[tuple[tuple[int, int, str], ...]] = (
    (0x0041, 0x024F, "en"), (0x1E00, 0x1EFF, "en"), (0x0370, 0x03FF, "el"), (0x0400, 0x052F, "ru"),
    (0x0530, 0x058F, "hy"), (0x0590, 0x05FF, "he"), (0x0600, 0x06FF, "ar"), (0x0900, 0x097F, "hi"),
    (0x0980, 0x09FF, "bn"), (0x0A00, 0x0A7F, "pa"), (0x0A80, 0x0AFF, "gu"), (0x0B00, 0x0B7F, "or"),
    (0x0B80, 0x0BFF, "ta"), (0x0C00, 0x0C7F, "te"), (0x0C80, 0x0CFF, "kn"), (0x0D00, 0x0D7F, "ml"),
    (0x0D80, 0x0DFF, "si"), (0x0E00, 0x0E7F, "th"), (0x1000, 0x109F, "my"), (0x10A0, 0x10FF, "ka"),
    (0x1100, 0x11FF, "ko"), (0x1200, 0x139F, "am"), (0x3040, 0x30FF, "ja"), (0x3130, 0x318F, "ko"),
    (0x3400, 0x4DBF, "zh"), (0x4E00, 0x9FFF, "zh"), (0xAC00, 0xD7AF, "ko"),
    (0x20000, 0x3FFFF, "zh"),
)  # fmt: skip
SCRIPT_NAMES: Final = {
    "en": "Latin", "el": "Greek", "ru": "Cyrillic", "hy": "Armenian", "he": "Hebrew",
    "ar": "Arabic", "hi": "Devanagari", "bn": "Bengali", "pa": "Gurmukhi", "gu": "Gujarati",
    "or": "Odia", "ta": "Tamil", "te": "Telugu", "kn": "Kannada", "ml": "Malayalam",
    "si": "Sinhala", "th": "Thai", "my": "Burmese", "ka": "Georgian", "ko": "Korean",
    "am": "Ethiopic", "ja": "Japanese", "zh": "Chinese",
}  # fmt: skip
# Languages by the script they are written in, unless it is Latin or has the language's own code.
_WRITTEN_IN: Final = {
    "ru": "ba be bg cv kk ky mk nog ru ru-lv sr tt uk", "ar": "ar fa sd ug ur",
    "hi": "hi kok mr ne", "bn": "as bn bpy", "zh": "cmn hak yue zh", "el": "el grc",
    "hy": "hy hyw", "my": "my shn",
}  # fmt: skip
_SCRIPT_OF_LANGUAGE: Final = {
    language: script for script, listed in _WRITTEN_IN.items() for language in listed.split()
}
# Letters of these stand for quantities and names in any text (α, π, Я, K): one alone is no mixture.
_ALPHABETS: Final = frozenset(("en", "el", "ru", "he"))
_DENSE: Final = {"zh": 3, "ja": 2, "ko": 2}  # letters that one sign of these scripts is worth
_SIGNS_A_WORD: Final = {"zh": 1.5, "ja": 3.0, "th": 5.0, "my": 5.0}  # without blanks between words
_NAME_WORTH: Final = 0.25  # a Latin name in another language's sentence, in words
_LATIN_WORD: Final = re.compile(r"[A-Za-z\u00c0-\u024f][\w\u2019'.+#-]*")
# Small words that make a sentence English whatever names stand in it.
_ENGLISH_WORDS: Final = (
    "a an and are as at be but by can do does for from had has have he her his how i i'm in is it "
    "it's its me my no not of on or our she so that the their they this to was we were what when "
    "where which who why will with you your"
)
_ENGLISH: Final = frozenset(_ENGLISH_WORDS.split())


@functools.lru_cache(maxsize=64)
def guess_language(text: str) -> str:
    """The language of the sentences of `text` by their script; Latin letters count as English.

    Most letters decide. Names in Latin letters within another script do not make a text English:
    where Latin letters lead, words are counted, and names count little.
    """
    counts = letters_by_script(text)
    most = max(counts, key=lambda code: counts[code], default="en")
    if most != "en" or len(counts) < 2:
        return most
    other = max((code for code in counts if code != "en"), key=lambda code: counts[code])
    return other if _words_of(text, other) >= _english_words(text) else most


def leading_script(text: str) -> str:
    """The code of the script that most letters of `text` are in, whatever they spell."""
    counts = letters_by_script(text)
    return max(counts, key=lambda code: counts[code], default="en")


def script_of_language(code: str) -> str:
    """The script in which a language is written: `fa` -> "ar", `de-at` -> "en" (Latin)."""
    language = code.lower()
    plain = language.partition("-")[0]
    own = plain if plain in SCRIPT_NAMES else "en"
    return _SCRIPT_OF_LANGUAGE.get(language) or _SCRIPT_OF_LANGUAGE.get(plain, own)


def scripts_in_words(text: str) -> list[str]:
    """The scripts of the words of `text`, most letters first; a letter alone is no word."""
    counts = letters_by_script(text)
    found = []
    for code in sorted(counts, key=lambda code: -counts[code]):
        own = {code, "zh"} if code == "ja" else {code}
        flags = [script_of(sign) in own for sign in text]
        if code not in _ALPHABETS or any(a and b for a, b in pairwise(flags)):
            found.append(code)
    return found


def letters_by_script(text: str) -> Mapping[str, int]:
    """How many letters each script has, by the code of its most spoken language.

    A sign that stands for a syllable counts as several; Chinese signs beside kana are Japanese.
    """
    counts: dict[str, int] = {}
    for character in text:
        code = script_of(character)
        if code:
            counts[code] = counts.get(code, 0) + _DENSE.get(code, 1)
    if counts.get("ja") and counts.get("zh"):
        counts["ja"] += counts.pop("zh")
    return counts


@functools.lru_cache(maxsize=8192)
def script_of(character: str) -> str:
    """The code of a letter's script; "" for what is no letter or in no script known here."""
    if not character.isalpha():
        return ""
    point = ord(character)
    return next((code for first, last, code in _SCRIPTS if first <= point <= last), "")


def _words_of(text: str, code: str) -> float:
    """About how many words of `text` are in the script `code`, which is not Latin."""
    scripts = {"ja", "zh"} if code == "ja" else {code}
    signs_a_word = _SIGNS_A_WORD.get(code)
    if signs_a_word:
        return sum(script_of(sign) in scripts for sign in text) / signs_a_word
    return sum(any(script_of(sign) in scripts for sign in word) for word in text.split())


def _english_words(text: str) -> float:
    """About how many words of `text` are English; names count as a quarter."""
    return sum(
        1.0 if (word[:1].islower() and word.islower()) or word.lower() in _ENGLISH else _NAME_WORTH
        for word in _LATIN_WORD.findall(text)
    )
