# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in -> a clip out, offline and without weights: espeak-ng speaks, rules move the face.

`say` takes the mouth from the synthesiser's own phoneme times. `lipsync` takes it from the
recording: aligned with the transcript, else with recognised words, else from recognised sounds,
else from loudness alone; the clip's `route` tells which. `reply` needs the neural engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from exomni_core import __version__
from exomni_core.clip import MAX_DURATION_S, Clip, Phone, Word
from exomni_core.embedded.make_face import make_face
from exomni_core.engine import (
    CancelCheck,
    Capabilities,
    Chunk,
    OnStage,
    ProgressCallback,
    report,
    stop_if,
)
from exomni_core.errors import InputError
from exomni_core.phonetics.language import OFFERED_LANGUAGES, check_readable, choose_voice
from exomni_core.phonetics.phones import viseme_table
from exomni_core.phonetics.track import FPS, Track
from exomni_core.prompt import Prompt
from exomni_core.voices import espeak

REVISION: Final = 4  # raise it with every change that alters a clip
CHUNK_S: Final = 0.5
# Silence around the speech, so that the face opens from rest and comes to rest again.
_LEAD_S, _TAIL_S = 0.10, 0.25

FloatArray = npt.NDArray[np.float32]


class EmbeddedEngine:
    """The engine of every machine: no GPU, no weights, no network.

    default_seed: for prompts without a seed. recognition_budget: wall seconds that recognising
    words may take for each second of a recording without transcript (at least
    `recognition_floor_s`); past it the sounds alone are recognised. It takes 0.3 s on an idle core;
    the default leaves room for a busy machine, where a tighter limit would let the load decide
    which face comes out. on_stage: told the moments of `exomni_core.engine.STAGES` that there are
    here (the voice starts, its sound is there, the face), for measuring.
    """

    name = "embedded"

    def __init__(
        self,
        *,
        default_seed: int = 0,
        recognition_budget: float = 4.0,
        recognition_floor_s: float = 30.0,
        on_stage: OnStage | None = None,
    ) -> None:
        if isinstance(default_seed, bool) or not isinstance(default_seed, int) or default_seed < 0:
            raise InputError(
                f"the seed is {default_seed!r}; it must be a whole number from 0", field="seed"
            )
        self._default_seed = default_seed
        self._budget = (float(recognition_budget), float(recognition_floor_s))
        self._on_stage = on_stage

    def capabilities(self) -> Capabilities:
        """Speaks and lip-syncs in every language that espeak-ng has a voice for."""
        return Capabilities(
            modes=("say", "lipsync"),
            languages=OFFERED_LANGUAGES,
            needs="nothing beyond the installed Python packages",
            fps=float(FPS),
        )

    def version(self) -> str:
        """Names the code, the viseme table, espeak-ng's library and the default seed."""
        from exomni_core.storage.files import sha256_file

        library = sha256_file(espeak.library_path())[:12]
        table = viseme_table().sha256[:12]
        return (
            f"embedded-{__version__}.{REVISION}+visemes.{table}.espeak.{library}"
            f".seed.{self._default_seed}"
        )

    def generate(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Clip:
        """Make the clip of `prompt`; see the Engine protocol for the errors."""
        stop_if(cancel)
        if prompt.mode == "say":
            return self._say(prompt, progress, cancel)
        if prompt.mode == "lipsync":
            return self._lipsync(prompt, progress, cancel)
        raise InputError(
            "the embedded engine can 'say' and 'lipsync'; to answer, install the neural engine (in "
            "this project's folder: pip install '.[omni]') and its weights, and use --engine omni",
            field="mode",
        )

    def stream(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[Chunk]:
        """Yield the clip of `prompt` in pieces of half a second; the last one carries the clip."""
        clip = self.generate(prompt, progress=progress, cancel=cancel)
        rows = round(CHUNK_S * FPS)
        count = -(-len(clip.weights) // rows)
        for k in range(count):
            stop_if(cancel)
            last = k == count - 1
            first_sample = round(k * CHUNK_S * clip.sample_rate_hz)
            end_sample = None if last else round((k + 1) * CHUNK_S * clip.sample_rate_hz)
            yield Chunk(
                start_s=k * CHUNK_S,
                audio=clip.audio[first_sample:end_sample],
                sample_rate_hz=clip.sample_rate_hz,
                weights=clip.weights[k * rows : (k + 1) * rows],
                fps=clip.fps,
                text=" ".join(
                    w.text
                    for w in clip.words
                    if k * CHUNK_S <= w.start_s and (last or w.start_s < (k + 1) * CHUNK_S)
                ),
                clip=clip if last else None,
            )

    def close(self) -> None:
        """Nothing to release: every helper process ends with its request."""

    def _mark(self, *stages: str) -> None:
        if self._on_stage is not None:
            for stage in stages:
                self._on_stage(stage)

    def _say(
        self, prompt: Prompt, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> Clip:
        text = prompt.text or ""
        choice = choose_voice(text, prompt.language, prompt.voice, espeak.voice_variants())
        check_readable(text, choice.voice, field="text")
        report(progress, "speech", 0.0)
        self._mark("units_begin")
        speech = espeak.speak(text, choice.voice, rate=prompt.rate)
        self._mark("audio", "audio_done")
        stop_if(cancel)
        if speech.is_silent:
            raise InputError(
                "this text has nothing that can be spoken; write some words", field="text"
            )
        rate = speech.sample_rate_hz
        lead, tail = round(_LEAD_S * rate), round(_TAIL_S * rate)
        samples = np.pad(speech.pcm, (lead, tail)).astype(np.float32) / np.float32(32768.0)
        shift_s = lead / rate
        track = Track(
            words=tuple(Word(w.text, w.start_s + shift_s, w.end_s + shift_s) for w in speech.words),
            phones=tuple(
                Phone(p.symbol, p.start_s + shift_s, p.end_s + shift_s) for p in speech.phones
            ),
            text=text,
            language=choice.language,
            route="tts_events",
            confidence=1.0,
            notes={"espeak_ng": speech.espeak_version, "voice": choice.voice},
        )
        return self._clip(prompt, track, samples, rate, progress, cancel)

    def _lipsync(
        self, prompt: Prompt, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> Clip:
        from exomni_core.audio import read_audio
        from exomni_core.listening.listen import listen

        if prompt.audio is None:
            raise InputError("mode 'lipsync' needs an audio file", field="audio")
        report(progress, "audio", 0.0)
        audio = read_audio(prompt.audio)
        stop_if(cancel)
        per_second, at_least_s = self._budget
        track = listen(
            audio.samples,
            audio.sample_rate_hz,
            transcript=prompt.transcript,
            language=prompt.language,
            budget_s=max(at_least_s, per_second * len(audio.samples) / audio.sample_rate_hz),
            progress=progress,
            cancel=cancel,
        )
        return self._clip(prompt, track, audio.samples, audio.sample_rate_hz, progress, cancel)

    def _clip(
        self,
        prompt: Prompt,
        track: Track,
        samples: FloatArray,
        sample_rate_hz: int,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
    ) -> Clip:
        duration_s = len(samples) / sample_rate_hz
        if duration_s > MAX_DURATION_S:
            raise InputError(
                f"this makes {duration_s / 60:.0f} minutes of speech; a clip holds at most "
                f"{MAX_DURATION_S / 60:.0f}, split the text",
                field="text",
            )
        stop_if(cancel)
        report(progress, "face", 0.8)
        seed = self._default_seed if prompt.seed is None else prompt.seed
        self._mark("face_begin")
        weights = make_face(track, samples, sample_rate_hz, style=prompt.style, seed=seed)
        self._mark("face_done")
        report(progress, "face", 1.0)
        return Clip(
            audio=samples,
            sample_rate_hz=sample_rate_hz,
            weights=weights,
            fps=float(FPS),
            words=track.words,
            phones=track.phones,
            text=track.text,
            language=track.language,
            prompt=prompt.to_json(),
            engine=self.name,
            seed=seed,
            route=track.route,
            confidence=track.confidence,
            provenance={
                "engine": self.name,
                "exomni": __version__,
                "revision": REVISION,
                "visemes_sha256": viseme_table().sha256,
                **track.notes,
            },
        )
