# SPDX-License-Identifier: GPL-3.0-or-later
"""Win, tie and loss counts between systems in; one strength per system out.

Davidson's model gives ties their own parameter; Bradley-Terry with half ties is the check beside
it. Ratings are treated as independent here: a published interval should come from a cluster
bootstrap. Each cell is (first, second, win, tie, loss), counted from the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components
from scipy.special import logsumexp

from exomni_core.arrays import Array

_STEPS: Final = 200
_DONE: Final = 1e-12
_SEPARATE: Final = 1e-6
PRIOR: Final = 0.5


@dataclass(frozen=True)
class Cell:
    """How often `first` won, tied and lost against `second`."""

    first: str
    second: str
    win: float
    tie: float
    loss: float


@dataclass(frozen=True)
class Fit:
    """Strengths of one model, in the order of `systems`, summing to 0.

    se: Wald standard errors. log_nu: of the tie parameter, None where there is none (no ties, or
    Bradley-Terry). log_order: advantage of the first shown, None when not asked for.
    note: what had to be done to get an answer, "" if nothing.
    """

    systems: tuple[str, ...]
    log_strength: Array
    se: Array
    log_nu: float | None
    log_order: float | None
    loglik: float
    note: str = ""


def systems_of(cells: Sequence[Cell]) -> tuple[str, ...]:
    """All systems, sorted."""
    return tuple(sorted({name for cell in cells for name in (cell.first, cell.second)}))


def is_connected(cells: Sequence[Cell]) -> bool:
    """Whether comparisons link all systems; without that no common scale exists."""
    systems = systems_of(cells)
    links = np.zeros((len(systems), len(systems)))
    for cell in cells:
        links[systems.index(cell.first), systems.index(cell.second)] = 1
    return len(systems) > 1 and connected_components(links, directed=False)[0] == 1


def fit_davidson(cells: Sequence[Cell]) -> Fit | None:
    """Davidson's model (Davidson 1970, JASA 65:317), by maximum likelihood.

    P(i beats j) = e^ti / Z, P(tie) = nu e^((ti+tj)/2) / Z. `loglik` lacks the multinomial
    constant. Without any tie nu is 0 and `log_nu` None. None when comparisons do not link all
    systems. When a strength would be infinite (such as of a system that never lost) half a win and
    half a loss are added to each cell, and the note says so.
    """
    return _fit(cells, ties=True)


def fit_bradley_terry(cells: Sequence[Cell]) -> Fit | None:
    """Bradley-Terry (1952, Biometrika 39:324), a tie as half a win to each; else as Davidson's."""
    halves = [Cell(c.first, c.second, c.win + c.tie / 2, 0, c.loss + c.tie / 2) for c in cells]
    return _fit(halves, ties=False)


def fit_davidson_order(first_left: Sequence[Cell]) -> Fit | None:
    """Davidson's model with an advantage of the side (Davidson & Beaver 1977, Biometrics 33:693).

    Each cell counts only trials in which its first system stood on the left; `log_order` is added
    to the log strength of the left one. (Their nu is ours times e^(-log_order / 2).)
    """
    return _fit(first_left, ties=True, order=True)


def _fit(cells: Sequence[Cell], *, ties: bool, order: bool = False) -> Fit | None:
    if not is_connected(cells):
        return None
    systems, note = systems_of(cells), ""
    counts = np.array([[c.win, c.tie, c.loss] for c in cells], np.float64)
    ties = ties and bool(counts[:, 1].any())
    design = _design(cells, systems, ties=ties, order=order)
    if not ties:
        counts, design = counts[:, [0, 2]], design[:, [0, 2]]
    if _is_infinite(design, counts):
        counts[:, [0, -1]] += PRIOR
        note = (
            "By the counts alone a strength would be infinite (such as of a system that never "
            "lost): half a win and half a loss were added to each comparison."
        )
    beta, covariance, loglik = _maximise(design, counts)
    # Strengths are measured from the last system; centring makes them sum to 0.
    free = len(systems) - 1
    centre = np.eye(len(systems))[:, :free] - 1 / len(systems)
    strength = centre @ beta[:free]
    se = np.sqrt(np.diag(centre @ covariance[:free, :free] @ centre.T))
    log_nu = float(beta[free]) if ties else None
    log_order = float(beta[-1]) if order else None
    return Fit(systems, strength, se, log_nu, log_order, loglik, note)


def _is_infinite(design: Array, counts: Array) -> bool:
    """Whether the likelihood still grows at infinity, by a linear program (Konis 2007, thesis).

    That is so when a direction exists along which every observed outcome stays the likeliest of
    its comparison, and one of them gains on another.
    """
    if counts.all():  # then every outcome would have to stay the likeliest, so none gains
        return False
    gains = [
        design[row, seen] - design[row, rival]
        for row in range(len(counts))
        for seen in np.flatnonzero(counts[row])
        for rival in range(counts.shape[1])
        if rival != seen
    ]
    rows = np.array(gains)
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=(-1, 1))
    return bool(-found.fun > _SEPARATE)


def _design(
    cells: Sequence[Cell], systems: Sequence[str], *, ties: bool, order: bool
) -> NDArray[np.float64]:
    """(C, 3, K): the log weight of win, tie, loss is this times the parameters.

    Parameters: strengths of all systems but the last, then log nu, then the order term.
    """
    free = len(systems) - 1
    design = np.zeros((len(cells), 3, free + ties + order))
    for row, cell in enumerate(cells):
        first, second = systems.index(cell.first), systems.index(cell.second)
        for place, its_win in ((first, 0), (second, 2)):
            if place < free:
                design[row, its_win, place] = 1
                design[row, 1, place] = 0.5
    if ties:
        design[:, 1, free] = 1
    if order:
        design[:, 0, -1] = 1
        design[:, 1, -1] = 0.5
    return design


def _maximise(design: Array, counts: Array) -> tuple[Array, Array, float]:
    """Newton steps on a concave multinomial log likelihood: parameters, covariance, loglik."""
    totals = counts.sum(axis=1)
    beta = np.zeros(design.shape[2])

    def value(at: Array) -> float:
        logits = design @ at
        return float(np.sum(counts * (logits - logsumexp(logits, axis=1, keepdims=True))))

    best = value(beta)
    for _ in range(_STEPS):
        slope, information = _derivatives(design, counts, totals, beta)
        step = np.linalg.solve(information, slope)
        scale = 1.0
        while value(beta + scale * step) < best - _DONE * abs(best) and scale > 1e-6:
            scale /= 2
        beta = beta + scale * step
        best = value(beta)
        if np.max(np.abs(step)) < _DONE:
            break
    _, information = _derivatives(design, counts, totals, beta)
    return beta, np.linalg.inv(information), best


def _derivatives(design: Array, counts: Array, totals: Array, beta: Array) -> tuple[Array, Array]:
    logits = design @ beta
    probability = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    slope = np.einsum("co,cok->k", counts - totals[:, None] * probability, design)
    mean = np.einsum("co,cok->ck", probability, design)
    second = np.einsum("c,co,cok,col->kl", totals, probability, design, design)
    return slope, second - np.einsum("c,ck,cl->kl", totals, mean, mean)
