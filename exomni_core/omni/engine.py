# SPDX-License-Identifier: GPL-3.0-or-later
"""A prompt in -> a clip out, by the neural model: it answers, says a text, or animates a recording.

`reply` writes an answer and speaks it. `say` forces the text through the model as its own answer.
`lipsync` turns a recording into speech units, makes the model speak those, and keeps the recording.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exomni_core import __version__
from exomni_core.audio import read_audio, resample
from exomni_core.clip import Clip, Phone, Word
from exomni_core.engine import (
    CancelCheck,
    Capabilities,
    Chunk,
    ProgressCallback,
    report,
    stop_if,
)
from exomni_core.errors import InputError
from exomni_core.omni import generation as make
from exomni_core.omni.config import FACE_FPS
from exomni_core.omni.generation import Asked, Spoken, Written
from exomni_core.omni.model import LoadOptions, OmniModel, find_folders
from exomni_core.omni.prompting import Turn, past_turn, recent, user_turn
from exomni_core.omni.sampling import TextSampling
from exomni_core.omni.store import licence_provenance, models_folder
from exomni_core.omni.streaming import Piece, stream_reply, stream_text
from exomni_core.prompt import Prompt
from exomni_core.retime import scale_regions

REVISION: Final = 1  # raise it with every change that alters a clip
HEARD_HZ: Final = 16_000
# style -> gain of the mouth, and of the rest
_STYLES: Final = {"quiet": (0.75, 0.6), "neutral": (1.0, 1.0), "lively": (1.2, 1.4)}
_MOUTH: Final = ("jaw", "lips")
_REST: Final = ("brows", "cheeks")
_READ_ALOUD: Final = "Please read this text aloud, word for word:\n"

FloatArray = npt.NDArray[np.float32]


class OmniEngine:
    """The neural engine. model: the models folder or the checkpoint's; default: the models folder.

    default_seed: for prompts without one. align: time the words of what was generated with the
    embedded aligner. idle_unload_s: free the weights after so long without work (None: never).
    rows: prompts decoded at a time in `generate_many`. Other options: LoadOptions.
    Raises InputError or EnvironmentProblem at once if the checkpoint isn't whole.
    """

    name = "omni"

    def __init__(
        self,
        *,
        model: Path | str | None = None,
        default_seed: int = 0,
        align: bool = False,
        idle_unload_s: float | None = None,
        rows: int = 8,
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
        self.model = OmniModel(find_folders(Path(model)), LoadOptions(**load_options))
        self._idle = _IdleTimer(idle_unload_s, self.model.release)

    def capabilities(self) -> Capabilities:
        """Answers, says and lip-syncs; the model knows English and Chinese best."""
        return Capabilities(
            modes=("say", "lipsync", "reply"),
            languages=(),
            needs="the omni extra (pip install '.[omni]') and the weights (exorender models pull)",
            fps=FACE_FPS,
        )

    def version(self) -> str:
        """Names the code, the weights (names, sizes and dates of their files) and the options."""
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
        with self._idle.working(), self._freeing_on_failure():
            return self._clips(prompts, progress, lambda: stop_if(cancel))

    def stream(
        self,
        prompt: Prompt,
        *,
        progress: ProgressCallback | None = None,
        cancel: CancelCheck | None = None,
    ) -> Iterator[Chunk]:
        """Yield the answer while it is being written; the last chunk carries the whole clip."""
        with self._idle.working(), self._freeing_on_failure():
            yield from self._stream(prompt, progress, lambda: stop_if(cancel))

    def close(self) -> None:
        """Free the weights."""
        self._idle.stop()
        self.model.release()

    def _clips(
        self, prompts: Sequence[Prompt], progress: ProgressCallback | None, check: make.Check
    ) -> list[Clip]:
        check()
        jobs = [self._job(prompt) for prompt in prompts]
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

    def _job(self, prompt: Prompt) -> _Job:
        if prompt.voice is not None:
            raise InputError("the omni engine has one voice; leave it out", field="voice")
        if prompt.rate != 1.0:
            raise InputError("the omni engine speaks at its own rate; leave it out", field="rate")
        seed = self._default_seed if prompt.seed is None else prompt.seed
        defaults = self.model.generation_defaults
        sampling = TextSampling(
            temperature=TextSampling.temperature if prompt.temperature is None
            else prompt.temperature,
            top_p=prompt.top_p or float(defaults.get("top_p") or 1.0),
            top_k=int(defaults.get("top_k", TextSampling.top_k) or 0),
            repetition_penalty=float(defaults.get("repetition_penalty") or 1.0),
        )  # fmt: skip
        most = prompt.max_tokens or int(defaults.get("max_new_tokens") or make.MOST_TOKENS)
        turns, recordings = self._conversation(prompt)
        return _Job(prompt, seed, Asked(tuple(turns), tuple(recordings), seed, sampling, most))

    def _conversation(self, prompt: Prompt) -> tuple[list[Turn], list[FloatArray]]:
        """The turns that the model sees, and the recordings that it hears in them."""
        if prompt.mode == "say":
            return recent([user_turn(_READ_ALOUD + (prompt.text or ""), speaks=False)],
                          prompt.system), []  # fmt: skip
        turns: list[Turn] = []
        recordings: list[FloatArray] = []
        for message in prompt.history:
            if message.role == "assistant":
                turns.append(Turn("assistant", message.text or ""))
            elif message.audio is None or self.model.compat == "reference":
                turns.append(past_turn(message.text, spoke=message.audio is not None))
            else:
                turns.append(user_turn(message.text, speaks=True))
                recordings.append(_heard(message.audio))
        speaks = prompt.audio is not None
        turns.append(user_turn(prompt.text, speaks=speaks))
        if prompt.audio is not None:
            recordings.append(_heard(prompt.audio))
        kept = recent(turns, prompt.system)
        forgotten = sum(t.heard for t in turns) - sum(t.heard for t in kept)
        return kept, recordings[forgotten:]

    def _write(self, jobs: Sequence[_Job], check: make.Check) -> list[Written]:
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
        self, jobs: Sequence[_Job], written: Sequence[Written], check: make.Check
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

    def _sound(
        self, jobs: Sequence[_Job], spoken: Sequence[Spoken]
    ) -> list[tuple[FloatArray, int]]:
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
        job = self._job(prompt)
        if job.keeps:  # the recording is there; only its face is new
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
        job: _Job,
        written: Written,
        spoken: Spoken,
        audio: FloatArray,
        rate_hz: int,
        weights: FloatArray,
        check: make.Check,
    ) -> Clip:
        words, phones, route, confidence, notes = self._timing(job, written, audio, rate_hz, check)
        if not written.complete:
            notes["note"] = (
                f"the reply was cut at {len(written.ids)} tokens; allow more with max_tokens"
            )
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
        self, job: _Job, written: Written, audio: FloatArray, rate_hz: int, check: make.Check
    ) -> tuple[tuple[Word, ...], tuple[Phone, ...], str, float, dict[str, Any]]:
        """Words and phones, the clip's route and confidence, and notes."""
        if job.track is not None:
            return job.track.words, job.track.phones, "units", 1.0, dict(job.track.notes)
        if not self._align or not written.text:
            return (), (), "units", 1.0, {}
        from exomni_core.embedded.listen import listen

        track = listen(
            audio, rate_hz, transcript=written.text, language=job.prompt.language,
            budget_s=30.0 + 4.0 * len(audio) / rate_hz, cancel=_as_cancel(check),
        )  # fmt: skip
        return track.words, track.phones, "units", 1.0, dict(track.notes)

    def _freeing_on_failure(self) -> _FreeOnFailure:
        return _FreeOnFailure(self.model.drop_loops)


class _Job:
    """One prompt on its way. keeps: the recording's own sound stays (lipsync)."""

    def __init__(self, prompt: Prompt, seed: int, asked: Asked) -> None:
        self.prompt, self.seed, self.asked = prompt, seed, asked
        self.keeps = prompt.mode == "lipsync"
        self.track: Any = None
        self.samples = np.zeros(0, np.float32)
        self.rate_hz = 0
        if self.keeps and prompt.audio is not None:
            audio = read_audio(prompt.audio)
            self.samples, self.rate_hz = audio.samples, audio.sample_rate_hz
            self.heard = resample(self.samples, self.rate_hz, HEARD_HZ)
            # The model must not hear what it is to speak as if somebody else had said it.
            turn = user_turn(_READ_ALOUD.rstrip(":\n") + ".", speaks=False)
            self.asked = Asked(tuple(recent([turn], prompt.system)), (), seed)

    @property
    def text(self) -> str:
        """The words of the recording, given or recognised; may be empty."""
        if self.prompt.transcript is not None:
            return self.prompt.transcript
        return self.track.text if self.track is not None else ""

    def listen(self, check: make.Check) -> None:
        """Find the recording's words, and when they are spoken, with the embedded engine."""
        from exomni_core.embedded.listen import listen

        self.track = listen(
            self.samples,
            self.rate_hz,
            transcript=self.prompt.transcript,
            language=self.prompt.language,
            budget_s=30.0 + 4.0 * len(self.samples) / self.rate_hz,
            cancel=_as_cancel(check),
        )

    def language(self, text: str) -> str:
        """The language asked for, else the one that the text's script suggests."""
        from exomni_core.embedded.language import guess_language

        if self.prompt.language is not None:
            return self.prompt.language
        return self.track.language if self.track is not None else guess_language(text)


class _FreeOnFailure:
    """Frees the decode caches when the work inside is cancelled, fails or is abandoned."""

    def __init__(self, free: Callable[[], None]) -> None:
        self._free = free

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._free()


class _IdleTimer:
    """Calls `unload` once nobody has worked for `after_s`; None: never."""

    def __init__(self, after_s: float | None, unload: Callable[[], None]) -> None:
        self._after_s, self._unload = after_s, unload
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None

    def working(self) -> _IdleTimer:
        """A context in which nothing is unloaded; one job at a time."""
        return self

    def __enter__(self) -> None:
        self._lock.acquire()
        self.stop()

    def __exit__(self, *_: object) -> None:
        if self._after_s is not None:
            self._timer = threading.Timer(self._after_s, self._fire)
            self._timer.daemon = True
            self._timer.start()
        self._lock.release()

    def _fire(self) -> None:
        if self._lock.acquire(blocking=False):  # somebody works: their end starts the clock anew
            try:
                self._unload()
            finally:
                self._lock.release()

    def stop(self) -> None:
        """Forget a pending unload."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _heard(path: Path) -> FloatArray:
    audio = read_audio(path)
    return resample(audio.samples, audio.sample_rate_hz, HEARD_HZ)


def _styled(weights: FloatArray, style: str) -> FloatArray:
    mouth, rest = _STYLES[style]
    if style == "neutral" or not len(weights):
        return weights
    return scale_regions(weights, dict.fromkeys(_MOUTH, mouth) | dict.fromkeys(_REST, rest))


def _as_cancel(check: make.Check) -> CancelCheck:
    """The embedded engine asks whether to stop; our check raises instead."""

    def cancel() -> bool:
        check()
        return False

    return cancel
