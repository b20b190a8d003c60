# SPDX-License-Identifier: GPL-3.0-or-later
"""An espeak-ng symbol and its voice in -> the symbol of the sound that is heard out.

Some of espeak-ng's languages write an unrounded vowel with the symbol of a rounded one, such as y
for the Russian ы. The face follows the symbol, so it has to be right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from exomni_core.phonetics.language import base_of

CORRECTIONS_REVISION: Final = 1  # raise it with every change of the table
# The voices that say β, which has a pose of its own, and what it may come from in a text.
_SAYS_BETA: Final = frozenset(
    {"an", "ca", "ca-ba", "ca-nw", "ca-va", "es", "es-419", "eu", "gn", "mto", "tk", "tn"}
)
_SPELT_AS_BETA: Final = re.compile(r"[bvw]|\d")


@dataclass(frozen=True)
class _Correction:
    """written: the vowel in espeak-ng's symbol; heard: the vowel that sounds; spelt: where it may
    come from in a text of that language, in lower case.
    """

    written: str
    heard: str
    spelt: re.Pattern[str]


_Y_OF_RUSSIAN: Final = _Correction("y", "ɨ", re.compile(r"ы|[жшц][иеэ]|\d|[a-z]"))
_Y_OF_VIETNAMESE: Final = _Correction("y", "ɯ", re.compile(r"[ưứừửữự]|\d"))
_CORRECTIONS: Final = {
    "ru": _Y_OF_RUSSIAN,
    "ru-lv": _Y_OF_RUSSIAN,
    "ltg": _Correction("y", "ɨ", re.compile(r"y|\d")),
    "gn": _Correction("y", "ɨ", re.compile(r"y|ỹ|\d")),
    "vi": _Y_OF_VIETNAMESE,
    "vi-vn-x-central": _Y_OF_VIETNAMESE,
    "vi-vn-x-south": _Y_OF_VIETNAMESE,
    "ro": _Correction("yɪ", "ɨɪ", re.compile(r"[âî]i|\d")),
    "cy": _Correction("ø", "ɨ", re.compile(r"y|ŷ|\d")),
}


def heard_symbol(voice: str, symbol: str) -> str:
    """`symbol` as it sounds in the language of `voice` (`ru`, `ru+f2`)."""
    correction = _CORRECTIONS.get(base_of(voice))
    return symbol.replace(correction.written, correction.heard) if correction else symbol


def correction_facts(voice: str, text: str) -> dict[str, str]:
    """What tells a clip of `text` from one made before its symbols were corrected; often empty."""
    base, lower = base_of(voice), text.lower()
    facts = {}
    correction = _CORRECTIONS.get(base)
    if correction is not None and correction.spelt.search(lower):
        facts["sounds"] = f"{correction.heard} for {correction.written}, {CORRECTIONS_REVISION}"
    if base in _SAYS_BETA and _SPELT_AS_BETA.search(lower):
        facts["lips"] = "near each other for β, 1"
    return facts
