# SPDX-License-Identifier: GPL-3.0-or-later
"""Digits and a language in, a short recording that says them out, for the page's sound check."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from exomni_core.arrays import FloatArray
from exomni_core.audio import wav_bytes
from exomni_core.voices.espeak import speak

_DIGITS: Final = {
    "en": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "zh": ("一", "二", "三", "四", "五", "六", "七", "八", "九"),
}
_VOICES: Final = {"en": "en-us", "zh": "cmn"}
_RATE: Final = 0.75  # of normal speed: every digit must be plain to a stranger
_LEAD_S: Final = 0.3  # some devices swallow the first moments of a sound
_GAP_S: Final = 0.45
_PEAK: Final = 0.7
_AUDIBLE: Final = 0.01


class SoundCheck:
    """Spoken digits of each language, made once; `wav` puts them together."""

    def __init__(self, languages: Sequence[str]) -> None:
        """Raises EnvironmentProblem without espeak-ng."""
        self._spoken: dict[str, list[FloatArray]] = {}
        self.rate_hz = 22_050
        for language in languages:
            spoken = "zh" if language.startswith("zh") else "en"
            if spoken not in self._spoken:
                self._spoken[spoken] = [self._say(word, spoken) for word in _DIGITS[spoken]]

    def wav(self, digits: str, language: str) -> bytes:
        """A WAV file (mono, 16 bits) that says `digits` (1 to 9)."""
        words = self._spoken.get("zh" if language.startswith("zh") else "en")
        words = words or next(iter(self._spoken.values()))
        pieces = [np.zeros(round(_LEAD_S * self.rate_hz), np.float32)]
        for digit in digits:
            pieces += [words[int(digit) - 1], np.zeros(round(_GAP_S * self.rate_hz), np.float32)]
        return wav_bytes(np.concatenate(pieces), self.rate_hz)

    def _say(self, word: str, language: str) -> FloatArray:
        said = speak(word, _VOICES[language], rate=_RATE)
        self.rate_hz = said.sample_rate_hz
        sound = said.pcm.astype(np.float32) / 32768.0
        loud = np.flatnonzero(np.abs(sound) > _AUDIBLE)
        if loud.size == 0:
            return sound
        sound = sound[loud[0] : loud[-1] + 1]
        louder: FloatArray = (sound * (_PEAK / np.abs(sound).max())).astype(np.float32)
        return louder
