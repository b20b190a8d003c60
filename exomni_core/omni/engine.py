# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in -> a clip out, by the neural model: it answers, says a text, or animates a recording.

`reply` writes an answer and speaks it. `say` forces the text through the model as its own answer.
`lipsync` turns a recording into speech units, makes the model speak those, and keeps the recording.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from exomni_core import __version__
from exomni_core.arrays import FloatArray
from exomni_core.clip import Clip, Phone, Word
from exomni_core.engine import (
    ANSWERING_ENGINE,
    ENGINE_KINDS,
    CancelCheck,
    Capabilities,
    Chunk,
    EngineDefaults,
    OnStage,
    ProgressCallback,
    report,
    stop_if,
)
from exomni_core.errors import InputError
from exomni_core.omni import generation as make
from exomni_core.omni.config import FACE_FPS
from exomni_core.omni.generation import Spoken, Written
from exomni_core.omni.idle import IdleTimer, freeing
from exomni_core.omni.jobs import Job, time_words
from exomni_core.omni.model import LoadOptions, OmniModel, find_folders
from exomni_core.omni.streaming import Piece, stream_reply, stream_text
from exomni_core.omni.weights.store import licence_provenance, models_folder
from exomni_core.prompt import STYLE_SCALES, Prompt
from exomni_core.retime import scale_regions

REVISION: Final = 1  # raise it with every change that alters a clip
_MOUTH: Final = ("jaw", "lips")
_REST: Final = ("brows", "cheeks")


class OmniEngine(EngineDefaults):
    """The neural engine. model: the models folder or the checkpoint's; default: the models folder.

    default_seed: for prompts without one. align: find word times in generated speech with the
    embedded aligner. idle_unload_s: free the weights after this many idle seconds (None: never).
    rows: prompts decoded together in `generate_many`. on_stage: called at each moment of
    `exomni_core.engine.STAGES`, for measuring. Other options: LoadOptions. Raises InputError or
    EnvironmentProblem at once if the checkpoint isn't complete.
    """

    name = ANSWERING_ENGINE

    def __init__(
        self,
        *,
        model: Path | str | None = None,
        default_seed: int = 0,
        align: bool = False,
        idle_unload_s: float | None = None,
        rows: int = 8,
        on_stage: OnStage | None = None,
        **load_options: Any,
    ) -> None:
        if model is None:
            model = models_folder()
        if isinstance(default_seed, bool) or not isinstance(default_seed, int) or default_seed < 0:
            raise InputError(
                f"the seed is {default_seed!r}; it must be a whole number from 0", field="seed"
            )
        self._default_seed = default_seed
        self._align = align
        self._rows = rows
        known = [field.name for field in fields(LoadOptions)]
        for name in load_options:
            if name not in known:
                raise InputError(
                    f"the omni engine has no option {name!r}; it has {', '.join(known)}, align, "
                    "idle_unload_s and rows",
                    field=name,
                )
        self.model = OmniModel(find_folders(Path(model)), LoadOptions(**load_options))
        self.model.on_stage = on_stage
        self._idle = IdleTimer(idle_unload_s, self.model.release)

    def capabilities(self) -> Capabilities:
        """Answers, says and lip-syncs; the model knows English and Chinese best."""
        return ENGINE_KINDS.find(self.name).capabilities

    def version(self) -> str:
        """Names the code, the weights (names, sizes and dates of their files) and the options.

        Raises EnvironmentProblem if weights are missing, so that a batch fails before it starts.
        """
        self.model.check_decoder()
        digest = hashlib.sha256()
        folders = self.model.folders
        for folder in (folders.checkpoint, folders.decoder, folders.tokenizer):
            for file in sorted(folder.glob("*")):
                if file.suffix in (".safetensors", ".pt", ".json"):
                    facts = file.stat()
                    digest.update(f"{file.name}|{facts.st_size}|{facts.st_mtime_ns};".encode())
        options = self.model.options
        how = f"{self.model.dtype}.{options.quantize}.{options.compat}".removeprefix("torch.")
        return (
            f"omni-{__version__}.{REVISION}+weights.{digest.hexdigest()[:12]}.{how}"
            f".seed.{self._default_seed}{'.aligned' if self._align else ''}"
        )

    def facts(self) -> dict[str, Any]:
        """What a measurement of time must state: device, precision, attention, versions."""
        return self.model.facts()

    def generate(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Clip:
        """Make the clip of `prompt`; see the Engine protocol for the errors."""
        return self.generate_many([prompt], progress=progress, cancel=cancel)[0]

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> list[Clip]:
        """Make the clips of `prompts`, decoding several at a time; the first bad one raises.

        Each clip is the one that its prompt would give alone, up to the rounding of larger
        matrix products.
        """
        with self._idle.working(), freeing(self.model.drop_loops):
            return self._clips(prompts, progress, lambda: stop_if(cancel))

    def answer(self, prompt: Prompt, *, cancel: CancelCheck | None = None) -> str:
        """Write the answer to `prompt` without speaking it; loads no part that makes speech.

        Raises InputError unless its mode is `reply`.
        """
        if prompt.mode != "reply":
            raise InputError("only mode 'reply' has an answer", field="mode")
        with self._idle.working(), freeing(self.model.drop_loops):
            asked = Job(prompt, self.model, self._default_seed).asked
            return make.write(self.model, [asked], lambda: stop_if(cancel), rows=1)[0].text

    def stream(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[Chunk]:
        """Yield pieces of the answer as they are made; the last chunk carries the whole clip."""
        with self._idle.working(), freeing(self.model.drop_loops):
            yield from self._stream(prompt, progress, lambda: stop_if(cancel))

    def close(self) -> None:
        """Free the weights."""
        self._idle.stop()
        self.model.release()

    def _clips(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None, check: make.Check
    ) -> list[Clip]:
        check()
        self.model.check_decoder()
        jobs = [Job(prompt, self.model, self._default_seed) for prompt in prompts]
        report(progress, "text", 0.0)
        written = self._write(jobs, check)
        report(progress, "speech", 0.3)
        spoken = self._speak(jobs, written, check)
        clips = []
        report(progress, "face", 0.6)
        faces = []
        for one in spoken:
            check()
            faces.append(make.animate(self.model, one))
        report(progress, "sound", 0.7)
        waves = self._sound(jobs, spoken)
        for job, text, units, face, (wave, rate_hz) in zip(
            jobs, written, spoken, faces, waves, strict=True
        ):
            check()
            clips.append(self._clip(job, text, units, wave, rate_hz, face, check))
        report(progress, "done", 1.0)
        return clips

    def _write(self, jobs: Sequence[Job], check: make.Check) -> list[Written]:
        replies = [job.asked for job in jobs if job.prompt.mode == "reply"]
        answers = iter(make.write(self.model, replies, check, rows=self._rows) if replies else ())
        written = []
        for job in jobs:
            check()
            if job.prompt.mode == "reply":
                written.append(next(answers))
            elif job.prompt.mode == "say":
                written.append(make.recite(self.model, job.asked, job.prompt.text or ""))
            else:
                job.listen(check)
                written.append(make.recite(self.model, job.asked, job.text))
        return written

    def _speak(
        self, jobs: Sequence[Job], written: Sequence[Written], check: make.Check
    ) -> list[Spoken]:
        talking = [(w, job.seed) for job, w in zip(jobs, written, strict=True) if not job.keeps]
        made = iter(
            make.speak(
                self.model, [w for w, _ in talking], [s for _, s in talking], check,
                rows=self._rows,
            )
            if talking
            else ()
        )  # fmt: skip
        spoken = []
        for job, text in zip(jobs, written, strict=True):
            if not job.keeps:
                spoken.append(next(made))
                continue
            check()
            units = self.model.speech_tokenizer.encode([job.heard])[0]
            spoken.append(make.mouth(self.model, text, units))
        return spoken

    def _sound(self, jobs: Sequence[Job], spoken: Sequence[Spoken]) -> list[tuple[FloatArray, int]]:
        talking = [i for i, job in enumerate(jobs) if not job.keeps]
        waves = make.sound(
            self.model, [spoken[i] for i in talking], [jobs[i].seed for i in talking]
        ) if talking else []  # fmt: skip
        made = dict(zip(talking, waves, strict=True))
        rate_hz = self.model.decoder.sample_rate_hz if talking else 0
        return [
            (job.samples, job.rate_hz) if job.keeps else (made[i], rate_hz)
            for i, job in enumerate(jobs)
        ]

    def _stream(
        self, prompt: Prompt, progress: ProgressCallback | None, check: make.Check
    ) -> Iterator[Chunk]:
        check()
        job = Job(prompt, self.model, self._default_seed)
        # A recording is there, only its face is new; and the release knows no streaming.
        if job.keeps or self.model.compat == "reference":
            clip = self._clips([prompt], progress, check)[0]
            yield Chunk(0.0, clip.audio, clip.sample_rate_hz, clip.weights, clip.fps, clip.text,
                        clip)  # fmt: skip
            return
        report(progress, "text", 0.0)
        outcome: list[tuple[Written, Spoken]] = []

        def done(written: Written, spoken: Spoken) -> None:
            outcome.append((written, spoken))

        if prompt.mode == "say":
            written = make.recite(self.model, job.asked, prompt.text or "")
            pieces = stream_text(self.model, written, job.seed, check, done=done)
        else:
            pieces = stream_reply(self.model, job.asked, check, done=done)
        rate_hz = self.model.decoder.sample_rate_hz
        audio, weights = [], []
        waiting: Piece | None = None
        for piece in pieces:
            if waiting is not None:
                yield self._chunk(waiting, rate_hz, prompt.style)
            audio.append(piece.audio)
            weights.append(piece.weights)
            waiting = piece
        assert waiting is not None
        written, spoken = outcome[0]
        clip = self._clip(
            job, written, spoken, np.concatenate(audio), rate_hz, np.concatenate(weights), check
        )
        last = self._chunk(waiting, rate_hz, prompt.style)
        yield Chunk(last.start_s, last.audio, rate_hz, last.weights, last.fps, last.text, clip)

    def _chunk(self, piece: Piece, rate_hz: int, style: str) -> Chunk:
        weights = _styled(piece.weights, style)
        return Chunk(piece.start_s, piece.audio, rate_hz, weights, FACE_FPS, piece.text)

    def _clip(
        self,
        job: Job,
        written: Written,
        spoken: Spoken,
        audio: FloatArray,
        rate_hz: int,
        weights: FloatArray,
        check: make.Check,
    ) -> Clip:
        words, phones, route, confidence, notes = self._timing(job, written, audio, rate_hz, check)
        if not written.complete:  # the more important note
            notes["note"] = (
                f"the reply was cut at {len(written.ids)} tokens; allow more with max_tokens "
                "(--max-tokens)"
            )
        if told := [*job.sound_notes, *notes.get("notes", ())]:
            notes["notes"] = told
        return Clip(
            audio=audio,
            sample_rate_hz=rate_hz,
            weights=_styled(make.fit_frames(weights, len(audio), rate_hz), job.prompt.style),
            fps=FACE_FPS,
            words=words,
            phones=phones,
            text=job.text if job.keeps else written.text,
            language=job.language(written.text),
            prompt=job.prompt.to_json(),
            engine=self.name,
            seed=job.seed,
            route=route,
            confidence=confidence,
            provenance={
                "engine": self.name,
                "exomni": __version__,
                "revision": REVISION,
                "compat": self.model.compat,
                "dtype": str(self.model.dtype).removeprefix("torch."),
                "quantize": self.model.options.quantize,
                "units": len(spoken.units),
                "text_tokens": len(written.ids),
                **licence_provenance(self.model.folders.checkpoint),
                **notes,
            },
        )

    def _timing(
        self, job: Job, written: Written, audio: FloatArray, rate_hz: int, check: make.Check
    ) -> tuple[tuple[Word, ...], tuple[Phone, ...], str, float, dict[str, Any]]:
        """Words and phones, the clip's route and confidence, and notes."""
        if job.track is not None:
            return job.track.words, job.track.phones, "units", 1.0, dict(job.track.notes)
        if not self._align or not written.text:
            return (), (), "units", 1.0, {}
        track = time_words(audio, rate_hz, written.text, job.prompt.language, check)
        if track.route != "transcript":
            note = "the words could not be timed: the speech doesn't fit them well enough"
            return (), (), "units", 1.0, {"note": note}
        return track.words, track.phones, "units", 1.0, dict(track.notes)


def _styled(weights: FloatArray, style: str) -> FloatArray:
    mouth, rest = STYLE_SCALES[style]
    if style == "neutral" or not len(weights):
        return weights
    return scale_regions(weights, dict.fromkeys(_MOUTH, mouth) | dict.fromkeys(_REST, rest))
