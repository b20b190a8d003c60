# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in, what the model is asked out: the conversation, its recordings, the sampling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from exomni_core.arrays import FloatArray
from exomni_core.audio import read_audio, resample
from exomni_core.engine import CancelCheck
from exomni_core.errors import InputError
from exomni_core.listening.listen import listen
from exomni_core.omni.generation import MOST_TOKENS, Asked
from exomni_core.omni.model import OmniModel
from exomni_core.omni.nets.audio_features import RATE_HZ
from exomni_core.omni.nets.sampling import TextSampling
from exomni_core.omni.prompting import Turn, past_turn, recent, user_turn
from exomni_core.phonetics.scripts import guess_language
from exomni_core.phonetics.track import Track
from exomni_core.prompt import Prompt, check_prompt

READ_ALOUD: Final = "Please read this text aloud, word for word:\n"
REPEAT: Final = "Please say again what you said."

Check = Callable[[], None]


class Job:
    """One prompt on its way through the model.

    seed: the prompt's or the default. asked: what the model sees and hears. keeps: the recording's
    own sound stays (lipsync); then samples and rate_hz are the recording. track: its words and
    sounds, once `listen` has run.
    """

    def __init__(self, prompt: Prompt, model: OmniModel, default_seed: int) -> None:
        prompt = check_prompt(prompt)
        _check_served(prompt)
        self.prompt = prompt
        self.seed = default_seed if prompt.seed is None else prompt.seed
        self.keeps = prompt.mode == "lipsync"
        self.track: Track | None = None
        self.samples, self.rate_hz = np.zeros(0, np.float32), 0
        self.sound_notes: tuple[str, ...] = ()
        if self.keeps and prompt.audio is not None:
            audio = read_audio(prompt.audio)
            self.samples, self.rate_hz = audio.samples, audio.sample_rate_hz
            self.sound_notes = audio.notes
        turns, recordings = _conversation(prompt, model)
        self.asked = Asked(
            tuple(turns),
            tuple(recordings),
            self.seed,
            _sampling(prompt, model),
            prompt.max_tokens
            or int(model.generation_defaults.get("max_new_tokens") or MOST_TOKENS),
        )

    @property
    def heard(self) -> FloatArray:
        """The recording as the model hears it, at 16 kHz."""
        return resample(self.samples, self.rate_hz, RATE_HZ)

    @property
    def text(self) -> str:
        """What is said in the recording, given or recognised; may be empty."""
        if self.prompt.transcript is not None:
            return self.prompt.transcript
        return self.track.text if self.track is not None else ""

    def listen(self, check: Check) -> None:
        """Find the recording's words, and when they are spoken, with the embedded engine."""
        self.track = time_words(
            self.samples, self.rate_hz, self.prompt.transcript, self.prompt.language, check
        )

    def language(self, text: str) -> str:
        """The language asked for, else the one that the recording or the text's script suggests."""
        if self.prompt.language is not None:
            return self.prompt.language
        return self.track.language if self.track is not None else guess_language(text)


def time_words(
    samples: FloatArray, rate_hz: int, transcript: str | None, language: str | None, check: Check
) -> Track:
    """Words and sounds in (S,) samples, by the embedded aligner; `check` may raise to stop it."""
    return listen(
        samples,
        rate_hz,
        transcript=transcript,
        language=language,
        budget_s=30.0 + 4.0 * len(samples) / rate_hz,
        cancel=_as_cancel(check),
    )


def _check_served(prompt: Prompt) -> None:
    if prompt.voice is not None:
        raise InputError("the omni engine has one voice; leave it out", field="voice")
    if prompt.rate != 1.0:
        raise InputError("the omni engine speaks at its own rate; leave it out", field="rate")


def _sampling(prompt: Prompt, model: OmniModel) -> TextSampling:
    """The prompt's wishes, else the checkpoint's, else the release's."""
    defaults = model.generation_defaults
    usual = TextSampling()
    return TextSampling(
        temperature=usual.temperature if prompt.temperature is None else prompt.temperature,
        top_p=prompt.top_p or float(defaults.get("top_p") or usual.top_p),
        top_k=int(defaults.get("top_k", usual.top_k) or 0),
        repetition_penalty=float(defaults.get("repetition_penalty") or 1.0),
    )


def _conversation(prompt: Prompt, model: OmniModel) -> tuple[list[Turn], list[FloatArray]]:
    """The turns that the model sees, and the recordings that it hears in them."""
    if prompt.mode == "say":
        return recent([user_turn(READ_ALOUD + (prompt.text or ""), speaks=False)], None), []
    if prompt.mode == "lipsync":
        return recent([user_turn(REPEAT, speaks=False)], None), []
    turns: list[Turn] = []
    recordings: list[FloatArray] = []
    for message in prompt.history:
        if message.role == "assistant":
            turns.append(Turn("assistant", message.text or ""))
        elif message.audio is None or model.compat == "reference":
            turns.append(past_turn(message.text, spoke=message.audio is not None))
        else:
            turns.append(user_turn(message.text, speaks=True))
            recordings.append(_hearing(message.audio))
    turns.append(user_turn(prompt.text, speaks=prompt.audio is not None))
    if prompt.audio is not None:
        recordings.append(_hearing(prompt.audio))
    kept = recent(turns, prompt.system)
    forgotten = sum(t.heard for t in turns) - sum(t.heard for t in kept)
    return kept, recordings[forgotten:]


def _hearing(path: Path) -> FloatArray:
    audio = read_audio(path)
    return resample(audio.samples, audio.sample_rate_hz, RATE_HZ)


def _as_cancel(check: Check) -> CancelCheck:
    """The embedded engine asks whether to stop; our check raises instead."""

    def cancel() -> bool:
        check()
        return False

    return cancel
