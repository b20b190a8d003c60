# SPDX-License-Identifier: GPL-3.0-or-later
"""Which visemes a head has in; how the 52 channels drive them out: a linear map with clamps.

For heads without ARKit's mouth. Two things keep speech readable: a key that opens the mouth never
exceeds what the lip gap (jawOpen - mouthClose) allows, so a closure is a closure; a key that
presses the lips together lets go as they part. scripts/docs_tables.py writes the map
into docs/matching.md.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from exomni_core.arkit import mirror_of
from exomni_core.arrays import FloatArray
from exomni_core.retime import CLOSED_GAP

# Oculus' fifteen, and `open`: a mouth that is open without being any vowel in particular.
VISEMES: Final = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O",
                  "U", "open")  # fmt: skip


@dataclass(frozen=True)
class Clamp:
    """How the lip gap bounds a key of a fall-back.

    opens: the key is at most opens * (gap - CLOSED_GAP); 0 is no bound.
    closes: the key is at most 1 - closes * (gap - CLOSED_GAP); 0 is no bound.
    """

    opens: float = 0.0
    closes: float = 0.0

    def apply(self, values: FloatArray, gap: FloatArray) -> FloatArray:
        """Bound `values` (T,) by the lip gap (T,), both in place of weights."""
        over = gap - CLOSED_GAP
        if self.opens:
            values = np.minimum(values, np.maximum(self.opens * over, 0.0))
        if self.closes:
            values = np.minimum(values, np.clip(1.0 - self.closes * over, 0.0, 1.0))
        return values


OPENS: Final = Clamp(opens=20.0)
# What each viseme takes from the channels; a channel named with `*` gives half from each side.
# Fitted by eye to the poses of phonetics/visemes.csv: each pose wakes its own viseme most.
VISEME_SUMS: Final[Mapping[str, tuple[Clamp, Mapping[str, float]]]] = {
    "PP": (Clamp(closes=12.0), {"mouthPress*": 2.2, "mouthRollLower": 0.2, "mouthRollUpper": 1.8,
                                "mouthClose": 3.0}),
    "FF": (Clamp(closes=4.0), {"mouthRollLower": 2.0, "mouthUpperUp*": 1.0, "mouthRollUpper": -2.0,
                               "mouthPress*": -1.0, "mouthClose": -1.0}),
    "TH": (OPENS, {"tongueOut": 6.0}),
    "DD": (OPENS, {"mouthLowerDown*": 2.5, "mouthUpperUp*": 2.0, "mouthStretch*": -1.5,
                   "jawOpen": -1.2, "mouthRollLower": -1.5, "tongueOut": -2.0}),
    "SS": (OPENS, {"mouthLowerDown*": 3.0, "mouthStretch*": 1.0, "jawOpen": -2.5,
                   "mouthClose": 2.5, "mouthRollLower": -1.0}),
    "CH": (OPENS, {"mouthFunnel": 2.4, "mouthPucker": -0.6, "mouthUpperUp*": 0.8,
                   "jawOpen": -1.2, "mouthClose": 1.2}),
    "RR": (OPENS, {"mouthPucker": 0.4, "mouthFunnel": 1.1, "jawOpen": -0.4}),
    "aa": (OPENS, {"jawOpen": 2.0, "mouthClose": -2.0, "mouthPucker": -1.3, "mouthFunnel": -0.9,
                   "mouthStretch*": -1.0, "mouthSmile*": -0.4, "mouthRollLower": -1.0}),
    "E": (OPENS, {"mouthStretch*": 2.0, "jawOpen": 0.7, "mouthClose": -0.7, "mouthPucker": -0.8,
                  "mouthFunnel": -0.8}),
    "I": (OPENS, {"mouthStretch*": 2.6, "mouthSmile*": 1.5, "jawOpen": -1.2, "mouthClose": 1.2,
                  "mouthPucker": -1.0, "mouthFunnel": -1.0}),
    "O": (Clamp(opens=3.5), {"mouthFunnel": 2.2, "mouthPucker": 0.8, "jawOpen": 0.3,
                             "mouthClose": -0.3}),
    "U": (OPENS, {"mouthPucker": 1.2, "mouthFunnel": 0.2, "jawOpen": -0.6, "mouthClose": 0.6}),
    "open": (OPENS, {"jawOpen": 1.6, "mouthClose": -1.6}),
}  # fmt: skip

# Who speaks for a viseme that is not there: the first row whose visemes all are. A share of 0: what
# `open` does anyway is enough.
VISEME_INSTEAD: Final[Mapping[str, tuple[Mapping[str, float], ...]]] = {
    "TH": ({"DD": 0.6}, {"E": 0.3}, {"I": 0.4}, {"aa": 0.2}),
    "DD": ({"SS": 0.5}, {"I": 0.4}, {"E": 0.4}, {"aa": 0.2}),
    "SS": ({"I": 0.5}, {"E": 0.4}, {"aa": 0.1}),
    "CH": ({"U": 0.5}, {"O": 0.4}, {"aa": 0.15}),
    "RR": ({"U": 0.3, "O": 0.3}, {"U": 0.5}, {"O": 0.4}),
    "aa": ({"open": 0.0}, {"O": 0.8}, {"E": 1.0}, {"I": 1.0}, {"U": 0.7}),
    "E": ({"I": 0.5, "aa": 0.4}, {"aa": 0.6}, {"I": 0.8}, {"open": 0.0}, {"O": 0.4}),
    "I": ({"E": 0.7}, {"aa": 0.35}, {"open": 0.0}),
    "O": ({"U": 0.5, "aa": 0.5}, {"U": 0.5, "open": 0.0}, {"aa": 0.6}, {"open": 0.0}, {"U": 0.9}),
    "U": ({"O": 0.6}, {"aa": 0.25}),
}

# ARKit channels that a head lacks -> the ones that stand in. Negative: they take back.
CHANNEL_INSTEAD: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "mouthClose": (("jawOpen", -1.0),),
    "mouthFunnel": (("mouthPucker", 0.6),),
    "mouthPucker": (("mouthFunnel", 0.6),),
    "mouthStretchLeft": (("mouthSmileLeft", 0.3),),
    "mouthDimpleLeft": (("mouthSmileLeft", 0.3),),
    "browInnerUp": (("browOuterUpLeft", 0.5), ("browOuterUpRight", 0.5)),
    "browOuterUpLeft": (("browInnerUp", 0.35),),
}


def channel_substitutes(channel: str) -> tuple[tuple[str, float], ...]:
    """Which channels stand in for a missing one, with their factors; empty for none."""
    if rows := CHANNEL_INSTEAD.get(channel):
        return rows
    mirrored = CHANNEL_INSTEAD.get(mirror_of(channel), ())
    return tuple((mirror_of(name), factor) for name, factor in mirrored)


def viseme_map(there: Collection[str]) -> dict[str, tuple[Clamp, dict[str, float]]]:
    """How the channels drive the visemes that are `there`: viseme -> (clamp, channel -> weight).

    Visemes that no channel can tell apart (kk, nn: the tongue is hidden) get no row, nor does sil.
    """
    rows: dict[str, tuple[Clamp, dict[str, float]]] = {
        name: (clamp, _sides(weights))
        for name, (clamp, weights) in VISEME_SUMS.items()
        if name in there and not (name == "open" and "aa" in there)
    }
    for lost, choices in VISEME_INSTEAD.items():
        if lost in there:
            continue
        for choice in choices:
            if all(name in rows for name in choice):
                _fold(rows, _sides(VISEME_SUMS[lost][1]), choice)
                break
    return rows


def _fold(
    rows: dict[str, tuple[Clamp, dict[str, float]]],
    lost: Mapping[str, float],
    choice: Mapping[str, float],
) -> None:
    for name, share in choice.items():
        weights = rows[name][1]
        for channel, weight in lost.items():
            weights[channel] = round(weights.get(channel, 0.0) + share * weight, 6)


def _sides(weights: Mapping[str, float]) -> dict[str, float]:
    rows: dict[str, float] = {}
    for channel, weight in weights.items():
        if channel.endswith("*"):
            rows |= {f"{channel[:-1]}{side}": weight / 2.0 for side in ("Left", "Right")}
        else:
            rows[channel] = weight
    return rows
