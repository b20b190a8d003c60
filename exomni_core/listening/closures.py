# SPDX-License-Identifier: GPL-3.0-or-later
"""Recognised sounds in -> the sounds with the closures confirmed out; in recordings only.

A recogniser without the words misses half of all p, b, m and hears some in vowels. Closed lips
always cut the sound between 0.4 and 5 kHz (by 15 dB or more in 95 % of closures, by 9 dB in the
middle of the median vowel), so candidates from several recognisers can be joined freely and kept
only where there is such a dip; and where the sound is loud, the mouth is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import Array
from exomni_core.clip import Phone
from exomni_core.phonetics.phones import is_closure

RATE_FPS: Final = 100  # rows of a band level per second
_BAND_HZ: Final = (400.0, 5000.0)
_WINDOW, _TRANSFORM = 320, 512  # samples at 16 kHz: 20 ms, zero-padded
_REACH_S: Final = 0.03  # how far a recogniser's boundary may be off
_NEIGHBOURHOOD: Final = 15  # rows before and after, in which a dip's shoulders are looked for
_LONGEST_HALF: Final = 12  # rows that a closure may reach from its quietest one
_LEAST_DIP_DB: Final = 12.0
_LOUD_DB: Final = 6.0  # below the peak within 0.25 s: certainly not closed
_SHORTEST_CLOSURE_S: Final = 0.03
_NEUTRAL_VOWEL: Final = "ə"
_NEUTRAL_CONSONANT: Final = "t"
_SHORTEST_S: Final = 0.005

Span = tuple[float, float]


def band_level_db(samples: npt.NDArray[np.int16]) -> Array:
    """Level from 0.4 to 5 kHz of 16 kHz samples, (T,) in dB at 100 rows a second."""
    hop = 16000 // RATE_FPS
    rows = max(1, len(samples) // hop)
    padded = np.pad(samples.astype(np.float32) / np.float32(32768.0), (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::hop][:rows]
    frequency_hz = np.fft.rfftfreq(_TRANSFORM, 1 / 16000)
    band = (frequency_hz >= _BAND_HZ[0]) & (frequency_hz <= _BAND_HZ[1])
    window = np.hanning(_WINDOW).astype(np.float32)
    power = np.empty(rows)
    for first in range(0, rows, 4096):  # a block at a time: ten minutes would fill the memory
        spectrum = np.fft.rfft(frames[first : first + 4096] * window, _TRANSFORM)
        power[first : first + 4096] = np.square(np.abs(spectrum[:, band])).sum(axis=1)
    return np.asarray(10.0 * np.log10(power + 1e-9), np.float64)


def confirmed_closures(phones: Iterable[Phone], level_db: Array) -> list[Phone]:
    """The p, b, m among `phones` at which the sound dips, each moved onto its dip."""
    confirmed = []
    for phone in phones:
        if phone.symbol and is_closure(phone.symbol):
            dip = _dip_near(level_db, phone.start_s, phone.end_s)
            if dip is not None:
                start_s, end_s = dip
                wide = end_s - start_s > 0.015
                confirmed.append(replace(phone, start_s=start_s, end_s=end_s) if wide else phone)
    return confirmed


def tightened_closures(phones: Sequence[Phone], level_db: Array) -> tuple[Phone, ...]:
    """`phones` with each p, b, m begun no earlier than its dip; the sound before lasts longer.

    Aligners place a closure up to 45 ms early, in the end of a fading vowel.
    """
    tight = list(phones)
    for k, phone in enumerate(tight):
        if not phone.symbol or not is_closure(phone.symbol):
            continue
        dip = _dip_near(level_db, phone.start_s, phone.end_s)
        start_s = phone.start_s if dip is None else min(dip[0], phone.end_s - _SHORTEST_CLOSURE_S)
        if start_s > phone.start_s:
            tight[k] = replace(phone, start_s=start_s)
            if k and abs(tight[k - 1].end_s - phone.start_s) < 1e-6:
                tight[k - 1] = replace(tight[k - 1], end_s=start_s)
    return tuple(tight)


def join_closures(first: Sequence[Phone], *others: Sequence[Phone]) -> list[Phone]:
    """The closures of all lists in order of time; of overlapping ones the earlier list's."""
    joined = list(first)
    for other in others:
        joined += [
            phone
            for phone in other
            if all(
                phone.start_s >= kept.end_s + 0.02 or kept.start_s >= phone.end_s + 0.02
                for kept in joined
                if abs(kept.start_s - phone.start_s) < 1.0
            )
        ]
    return sorted(joined, key=lambda phone: phone.start_s)


def with_closures(phones: Sequence[Phone], closures: Sequence[Phone]) -> tuple[Phone, ...]:
    """`phones` with exactly `closures`: its own p, b, m become neutral, these go on top."""
    plain = [
        replace(phone, symbol=_NEUTRAL_CONSONANT)
        if phone.symbol and is_closure(phone.symbol)
        else phone
        for phone in phones
    ]
    spans = [(phone.start_s, phone.end_s) for phone in closures]
    return tuple(sorted([*outside(plain, spans), *closures], key=lambda phone: phone.start_s))


def open_where_loud(phones: Sequence[Phone], level_db: Array) -> tuple[Phone, ...]:
    """Turn silence and closures that lie mostly in loud sound, which can't be, into vowels."""
    width = 25
    padded = np.pad(level_db, width, mode="edge")
    peak = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1).max(axis=1)
    loud = np.concatenate(([0], np.cumsum(level_db > peak - _LOUD_DB)))
    opened = []
    for phone in phones:
        first = min(int(phone.start_s * RATE_FPS), len(level_db) - 1)
        last = min(max(first + 1, int(phone.end_s * RATE_FPS)), len(level_db))
        shut = phone.symbol == "" or is_closure(phone.symbol)
        wrong = shut and loud[last] - loud[first] > 0.5 * (last - first)
        opened.append(replace(phone, symbol=_NEUTRAL_VOWEL) if wrong else phone)
    return tuple(opened)


def outside(phones: Sequence[Phone], spans: Sequence[Span]) -> list[Phone]:
    """What is left of `phones` when the time of `spans` is cut out."""
    kept = []
    ordered = sorted(spans)
    ends = np.maximum.accumulate([end_s for _, end_s in ordered]) if ordered else np.zeros(0)
    for phone in phones:
        at_s = phone.start_s
        k = int(np.searchsorted(ends, at_s, side="right"))
        while k < len(ordered) and ordered[k][0] < phone.end_s:
            if ordered[k][0] - at_s > _SHORTEST_S:
                kept.append(replace(phone, start_s=at_s, end_s=ordered[k][0]))
            at_s = max(at_s, ordered[k][1])
            k += 1
        if phone.end_s - at_s > _SHORTEST_S:
            kept.append(replace(phone, start_s=at_s))
    return kept


def inside(phones: Sequence[Phone], spans: Sequence[Span]) -> list[Phone]:
    """What of `phones` lies within `spans`, which must not overlap."""
    return [
        replace(phone, start_s=max(phone.start_s, a), end_s=min(phone.end_s, b))
        for phone, a, b in _meetings(phones, spans)
        if min(phone.end_s, b) - max(phone.start_s, a) > _SHORTEST_S
    ]


def _meetings(
    phones: Sequence[Phone], spans: Sequence[Span]
) -> Iterable[tuple[Phone, float, float]]:
    """Every pair of a phone and a span that overlap; both go up in time, so one pass is enough."""
    ordered = sorted(spans)
    first = 0
    for phone in phones:
        while first < len(ordered) and ordered[first][1] <= phone.start_s:
            first += 1
        k = first
        while k < len(ordered) and ordered[k][0] < phone.end_s:
            yield phone, *ordered[k]
            k += 1


def _dip_near(level_db: Array, start_s: float, end_s: float) -> Span | None:
    """The stretch around the quietest row near a sound, or None if it is not quiet enough."""
    first = max(0, int((start_s - _REACH_S) * RATE_FPS))
    last = min(len(level_db), int(np.ceil((end_s + _REACH_S) * RATE_FPS)) + 1)
    if last - first < 2:
        return None
    lowest = first + int(np.argmin(level_db[first:last]))
    before = level_db[max(0, lowest - _NEIGHBOURHOOD) : lowest + 1].max()
    after = level_db[lowest : lowest + _NEIGHBOURHOOD + 1].max()
    depth = min(before, after) - level_db[lowest]
    if depth < _LEAST_DIP_DB:
        return None
    edge = level_db[lowest] + min(0.5 * depth, 12.0)
    a = b = lowest
    while a > max(0, lowest - _LONGEST_HALF) and level_db[a - 1] < edge:
        a -= 1
    while b < min(len(level_db) - 1, lowest + _LONGEST_HALF) and level_db[b + 1] < edge:
        b += 1
    return a / RATE_FPS, (b + 1) / RATE_FPS
