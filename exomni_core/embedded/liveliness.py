# SPDX-License-Identifier: GPL-3.0-or-later
"""Mouth weights, speech and a seed in -> blinks, glances, brow accents and breaths added.

Rates and lengths are those of conversation: about 18 blinks a minute (Doughty 2001), the eyes on
the listener for 0.6 to 2.5 s, then away for at most 0.8 s and home before a phrase ends, saccades
of one or two frames, brow accents at most every 1.5 s. Drawn from a generator seeded by the seed
and the sound, so the same line always blinks alike, and another line differently.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import CHANNEL_INDEX
from exomni_core.arrays import Array
from exomni_core.clip import Phone
from exomni_core.embedded.animate import MAX_STEP, soften_steps
from exomni_core.phonetics.phones import is_vowel

BLINKS_PER_MINUTE: Final = 18.0
_SHORTEST_INTERVAL_S: Final = 0.8
_AT_PHRASE_END: Final = 0.3  # share of blinks that wait for a pause
_FULL_TURN_DEG: Final = 30.0  # an eyeLook weight of 1
_LARGEST_GLANCE_DEG: Final = 8.0
_GLANCE_S: Final = (0.25, 0.8)
_SHORTEST_GLANCE_S: Final = 0.2  # one that a phrase's end would cut to less is not begun
_HOME_AT_END_S: Final = 0.5  # a clip ends with the eyes on the viewer
_ON_LISTENER_S: Final = (0.6, 2.5)
_BROW_INTERVAL_S: Final = 1.5
_PAUSE_S: Final = 0.35  # a pause long enough to breathe in
# Lids close in three frames of 1/30 s, stay, and open more slowly; every step is below 0.35.
_BLINK_TIMES_S: Final = np.arange(9) / 30.0
_WITH_BLINK: Final = (("browDown", 0.07), ("cheekSquint", 0.06))
_BLINK_SHAPE: Final = (0.0, 0.33, 0.66, 0.98, 1.0, 0.7, 0.4, 0.12, 0.0)


@dataclasses.dataclass(frozen=True)
class _Glance:
    """A look away from the listener, in degrees towards the face's left and up."""

    start_s: float
    end_s: float
    across_deg: float
    up_deg: float


def generator_for(seed: int, samples: npt.NDArray[np.float32]) -> np.random.Generator:
    """The generator of one clip, from the seed and the sound itself."""
    digest = hashlib.blake2b(np.ascontiguousarray(samples).tobytes(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64([seed, int.from_bytes(digest, "little")]))


def enliven(
    weights: npt.NDArray[np.float32],
    fps: float,
    rng: np.random.Generator,
    *,
    phones: Sequence[Phone],
    level_db: Array,
    amount: float = 1.0,
    question: bool = False,
) -> npt.NDArray[np.float32]:
    """Add the parts of the face that do not speak to `weights` (T, 52); returns new weights.

    level_db: (T,) loudness. amount: 0 gives a mask, 1 a calm talker, 1.4 a lively one; blinks are
    always whole. question: raise the brows at the end.
    """
    face = weights.astype(np.float64)
    duration_s = len(face) / fps
    pauses = _pauses(phones, duration_s)
    blinks = _blink_starts(duration_s, [start_s for start_s, _ in pauses], rng)
    phrase_ends_s = [*(start_s for start_s, _ in pauses if start_s > 0.0), duration_s]
    blinks = _move_eyes(face, fps, rng, blinks, phrase_ends_s, amount)
    _blink(face, fps, blinks)
    _raise_brows(face, fps, rng, phones, level_db, amount, question)
    _breathe(face, fps, pauses, amount)
    np.clip(face, 0.0, 1.0, out=face)
    soften_steps(face, MAX_STEP * 30.0 / fps)
    jaw, close = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
    face[:, close] = np.minimum(face[:, close], face[:, jaw])
    return face.astype(np.float32)


def _pauses(phones: Sequence[Phone], duration_s: float) -> list[tuple[float, float]]:
    """Silences of 0.2 s or more as (start_s, end_s), adjoining ones joined."""
    spans: list[tuple[float, float]] = []
    heard_until_s = 0.0
    for phone in phones:
        if phone.symbol:
            if phone.start_s - heard_until_s >= 0.2:
                spans.append((heard_until_s, phone.start_s))
            heard_until_s = max(heard_until_s, phone.end_s)
    if duration_s - heard_until_s >= 0.2:
        spans.append((heard_until_s, duration_s))
    return spans


def _blink_starts(
    duration_s: float, phrase_ends_s: Sequence[float], rng: np.random.Generator
) -> list[float]:
    """When blinks begin, ascending; log-normal intervals, some drawn to the end of a phrase."""
    starts: list[float] = []
    time_s = float(rng.uniform(0.4, 2.2))
    while time_s < duration_s - 0.1:
        start_s = time_s
        if rng.random() < _AT_PHRASE_END and phrase_ends_s:
            nearest = min(phrase_ends_s, key=lambda end_s: abs(end_s - time_s))
            if abs(nearest - time_s) < 0.7:
                start_s = nearest + 0.05
        if start_s >= 0.2 and (not starts or start_s - starts[-1] >= _SHORTEST_INTERVAL_S):
            starts.append(start_s)
        interval_s = float(rng.lognormal(np.log(60.0 / BLINKS_PER_MINUTE) - 0.125, 0.5))
        time_s = max(time_s, start_s) + max(interval_s, _SHORTEST_INTERVAL_S)
    return starts


def _glances(
    rng: np.random.Generator, phrase_ends_s: Sequence[float], amount: float
) -> list[_Glance]:
    """Looks away from the listener in order of time; each ends before its phrase does."""
    glances = []
    duration_s = phrase_ends_s[-1]
    time_s = float(rng.uniform(*_ON_LISTENER_S))
    while time_s < duration_s:
        degrees = np.array([rng.normal(0.0, 4.0), rng.normal(0.0, 2.0)]) * amount
        x, y = np.clip(degrees, -_LARGEST_GLANCE_DEG, _LARGEST_GLANCE_DEG)
        ends = [time_s + rng.uniform(*_GLANCE_S), duration_s - _HOME_AT_END_S]
        ends += [end_s for end_s in phrase_ends_s if end_s > time_s]
        if min(ends) - time_s >= _SHORTEST_GLANCE_S:
            glances.append(_Glance(time_s, float(min(ends)), float(x), float(y)))
        time_s = max(time_s, float(min(ends))) + float(rng.uniform(*_ON_LISTENER_S))
    return glances


def _move_eyes(
    face: Array,
    fps: float,
    rng: np.random.Generator,
    blinks: Sequence[float],
    phrase_ends_s: Sequence[float],
    amount: float,
) -> list[float]:
    """Glance about in place; returns the blinks and those that go with the largest glances."""
    frames = len(face)
    across, up = np.zeros(frames), np.zeros(frames)  # degrees; across: towards the face's left
    blinks = list(blinks)
    for glance in _glances(rng, phrase_ends_s, amount):
        first, last = round(glance.start_s * fps), round(glance.end_s * fps)
        for curve, degrees in ((across, glance.across_deg), (up, glance.up_deg)):
            curve[first:last] = degrees
            # One frame half-way: a saccade of this size takes 40 ms.
            curve[first : first + 1] = curve[last - 1 : last] = degrees / 2
        far = np.hypot(glance.across_deg, glance.up_deg) > 6.0
        time_s = glance.start_s
        if far and all(abs(time_s - b) > _SHORTEST_INTERVAL_S for b in blinks) and time_s > 0.2:
            blinks.append(time_s - 0.03)
    across /= _FULL_TURN_DEG
    up /= _FULL_TURN_DEG
    left, right = np.maximum(across, 0.0), np.maximum(-across, 0.0)
    for name, value in (
        ("eyeLookOutLeft", left), ("eyeLookInRight", left),
        ("eyeLookInLeft", right), ("eyeLookOutRight", right),
        ("eyeLookUpLeft", np.maximum(up, 0.0)), ("eyeLookUpRight", np.maximum(up, 0.0)),
        ("eyeLookDownLeft", np.maximum(-up, 0.0)), ("eyeLookDownRight", np.maximum(-up, 0.0)),
        ("eyeBlinkLeft", np.maximum(-up, 0.0) * 0.5), ("eyeBlinkRight", np.maximum(-up, 0.0) * 0.5),
    ):  # fmt: skip
        face[:, CHANNEL_INDEX[name]] += value
    return sorted(blinks)


def _blink(face: Array, fps: float, starts_s: Sequence[float]) -> None:
    lids = np.zeros(len(face))
    for start_s in starts_s:
        # Begin on a frame, so that one frame shows the lids shut.
        first = round(start_s * fps)
        last = first + int(_BLINK_TIMES_S[-1] * fps) + 2
        if last > len(face):
            continue  # a clip must not end with its eyes shut
        time_s = (np.arange(first, last) - first) / fps
        lids[first:last] = np.maximum(
            lids[first:last], np.interp(time_s, _BLINK_TIMES_S, _BLINK_SHAPE)
        )
    for side in ("Left", "Right"):
        blink = CHANNEL_INDEX[f"eyeBlink{side}"]
        face[:, blink] = np.maximum(face[:, blink], lids)
        # A shut lid neither squints nor follows the gaze: shapes add up, and it would sag.
        for name in ("eyeSquint", "eyeLookDown"):
            face[:, CHANNEL_INDEX[name + side]] *= 1.0 - lids
        for name, share in _WITH_BLINK:
            face[:, CHANNEL_INDEX[name + side]] += share * lids


def _raise_brows(
    face: Array,
    fps: float,
    rng: np.random.Generator,
    phones: Sequence[Phone],
    level_db: Array,
    amount: float,
    question: bool,
) -> None:
    """Lift the brows on the loudest vowels, not too often, and at the end of a question."""
    vowels = [phone for phone in phones if phone.symbol and is_vowel(phone.symbol)]
    levels = [_level_at(level_db, phone, fps) for phone in vowels]
    if not vowels:
        return
    accent_db = float(np.median(levels)) + 1.5
    last_s = -_BROW_INTERVAL_S
    for phone, level in zip(vowels, levels, strict=True):
        if level < accent_db or phone.start_s - last_s < _BROW_INTERVAL_S or rng.random() < 0.35:
            continue
        last_s = phone.start_s
        inner, length_s = rng.uniform(0.2, 0.35), rng.uniform(0.30, 0.45)
        _lift(face, fps, phone.start_s - 0.08, length_s, float(inner) * amount)
    if question:
        _lift(face, fps, vowels[-1].end_s - 0.5, 0.9, 0.25 * amount)


def _level_at(level_db: Array, phone: Phone, fps: float) -> float:
    middle = round((phone.start_s + phone.end_s) / 2 * fps)
    return float(level_db[min(middle, len(level_db) - 1)])


def _lift(face: Array, fps: float, start_s: float, length_s: float, height: float) -> None:
    """One raised-cosine movement of both brows; overlapping ones take the higher."""
    first, last = max(0, round(start_s * fps)), min(len(face), round((start_s + length_s) * fps))
    phase = (np.arange(first, last) / fps - start_s) / length_s
    bump = height * 0.5 * (1.0 - np.cos(2 * np.pi * np.clip(phase, 0.0, 1.0)))
    for name, share in (("browInnerUp", 1.0), ("browOuterUpLeft", 0.6), ("browOuterUpRight", 0.6)):
        column = face[first:last, CHANNEL_INDEX[name]]
        np.maximum(column, bump * share, out=column)


def _breathe(face: Array, fps: float, pauses: Sequence[tuple[float, float]], amount: float) -> None:
    """Part the lips a little and widen the nose before speech goes on after a pause."""
    for start_s, end_s in pauses:
        if start_s <= 0.0 or end_s - start_s < _PAUSE_S or end_s >= len(face) / fps - 1e-6:
            continue
        length_s = min(0.45, end_s - start_s - 0.15)
        first, last = round((end_s - 0.05 - length_s) * fps), round((end_s - 0.05) * fps)
        if last <= first:
            continue
        bump = 0.5 * (1.0 - np.cos(2 * np.pi * np.linspace(0.0, 1.0, last - first))) * amount
        for name, height in (("jawOpen", 0.04), ("noseSneerLeft", 0.06), ("noseSneerRight", 0.06)):
            face[first:last, CHANNEL_INDEX[name]] += height * bump
