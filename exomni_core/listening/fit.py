# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording and a transcript that may say more or less than it -> the words that are in it out.

An aligner puts every word of its transcript somewhere. Words that are not in the recording come out
squeezed or in silence, and push others aside; so they are taken out, and the rest is aligned again.
Where something is heard between the words, its sounds are recognised.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Phone
from exomni_core.listening.align import Aligned
from exomni_core.text.said import LEVEL_FPS, Span, words_without_sound

_ROUNDS: Final = 3
_CLAUSE_END: Final = re.compile(r"[,;:.!?…。，、；：！？\n]")
_FEWEST_WORDS: Final = 2
_MOST_TRIES: Final = 8  # ways to leave clauses out
GAP_WORTH: Final = 30.0  # points of score for all speech without a word

Align = Callable[[Sequence[frozenset[int]]], Sequence[Aligned | None]]


def fit_words(
    align: Align, texts: Sequence[str], clauses: Sequence[int], gate: npt.NDArray[np.bool_]
) -> Aligned | None:
    """Align a transcript's words without those that are not in the recording; None if none are.

    align: aligns all words but those whose numbers are given, for each of several ways to leave
    some out. texts: the words; clauses: the number of each one's clause. gate: (T,) loud frames at
    100 a second, on the clock of `align`.
    """
    aligned = align([frozenset()])[0]
    gone: frozenset[int] = frozenset()
    for _ in range(_ROUNDS):
        kept = [k for k in range(len(texts)) if k not in gone]
        if aligned is None or len(aligned.words) != len(kept):
            break
        silent = {kept[k] for k in words_without_sound(aligned.words, aligned.phones, gate)}
        ways = list(_ways_to_leave_out(silent, kept, clauses)) if silent else []
        tried = align([gone | way for way in ways]) if ways else []
        fits = [(one, way) for one, way in zip(tried, ways, strict=True) if one is not None]
        if not fits:
            break
        aligned, way = max(fits, key=lambda fit: _quality(fit[0], gate))
        gone |= way
    return aligned


def _ways_to_leave_out(
    silent: set[int], kept: Sequence[int], clauses: Sequence[int]
) -> Iterator[frozenset[int]]:
    """The silent words alone, and every row of clauses among those that hold some of them.

    Words that are not there push their neighbours aside, so the silent ones may be the neighbours.
    """
    touched = sorted({clauses[k] for k in silent})
    rows = [
        frozenset(touched[a:b])
        for length in range(1, len(touched) + 1)
        for a in range(len(touched) - length + 1)
        for b in [a + length]
    ]
    ways = [frozenset(k for k in kept if clauses[k] in row) for row in rows[: _MOST_TRIES - 1]]
    for way in dict.fromkeys([frozenset(silent), *ways]):
        if len(kept) - len(way) >= _FEWEST_WORDS:
            yield way


def _quality(aligned: Aligned, gate: npt.NDArray[np.bool_]) -> float:
    """How well words fit and cover the speech: the score less a share for speech without words."""
    return aligned.score - GAP_WORTH * share_without_words(aligned, gate)


def share_without_words(aligned: Aligned, gate: npt.NDArray[np.bool_]) -> float:
    """The share of loud frames outside every word, 0 to 1; gate is on the words' clock."""
    known = np.zeros(len(gate), np.bool_)
    for word in aligned.words:
        known[int(word.start_s * LEVEL_FPS) : int(np.ceil(word.end_s * LEVEL_FPS))] = True
    return float((gate & ~known).sum()) / max(1.0, float(gate.sum()))


def clause_numbers(text: str, words: Sequence[str]) -> list[int]:
    """The number of the clause that each of the text's words stands in."""
    numbers: list[int] = []
    place = clause = 0
    for word in words:
        at = text.find(word, place)
        if at >= 0:
            clause += bool(numbers) and bool(_CLAUSE_END.search(text[place:at]))
            place = at + len(word)
        numbers.append(clause)
    return numbers


def with_heard(
    phones: Sequence[Phone], heard: Sequence[Phone], gaps: Sequence[Span]
) -> tuple[Phone, ...]:
    """`phones` with what was heard in the gaps between them; silences make room."""
    kept: list[Phone] = []
    for phone in phones:
        parts = [(phone.start_s, phone.end_s)]
        if not phone.symbol:
            for a, b in gaps:
                parts = [piece for part in parts for piece in _without(part, (a, b))]
        kept += [replace(phone, start_s=a, end_s=b) for a, b in parts]
    return tuple(sorted([*kept, *heard], key=lambda phone: phone.start_s))


def _without(part: Span, gap: Span) -> list[Span]:
    pieces = [(part[0], min(part[1], gap[0])), (max(part[0], gap[1]), part[1])]
    return [(a, b) for a, b in pieces if b - a > 1e-6]
