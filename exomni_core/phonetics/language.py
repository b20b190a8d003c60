# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt's language, voice and text in -> the language code and the espeak-ng voice out.

The list of languages is kept here so that a prompt can be checked without starting espeak-ng; a
test compares it with what the installed library offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from exomni_core.errors import InputError
from exomni_core.phonetics.scripts import guess_language

# Voices of espeak-ng 1.52 by language code; without those for invented languages.
_CODES: Final = """
    af am an ar as az ba be bg bn bpy bs ca chr cmn cs cv cy da de el en-029 en-gb-scotland
    en-gb-x-gbclan en-gb-x-gbcwmd en-gb-x-rp en-us en-us-nyc eo es es-419 et eu fa
    fa-latn fi fr fr-be fr-ch ga gd gn grc gu hak haw he hi hr ht hu hy hyw ia id io is it ja ka kk
    kl kn ko kok ku ky la lb lt ltg lv mi mk ml mr ms mt my nb nci ne nl nog om or pa pap pl pt
    pt-br qu quc ro ru ru-lv sd shn si sk sl sq sr sv sw ta te th tk tn tr tt ug uk ur uz vi
    vi-vn-x-central vi-vn-x-south yue"""
ESPEAK_LANGUAGES: Final = tuple(_CODES.split())

# What users write -> the espeak-ng voice; every other code stands for itself.
_ALIASES: Final[dict[str, str]] = {
    "en": "en-us", "en-gb": "en", "en-uk": "en", "en-au": "en", "en-nz": "en", "en-ie": "en",
    "en-in": "en", "en-za": "en", "en-scotland": "en-gb-scotland",
    "zh": "cmn", "zh-cmn": "cmn", "zho": "cmn", "chi": "cmn", "zh-yue": "yue", "zh-hk": "yue",
    "zh-mo": "yue",
    "fr-fr": "fr", "pt-pt": "pt", "es-mx": "es-419", "no": "nb", "nn": "nb", "iw": "he", "jp": "ja",
    "in": "id", "kr": "ko", "ua": "uk", "eng": "en-us", "deu": "de", "ger": "de", "fra": "fr",
    "spa": "es", "jpn": "ja", "kor": "ko", "rus": "ru", "ita": "it", "por": "pt",
}  # fmt: skip

# The codes shown in menus: the most asked-for first, then the rest by name.
_FIRST: Final = ("en", "zh", "de", "es", "fr", "it", "ja", "ko", "pt", "ru")
OFFERED_LANGUAGES: Final[tuple[str, ...]] = _FIRST + tuple(
    sorted(({*ESPEAK_LANGUAGES, "en-us", "en-gb"}) - {*_FIRST, "cmn"})
)


@dataclass(frozen=True)
class VoiceChoice:
    """Which voice speaks: `language` as the user would write it, `voice` as espeak-ng wants it."""

    language: str
    voice: str


def choose_voice(
    text: str, language: str | None, voice: str | None, variants: tuple[str, ...]
) -> VoiceChoice:
    """Find the voice for a prompt.

    voice: a variant (`f2`), a language voice (`en-us`) or both (`en-us+f3`); None is the
    language's own. language: None guesses it from the writing of `text`. variants: those installed.
    Raises InputError (field "voice" or "language") that names close choices.
    """
    base, variant = _split_voice(voice, variants)
    if base:
        return VoiceChoice(_shown(base), _espeak_voice(base, "voice") + variant)
    code = language or guess_language(text)
    return VoiceChoice(code.lower().replace("_", "-"), _espeak_voice(code, "language") + variant)


def is_english(code: str | None) -> bool:
    """True for any English, and for an unknown language, which is most often English."""
    return code is None or code.lower() in ("eng", "english") or code.lower().split("-")[0] == "en"


def base_of(voice: str) -> str:
    """The language part of an espeak-ng voice: `en-us+f3` -> `en-us`."""
    return voice.partition("+")[0]


def language_of_voice(voice: str | None) -> str | None:
    """The language that a voice's name tells: `en-us+f3` -> `en-us`; None for `f3`."""
    base = (voice or "").strip().partition("+")[0]
    return base if base and _looks_like_language(base) else None


def check_readable(text: str, voice: str, *, field: str) -> None:
    """Raise InputError if espeak-ng would spell this text out as nonsense: kanji in Japanese."""
    if base_of(voice) == "ja" and re.search(r"[\u3400-\u9fff]", text):
        raise InputError(
            "the embedded engine reads Japanese in kana only; write the kanji in hiragana",
            field=field,
        )


def _espeak_voice(code: str, field: str) -> str:
    """The espeak-ng voice for a code, by alias, exactly, or by its part before the region."""
    wanted = code.lower().replace("_", "-")
    parts = wanted.split("-")
    # `de-at` has no voice of its own: the language without the region says the same words.
    for length in range(len(parts), 0, -1):
        shorter = "-".join(parts[:length])
        found = _ALIASES.get(shorter, shorter)
        if found in ESPEAK_LANGUAGES or found in _ALIASES.values():
            return found
    close = _close_to(wanted, {*ESPEAK_LANGUAGES, *_ALIASES}, 0.5)
    hint = f"did you mean {', '.join(close)}?" if close else "for example en, zh, de, fr or ja"
    raise InputError(f"the embedded engine can't speak {code!r}; {hint}", field=field)


def _split_voice(voice: str | None, variants: tuple[str, ...]) -> tuple[str, str]:
    """`en-us+f3` -> ("en-us", "+f3"); `f2` -> ("", "+f2"); `en-us` -> ("en-us", "")."""
    if voice is None:
        return "", ""
    name = voice.strip()
    base, plus, variant = name.partition("+")
    by_lower_case = {known.lower(): known for known in variants}
    if not plus and base.lower() in by_lower_case:
        base, plus, variant = "", "+", base
    if plus and variant.lower() not in by_lower_case:
        close = _close_to(variant.lower(), by_lower_case, 0.4)
        choice = ", ".join(by_lower_case[name] for name in close) or "f1 to f5 and m1 to m8"
        raise InputError(f"there is no voice variant {variant!r}; try {choice}", field="voice")
    if not plus and not _looks_like_language(base):
        close = _close_to(base.lower(), by_lower_case, 0.4)
        choice = ", ".join([*(by_lower_case[name] for name in close), "f2", "m3", "en-us+f3"][:4])
        raise InputError(f"there is no voice {name!r}; try {choice}", field="voice")
    return base, f"+{by_lower_case[variant.lower()]}" if plus else ""


def _close_to(wanted: str, known: Iterable[str], cutoff: float) -> list[str]:
    import difflib  # only needed to help with a mistake, and slow to import

    return difflib.get_close_matches(wanted, sorted(known), n=3, cutoff=cutoff)


def _looks_like_language(name: str) -> bool:
    try:
        _espeak_voice(name, "voice")
    except InputError:
        return False
    return True


def _shown(base: str) -> str:
    """The code a user would write for an espeak-ng voice."""
    return {"cmn": "zh"}.get(base.lower(), base.lower())
