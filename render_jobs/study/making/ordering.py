# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers of items and comparisons in, the order of one rater's main trials out. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

MOST_IN_A_ROW: Final = 2  # trials of one comparison
ITEM_DISTANCE: Final = 5  # the same item comes again after more trials than this
_REPAIR_ROUNDS: Final = 60


def williams_square(size: int, *, mirrored: bool = False) -> list[list[int]]:
    """A Latin square of 0..size-1 (rows by columns), each number once in every row and column.

    Even sizes: each number also follows each other number exactly once (E. J. Williams 1949).
    Odd sizes need the square and its mirror image together for that.
    """
    first = [(k + 1) // 2 if k % 2 else (size - k // 2) % size for k in range(size)]
    rows = [[(value + row) % size for value in first] for row in range(size)]
    return [row[::-1] for row in rows] if mirrored else rows


def main_order(
    items: int, comparisons: int, seat: int, chance: random.Random
) -> list[tuple[int, int]]:
    """(item, comparison) in order: blocks that hold each comparison once, by a Latin square."""
    sequence: list[int] = []
    for block in range(items):
        mirrored = bool(comparisons % 2) and (block + seat // comparisons) % 2 == 1
        sequence += williams_square(comparisons, mirrored=mirrored)[(seat + block) % comparisons]
    orders = []
    for _ in range(comparisons):
        order = list(range(items))
        chance.shuffle(order)
        orders.append(order)
    drawn = [orders[c][place // comparisons] for place, c in enumerate(sequence)]
    _spread_items(drawn, sequence, chance)
    return list(zip(drawn, sequence, strict=True))


def _spread_items(drawn: list[int], sequence: Sequence[int], chance: random.Random) -> None:
    """Swap items within their comparison until none comes again within ITEM_DISTANCE trials.

    With few items that can't be; then it ends with the fewest repeats it has met.
    """
    places: dict[int, list[int]] = {}
    for place, comparison in enumerate(sequence):
        places.setdefault(comparison, []).append(place)

    def crowd(place: int) -> int:
        near = range(max(0, place - ITEM_DISTANCE), min(len(drawn), place + ITEM_DISTANCE + 1))
        return sum(drawn[other] == drawn[place] for other in near if other != place)

    for _ in range(_REPAIR_ROUNDS):
        crowded = [place for place in range(len(drawn)) if crowd(place)]
        if not crowded:
            return
        for place in crowded:
            others = [p for p in places[sequence[place]] if p != place]
            chance.shuffle(others)
            for other in others:
                before = crowd(place) + crowd(other)
                drawn[place], drawn[other] = drawn[other], drawn[place]
                if crowd(place) + crowd(other) < before:
                    break
                drawn[place], drawn[other] = drawn[other], drawn[place]
