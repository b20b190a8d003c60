# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts of win, tie and loss per pair in; how far raters agree beyond chance out.

Tables are (P, 3). All measures treat the three outcomes as names without order. A value that the
data can't give (no pair with two ratings, a single outcome throughout) is None.
"""

from __future__ import annotations

import numpy as np

from render_jobs.study.report.tallies import Table


def fleiss_kappa(table: Table) -> float | None:
    """Fleiss' kappa (Fleiss 1971, Psychol Bull 76:378) of pairs with one number of ratings each.

    Raises ValueError when the pairs differ in their number of ratings.
    """
    sizes = table.sum(axis=1)
    if len(table) == 0 or sizes[0] < 2:
        return None
    if np.any(sizes != sizes[0]):
        raise ValueError("Fleiss' kappa needs the same number of ratings for every pair")
    size = int(sizes[0])
    observed = float(np.mean((np.sum(table**2, axis=1) - size) / (size * (size - 1))))
    expected = float(np.sum((table.sum(axis=0) / table.sum()) ** 2))
    return None if expected >= 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(table: Table) -> float | None:
    """Krippendorff's alpha for names (Krippendorff 2011, Computing Krippendorff's Alpha).

    Missing ratings are allowed; pairs with a single rating take no part.
    """
    counts = table[table.sum(axis=1) > 1].astype(np.float64)
    if not len(counts):
        return None
    sizes = counts.sum(axis=1)
    values = counts.sum(axis=0)
    total = values.sum()
    observed = np.sum((sizes**2 - np.sum(counts**2, axis=1)) / (sizes - 1)) / total
    expected = (total**2 - np.sum(values**2)) / (total * (total - 1))
    return None if expected <= 0 else float(1 - observed / expected)


def pairwise_agreement(table: Table) -> float | None:
    """Share of equal answers among all pairs of ratings of the same pair of videos, pooled."""
    sizes = table.sum(axis=1)
    possible = int(np.sum(sizes * (sizes - 1)))
    return int(np.sum(table * (table - 1))) / possible if possible else None
