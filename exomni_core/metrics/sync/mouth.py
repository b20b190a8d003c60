# SPDX-License-Identifier: GPL-3.0-or-later
"""A face and the sounds it should show in, what its mouth does with them out; no reference face.

Each hit has its false twin beside it, and the same counted for the face shifted by half the clip,
since a mouth that is always closed hits every closure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import Array
from exomni_core.clip import Phone
from exomni_core.phonetics.phones import is_closure, is_vowel, poses_of, viseme_table
from exomni_core.retime import CLOSED_GAP, lip_gap

CLOSED: Final = CLOSED_GAP  # jawOpen - mouthClose below this: the lips touch
TUCK_ROLL, TUCK_GAP = 0.15, 0.15  # f, v: the lower lip rolled in that far, the jaw nearly closed
ROUNDED: Final = 0.3  # mouthPucker + mouthFunnel of u, o, w
LONG_S: Final = 0.06  # vowels shorter than this have no middle of their own
VOWELS: Final = {"a": ("aa",), "o": ("ao", "o"), "e": ("eh", "e"), "i": ("iy",), "u": ("uw",)}
# The lips don't tell the other groups (t, k, th, r ...) apart.
SEEN_GROUPS: Final = ("PP", "FF", "CH", "SS", "AA", "EE", "II", "OO", "UU")
_SPREAD: Final = ("II", "EE")
_JAW, _CLOSE = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
_ROLL: Final = CHANNEL_INDEX["mouthRollLower"]
_ROUND: Final = (CHANNEL_INDEX["mouthPucker"], CHANNEL_INDEX["mouthFunnel"])
_MOUTH: Final = tuple(i for i, n in enumerate(ARKIT_52) if n.startswith(("jaw", "mouth")))
_SIDED: Final = tuple(
    i
    for i in _MOUTH
    if ARKIT_52[i].endswith("Left")
    and i not in (CHANNEL_INDEX["jawLeft"], CHANNEL_INDEX["mouthLeft"])
)


@dataclass
class Share:
    """How many of how many."""

    yes: int = 0
    of: int = 0

    def add(self, flag: object) -> None:
        """Count one more."""
        self.yes += bool(flag)
        self.of += 1

    @property
    def value(self) -> float | None:
        """The share, None of none."""
        return self.yes / self.of if self.of else None


COUNTS: Final = (
    "closure_hit", "closure_hit_within_a_frame", "false_closure", "tuck_hit", "false_tuck",
    "rounding_hit", "false_rounding", "viseme_recall",
)  # fmt: skip


@dataclass
class Mouth:
    """Counts of one or many clips.

    shares: by name of COUNTS. apertures: lip gaps in the middle of long plain vowels a, o, e, i, u.
    groups: viseme recall by group.
    """

    shares: dict[str, Share] = field(default_factory=lambda: {n: Share() for n in COUNTS})
    apertures: dict[str, list[float]] = field(default_factory=lambda: {v: [] for v in VOWELS})
    groups: dict[str, Share] = field(default_factory=lambda: {g: Share() for g in SEEN_GROUPS})

    def merge(self, other: Mouth) -> None:
        """Add the counts of another."""
        for mine, theirs in ((self.shares, other.shares), (self.groups, other.groups)):
            for name, share in theirs.items():
                mine[name].yes += share.yes
                mine[name].of += share.of
        for vowel, gaps in other.apertures.items():
            self.apertures[vowel] += gaps


def measure_mouth(weights: npt.NDArray[Any], fps: float, phones: Iterable[Phone]) -> Mouth:
    """Count what a face does at its sounds.

    weights: (T, 52) at `fps`; phones: IPA, in seconds. A closure is hit where lips touch in a frame
    of a p, b or m (strictly, or with a frame around it); tuck: f and v; rounding: o, u, w.
    """
    mouth = Mouth()
    gap = lip_gap(np.asarray(weights, np.float32))
    tucked = (weights[:, _ROLL] >= TUCK_ROLL) & (gap < TUCK_GAP)
    rounding = weights[:, _ROUND].sum(axis=1)
    last_frame = len(weights) - 1
    shares = mouth.shares
    for phone in phones:
        if not phone.symbol or phone.start_s * fps > last_frame:
            continue
        first = max(0, round(phone.start_s * fps))
        last = min(last_frame, max(first, round(phone.end_s * fps)))
        if is_closure(phone.symbol):
            near = slice(max(0, first - 1), last + 2)
            shares["closure_hit"].add(gap[first : last + 1].min() < CLOSED)
            shares["closure_hit_within_a_frame"].add(gap[near].min() < CLOSED)
        elif is_vowel(phone.symbol) and phone.end_s - phone.start_s > LONG_S:
            middle = min(round((phone.start_s + phone.end_s) / 2 * fps), last_frame)
            shares["false_closure"].add(gap[middle] < CLOSED)
            shares["false_tuck"].add(tucked[middle])
        _measure_poses(mouth, phone, weights, gap, tucked, rounding, fps)
    return mouth


def _measure_poses(
    mouth: Mouth,
    phone: Phone,
    weights: npt.NDArray[Any],
    gap: npt.NDArray[Any],
    tucked: npt.NDArray[np.bool_],
    rounding: npt.NDArray[Any],
    fps: float,
) -> None:
    """Rounding, tucks, apertures and recall, for each part of a sound that has its own pose."""
    visemes = viseme_table().visemes
    parts = list(_parts(phone))
    single = len(parts) == 1  # half a diphthong is on its way elsewhere
    for key, start_s, end_s in parts:
        first = round(start_s * fps)
        last = min(len(gap) - 1, max(first, round(end_s * fps)))
        if first > last:
            continue
        middle = min(round((start_s + end_s) / 2 * fps), last)
        viseme = visemes[key]
        if viseme.constraint == "lower_lip_tuck":
            mouth.shares["tuck_hit"].add(tucked[first : last + 1].any())
        elif viseme.constraint == "rounded":
            mouth.shares["rounding_hit"].add(rounding[first : last + 1].max() >= ROUNDED)
        elif viseme.group in _SPREAD and is_vowel(phone.symbol) and end_s - start_s > LONG_S:
            mouth.shares["false_rounding"].add(rounding[middle] >= ROUNDED)
        if viseme.group in mouth.groups:
            right = nearest_group(weights[middle]) == viseme.group
            mouth.shares["viseme_recall"].add(right)
            mouth.groups[viseme.group].add(right)
        for vowel, keys in VOWELS.items():
            if key in keys and single and end_s - start_s > LONG_S:
                mouth.apertures[vowel].append(float(gap[middle]))


def _parts(phone: Phone) -> Iterator[tuple[str, float, float]]:
    length = phone.end_s - phone.start_s
    for key, first, last in poses_of(phone.symbol):
        yield key, max(0.0, phone.start_s + first * length), phone.start_s + last * length


def nearest_group(row: npt.NDArray[Any]) -> str:
    """The viseme group whose pose is nearest to one face (52,), by jaw and lips; `sil` is rest.

    Poses are those of the embedded engine's table, at conversational effort.
    """
    groups, poses = _poses()
    return groups[int(np.square(poses - _lip_features(row)).sum(axis=1).argmin())]


@functools.cache
def _poses() -> tuple[tuple[str, ...], Array]:
    visemes = [v for v in viseme_table().visemes.values() if v.group in (*SEEN_GROUPS, "sil")]
    poses = np.stack([_lip_features(v.target) for v in visemes])
    return tuple(v.group for v in visemes), poses


def _lip_features(row: npt.NDArray[Any]) -> Array:
    """Jaw and lips; how far the lips are apart counts, not which channel parts them."""
    features = np.asarray(row, np.float64).copy()
    features[_JAW] -= features[_CLOSE]
    features[_CLOSE] = 0.0
    return features[list(_MOUTH)]


def aperture_order(apertures: dict[str, list[float]]) -> dict[str, Any]:
    """Mean lip gap of the vowels, and how many of their pairs stand in the order a > o > e > i > u.

    Vowels that don't occur leave their pairs out.
    """
    means = {v: float(np.mean(g)) for v, g in apertures.items() if g}
    names = [v for v in VOWELS if v in means]
    pairs = [(a, b) for k, a in enumerate(names) for b in names[k + 1 :]]
    return {
        "means": means,
        "n": {v: len(g) for v, g in apertures.items()},
        "pairs": len(pairs),
        "in_order": sum(means[a] > means[b] for a, b in pairs),
        "order": " > ".join(sorted(names, key=lambda v: -means[v])),
    }


def shifted(weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same face half the clip later, its end moved to the start: what chance reaches."""
    rolled: npt.NDArray[Any] = np.roll(weights, len(weights) // 2, axis=0)
    return rolled


def merged(mouths: Sequence[Mouth]) -> Mouth:
    """The counts of many clips as one."""
    total = Mouth()
    for mouth in mouths:
        total.merge(mouth)
    return total
