# SPDX-License-Identifier: GPL-3.0-or-later
"""Two normalised texts in, the errors between them out: counted by jiwer, the cut end by our own.

A tail is what a speaker leaves out by stopping too early. An alignment may hide it (the last word
heard can stand again later in the text), so it is found over all best alignments.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from exomni_core.errors import InputError
from exomni_core.metrics.speech.normalise import require


@dataclass(frozen=True)
class WordErrors:
    """Of one utterance, in words (or characters, where the texts were split into them).

    tail: words of the reference after the last one that was spoken; part of `deletions`.
    """

    reference: int
    substitutions: int
    deletions: int
    insertions: int
    tail: int = 0

    @property
    def errors(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors by words of the reference; may exceed 1."""
        return self.errors / self.reference


@dataclass(frozen=True)
class Pooled:
    """mean: over utterances. pooled: all errors by all words. tail_share: all tails by all words.

    None where there is no utterance.
    """

    utterances: int
    mean: float | None
    pooled: float | None
    tail_share: float | None


def count_errors(reference: str, hypothesis: str) -> WordErrors:
    """Compare two normalised texts, words parted by spaces.

    Raises InputError for an empty reference, of which no rate can be told, and EnvironmentProblem
    without jiwer.
    """
    require("jiwer", "counting word errors")
    import jiwer

    if not reference.strip():
        raise InputError("its text is empty once marks are taken out; there is nothing to compare")
    found = jiwer.process_words(reference, hypothesis)
    words, heard = found.references[0], found.hypotheses[0]
    return WordErrors(
        len(words), found.substitutions, found.deletions, found.insertions, cut_tail(words, heard)
    )


def cut_tail(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Words missing at the end of `reference`, in that best alignment where they are most.

    With D(j) the edit distance between the first j reference words and the whole hypothesis, it is
    the largest n - j with D(j) + (n - j) = D(n).
    """
    names = {word: number for number, word in enumerate({*reference, *hypothesis})}
    heard = np.array([names[word] for word in hypothesis], dtype=np.int64)
    places = np.arange(len(heard) + 1)
    row = places.copy()  # distances of nothing to each beginning of the hypothesis
    last = [int(row[-1])]
    for word in reference:
        aligned = np.minimum(row[:-1] + (heard != names[word]), row[1:] + 1)
        row = np.concatenate([[row[0] + 1], aligned])
        # Insertions: the cheapest of all earlier places, one more for each word between.
        row = np.minimum.accumulate(row - places) + places
        last.append(int(row[-1]))
    total = len(reference)
    return max(total - j for j, distance in enumerate(last) if distance + total - j == last[-1])


def pool(found: Iterable[WordErrors]) -> Pooled:
    """Rates over several utterances."""
    errors = list(found)
    words = sum(e.reference for e in errors)
    if not words:
        return Pooled(0, None, None, None)
    return Pooled(
        len(errors),
        math.fsum(e.rate for e in errors) / len(errors),
        sum(e.errors for e in errors) / words,
        sum(e.tail for e in errors) / words,
    )


def percent(rate: float | None) -> float | None:
    """As Seed-TTS-Eval prints it: times 100, three decimals."""
    return None if rate is None else round(100.0 * rate, 3)
