# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said when (a track), its sound, a style and a seed in -> the face's weights out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import Phone, Word, frame_count
from exomni_core.embedded.animate import animate_mouth
from exomni_core.embedded.liveliness import enliven, generator_for
from exomni_core.embedded.loudness import jaw_gain, loudness_db, speech_gate

FPS: Final = 30
# route -> how much earlier and later than it was found a closure may be.
_SLACK_S: Final = {"tts_events": (0.0, 0.0), "transcript": (0.018, 0.024)}
_RECOGNISED_SLACK_S: Final = (0.012, 0.036)
# style -> (scale of the mouth's movements, amount of brows, gaze and breath)
STYLES: Final = {"quiet": (0.75, 0.6), "neutral": (1.0, 1.0), "lively": (1.4, 1.4)}


@dataclass(frozen=True)
class Track:
    """Words and speech sounds in time, and how they were found.

    route: `tts_events`, `transcript`, `recognised`, `allphone` or `energy`. confidence: the share
    of speech frames expected to show the right one of 13 viseme groups, 0 to 1.
    notes: for the clip's provenance. guesses: sounds that move the
    mouth where none are known; they are not reported as phones.
    """

    words: tuple[Word, ...]
    phones: tuple[Phone, ...]
    text: str
    language: str
    route: str
    confidence: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    guesses: tuple[Phone, ...] = ()


def make_face(
    track: Track,
    samples: npt.NDArray[np.float32],
    sample_rate_hz: int,
    *,
    style: str,
    seed: int,
) -> npt.NDArray[np.float32]:
    """The face for a track and its sound: (frame_count(duration, 30), 52) float32 in [0, 1]."""
    frames = frame_count(len(samples) / sample_rate_hz, FPS)
    articulation, amount = STYLES[style]
    level_db = loudness_db(samples, sample_rate_hz, frames, FPS)
    gain = jaw_gain(level_db, speech_gate(level_db, FPS), FPS)
    mouth = animate_mouth(
        track.phones or track.guesses,
        frames,
        FPS,
        articulation=articulation,
        jaw_gain=gain,
        slack_s=_SLACK_S.get(track.route, _RECOGNISED_SLACK_S),
    )
    return enliven(
        mouth,
        FPS,
        generator_for(seed, samples),
        phones=track.phones or track.guesses,
        level_db=level_db,
        amount=amount,
        question=track.text.rstrip().endswith(("?", "？", "؟")),
    )
