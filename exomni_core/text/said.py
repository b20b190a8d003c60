# SPDX-License-Identifier: GPL-3.0-or-later
"""Words to say, words and sounds in time, and the recording in -> what was not said out.

The one check of speech and of lip-sync: no word may be lost without a note, no word be timed where
nothing is heard, and no sound be left without a word. Times are in s, levels in dB of full scale.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.arrays import Array, Bools
from exomni_core.clip import Phone, Word
from exomni_core.phonetics.loudness import loudness_db, speech_gate
from exomni_core.phonetics.scripts import script_of

LEVEL_FPS: Final = 100.0
_SHORTEST_WORD_S: Final = 0.005
# An aligner gives a sound that isn't there the least time it can, 30 ms; people need 60 to 80 ms.
_SQUEEZED_SOUND_S: Final = 0.036
_SQUEEZED_SOUNDS: Final = 6  # so many in a row prove it; "of the" is spoken as quickly
_LEAST_LOUD: Final = 0.5  # share of a word that must be heard, or
_LEAST_SOUND_S: Final = 0.02  # seconds of it for each of its sounds
_SHORTEST_GAP_S: Final = 0.3
_GAP_BELOW_DB: Final = 12.0  # how far below the words' level a gap may be and still be speech
_BRIDGE_S: Final = 0.15  # pauses inside what is said between words
_CUT_BELOW_DB: Final = 6.0
_CUT_S: Final = 0.02
_LEAST_BEYOND_S: Final = 0.02
_LONGEST_SOUND_S: Final = 2.0
_WORDS_SHOWN: Final = 6  # words in a note

Span = tuple[float, float]


@dataclass(frozen=True)
class Said:
    """What is wrong between words and sound; all empty where everything was said.

    unsaid: words without a sound, as written. gaps: times in which something is heard that is no
    word. is_cut: the recording stops in the middle of a sound. beyond_s: how much of the last
    sounds lies after the end of the recording.
    """

    unsaid: tuple[str, ...] = ()
    gaps: tuple[Span, ...] = ()
    is_cut: bool = False
    beyond_s: float = 0.0

    def notes(self, *, of_recording: bool) -> list[str]:
        """Plain sentences with counts and times. of_recording: else of speech just made."""
        found = []
        if self.unsaid:
            count = "1 word has" if len(self.unsaid) == 1 else f"{len(self.unsaid)} words have"
            where = "recording" if of_recording else "speech"
            found.append(f"{count} no sound in the {where}: {quoted(self.unsaid)}")
        if self.gaps:
            total = sum(end_s - start_s for start_s, end_s in self.gaps)
            times = ", ".join(f"{a:.1f} to {b:.1f} s" for a, b in self.gaps[:_WORDS_SHOWN])
            source = "transcript" if of_recording else "text"
            found.append(f"{total:.1f} s of sound have no words in the {source}: {times}")
        if self.is_cut:
            found.append("the sound stops in the middle of a word; its last sounds are missing")
        if self.beyond_s > 0.0:
            found.append(f"the last {self.beyond_s:.1f} s of the words lie after the sound's end")
        return found


def check_said(
    to_say: Sequence[str],
    words: Sequence[Word],
    phones: Sequence[Phone],
    samples: npt.NDArray[np.floating[Any]],
    sample_rate_hz: int,
    *,
    is_aligned: bool,
) -> Said:
    """Compare what was to be said with what is timed and heard.

    to_say: the words as written; empty if they are unknown. samples: (S,). is_aligned: the times
    were found in a recording; else the voice told them, which may speak as fast as it likes, and
    whose sounds need not belong to words.
    """
    duration_s = len(samples) / sample_rate_hz
    level_db = loudness_db(
        samples, sample_rate_hz, max(1, round(duration_s * LEVEL_FPS)), LEVEL_FPS
    )
    gate = speech_gate(level_db, LEVEL_FPS)
    timed = [word.text for word in words]
    unsaid = [to_say[k] for k in missing_words(to_say, timed)] if to_say else []
    if is_aligned:
        unsaid += [words[k].text for k in words_without_sound(words, phones, gate)]
    spans = [(word.start_s, word.end_s) for word in words]
    if not is_aligned:
        spans += [(phone.start_s, phone.end_s) for phone in phones if phone.symbol]
    last_s = max((end_s for _, end_s in spans), default=0.0)
    return Said(
        unsaid=tuple(unsaid),
        gaps=tuple(loud_gaps(spans, level_db, gate)),
        is_cut=bool(words) and stops_in_sound(samples, sample_rate_hz),
        beyond_s=max(0.0, last_s - duration_s) if last_s - duration_s > _LEAST_BEYOND_S else 0.0,
    )


def missing_words(to_say: Sequence[str], timed: Sequence[str]) -> list[int]:
    """Numbers of those of `to_say` that are not among `timed`, both in the order of speech."""
    if list(to_say) == list(timed):
        return []
    first = 0
    while first < min(len(to_say), len(timed)) and to_say[first] == timed[first]:
        first += 1
    match = SequenceMatcher(None, to_say[first:], timed[first:], autojunk=False)
    found = {
        first + block.a + k for block in match.get_matching_blocks() for k in range(block.size)
    }
    return [k for k in range(first, len(to_say)) if k not in found]


def words_without_sound(words: Sequence[Word], phones: Sequence[Phone], gate: Bools) -> list[int]:
    """Numbers of the words that are timed where they can't have been said.

    gate: (T,) loud frames at LEVEL_FPS. A word is not said if it has no time, if it shares the few
    sounds of the word before, if it lies mostly in silence, or if it is one of several whose sounds
    all are as short as an aligner makes them.
    """
    starts = [phone.start_s for phone in phones]
    quick: list[int] = []  # numbers of words in a row
    sounds_in_row = 0
    found = set(words_without_own_sounds(words, phones))
    for number, word in enumerate(words):
        lengths = _sounds_of(word, phones, starts)
        loud = gate[int(word.start_s * LEVEL_FPS) : int(np.ceil(word.end_s * LEVEL_FPS))]
        if word.end_s - word.start_s < _SHORTEST_WORD_S or (
            len(lengths) > 1 and _is_silent(loud, len(lengths))
        ):
            found.add(number)
        if lengths and sum(lengths) / len(lengths) <= _SQUEEZED_SOUND_S:
            quick.append(number)
            sounds_in_row += len(lengths)
            if sounds_in_row >= _SQUEEZED_SOUNDS:
                found.update(quick)
        else:
            quick, sounds_in_row = [], 0
    return sorted(found)


def words_without_own_sounds(words: Sequence[Word], phones: Sequence[Phone]) -> list[int]:
    """Numbers of the words that were given a share of another word's time, too little for both.

    A word that begins where no sound begins is spoken as one with the word before ("of the"), if
    there are sounds for both; else the voice has dropped it.
    """
    begins = {round(phone.start_s, 6) for phone in phones if phone.symbol}
    starts = [phone.start_s for phone in phones]
    found: list[int] = []
    groups: list[list[int]] = []
    for number, word in enumerate(words):
        if number and round(word.start_s, 6) not in begins:
            groups[-1].append(number)
        else:
            groups.append([number])
    for group in groups:
        followers = [k for k in group[1:] if least_sounds(words[k].text)]
        if not followers:
            continue
        span = Word("", words[group[0]].start_s, words[group[-1]].end_s)
        needed = sum(least_sounds(words[k].text) for k in group)
        if len(_sounds_of(span, phones, starts)) < needed:
            found += followers
    return found


def _is_silent(loud: Bools, sounds: int) -> bool:
    heard_s = float(loud.sum()) / LEVEL_FPS
    return bool(loud.mean() < _LEAST_LOUD) and heard_s < _LEAST_SOUND_S * sounds


def _sounds_of(word: Word, phones: Sequence[Phone], starts: Sequence[float]) -> list[float]:
    """The lengths in s of the sounds whose middle lies in a word."""
    lengths = []
    first = bisect_left(starts, word.start_s - _LONGEST_SOUND_S)
    for phone in islice(phones, first, bisect_left(starts, word.end_s)):
        middle_s = (phone.start_s + phone.end_s) / 2
        if phone.symbol and word.start_s <= middle_s < word.end_s:
            lengths.append(phone.end_s - phone.start_s)
    return lengths


def loud_gaps(spans: Sequence[Span], level_db: Array, gate: Bools) -> list[Span]:
    """Times of at least 0.3 s outside all `spans` in which it is as loud as inside them.

    level_db: (T,) at LEVEL_FPS; gate: which of these frames may be speech.
    """
    known = np.zeros(len(gate), np.bool_)
    for start_s, end_s in spans:
        known[int(start_s * LEVEL_FPS) : int(np.ceil(end_s * LEVEL_FPS))] = True
    spoken = level_db[known & gate]
    if not len(spoken):
        return []
    loud = gate & ~known & (level_db > np.median(spoken) - _GAP_BELOW_DB)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], loud.astype(np.int8), [0]))))
    gaps: list[Span] = []
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        start_s, end_s = a / LEVEL_FPS, b / LEVEL_FPS
        near = gaps and start_s - gaps[-1][1] <= _BRIDGE_S
        if near and not known[round(gaps[-1][1] * LEVEL_FPS) : a].any():
            gaps[-1] = (gaps[-1][0], end_s)
        else:
            gaps.append((start_s, end_s))
    return [(a, b) for a, b in gaps if b - a >= _SHORTEST_GAP_S]


def stops_in_sound(samples: npt.NDArray[np.floating[Any]], sample_rate_hz: int) -> bool:
    """Whether the very end is as loud as the speech: a recording that was cut off."""
    hop = max(1, round(_CUT_S * sample_rate_hz))
    count = len(samples) // hop
    if count < 10:
        return False
    blocks = np.asarray(samples[len(samples) - count * hop :], np.float64).reshape(count, hop)
    level_db = 10.0 * np.log10(np.square(blocks).mean(axis=1) + 1e-10)
    speech = level_db[level_db > level_db.max() - 30.0]
    return bool(level_db[-2:].min() > np.median(speech) - _CUT_BELOW_DB) and bool(
        level_db.max() > -60.0
    )


def least_sounds(word: str) -> float:
    """The fewest sounds with which a word can be said."""
    letters = [sign for sign in word if sign.isalnum()]
    least = 0.0
    for sign in letters:
        if sign.isdigit():
            least += 0.0 if sign == "0" else 1.0
        else:
            least += 1.0 if script_of(sign) in ("zh", "ko", "ja") else 0.4
    return max(least, 1.0 if letters else 0.0)


def quoted(words: Sequence[str]) -> str:
    """Words for a sentence, not too many of them."""
    shown = ", ".join(f"“{word}”" for word in words[:_WORDS_SHOWN])
    return shown + (f" and {len(words) - _WORDS_SHOWN} more" if len(words) > _WORDS_SHOWN else "")
