# SPDX-License-Identifier: GPL-3.0-or-later
"""Timed speech sounds in -> the mouth's (T, 52) weights out, by dominance blending and hard rules.

Each sound pulls the jaw, the lips and the rounding towards its pose, strongest while it sounds,
fading before and after (Cohen and Massaro's dominance functions). Blending alone never closes the
lips at normal rates, so p, b, m get a hard rule on top, and so do the sounds that have limits in
the viseme table (f, v, th). Every sound only reaches about half a second, so the work grows with
the length of the speech, not with its square.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arkit import ARKIT_52, CHANNEL_INDEX
from exomni_core.arrays import Array
from exomni_core.clip import Phone
from exomni_core.embedded.holds import (
    EARLY_FRAMES,
    held_frames,
    hold_spans,
    make_room_for_vowels,
)
from exomni_core.embedded.limits import lower_to_limits, raise_to_limits
from exomni_core.embedded.opening import (
    LARGEST_JOLT,
    limit_opening_speed,
    part_for_vowels,
    soften_jolts,
)
from exomni_core.phonetics.phones import (
    SILENCE,
    Viseme,
    VisemeTable,
    is_closure,
    is_vowel,
    poses_of,
    viseme_table,
)

MAX_STEP: Final = 0.33  # the largest change between frames at 30 fps (the promise is 0.35)
_JAW_STEP: Final = 0.20  # more makes the jaw flap in "mama"
_LIP_STEP: Final = 0.16  # what opens closed lips is gone in a closure and must fade before
_REACH: Final = 5.0  # time constants after which a sound's pull (e^-8) no longer counts
_JOLT_ROUNDS: Final = 3
_STEEPNESS: Final = 1.3
_TAU_PER_REACH: Final = 1.0 / 2.2  # the table's attack and release times are 2.2 time constants
_ROUNDING_LEAD: Final = 0.6  # share of the table's lead times that is used
_CLOSED_JAW: Final = 0.14  # how far the jaw may hang open behind closed lips
_CLOSE_ATTACK_S, _CLOSE_RELEASE_S = 0.06, 0.05
_REST_HOLD_S: Final = 0.35  # the lips touch for as long between rest and a closure
_REST_MARGIN_S: Final = 0.08  # but not in the last part of a rest
_REST_GAP_S: Final = 0.03  # time without any sound after which the face rests
_SHORTEST_VOWEL_S: Final = 0.04
_RULE_IN_VOWEL: Final = 0.4  # how much of a fading closure a vowel's middle frame may hold
_JAW: Final = tuple(CHANNEL_INDEX[n] for n in ("jawOpen", "jawForward"))
_ROUND: Final = tuple(CHANNEL_INDEX[n] for n in ("mouthFunnel", "mouthPucker"))
_OPEN_LIPS: Final = tuple(
    CHANNEL_INDEX[n]
    for n in (
        "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
        "mouthFunnel",
    )
)  # fmt: skip
_PRESSED_LIPS: Final = (
    ("mouthPressLeft", 0.25), ("mouthPressRight", 0.25), ("mouthRollLower", 0.14),
    ("mouthRollUpper", 0.10),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, eq=False)
class _Poses:
    """Poses in time: (N,) arrays of start_s and end_s, and the (N,) row in `visemes`."""

    start_s: Array
    end_s: Array
    row: npt.NDArray[np.intp]
    visemes: tuple[Viseme, ...]

    def under(self, rule: str) -> npt.NDArray[np.bool_]:
        """(N,) True for the poses under a hard rule."""
        return np.array([v.constraint == rule for v in self.visemes])[self.row]


@dataclasses.dataclass(frozen=True, eq=False)
class _Lips:
    """Frames, (T,) each: of closures, of lips that touch (also beside a rest), of vowels between
    two closures, which must be seen.
    """

    pressed: npt.NDArray[np.bool_]
    shut: npt.NDArray[np.bool_]
    parted: npt.NDArray[np.bool_]


def animate_mouth(
    phones: Sequence[Phone],
    frames: int,
    fps: float,
    *,
    articulation: float = 1.0,
    jaw_gain: npt.NDArray[np.floating[Any]] | None = None,
    slack_s: tuple[float, float] = (0.0, 0.0),
    table: VisemeTable | None = None,
) -> npt.NDArray[np.float32]:
    """The mouth for `phones`: (frames, 52) float32 in [0, 1]; row k is the face at k / fps.

    articulation: scales all but the closures (0.6 mumbles, 1.3 over-acts). jaw_gain: (frames,)
    factors on the jaw, such as loudness. slack_s: how much earlier and later than in `phones` a
    closure may be, which is held for so much longer. table: the poses; None is the usual one. No
    channel changes by more than 0.35 a frame at 30 fps.
    """
    weights = np.zeros((frames, len(ARKIT_52)))
    poses = _flatten(phones, table or viseme_table())
    if len(poses.row):
        weights = _blend(poses, frames, fps)
        weights *= articulation
        if jaw_gain is not None:
            weights[:, _JAW] *= np.asarray(jaw_gain, np.float64)[:, None]
        lips = _obey_hard_rules(weights, poses, _vowel_spans(phones), fps, slack_s)
        np.clip(weights, 0.0, 1.0, out=weights)
        _move_like_lips(weights, lips, fps)
    jaw, close = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"]
    # mouthClose means nothing beyond the jaw's opening.
    weights[:, close] = np.minimum(weights[:, close], weights[:, jaw])
    return weights.astype(np.float32)


def _move_like_lips(weights: Array, lips: _Lips, fps: float) -> None:
    """Take out in place what no mouth does: jumps, and changes of speed that look like a twitch."""
    per_frame = 30.0 / fps
    jaw, close, shut = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"], lips.shut
    for channels, step in (((jaw,), _JAW_STEP), (_OPEN_LIPS, _LIP_STEP)):
        curves = weights[:, channels]
        soften_steps(curves, step * per_frame)
        weights[:, channels] = curves
    for _ in range(_JOLT_ROUNDS):
        soften_jolts(weights, LARGEST_JOLT * per_frame)
        weights[np.ix_(shut, np.array(_OPEN_LIPS))] = 0.0
        weights[shut, jaw] = np.minimum(weights[shut, jaw], _CLOSED_JAW)
    weights[shut, close] = weights[shut, jaw]
    limit_opening_speed(weights, shut, fps)
    part_for_vowels(weights, lips.parted)
    soften_steps(weights, MAX_STEP * per_frame)


def soften_steps(weights: Array, limit: float) -> None:
    """Lower peaks in place until no channel changes by more than `limit` between frames.

    Only ever lowers, so that closed lips stay closed.
    """
    steep = np.flatnonzero((np.abs(np.diff(weights, axis=0)) > limit).any(axis=0))
    for channel in steep:
        curve = weights[:, channel]
        for k in range(1, len(curve)):
            curve[k] = min(curve[k], curve[k - 1] + limit)
        for k in range(len(curve) - 2, -1, -1):
            curve[k] = min(curve[k], curve[k + 1] + limit)


def _flatten(phones: Sequence[Phone], table: VisemeTable) -> _Poses:
    """Split the phones into poses, at rest where there are none; neighbours of one pose are one."""
    rows = {key: row for row, key in enumerate(table.visemes)}
    spans: list[list[float]] = []

    def add(start_s: float, end_s: float, key: str) -> None:
        if spans and spans[-1][2] == rows[key] and start_s - spans[-1][1] < 0.01:
            spans[-1][1] = end_s
        else:
            spans.append([start_s, end_s, rows[key]])

    heard_until_s = phones[0].start_s - 1.0 if phones else 0.0
    for phone in phones:
        if phone.start_s - heard_until_s > _REST_GAP_S:
            add(heard_until_s, phone.start_s, SILENCE)
        length = phone.end_s - phone.start_s
        for key, first, last in poses_of(phone.symbol, table):
            add(phone.start_s + length * first, phone.start_s + length * last, key)
        heard_until_s = phone.end_s
    if phones:
        add(heard_until_s, heard_until_s + 1.0, SILENCE)
    columns = np.array(spans, np.float64).reshape(-1, 3)
    row = columns[:, 2].astype(np.intp)
    return _Poses(columns[:, 0], columns[:, 1], row, tuple(table.visemes.values()))


def _blend(poses: _Poses, frames: int, fps: float) -> Array:
    """The dominance-weighted mean of the targets, for each group of channels with its own pull."""
    visemes = poses.visemes
    targets = np.array([v.target for v in visemes], np.float64)
    dominance = np.array([v.dominance for v in visemes])
    attack_s = np.array([v.attack_s for v in visemes])[poses.row] * _TAU_PER_REACH
    release_s = np.array([v.release_s for v in visemes])[poses.row] * _TAU_PER_REACH
    lead_s = np.array([v.lead_s for v in visemes])[poses.row] * _ROUNDING_LEAD
    lips = tuple(c for c in range(len(ARKIT_52)) if c not in (*_JAW, *_ROUND))
    weights = np.zeros((frames, len(ARKIT_52)))
    for group, channels in enumerate((_JAW, lips, _ROUND)):
        start_s = poses.start_s - (lead_s if channels is _ROUND else 0.0)
        pose, frame = _windows(
            start_s - _REACH * attack_s, poses.end_s + _REACH * release_s, frames, fps
        )
        time_s = frame / fps
        before = np.maximum((start_s[pose] - time_s) / attack_s[pose], 0.0)
        after = np.maximum((time_s - poses.end_s[pose]) / release_s[pose], 0.0)
        pull = dominance[poses.row[pose], group] * np.exp(-((before + after) ** _STEEPNESS))
        total = np.bincount(frame, pull, frames) + 1e-4
        for channel in channels:
            if targets[:, channel].any():
                value = pull * targets[poses.row[pose], channel]
                weights[:, channel] = np.bincount(frame, value, frames) / total
    return weights


def _windows(
    start_s: Array, end_s: Array, frames: int, fps: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """All (span, frame) pairs with the frame's time inside the span, as two flat arrays."""
    first = np.clip(np.ceil(start_s * fps), 0, frames).astype(np.intp)
    last = np.clip(np.floor(end_s * fps) + 1, 0, frames).astype(np.intp)
    counts = np.maximum(last - first, 0)
    span = np.repeat(np.arange(len(counts)), counts)
    offset = np.arange(len(span)) - np.repeat(np.cumsum(counts) - counts, counts)
    return span, first[span] + offset


def _vowel_spans(phones: Sequence[Phone]) -> list[tuple[float, float]]:
    """(start_s, end_s) of each vowel."""
    return [
        (phone.start_s, phone.end_s)
        for phone in phones
        if is_vowel(phone.symbol) and not is_closure(phone.symbol)
    ]


def _middle_frames(
    vowels: Sequence[tuple[float, float]], frames: int, fps: float
) -> npt.NDArray[np.intp]:
    """The frame nearest to the middle of each vowel that is long enough to be seen."""
    middles = [
        round((start_s + end_s) / 2 * fps)
        for start_s, end_s in vowels
        if end_s - start_s > _SHORTEST_VOWEL_S
    ]
    return np.array([k for k in middles if 0 <= k < frames], np.intp)


def _obey_hard_rules(
    weights: Array,
    poses: _Poses,
    vowels: Sequence[tuple[float, float]],
    fps: float,
    slack_s: tuple[float, float],
) -> _Lips:
    """Close the lips for p, b, m; keep the limits of f, v, th (see the viseme table); in place."""
    frames = len(weights)
    middles = _middle_frames(vowels, frames, fps)
    lips = _plan_lips(poses, vowels, middles, frames, fps, slack_s)
    fading = _rule_strength(poses.under("lips_closed"), poses, middles, frames, fps)
    pressed = np.where(lips.pressed, 1.0, fading)
    limited = _limited_sounds(poses, middles, frames, fps)
    jaw, close, shut = CHANNEL_INDEX["jawOpen"], CHANNEL_INDEX["mouthClose"], lips.shut
    weights[shut, jaw] = np.minimum(weights[shut, jaw], _CLOSED_JAW)
    lower_to_limits(weights, limited)
    # Only a rule may close the lips: what blending lends to the neighbours would shut short vowels.
    weights[:, close] = np.where(shut, weights[:, jaw], 0.0)
    weights[np.ix_(shut, np.array(_OPEN_LIPS))] = 0.0
    for name, least in _PRESSED_LIPS:
        channel = CHANNEL_INDEX[name]
        weights[:, channel] = np.maximum(weights[:, channel], pressed * least)
    raise_to_limits(weights, limited, shut)
    return lips


def _limited_sounds(
    poses: _Poses, middles: npt.NDArray[np.intp], frames: int, fps: float
) -> list[tuple[Viseme, Array]]:
    """The sounds in `poses` that have limits, each with how strongly it holds, (T,) in [0, 1]."""
    return [
        (viseme, _rule_strength(poses.row == row, poses, middles, frames, fps))
        for row, viseme in enumerate(poses.visemes)
        if (viseme.least or viseme.most) and (poses.row == row).any()
    ]


def _plan_lips(
    poses: _Poses,
    vowels: Sequence[tuple[float, float]],
    middles: npt.NDArray[np.intp],
    frames: int,
    fps: float,
    slack_s: tuple[float, float],
) -> _Lips:
    """In which frames p, b, m hold the lips together, and in which a vowel parts them."""
    under_rule = poses.under("lips_closed")
    spans = hold_spans(
        poses.start_s[under_rule] - slack_s[0], poses.end_s[under_rule] + slack_s[1], fps
    )
    for span in spans:  # a vowel's middle is the vowel's
        if span[1] > span[0] and (middles == span[0]).any():
            span[0] += 1
        if span[1] > span[0] and (middles == span[1]).any():
            span[1] -= 1
    seen = make_room_for_vowels(spans, vowels, fps)
    held = held_frames(spans, frames)
    # Lips that come from rest and are about to close need not part, nor those that go to rest.
    length_s = poses.end_s - poses.start_s - _REST_MARGIN_S
    length_s[np.array([v.key != SILENCE for v in poses.visemes])[poses.row]] = 0.0
    beside_s = np.pad(length_s, 1)[np.flatnonzero(under_rule)[:, None] + (0, 2)]
    reach = np.round(np.clip(beside_s, 0.0, _REST_HOLD_S) * fps).astype(np.intp)
    return _Lips(held, held_frames(spans + reach * (-1, 1), frames), held_frames(seen, frames))


def _rule_strength(
    under_rule: npt.NDArray[np.bool_],
    poses: _Poses,
    vowels: npt.NDArray[np.intp],
    frames: int,
    fps: float,
) -> Array:
    """How strongly the rule of the (N,) poses `under_rule` holds at each frame, (T,) in [0, 1].

    1 over the sound and at least over one frame's time, so that a frame always lands in it; beyond
    the sound it fades, but not into the middle frame of a neighbouring vowel.
    """
    start_s, end_s = poses.start_s[under_rule], poses.end_s[under_rule]
    frame_s = 1.0 / fps
    first_s = start_s - EARLY_FRAMES * frame_s
    last_s = np.maximum(end_s - np.where(end_s - start_s > 0.05, 0.010, 0.0), first_s + frame_s)
    sound, frame = _windows(first_s - _CLOSE_ATTACK_S, last_s + _CLOSE_RELEASE_S, frames, fps)
    time_s = frame / fps
    rising = 1.0 - np.maximum(first_s[sound] - time_s, 0.0) / _CLOSE_ATTACK_S
    falling = 1.0 - np.maximum(time_s - last_s[sound], 0.0) / _CLOSE_RELEASE_S
    share = np.clip(np.minimum(rising, falling), 0.0, 1.0)
    strength = np.zeros(frames)
    np.maximum.at(strength, frame, share * share * (3.0 - 2.0 * share))
    fading = vowels[strength[vowels] < 1.0]
    strength[fading] = np.minimum(strength[fading], _RULE_IN_VOWEL)
    return strength
