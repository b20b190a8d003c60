# SPDX-License-Identifier: GPL-3.0-or-later
"""A text in -> its words as written, with their character positions, out."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

# Han signs are words of their own; everything else is parted by blanks and long dashes.
_PIECES: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff]|[^\s\u2013\u2014\u3400-\u9fff]+")


class Token(NamedTuple):
    """A word of a text: text == source[start:end], without punctuation around it."""

    text: str
    start: int
    end: int


def text_tokens(text: str) -> list[Token]:
    """The words of `text` in order; pieces made of punctuation alone are left out."""
    tokens = []
    for match in _PIECES.finditer(text):
        start, end = match.span()
        while start < end and _is_mark(text[start]):
            start += 1
        while end > start and _is_mark(text[end - 1]):
            end -= 1
        if end > start:
            tokens.append(Token(text[start:end], start, end))
    return tokens


def _is_mark(character: str) -> bool:
    """True for punctuation and invisible signs, which are not spoken."""
    return unicodedata.category(character)[0] in "PZC"
