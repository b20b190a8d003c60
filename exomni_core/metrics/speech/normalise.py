# SPDX-License-Identifier: GPL-3.0-or-later
"""A text or a transcript in, what is compared of it out: as Seed-TTS-Eval does, or as Whisper does.

Also what of a written answer is spoken at all: Markdown, emoji, list numbers and URLs are not.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from exomni_core.errors import EnvironmentProblem

# The set `zhon.hanzi.punctuation` (zhon 2.1.1, MIT licence), which Seed-TTS-Eval deletes: marks of
# full-width ASCII, half-width and CJK marks, brackets, dashes, quotation marks, dots, stops. Of
# these, zhon 1 lacks U+FF0E alone.
HANZI_PUNCTUATION: Final = (
    "\uff02\uff03\uff04\uff05\uff06\uff07\uff08\uff09\uff0a\uff0b\uff0c\uff0d\uff0f\uff1a\uff1b"
    "\uff1c\uff1d\uff1e\uff20\uff3b\uff3c\uff3d\uff3e\uff3f\uff40\uff5b\uff5c\uff5d\uff5e\uff5f"
    "\uff60\uff62\uff63\uff64\u3000\u3001\u3003\u3008\u3009\u300a\u300b\u300c\u300d\u300e\u300f"
    "\u3010\u3011\u3014\u3015\u3016\u3017\u3018\u3019\u301a\u301b\u301c\u301d\u301e\u301f\u3030"
    "\u303e\u303f\u2013\u2014\u2018\u2019\u201b\u201c\u201d\u201e\u201f\u2026\u2027\ufe4f\ufe51"
    "\ufe54\u00b7\uff0e\uff01\uff1f\uff61\u3002"
)
DELETED: Final = frozenset(HANZI_PUNCTUATION + string.punctuation) - {"'"}
_DELETE: Final = dict.fromkeys(map(ord, DELETED))
# Rules that later versions of the whisper-normalizer package added to Whisper's own.
_NOT_WHISPERS: Final = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
_CHARACTER_SCRIPTS: Final = ("zh", "yue", "cmn", "ja")

# In this order: what an earlier rule leaves is what a later one sees.
_MARKUP: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"^[ \t]*(?:```|~~~).*$", ""),  # the fences of code, not the code
        (r"!\[([^\]\n]*)\]\([^)\s]*\)", r"\1"),  # pictures
        (r"\[([^\]\n]+)\]\([^)\s]+\)", r"\1"),  # links keep their words
        (r"<?\b(?:https?://|www\.)[^\s<>，。；）)]+>?", ""),
        (r"</?[A-Za-z][A-Za-z0-9]*(?:\s[^<>\n]*)?/?>", " "),  # HTML
        (r"^[ \t]*(?:[-*_][ \t]*){3,}$", ""),  # rules
        (r"^[ \t]*\|?(?:[ \t]*:?-{3,}:?[ \t]*\|?)+[ \t]*$", ""),  # a table's second line
        (r"^[ \t]*>+[ \t]?", ""),
        (r"^[ \t]*#{1,6}[ \t]+", ""),
        (r"^[ \t]*[-*+•◦▪·][ \t]+(?:\[[ xX]\][ \t]+)?", ""),
        (r"^[ \t]*(\*\*)?[(（]?\d{1,3}(?:[.)）、](?!\d)|．)(?(1)\*\*)[ \t]*", ""),  # list numbers
        (r"(\*\*\*|\*\*|~~|`+)(?=\S)(.+?)(?<=\S)\1", r"\2"),
        (r"(?<![\w*])\*(?=\S)([^*\n]+)(?<=\S)\*(?![\w*])", r"\1"),  # but 2*3*4 is a product
        (r"(?<![A-Za-z0-9_])(__|_)(?=\S)(.+?)(?<=\S)\1(?![A-Za-z0-9_])", r"\2"),
        (r"(?<!\S)\|(?!\S)|^\||\|$", " "),
    )
)
# Pictographs, dingbats, arrows and shapes, flags, and what joins or colours them. A keycap keeps
# its digit, which is spoken.
_EMOJI: Final = re.compile(
    "[\U0001f000-\U0001faff\U000e0020-\U000e007f\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff"
    "\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff\u200d\u20e3\ufe0e\ufe0f]"
)


def by_characters(language: str) -> bool:
    """Whether errors are counted in characters (CER) rather than in words (WER)."""
    return _base(language) in _CHARACTER_SCRIPTS


def is_english(language: str) -> bool:
    """Whether a language code is a kind of English."""
    return _base(language) == "en"


def seedtts(text: str, language: str) -> str:
    """`text` as Seed-TTS-Eval compares it.

    Every Chinese and ASCII mark but the ASCII apostrophe is deleted, nothing put in its place; two
    spaces become one, once. English (and any language of words) is lower-cased. Chinese is split
    into characters and not lower-cased.
    """
    text = text.translate(_DELETE).replace("  ", " ")
    return " ".join(text) if by_characters(language) else text.lower()


def whisper_en() -> Callable[[str], str]:
    """Whisper's English normaliser (Radford et al. 2022, appendix C).

    Raises EnvironmentProblem if the package `whisper-normalizer` is not installed. What newer
    versions of it added to Whisper's own list of contractions is taken out again.
    """
    require("whisper_normalizer", "Whisper's English normaliser")
    normaliser = import_module("whisper_normalizer.english").EnglishTextNormalizer()
    for pattern in _NOT_WHISPERS:
        normaliser.replacers.pop(pattern, None)

    def normalise(text: str) -> str:
        return str(normaliser(text)).strip()

    return normalise


def simplified() -> Callable[[str], str] | None:
    """Traditional characters to those of mainland China, as the release does with transcripts.

    None if the package `zhconv` is not installed; the result has to tell.
    """
    if find_spec("zhconv") is None:
        return None
    module: Any = import_module("zhconv")
    return lambda text: str(module.convert(text, "zh-cn"))


def spoken_part(text: str) -> str:
    """What of a written answer is to be spoken: no Markdown, emoji, list numbers and URLs."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return " ".join(_EMOJI.sub(" ", text).split())


def language_of(text: str, given: str = "") -> str:
    """The language given, else `zh` if most letters are Chinese characters, else `en`."""
    if given:
        return given
    letters = [c for c in text if c.isalpha()]
    chinese = sum("\u3400" <= c <= "\u9fff" for c in letters)
    return "zh" if chinese * 2 > len(letters) else "en"


def require(package: str, purpose: str) -> None:
    """Raise EnvironmentProblem, with the command to run, if `package` is not installed."""
    if find_spec(package) is None:
        raise EnvironmentProblem(
            f"{purpose} needs {package.replace('_', '-')}; in this project's folder run: "
            "pip install '.[eval]'"
        )


def _base(language: str) -> str:
    return re.split(r"[-_]", language.lower(), maxsplit=1)[0]
