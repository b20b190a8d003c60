# SPDX-License-Identifier: GPL-3.0-or-later
"""A text with letters in any Unicode form in -> the same words in plain letters out.

Voices know the plain forms only: they read `A` + combining dots as A, spell full-width and
mathematical letters by their numbers, and take a zero-width space for a break. Only what is the
same letter in another form is changed; squares, fractions, signs, emoji, Korean single letters and
the punctuation of Chinese mean something in their own form and stay.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from exomni_core.text.traced import Edit, Traced

_LATER_JAMO: Final = range(0x1160, 0x1200)
_COMPATIBLE: Final = re.compile(
    "[\uff66-\uff9d][\uff9e\uff9f]?"  # half-width kana with their sound marks
    "|[\uff21-\uff3a\uff41-\uff5a\uff10-\uff19\uff20\uff03-\uff06\uff0b\uff1d]"  # full width
    "|(?<=[0-9\uff10-\uff19])[\uff0c\uff0e\uff1a](?=[0-9\uff10-\uff19])"  # their decimal points
    "|[\U0001d400-\U0001d7ff\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212a-\u2134]"
    "|[\u2460-\u2473\u24b6-\u24ea\U0001f130-\U0001f149]"  # in circles and squares
    "|[\u2160-\u217f]"  # Roman numerals
    "|[\ufb00-\ufb06\ufb13-\ufb17\u0132\u0133\u017f\u01c4-\u01cc\u01f1-\u01f3]"  # ligatures
    "|[\ufb50-\ufdfb\ufe70-\ufefc]"  # Arabic letters in the forms they have in a word
    "|[\u2f00-\u2fd5\u2e9f\u2ef3]"  # radicals used as Chinese signs
)
_WITHOUT_WIDTH: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufe00-\ufe0f"
    "\u20e3]"
)
_CONTROL: Final = re.compile("[\u0000-\u0008\u000b\u000e-\u001f\u007f-\u0084\u0086-\u009f]")
# Scripts that join letters, where a joiner or non-joiner changes the word.
_JOINING: Final = ((0x0600, 0x08FF), (0x0900, 0x0DFF), (0x1800, 0x18AF))
_WITHOUT_BLANKS: Final = ((0x0E00, 0x0FFF), (0x1000, 0x109F), (0x1780, 0x17FF))


def plain_letters(text: Traced) -> Traced:
    """`text` composed (NFC), in plain letters, without what has no width and no sound."""
    if text.text.isascii():
        return text.edited(_control_edits(text.text))
    text = text.edited(_composing_edits(text.text))
    text = text.edited(
        Edit(m.start(), m.end(), plain)
        for m in _COMPATIBLE.finditer(text.text)
        if (plain := unicodedata.normalize("NFKC", m.group())) != m.group()
    )
    text = text.edited(_invisible_edits(text.text))
    return text.edited(_control_edits(text.text))


def _composing_edits(text: str) -> list[Edit]:
    """What NFC changes, cluster by cluster, so that every letter keeps its place."""
    if unicodedata.is_normalized("NFC", text):
        return []
    starts = [k for k, sign in enumerate(text) if not _continues(sign)] or [0]
    starts[0] = 0
    edits = []
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        composed = unicodedata.normalize("NFC", text[start:end])
        if composed != text[start:end]:
            edits.append(Edit(start, end, composed))
    return edits


def _continues(sign: str) -> bool:
    return unicodedata.category(sign)[0] == "M" or ord(sign) in _LATER_JAMO


def _control_edits(text: str) -> list[Edit]:
    return [Edit(m.start(), m.end(), " ") for m in _CONTROL.finditer(text)]


def _invisible_edits(text: str) -> list[Edit]:
    edits = []
    for match in _WITHOUT_WIDTH.finditer(text):
        at = match.start()
        before, after = text[at - 1 : at], text[at + 1 : at + 2]
        new = _in_place_of(match.group(), before, after)
        if new != match.group():
            edits.append(Edit(at, at + 1, new))
    return edits


def _in_place_of(sign: str, before: str, after: str) -> str:
    """What a sign without width becomes between two characters: nothing, a blank, or itself."""
    if sign in "\u200c\u200d":
        joins = _is_in(before, _JOINING) or _is_in(after, _JOINING)
        return sign if joins or _is_symbol(before) or before == "\ufe0f" else ""
    if sign == "\u200b":
        return " " if _is_in(before, _WITHOUT_BLANKS) or _is_in(after, _WITHOUT_BLANKS) else ""
    if "\ufe00" <= sign <= "\ufe0f":
        return sign if _is_symbol(before) else ""
    if sign == "\u20e3":  # a key around a digit
        return "" if before.isdigit() or before == "\ufe0f" else sign
    return ""


def _is_in(sign: str, ranges: tuple[tuple[int, int], ...]) -> bool:
    return bool(sign) and any(first <= ord(sign) <= last for first, last in ranges)


def _is_symbol(sign: str) -> bool:
    return bool(sign) and unicodedata.category(sign)[0] == "S"
