# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of win, tie and loss per pair in; Win, Tie, Overall and MMF out, by ratings and by pairs.

Tables are (P, 3): pairs by win, tie, loss, seen from the target. MMF (majority-match frequency)
has two readings: that of the main text and that of the appendix of arXiv:2602.07106.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

Table = NDArray[np.int64]
LABELS: Final = ("win", "tie", "loss")
_TIE: Final = 1


@dataclass(frozen=True)
class Tally:
    """Counts of win, tie and loss (of ratings, or of pairs by their label)."""

    win: int
    tie: int
    loss: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.win + self.tie + self.loss

    @property
    def overall(self) -> float:
        """Win share plus half the tie share, 0..1 (arXiv:2602.07106, human study)."""
        return (self.win + self.tie / 2) / self.total

    def shares(self) -> dict[str, float]:
        """Share of each label, 0..1."""
        return {label: getattr(self, label) / self.total for label in LABELS}


def rating_tally(table: Table) -> Tally:
    """Every rating counts once."""
    win, tie, loss = (int(count) for count in table.sum(axis=0))
    return Tally(win, tie, loss)


def pair_majority(table: Table) -> tuple[Tally, int]:
    """Every pair counts once, by its most frequent outcome; equally frequent ones make it a tie.

    Returns the tally and how many pairs became a tie that way.
    """
    labels, tied = majority_labels(table)
    win, tie, loss = (int(np.count_nonzero(labels == code)) for code in range(3))
    return Tally(win, tie, loss), int(np.count_nonzero(tied))


def majority_labels(table: Table) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """(P,) codes 0 win, 1 tie, 2 loss, and (P,) whether two or more were equally frequent."""
    most = table.max(axis=1, keepdims=True)
    tied = np.count_nonzero(table == most, axis=1) > 1
    return np.where(tied, _TIE, table.argmax(axis=1)), tied


def pair_strict_majority(table: Table) -> Tally:
    """A pair counts for a label only when more than half of its ratings say so, else as a tie."""
    labels = np.where(2 * table.max(axis=1) > table.sum(axis=1), table.argmax(axis=1), _TIE)
    win, tie, loss = (int(np.count_nonzero(labels == code)) for code in range(3))
    return Tally(win, tie, loss)


def mmf_macro(table: Table) -> float:
    """Mean over pairs of the share of its ratings that are the most frequent."""
    return float(np.mean(table.max(axis=1) / table.sum(axis=1)))


def mmf_micro(table: Table) -> float:
    """Share of all ratings that agree with their pair's most frequent outcome.

    Never below the largest rating-level share of a label: the sum of maxima is not below the
    maximum of sums.
    """
    return float(table.max(axis=1).sum() / table.sum())


def mmf_expected_independent(table: Table) -> float:
    """`mmf_macro` if each rating were an independent draw from the pooled shares; exact.

    Chance alone already reaches this value, so an MMF near it shows no agreement on single pairs.
    """
    shares = table.sum(axis=0) / table.sum()
    sizes, how_many = np.unique(table.sum(axis=1), return_counts=True)
    expected = [_expected_modal_share(int(size), shares) for size in sizes]
    return float(np.average(expected, weights=how_many))


def _expected_modal_share(size: int, shares: NDArray[np.float64]) -> float:
    """E[max count] / size over a multinomial of `size` draws, summed over every outcome."""
    counts = _compositions(size)
    log_ways = gammaln(size + 1) - gammaln(counts + 1).sum(axis=1)
    probability = np.exp(log_ways + xlogy(counts, shares).sum(axis=1))
    return float(probability @ counts.max(axis=1) / size)


@cache
def _compositions(size: int) -> NDArray[np.int64]:
    """(K, 3) every way to write `size` as a sum of three counts."""
    win, tie = np.meshgrid(np.arange(size + 1), np.arange(size + 1), indexing="ij")
    inside = win + tie <= size
    win, tie = win[inside], tie[inside]
    return np.stack([win, tie, size - win - tie], axis=1)
