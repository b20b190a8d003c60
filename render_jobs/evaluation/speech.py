# SPDX-License-Identifier: GPL-3.0-or-later
"""Sounds, texts and transcripts in, results of `eval tts` and `eval consistency` out.

Transcripts come from a file or from a recogniser's command; scoring is ours and needs no network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exomni_core import __version__
from exomni_core.errors import EnvironmentProblem, ExOmniError, InputError
from exomni_core.metrics.bootstrap import RESAMPLES
from exomni_core.metrics.speech.error_rates import Spoken, score_consistency, score_tts
from exomni_core.metrics.speech.normalise import (
    by_characters,
    language_of,
    require,
    simplified,
    whisper_en,
)
from exomni_core.metrics.speech.responses import Response, read_transcripts
from exomni_core.metrics.speech.seedtts import BadUtterance, Utterance, language_of_list, read_list
from exomni_core.storage.files import sha256_file
from render_jobs.batch.folder import installed_version
from render_jobs.evaluation.recogniser import Heard, Recogniser, Sound, transcribe
from render_jobs.evaluation.responses import Answer, read_answers

OnRows = Callable[[int], None]
_INTERVALS: Final = f"95 %, percentile bootstrap over utterances, {RESAMPLES} resamples"
_NO_ZHCONV: Final = (
    "Chinese transcripts were not converted to simplified characters, as the release does "
    "(zhconv is not installed); it only matters if the recogniser writes traditional ones"
)


@dataclass(frozen=True)
class TtsRun:
    """meta: a Seed-TTS-Eval list. wav_dir: of UTT.wav. hyp or recogniser: where transcripts are.

    language: en or zh, by default what the list's folder is called. seed: of the intervals.
    """

    meta: Path
    wav_dir: Path | None = None
    hyp: Path | None = None
    recogniser: Recogniser | None = None
    language: str = ""
    seed: int = 0


@dataclass(frozen=True)
class ConsistencyRun:
    """answers: a batch run or responses.jsonl. language: for answers that name none. seed: of
    the intervals. ids: of the prompts; one without an answer has failed, and other answers are left
    out; empty: all.
    """

    answers: Path
    hyp: Path | None = None
    recogniser: Recogniser | None = None
    system: str = ""
    language: str = ""
    seed: int = 0
    ids: tuple[str, ...] = ()


def evaluate_tts(run: TtsRun, on_rows: OnRows | None = None) -> dict[str, Any]:
    """The whole result as plain data; a file or line that is bad is its own row only.

    Raises InputError if the list, the transcripts or the command can't be used, and
    EnvironmentProblem without jiwer.
    """
    require("jiwer", "counting word errors")
    _one_source(run.hyp, run.recogniser)
    language = run.language or language_of_list(run.meta)
    if not language:
        raise InputError(
            f"{run.meta} does not tell its language by its folder's name; add --language en or zh",
            field="language",
        )
    lines = read_list(run.meta)
    good = [line for line in lines if isinstance(line, Utterance)]
    gone = _missing_wavs(good, run.wav_dir)
    heard = _hear_wavs(good, gone, run, language, on_rows)
    spoken = [
        Spoken(
            u.id,
            u.text,
            None if u.id in gone else heard.texts.get(u.id),
            language,
            reason=gone.get(u.id) or heard.failed.get(u.id, ""),
        )
        for u in good
    ]
    simplify = simplified()
    scored = score_tts(spoken, simplify=simplify, seed=run.seed)
    rows = [*scored["rows"], *(_bad_row(x) for x in lines if isinstance(x, BadUtterance))]
    notes = _unused(heard, {u.id for u in good}, run.hyp) + _not_kept(run.recogniser)
    if simplify is None and by_characters(language):
        notes.append(_NO_ZHCONV)
    settings = {
        **_settings(run.hyp, run.recogniser, heard), "meta": str(run.meta),
        "meta_sha256": sha256_file(run.meta), "lines": len(lines), "language": language,
        "wav_dir": str(run.wav_dir or ""), "normaliser": "seedtts", "seed": run.seed,
        "intervals": _INTERVALS, "notes": notes,
    }  # fmt: skip
    return _result(settings, scored["groups"], rows)


def evaluate_consistency(run: ConsistencyRun, on_rows: OnRows | None = None) -> dict[str, Any]:
    """The whole result as plain data; an answer without sound or text is its own row only.

    Raises what `evaluate_tts` raises.
    """
    require("jiwer", "counting word errors")
    _one_source(run.hyp, run.recogniser)
    answers = _wanted(read_answers(run.answers, system=run.system), run.ids)
    heard = _hear_answers(answers, run, on_rows)
    spoken = [_spoken(answer, heard, run.language) for answer in answers]
    notes = _unused(heard, {answer.response.id for answer in answers}, run.hyp)
    notes += _not_kept(run.recogniser)
    whisper = None
    try:
        whisper = whisper_en()
    except EnvironmentProblem as error:
        notes.append(f"the whisper-en score is left out: {error}")
    simplify = simplified()
    if simplify is None and any(by_characters(one.language) for one in spoken):
        notes.append(_NO_ZHCONV)
    scored = score_consistency(spoken, whisper=whisper, simplify=simplify, seed=run.seed)
    rows = scored["rows"]
    settings = {
        **_settings(run.hyp, run.recogniser, heard), "answers": str(run.answers),
        "system": run.system, "normaliser": "seedtts", "seed": run.seed, "intervals": _INTERVALS,
        "whisper_normalizer": installed_version("whisper-normalizer") if whisper else None,
        "notes": notes,
    }  # fmt: skip
    result = _result(settings, scored["groups"], rows)
    for name in ("over 60", "unknown"):
        key = "n_" + name.replace(" ", "_").replace("unknown", "unknown_length")
        result["counts"][key] = sum(row["bucket"] == name for row in rows)
    return {**result, "bins": scored["bins"]}


def _wanted(answers: list[Answer], ids: Sequence[str]) -> list[Answer]:
    if not ids:
        return answers
    there = {answer.response.id: answer for answer in answers}
    return [
        there.get(name) or Answer(Response(name, error="there is no answer to this prompt"))
        for name in ids
    ]


def _one_source(hyp: Path | None, recogniser: Recogniser | None) -> None:
    if (hyp is None) == (recogniser is None):
        raise InputError("give the transcripts with --hyp FILE, or a recogniser with --asr COMMAND")


def _missing_wavs(utterances: Sequence[Utterance], wav_dir: Path | None) -> dict[str, str]:
    """Why an utterance has no sound, by id."""
    if wav_dir is None:
        return {}
    return {
        u.id: f"there is no {u.id}.wav in {wav_dir}"
        for u in utterances
        if not (wav_dir / f"{u.id}.wav").is_file()
    }


def _hear_wavs(
    utterances: Sequence[Utterance],
    gone: Mapping[str, str],
    run: TtsRun,
    language: str,
    on_rows: OnRows | None,
) -> Heard:
    if run.hyp is not None:
        return Heard(read_transcripts(run.hyp), {})
    assert run.recogniser is not None
    if run.wav_dir is None:
        raise InputError("--asr needs the sounds: add --wav-dir DIR", field="wav-dir")
    sounds = [
        Sound(u.id, run.wav_dir / f"{u.id}.wav", language) for u in utterances if u.id not in gone
    ]
    return transcribe(sounds, run.recogniser, on_rows)


def _hear_answers(answers: Sequence[Answer], run: ConsistencyRun, on_rows: OnRows | None) -> Heard:
    if run.hyp is not None:
        return Heard(read_transcripts(run.hyp), {})
    assert run.recogniser is not None
    failed: dict[str, str] = {}
    sounds = []
    with tempfile.TemporaryDirectory(prefix="exorender-") as work:
        for answer in answers:
            response = answer.response
            if response.error is not None or not response.text.strip():
                continue
            try:
                path = answer.hear(Path(work))
            except ExOmniError as error:
                failed[response.id] = str(error)
                continue
            language = language_of(response.text, response.lang or run.language)
            sounds.append(Sound(response.id, path, language))
        heard = transcribe(sounds, run.recogniser, on_rows)
    return Heard(heard.texts, {**failed, **heard.failed}, heard.reused)


def _spoken(answer: Answer, heard: Heard, language: str) -> Spoken:
    response = answer.response
    reason = response.error or heard.failed.get(response.id, "")
    if not reason and not response.text.strip():
        reason = "its answer has no text"
    return Spoken(
        response.id,
        response.text,
        None if response.error is not None else heard.texts.get(response.id),
        language_of(response.text, response.lang or language),
        response.duration_s,
        reason,
    )


def _unused(heard: Heard, ids: set[str], hyp: Path | None) -> list[str]:
    """A note if the file of transcripts knows others than those that are asked for."""
    others = sorted(heard.texts.keys() - ids)
    if not others or hyp is None:
        return []
    return [f"{len(others)} transcripts in {hyp} belong to nothing here, such as {others[0]}"]


def _not_kept(recogniser: Recogniser | None) -> list[str]:
    """A note if what was transcribed is gone afterwards."""
    if recogniser is None or recogniser.cache is not None:
        return []
    return ["the transcripts were not kept; add -o or --transcripts, and a rerun reuses them"]


def _bad_row(line: BadUtterance) -> dict[str, Any]:
    return {"id": line.id or f"line-{line.line}", "status": "failed", "reason": line.reason}


def _settings(hyp: Path | None, recogniser: Recogniser | None, heard: Heard) -> dict[str, Any]:
    return {
        "exomni": __version__,
        "jiwer": installed_version("jiwer"),
        "zhconv": installed_version("zhconv"),
        "hyp": str(hyp or ""),
        "hyp_sha256": sha256_file(hyp) if hyp else "",
        "asr": recogniser.command if recogniser else "",
        "transcripts_reused": heard.reused,
    }


def _result(
    settings: dict[str, Any], groups: Any, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    scored = sum(row["status"] == "scored" for row in rows)
    missing = sum(row["status"] == "missing" for row in rows)
    return {
        "settings": settings,
        "counts": {
            "n": len(rows),
            "n_scored": scored,
            "n_missing": missing,
            "n_failed": len(rows) - scored,
        },
        "groups": groups,
        "failures": [{"id": r["id"], "reason": r["reason"]} for r in rows if r["reason"]],
        "rows": rows,
    }
