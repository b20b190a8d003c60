# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in -> a clip out, offline and without weights: espeak-ng speaks, rules move the face.

`say` takes the mouth from the synthesiser's own times of its sounds; where a voice tells none, a
listener finds them in its speech. `lipsync` takes it from the recording: aligned with the
transcript, else with recognised words, else from recognised sounds, else from loudness alone; the
clip's `route` tells which. `reply` needs the neural engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np

from exomni_core import __version__
from exomni_core.arrays import FloatArray
from exomni_core.audio import read_audio
from exomni_core.clip import MAX_DURATION_S, Clip, Phone, Word
from exomni_core.embedded.make_face import make_face
from exomni_core.embedded.reading import espeak_facts, read_prompt, with_notes
from exomni_core.engine import (
    ANSWERING_ENGINE,
    DEFAULT_ENGINE,
    ENGINE_KINDS,
    CancelCheck,
    Capabilities,
    EngineDefaults,
    OnStage,
    ProgressCallback,
    report,
    stop_if,
)
from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.listening.listener import DEFAULT_LISTENER, find_listener
from exomni_core.phonetics.language import OFFERED_LANGUAGES
from exomni_core.phonetics.phones import viseme_table
from exomni_core.phonetics.track import FPS, Track
from exomni_core.prompt import Prompt
from exomni_core.storage.files import sha256_file
from exomni_core.text.reading import Reading
from exomni_core.voices import espeak
from exomni_core.voices.voice import (
    DEFAULT_VOICE,
    TimedSounds,
    Utterance,
    find_voice,
    split_voice,
)
from exomni_core.voices.whole import speak_whole

REVISION: Final = 4  # raise it with every change that alters a clip
# Silence around the speech, so that the face opens from rest and comes to rest again.
_LEAD_S, _TAIL_S = 0.10, 0.25


class EmbeddedEngine(EngineDefaults):
    """The engine of every machine: no GPU, no weights, no network.

    default_seed: for prompts without a seed. recognition_budget: wall seconds that recognising
    words may take for each second of a recording without transcript (at least
    `recognition_floor_s`); past it the sounds alone are recognised. It takes 0.3 s on an idle core;
    the default leaves room for a busy machine, where a tighter limit would let the load decide
    which face comes out. listener: what finds the sounds in recordings, by its registered name.
    on_stage: told the moments of `exomni_core.engine.STAGES` that there are here (the voice starts,
    its sound is there, the face), for measuring.
    """

    name = DEFAULT_ENGINE

    def __init__(
        self,
        *,
        default_seed: int = 0,
        recognition_budget: float = 4.0,
        recognition_floor_s: float = 30.0,
        listener: str = DEFAULT_LISTENER,
        on_stage: OnStage | None = None,
    ) -> None:
        if isinstance(default_seed, bool) or not isinstance(default_seed, int) or default_seed < 0:
            raise InputError(
                f"the seed is {default_seed!r}; it must be a whole number from 0", field="seed"
            )
        self._default_seed = default_seed
        self._budget = (float(recognition_budget), float(recognition_floor_s))
        self._listener_name = listener
        if listener != DEFAULT_LISTENER:
            find_listener(listener)  # a wrong name is told before any work
        self._on_stage = on_stage

    def capabilities(self) -> Capabilities:
        """Speaks and lip-syncs in every language that espeak-ng has a voice for."""
        can = ENGINE_KINDS.find(self.name).capabilities
        return dataclasses.replace(can, languages=OFFERED_LANGUAGES)

    def version(self) -> str:
        """Names the code, the viseme table, espeak-ng's library, the default seed, the listener."""
        library = sha256_file(espeak.library_path())[:12]
        table = viseme_table().sha256[:12]
        listener = self._listener_name
        heard = "" if listener == DEFAULT_LISTENER else (
            f".listener.{listener}.{find_listener(listener).version()}"
        )  # fmt: skip
        return (
            f"{self.name}-{__version__}.{REVISION}+visemes.{table}.espeak.{library}"
            f".seed.{self._default_seed}{heard}"
        )

    def depends_on(self, prompt: Prompt) -> Mapping[str, str]:
        """What is read of the text, where that differs from the text; the version of the voice.

        Not that of espeak-ng, which the engine's version names.
        """
        reading = read_prompt(prompt)
        facts = {} if reading is None else reading.facts()
        synthesiser, _ = split_voice(prompt.voice)
        if prompt.mode != "say" or synthesiser == DEFAULT_VOICE:
            return facts | ({} if reading is None else espeak_facts(prompt, reading))
        try:
            version = find_voice(synthesiser).version()
        except EnvironmentProblem:  # its package is broken; speaking tells so, of this prompt alone
            return facts
        return {**facts, "voice": f"{synthesiser} {version}"}

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
            "this project's folder: pip install '.[omni]') and its weights, and use --engine "
            f"{ANSWERING_ENGINE}",
            field="mode",
        )

    def _mark(self, *stages: str) -> None:
        if self._on_stage is not None:
            for stage in stages:
                self._on_stage(stage)

    def _say(
        self, prompt: Prompt, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> Clip:
        report(progress, "speech", 0.0)
        self._mark("units_begin")
        reading = read_prompt(prompt)
        assert reading is not None
        whole = speak_whole(reading, lambda text: self._speak(prompt, text, cancel))
        said = whole.said
        self._mark("audio", "audio_done")
        stop_if(cancel)
        if said.is_silent:
            raise InputError(
                "this text has nothing that can be spoken; write some words", field="text"
            )
        rate_hz = said.sample_rate_hz
        lead, tail = round(_LEAD_S * rate_hz), round(_TAIL_S * rate_hz)
        samples = np.pad(said.samples, (lead, tail))
        if said.timed is not None:
            track = _track_of(said, said.timed, reading.source, lead / rate_hz)
        else:
            track = self._listen(samples, rate_hz, reading, said.language, progress, cancel)
            track = dataclasses.replace(track, notes={**said.notes, **track.notes})
        track = with_notes(track, whole.notes, reading, samples, rate_hz)
        return self._clip(prompt, track, samples, rate_hz, progress, cancel)

    def _speak(self, prompt: Prompt, text: str, cancel: CancelCheck | None) -> Utterance:
        """What the prompt's voice makes of `text`; the notes tell which synthesiser it was."""
        name, voice = split_voice(prompt.voice)
        synthesiser = find_voice(name)
        said = synthesiser.speak(
            text,
            language=prompt.language,
            voice=voice,
            rate=prompt.rate,
            seed=self._seed_of(prompt),
            cancel=cancel,
        )
        if name == DEFAULT_VOICE:
            return said
        facts = synthesiser.facts()
        notes = {"voice": f"{name}:{voice or ''}", "synthesiser": synthesiser.version()}
        notes |= {"voice_licence": facts.licence} if facts.licence else {}
        return dataclasses.replace(said, notes={**notes, **said.notes})

    def _lipsync(
        self, prompt: Prompt, progress: ProgressCallback | None, cancel: CancelCheck | None
    ) -> Clip:
        if prompt.audio is None:
            raise InputError("mode 'lipsync' needs an audio file", field="audio")
        report(progress, "audio", 0.0)
        audio = read_audio(prompt.audio)
        stop_if(cancel)
        reading = read_prompt(prompt)
        track = self._listen(
            audio.samples, audio.sample_rate_hz, reading, prompt.language, progress, cancel
        )
        notes = audio.notes + (() if reading is None else tuple(reading.notes))
        track = with_notes(track, notes, reading, audio.samples, audio.sample_rate_hz)
        return self._clip(prompt, track, audio.samples, audio.sample_rate_hz, progress, cancel)

    def _listen(
        self,
        samples: FloatArray,
        sample_rate_hz: int,
        reading: Reading | None,
        language: str | None,
        progress: ProgressCallback | None,
        cancel: CancelCheck | None,
    ) -> Track:
        """What is heard in `samples`; words of the reading come as they were written."""
        per_second, at_least_s = self._budget
        track = find_listener(self._listener_name).listen(
            samples,
            sample_rate_hz,
            transcript=None if reading is None else reading.spoken,
            language=language,
            budget_s=max(at_least_s, per_second * len(samples) / sample_rate_hz),
            progress=progress,
            cancel=cancel,
        )
        if reading is None or track.text != reading.spoken:
            return track
        words = reading.as_written(track.words)
        return dataclasses.replace(track, text=reading.source, words=words)

    def _seed_of(self, prompt: Prompt) -> int:
        return self._default_seed if prompt.seed is None else prompt.seed

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
        seed = self._seed_of(prompt)
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


def _track_of(said: Utterance, timed: TimedSounds, text: str, shift_s: float) -> Track:
    """The sounds that a synthesiser timed, moved to where they are in the clip."""
    return Track(
        words=tuple(Word(w.text, w.start_s + shift_s, w.end_s + shift_s) for w in timed.words),
        phones=tuple(Phone(p.symbol, p.start_s + shift_s, p.end_s + shift_s) for p in timed.phones),
        text=text,
        language=said.language,
        route="tts_events",
        confidence=1.0,
        notes=said.notes,
    )
