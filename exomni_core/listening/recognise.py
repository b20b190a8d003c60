# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording without transcript in -> the words or sounds that are heard in it, or its rhythm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.audio import resample
from exomni_core.clip import Phone, Word
from exomni_core.engine import CancelCheck
from exomni_core.listening.align import Aligned, mean_score, words_in_time
from exomni_core.listening.closures import (
    Span,
    band_level_db,
    confirmed_closures,
    inside,
    join_closures,
    open_where_loud,
    outside,
    with_closures,
)
from exomni_core.listening.sphinx import SAMPLE_RATE_HZ, Heard, Piece, Sound, ask_sphinx
from exomni_core.phonetics.phones import is_closure

_PIECE_S: Final = 12.0  # the decoders' work and memory grow with the longest piece
_PAUSE_S: Final = 0.2
_OPEN, _HALF_OPEN = "ɐ", "ə"
_SPEEDS: Final = (1.0, 1.08, 1.17)
_DOUBTFUL_SCORE: Final = -30.0  # a word that fits worse is taken for misheard


def hear_words(
    samples: npt.NDArray[np.int16],
    pieces: Sequence[Piece],
    *,
    timeout_s: float,
    cancel: CancelCheck | None = None,
) -> Aligned | None:
    """Recognise English words in `samples` (S,) at 16 kHz and time their sounds; None if none.

    Where a word fits the sound badly, or the recogniser took speech for noise, the sounds and
    closures are those that `hear_sounds` hears there; a word that fits has its own closures alone.
    """
    words: list[Word] = []
    sounds: list[Sound] = []
    doubtful: list[Span] = []
    for heard in ask_sphinx("recognise", samples, pieces, timeout_s=timeout_s, cancel=cancel):
        if heard is not None:
            words += words_in_time(list(heard.words), heard.sounds)
            sounds += heard.sounds
            doubtful += _doubtful_spans(heard)
    if not words:
        return None
    phones = [Phone(s.symbol, s.start_s, s.end_s) for s in sounds]
    known = [(phone.start_s, phone.end_s) for phone in phones]
    everything = Phone("", 0.0, len(samples) / SAMPLE_RATE_HZ)
    doubtful += [(gap.start_s, gap.end_s) for gap in outside([everything], known)]
    hearings = _hear_at_speeds(samples, pieces, timeout_s=timeout_s, cancel=cancel)
    level_db = band_level_db(samples)
    mixed = sorted(
        outside(phones, doubtful) + inside(hearings[0], doubtful), key=lambda p: p.start_s
    )
    heard_freely = [
        [phone for phone in hearing if _middle_is_in(phone, doubtful)] for hearing in hearings
    ]
    closures = join_closures(
        *(confirmed_closures(candidates, level_db) for candidates in (phones, *heard_freely))
    )
    return Aligned(
        tuple(words),
        with_closures(open_where_loud(mixed, level_db), closures),
        mean_score(tuple(sounds)),
    )


def hear_sounds(
    samples: npt.NDArray[np.int16],
    pieces: Sequence[Piece],
    *,
    timeout_s: float,
    cancel: CancelCheck | None = None,
) -> tuple[Phone, ...]:
    """Recognise sounds without words in `samples` (S,) at 16 kHz; closures from all hearings."""
    hearings = _hear_at_speeds(samples, pieces, timeout_s=timeout_s, cancel=cancel)
    level_db = band_level_db(samples)
    closures = join_closures(*(confirmed_closures(candidates, level_db) for candidates in hearings))
    return with_closures(open_where_loud(hearings[0], level_db), closures)


def _hear_at_speeds(
    samples: npt.NDArray[np.int16],
    pieces: Sequence[Piece],
    *,
    timeout_s: float,
    cancel: CancelCheck | None,
) -> list[tuple[Phone, ...]]:
    """The sounds as heard at each of _SPEEDS, the natural one first, all on the natural clock.

    Faster also means higher, so that each hearing suits other voices and misses other closures.
    """
    hearings = []
    for speed in _SPEEDS:
        told, parts = samples, list(pieces)
        if speed != 1.0:
            fast = resample(samples.astype(np.float32) / 32768.0, speed, 1.0)
            told = np.clip(np.round(fast * 32768.0), -32768, 32767).astype(np.int16)
            parts = [
                Piece(round(p.start / speed), min(round(p.end / speed), len(told))) for p in pieces
            ]
        found = ask_sphinx("allphone", told, parts, timeout_s=timeout_s, cancel=cancel)
        hearings.append(
            tuple(
                Phone(s.symbol, s.start_s * speed, s.end_s * speed)
                for heard in found
                if heard is not None
                for s in heard.sounds
            )
        )
    return hearings


def _middle_is_in(phone: Phone, spans: Sequence[Span]) -> bool:
    middle_s = (phone.start_s + phone.end_s) / 2
    return any(a <= middle_s < b for a, b in spans)


def _doubtful_spans(heard: Heard) -> list[Span]:
    """Times in a piece that its words do not explain: badly fitting words and "silence"."""
    by_word: dict[int, list[Sound]] = {}
    spans = []
    for sound in heard.sounds:
        if sound.symbol and sound.word >= 0:
            by_word.setdefault(sound.word, []).append(sound)
        else:
            spans.append((sound.start_s, sound.end_s))
    spans += [
        (own[0].start_s, own[-1].end_s)
        for own in by_word.values()
        if mean_score(tuple(own)) < _DOUBTFUL_SCORE
    ]
    return sorted(spans)


def split_at_pauses(
    level_db: npt.NDArray[np.float64], fps: float, pad_s: float, total_samples: int
) -> list[Piece]:
    """Cut a recording into pieces of about 12 s, each cut at the quietest place near its end.

    level_db: (T,) at `fps`, of the recording without the `pad_s` of silence around it.
    """
    rows = round(_PIECE_S * fps)
    window = np.hanning(max(3, round(_PAUSE_S * fps)) + 2)
    smooth = np.convolve(level_db, window / window.sum(), mode="same")
    cuts = [0]
    row = 0
    while len(level_db) - row > rows * 3 // 2:
        near = smooth[row + rows // 2 : row + rows * 3 // 2]
        row += rows // 2 + int(np.argmin(near))
        cuts.append(round((row / fps + pad_s) * SAMPLE_RATE_HZ))
    return [Piece(a, b) for a, b in zip(cuts, [*cuts[1:], total_samples], strict=True)]


def mask_closures(
    phones: Sequence[Phone], gate: npt.NDArray[np.bool_], fps: float
) -> tuple[Phone, ...]:
    """Turn p, b, m that lie in silence into silence: the recogniser hears many in noise."""
    kept = []
    for phone in phones:
        first, last = int(phone.start_s * fps), int(np.ceil(phone.end_s * fps))
        # The closure of a stop is itself silent, so look one closure's length around it.
        around = gate[max(0, first - 8) : last + 8]
        silent = is_closure(phone.symbol) and not around.any()
        kept.append(replace(phone, symbol="") if silent else phone)
    return tuple(kept)


def shape_by_loudness(
    level_db: npt.NDArray[np.float64], gate: npt.NDArray[np.bool_], fps: float
) -> tuple[Phone, ...]:
    """Sounds that follow the rhythm: an open vowel at each peak of loudness, half open between."""
    width = max(3, round(0.09 * fps)) | 1
    smooth = np.convolve(level_db, np.hanning(width + 2) / np.hanning(width + 2).sum(), mode="same")
    inner = smooth[1:-1]
    peaks = np.flatnonzero((inner >= smooth[:-2]) & (inner > smooth[2:]) & gate[1:-1]) + 1
    marks = np.where(gate, 1, 0)
    reach = round(0.05 * fps)
    for peak in peaks:
        if smooth[peak] >= level_db[gate].mean():
            marks[max(0, peak - reach) : peak + reach] = np.where(
                gate[max(0, peak - reach) : peak + reach], 2, 0
            )
    edges = np.concatenate(([0], np.flatnonzero(np.diff(marks)) + 1, [len(marks)]))
    symbols = ("", _HALF_OPEN, _OPEN)
    return tuple(Phone(symbols[marks[a]], a / fps, b / fps) for a, b in pairwise(edges) if b > a)
