# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said when, the sound, a style and a seed in -> the weights of the whole face out."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core.clip import frame_count
from exomni_core.embedded.animate import animate_mouth
from exomni_core.embedded.liveliness import enliven, generator_for
from exomni_core.phonetics.loudness import jaw_gain, loudness_db, speech_gate
from exomni_core.phonetics.track import FPS, Track
from exomni_core.prompt import STYLE_SCALES

# route -> how much earlier and later than it was found a closure may be.
_SLACK_S: Final = {"tts_events": (0.0, 0.0), "transcript": (0.018, 0.024)}
_RECOGNISED_SLACK_S: Final = (0.012, 0.036)


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
    articulation, amount = STYLE_SCALES[style]
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
