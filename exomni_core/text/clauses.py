# SPDX-License-Identifier: GPL-3.0-or-later
"""A text and a voice's limits in -> the text with pauses where the voice would lose words out.

Synthesisers work clause by clause in buffers of fixed size and drop what does not fit, without a
word. What a clause needs is estimated on the safe side from its letters; a clause that fits is left
as it is, a longer one is cut at natural places into parts that fit well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exomni_core.phonetics.scripts import script_of
from exomni_core.text.traced import Edit, Traced

_CLAUSE_END: Final = re.compile(
    r"[,;:!?…][\"'”’»)\]]*(?=\s|$)|\.[\"'”’»)\]]*(?=\s+[^\s\d\W]|\s*$)"
    r"|[。，、！？；：।،؛؟]"
)
_UNIT: Final = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_TOKEN: Final = re.compile(r"\S+")
_LETTER_RUN: Final = re.compile(
    r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff\u3099-\u309c\u30fc])*"
)
_DIGITS: Final = re.compile(r"\d+")
_GROUP_OF_DIGITS: Final = 10
_FULL: Final = 0.62  # how full a part is after cutting
_CONJUNCTION_WORDS: Final = """
    and or but because that which who while when where if then so than und oder aber denn weil
    dass wenn als während y o pero porque que cuando et ou mais car parce quand si e ma perché
    quando и но а или что потому когда который которые если en of maar omdat dat toen i ale że bo
    ve ama çünkü और या लेकिन कि क्योंकि و أو لكن 그리고 그런데 하지만 그래서 또한 mas porque"""
_CONJUNCTIONS: Final = frozenset(_CONJUNCTION_WORDS.split())
_VOWELS: Final = frozenset("aeiouyаеёиоуыэюяіїєαεηιουωάέήίόύώ")
_CHINESE_STARTS: Final = frozenset("和与但而并因所如虽就也又还再然")
_KANA_ENDS: Final = frozenset("はがをにでともへてり")
_THAI_STARTS: Final = frozenset("เแโใไ")


@dataclass(frozen=True)
class Limits:
    """What a voice can say at once without losing anything.

    clause_bytes: of a clause in UTF-8 with Korean syllables taken apart and Chinese signs parted by
    blanks. reading_bytes: of text, after which the voice itself ends a clause at the next blank.
    clause_words, clause_sounds: of a clause. word_sounds, digits: of a word, of a number.
    repeats: how often a single Latin letter is spoken in a row.
    """

    clause_bytes: int
    reading_bytes: int
    clause_words: int
    clause_sounds: int
    word_sounds: int
    digits: int
    repeats: int


def within_limits(text: Traced, limits: Limits) -> Traced:
    """`text` with blanks in words and commas in clauses that the voice would not say whole."""
    text = text.edited(_word_edits(text.text, limits))
    text = text.edited(_repeat_edits(text.text, limits.repeats))
    return text.edited(_clause_edits(text.text, limits))


def with_pauses(text: Traced, places: list[int]) -> Traced:
    """`text` with a comma before each of `places`, where words begin."""
    return text.edited(_pause(text.text, place) for place in sorted(set(places)) if place > 0)


def sounds_in(unit: str) -> float:
    """About how many sounds a run of letters, a number or a sign has at most."""
    first = unit[0]
    if first.isdigit():
        return 8.0 * len(unit) + 2.0
    if not first.isalpha():
        return 0.0 if first in "\"'()[]{}“”‘’«»-–—,.;:!?…" else 14.0
    script = script_of(first)
    if script in ("zh", "ko"):
        return 4.0 * len(unit)
    if script in ("en", "ru", "el", "hy"):
        return _alphabetic(unit)
    return 2.0 * len(unit) + 1.0


def _alphabetic(word: str) -> float:
    spelt = len(word) == 1 or (word.isupper() and len(word) < 8) or not _has_vowel(word)
    if spelt:
        return sum(9.0 if sign in "wW" else 4.0 for sign in word)
    return 1.15 * len(word) + 1.0


def _has_vowel(word: str) -> bool:
    return any(
        sign in _VOWELS or (sign > "\u00bf" and script_of(sign) == "en") for sign in word.lower()
    )


def _word_edits(text: str, limits: Limits) -> Iterator[Edit]:
    """Blanks inside numbers and words that are longer than the voice says."""
    places: list[tuple[int, str]] = []
    for match in _DIGITS.finditer(text):
        if len(match.group()) > limits.digits:
            start, end = match.span()
            places += [
                (k, ", " if (k - start) % _GROUP_OF_DIGITS == 0 else " ")
                for k in range(start + 1, end)
            ]
    for match in _LETTER_RUN.finditer(text):
        word = match.group()
        if script_of(word[0]) in ("zh", "th", "my"):
            continue  # read sign by sign
        need = sounds_in(word)
        if need > limits.word_sounds:
            places += [(match.start() + k, " ") for k in _cuts_in_word(word, need, limits)]
    yield from (Edit(place, place, new) for place, new in sorted(places))


def _cuts_in_word(word: str, need: float, limits: Limits) -> list[int]:
    parts = math.ceil(need / (_FULL * limits.word_sounds))
    cuts = []
    for part in range(1, parts):
        ideal = round(part * len(word) / parts)
        reach = max(1, len(word) // (3 * parts))
        near = range(max(1, ideal - reach), min(len(word), ideal + reach + 1))
        cuts.append(max(near, key=lambda k: (_ends_nicely(word[:k], word[k:]), -abs(k - ideal))))
    return sorted(set(cuts))


def _ends_nicely(before: str, after: str) -> int:
    """Whether a long word may be parted here: after a particle of kana, before a consonant."""
    if after[0] in "ー゛゜ゃゅょぁぃぅぇぉっんャュョァィゥェォッン\u3099\u309a":
        return -1
    if script_of(before[-1]) == "ja":
        return 2 if before[-1] in _KANA_ENDS and after[0] not in _KANA_ENDS else 0
    return 1 if _has_vowel(before[-1]) and not _has_vowel(after[0]) else 0


def _repeat_edits(text: str, repeats: int) -> Iterator[Edit]:
    """A comma after every few of the same Latin letter alone: `b b b b b` -> `b b b, b b`."""
    last, count = "", 0
    for match in _TOKEN.finditer(text):
        bare = match.group().strip(".\"'()[]*-").lower()
        single = bare if len(bare) == 1 and script_of(bare) == "en" else ""
        count = count + 1 if single and single == last else 1
        last = single
        if single and count > repeats:
            yield _pause(text, match.start())
            count = 1
        if match.group()[-1] in ",;:!?":
            last = ""


def _clause_edits(text: str, limits: Limits) -> Iterator[Edit]:
    start = 0
    for end in [*(m.end() for m in _CLAUSE_END.finditer(text)), len(text)]:
        clause = text[start:end]
        if not _fits(clause, limits):
            yield from (_pause(text, start + k) for k in _cuts_in_clause(clause, limits))
        start = end


def _pause(text: str, place: int) -> Edit:
    """The edit that puts a comma before the word at `place`."""
    gap = place
    while gap > 0 and text[gap - 1].isspace():
        gap -= 1
    return Edit(gap, place, ", ") if text[gap - 1 : gap] not in ",;:" else Edit(gap, place, " ")


def _fits(clause: str, limits: Limits) -> bool:
    """Whether the voice says all of a clause, which it reads in stretches of `reading_bytes`."""
    if len(clause) * 9 <= limits.clause_bytes and len(clause) * 10 <= limits.clause_sounds:
        return True
    read = 0
    need = (0.0, 0.0, 0.0)
    for match in _TOKEN.finditer(clause):
        token = match.group()
        read += len(token.encode()) + 1
        if read > limits.reading_bytes:
            read, need = len(token.encode()) + 1, (0.0, 0.0, 0.0)
        more = _need_of(token)
        need = (need[0] + more[0], need[1] + more[1], need[2] + more[2])
        if _share(need, limits) > 1.0:
            return False
    return True


def _need_of(token: str) -> tuple[float, float, float]:
    """Bytes, words and sounds of a stretch without blanks."""
    size, words, sounds = 0.0, 0.0, 0.0
    for match in _UNIT.finditer(token):
        unit = match.group()
        script = script_of(unit[0])
        signs = len(unit) if script == "zh" else 1
        size += signs + (9.0 * len(unit) if script == "ko" else len(unit.encode()))
        words += signs
        sounds += sounds_in(unit)
    return size, words, sounds


def _share(need: tuple[float, float, float], limits: Limits) -> float:
    most = (limits.clause_bytes, limits.clause_words, limits.clause_sounds)
    return max(part / whole for part, whole in zip(need, most, strict=True))


def _cuts_in_clause(clause: str, limits: Limits) -> list[int]:
    """Where words begin before which a pause makes parts that fit, at natural places."""
    gaps = _gaps(clause)
    if not gaps:
        return []
    shares = [0.0]
    for (a, _), (b, _) in zip(gaps, [*gaps[1:], (len(clause), 0.0)], strict=True):
        pieces = [_need_of(token) for token in clause[a:b].split()]
        shares.append(shares[-1] + sum(_share(piece, limits) for piece in pieces))
    first = sum(_share(_need_of(token), limits) for token in clause[: gaps[0][0]].split())
    positions = [first + share for share in shares[:-1]]
    total = first + shares[-1]
    parts = max(2, math.ceil(total / _FULL))
    step = total / parts
    cuts = []
    for part in range(1, parts):
        ideal = part * step
        k = min(range(len(gaps)), key=lambda j: abs(positions[j] - ideal) / step - gaps[j][1])
        cuts.append(gaps[k][0])
    return sorted(set(cuts))


def _gaps(clause: str) -> list[tuple[int, float]]:
    """(where a word begins, how natural a pause before it is from 0 to 0.3)."""
    found = []
    for match in _TOKEN.finditer(clause):
        start, token = match.start(), match.group()
        if start and clause[:start].strip():
            bare = token.strip("\"'“”‘’«»()[]").lower()
            before = clause[:start].rstrip()[-1]
            at_line = "\n" in clause[:start][len(clause[:start].rstrip()) :]
            natural = 0.3 if at_line or before in ")]»”.—–" or token[0] in "([«“—–" else 0.0
            natural = max(natural, 0.25 if bare in _CONJUNCTIONS else 0.0)
            found.append((start, natural))
        for k in range(1, len(token)):
            if script_of(token[k]) == "zh" and script_of(token[k - 1]) == "zh":
                found.append((start + k, 0.1 if token[k] in _CHINESE_STARTS else -0.1))
            elif token[k] in _THAI_STARTS:
                found.append((start + k, -0.05))
    return found
